//! Words of actions on many deliveries.

words! {
    TITLE = "Xử lý hàng loạt", "Bulk actions";
    LEAD = "Lập kế hoạch, xem trước, nêu lý do, duyệt, thực hiện. Kế hoạch đóng băng danh sách lượt giao; bộ lọc chỉ dùng một lần.",
        "Plan, look, give the reason, approve, run. A plan freezes a list of deliveries; the filter is used once.";
    CAPTION = "Các kế hoạch, mới nhất trước", "Plans, newest first";
    NEW = "Lập kế hoạch mới", "Plan a new one";
    NEW_LEAD = "Kế hoạch lấy mọi lượt giao mà bộ lọc này tìm thấy ngay lúc này, tối đa 10.000.",
        "The plan takes every delivery that this filter finds at this moment, at most 10,000.";
    NEW_HOW = "Kế hoạch bắt đầu từ một lần tra cứu:", "A plan begins with a search:";
    FILTER = "Bộ lọc", "Filter";
    FILTER_EMPTY = "không lọc gì: mọi lượt giao", "no filter: every delivery";
    ACTION = "Thao tác", "Action";
    REASON = "Lý do", "Reason";
    PLAN = "Lập kế hoạch", "Make the plan";
    STATUS = "Tình trạng", "Status";
    COUNT = "Số lượt giao", "Deliveries";
    PLANNED_BY = "Người lập", "Planned by";
    PLANNED_AT = "Lập lúc", "Planned at";
    APPROVED_BY = "Người duyệt", "Approved by";
    APPROVAL_NEEDED = "cần người thứ hai duyệt", "needs a second person";
    APPROVAL_NOT_NEEDED = "không cần duyệt", "no approval needed";
    APPROVE = "Duyệt", "Approve";
    APPROVE_OTHER = "Bạn đã lập kế hoạch này nên người khác phải duyệt.", "You planned this one; somebody else has to approve it.";
    RUN = "Thực hiện", "Run";
    STOP = "Dừng", "Stop";
    PLANNED = "đã lập, chưa làm", "planned";
    RUNNING = "đang thực hiện", "running";
    DONE = "đã xong", "done";
    STOPPED = "đã dừng", "stopped";
    SAMPLE = "Mẫu", "Sample";
    PROGRESS = "Tiến độ", "Progress";
    TRIED = "Đã thử", "Tried";
    MOVED = "Thành công", "Moved";
    NOT_MOVED = "Không thành công", "Not moved";
    FAILURES_CAPTION = "Những lượt giao không chuyển được", "Deliveries that did not move";
    DELIVERY = "Lượt giao", "Delivery";
    WHY = "Lý do", "Reason";
    CUT = "Bộ lọc tìm thấy nhiều hơn số mà một kế hoạch nhận.", "The filter found more than a plan takes.";
    NONE = "Chưa có kế hoạch nào.", "There is no plan yet.";
}
