//! Words of the search page and its filter.

words! {
    TITLE = "Tra cứu", "Search";
    CAPTION = "Các lượt giao tìm được, mới nhất trước", "Deliveries found, newest first";
    QUERY = "Mã cần tìm", "What to find";
    FILTER = "Bộ lọc", "Filter";
    STATE = "Trạng thái", "State";
    SENDER = "Nơi gửi", "Sender";
    RECIPIENT = "Nơi nhận", "Recipient";
    REASON = "Mã lý do", "Reason code";
    SINCE = "Nhận từ ngày", "Accepted since";
    UNTIL = "Đến hết ngày", "Until the end of";
    APPLY = "Tìm", "Find";
    CLEAR = "Bỏ lọc", "Clear";
    NONE = "Không tìm thấy lượt giao nào.", "No delivery fits.";
    NONE_YET = "Chưa thấy trong phần đã xem; sang trang sau để tìm tiếp.", "Nothing in the part that was looked at; the next page looks on.";
    FILE = "Hồ sơ", "File";
    SUBJECT = "Trích yếu", "Subject";
    ACCEPTED = "Nhận lúc", "Accepted";
    WAY = "Đường đi", "Way";
    ATTEMPTS = "Lần thử", "Attempts";
    NEXT = "Lần tới", "Next";
    OPEN_TIMELINE = "Mở hành trình", "Open the timeline";
    NOT_IN_FILTER = "Không hiểu giá trị lọc này, nên bỏ qua:", "This value of the filter is not understood and was left out:";
    PLAN = "Xử lý hàng loạt kết quả này…", "Act on all that this finds…";
    AGENCY_HINT = "Mã cơ quan, dạng nào cũng được", "Agency id or code, either form";
    AUDIT_TITLE = "Nhật ký thao tác", "Audit";
    AUDIT_LEAD = "Ai đã làm gì, từ đâu, lúc nào, vì sao. Mỗi dòng là một lá của sổ bằng chứng, không sửa được.",
        "Who did what, from where, when and why. Each line is a leaf of the evidence log and cannot be changed.";
    AUDIT_CAPTION = "Thao tác của người vận hành, mới nhất trước", "What operators did, newest first";
    OPERATOR = "Người làm", "Operator";
    ACTION = "Thao tác", "Action";
    ABOUT = "Đối tượng", "About";
    WHY = "Lý do", "Why";
    WHERE = "Từ đâu", "From where";
    TIME = "Thời gian", "Time";
    EVIDENCE = "Bằng chứng", "Evidence";
}
