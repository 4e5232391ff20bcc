//! Words of the frame around every page: navigation, sign-in, settings, the live mark.

words! {
    CONSOLE = "Bảng điều khiển", "Operators' console";
    SKIP = "Tới nội dung chính", "Skip to the main content";
    NAVIGATION = "Các trang", "Pages";
    STUCK = "Đang tắc", "Stuck now";
    INCIDENTS = "Sự cố", "Incidents";
    SEARCH = "Tra cứu", "Search";
    PEERS = "Trục và bộ kết nối", "Peers and adapters";
    TRUST = "Tin cậy", "Trust";
    BULK = "Xử lý hàng loạt", "Bulk actions";
    STATISTICS = "Thống kê", "Statistics";
    AUDIT = "Nhật ký thao tác", "Audit";
    HEALTH = "Tình trạng", "Health";
    SEARCH_LABEL = "Mã hồ sơ, số văn bản, mã gói tin hoặc SHA-256", "File code, document number, envelope id or SHA-256";
    SEARCH_BUTTON = "Tìm", "Find";
    LANGUAGE = "Ngôn ngữ", "Language";
    THEME = "Giao diện", "Theme";
    THEME_AUTO = "Theo máy", "Automatic";
    THEME_LIGHT = "Sáng", "Light";
    THEME_DARK = "Tối", "Dark";
    SIGNED_IN_AS = "Đang đăng nhập:", "Signed in:";
    ROLE_VIEWER = "người xem", "viewer";
    ROLE_OPERATOR = "người vận hành", "operator";
    ROLE_TRUST_OFFICER = "người quản lý tin cậy", "trust officer";
    ROLE_UNKNOWN = "chưa rõ vai trò", "role unknown";
    SIGN_OUT = "Đăng xuất", "Sign out";
    SIGNED_OUT = "Đã đăng xuất", "Signed out";
    SIGNED_OUT_TEXT = "Phiên làm việc trên trình duyệt này đã kết thúc.", "The session in this browser has ended.";
    SIGN_IN_NEEDED = "Cần đăng nhập", "Sign-in needed";
    SIGN_IN_HOW = "Vào bảng điều khiển bằng chứng thư số của người vận hành, hoặc bằng một đường dẫn dùng một lần:",
        "The console opens with an operator's client certificate, or with a one-time link:";
    SIGN_IN_COMMAND = "Chạy lệnh này bằng chứng thư số của mình, rồi mở đường dẫn được in ra.",
        "Run this command with your own certificate, then open the link that it prints.";
    SIGN_IN_BOUNDS = "Đường dẫn chỉ dùng được một lần, trong hai phút. Phiên làm việc kéo dài tối đa 8 giờ và kết thúc sau 30 phút không thao tác.",
        "A link works once, within two minutes. A session lasts at most 8 hours and ends after 30 minutes without use.";
    LINK_TITLE = "Mở bảng điều khiển", "Open the console";
    LINK_TEXT = "Đường dẫn này chỉ mở được một lần. Bấm nút dưới đây để đăng nhập trên trình duyệt này.",
        "This link works once. Press the button to sign in with this browser.";
    LINK_BUTTON = "Đăng nhập trên trình duyệt này", "Sign in with this browser";
    LINK_OVER = "Đường dẫn không còn dùng được", "The link no longer works";
    LINK_OVER_TEXT = "Đường dẫn đã được dùng hoặc đã quá hai phút. Hãy xin một đường dẫn mới.",
        "It has been used, or two minutes have passed. Ask for a new one.";
    LIVE = "Tự cập nhật", "Updates itself";
    LIVE_CHANGED = "Nội dung đã được cập nhật.", "The page has been updated.";
    LIVE_LOST = "Mất kết nối với trục liên thông; số liệu có thể đã cũ.", "No connection to the gateway; the figures may be old.";
    LIVE_SIGNED_OUT = "Phiên làm việc đã kết thúc; hãy đăng nhập lại.", "The session has ended; sign in again.";
    VERSION = "Phiên bản", "Version";
    AT = "Lúc", "At";
    TIME_ZONE = "Giờ Việt Nam (UTC+7)", "Vietnam time (UTC+7)";
    PAGE_NEXT = "Trang sau", "Next page";
    PAGE_FIRST = "Về trang đầu", "First page";
    NOTHING = "Không có gì ở đây.", "There is nothing here.";
    CUT = "Danh sách dài hơn; chỉ hiện phần đầu.", "The list is longer; only its beginning is shown.";
}
