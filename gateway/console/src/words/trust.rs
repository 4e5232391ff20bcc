//! Words of the trust page.

words! {
    TITLE = "Tin cậy", "Trust";
    LEAD = "Chứng thư số, danh sách thu hồi và danh bạ, sắp hết hạn trước.", "Certificates, revocation lists and the directory, the nearest end first.";
    CAPTION = "Những gì đang được tin cậy, gần hết hạn nhất trước", "What is trusted, the nearest end first";
    WITHIN = "Hết hạn trong (ngày)", "Ends within (days)";
    AGENCY = "Cơ quan", "Agency";
    APPLY = "Lọc", "Filter";
    KIND = "Loại", "Kind";
    NAME = "Tên", "Name";
    ENDS = "Hết hạn", "Ends";
    DAYS_LEFT = "Còn (ngày)", "Days left";
    BEGINS = "Bắt đầu", "Begins";
    ROLES = "Vai trò ký", "Signing roles";
    ANY_ROLE = "mọi vai trò", "any";
    SHA256 = "SHA-256", "SHA-256";
    SIGNER = "chứng thư số ký", "signing certificate";
    ANCHOR = "gốc tin cậy", "trust anchor";
    INTERMEDIATE = "chứng thư số trung gian", "intermediate certificate";
    REVOCATION_LIST = "danh sách thu hồi", "revocation list";
    DIRECTORY = "danh bạ", "directory";
    TLS = "chứng thư số kết nối của trục này", "this gateway's TLS certificate";
    OVER = "đã hết hạn", "ended";
    UNKNOWN_END = "không rõ", "unknown";
}
