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
    CHECK = "Kiểm tra một tệp đã ký theo sự tin cậy của ngày đó", "Check a signed file against the trust of that day";
    CHECK_TEXT = "Lệnh dưới đây chạy trên máy của trục này, không cần mạng: kiểm tra chữ ký tách rời của tệp theo chuỗi chứng thư số và danh sách thu hồi trong danh bạ, như thể đang ở thời điểm ghi sau --at.",
        "The command below runs on this gateway's machine, without a network: it checks a file's detached signature by the certificate chains and revocation lists of the directory, as of the instant after --at.";
    CHECK_AT = "Thời điểm ký", "Time of signing";
    CHECK_SHOW = "Xem lệnh", "Show the command";
    CHECK_FILE = "tệp-đã-ký", "signed-file";
}
