//! Words of pages that say what went wrong.

words! {
    REFUSED = "Không thực hiện được", "Not done";
    CODE = "Mã lý do", "Reason code";
    FIELD = "Trường", "Field";
    NEXT = "Cần làm", "What to do";
    BACK = "Quay lại", "Go back";
    HOME = "Về trang đầu", "To the first page";
    MISSING = "Không có trang này", "There is no such page";
    MISSING_TEXT = "Địa chỉ không đúng hoặc trang đã đổi chỗ.", "The address is wrong, or the page has moved.";
    METHOD = "Không mở được theo cách này", "It does not open this way";
    METHOD_TEXT = "Trang này không nhận kiểu yêu cầu đó.", "This page does not take that kind of request.";
    FORGED = "Yêu cầu không đến từ bảng điều khiển", "The request did not come from the console";
    FORGED_TEXT = "Biểu mẫu đã cũ hoặc do trang khác gửi. Không có gì được thực hiện. Hãy tải lại trang rồi làm lại.",
        "The form is old, or another site sent it. Nothing was done. Load the page again and repeat.";
    FORM_TOO_LARGE = "Biểu mẫu quá lớn", "The form is too large";
    FORM_TOO_LARGE_TEXT = "Không có gì được thực hiện. Hãy rút ngắn phần lý do.", "Nothing was done. Shorten the reason.";
    FORM_MALFORMED = "Không đọc được biểu mẫu", "The form cannot be read";
    FORM_MALFORMED_TEXT = "Không có gì được thực hiện. Hãy tải lại trang rồi làm lại.", "Nothing was done. Load the page again and repeat.";
    SLOW = "Trục liên thông trả lời quá chậm", "The gateway takes too long to answer";
    SLOW_TEXT = "Thao tác có thể đã được thực hiện. Hãy xem lại trạng thái trước khi làm lại.",
        "What you asked for may have been done. Look at the state before you repeat it.";
    OTHER = "Trục liên thông báo lỗi", "The gateway reports a failure";
}
