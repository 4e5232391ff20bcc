//! Words of the home page and of incidents.

words! {
    TITLE = "Đang tắc", "Stuck now";
    LEAD = "Chỉ những gì cần người xử lý, cũ nhất trước. Mỗi nguyên nhân một dòng, dù bao nhiêu hồ sơ đang chờ.",
        "Only what needs a person, the oldest first. One entry a cause, however many deliveries wait for it.";
    NONE = "Không có gì tắc.", "Nothing is stuck.";
    NONE_TEXT = "Mọi thứ tự chạy. Trang này tự cập nhật.", "Everything runs by itself. This page updates itself.";
    AS_OF = "Xem lúc", "Looked at";
    COUNT = "Số lượt giao", "Deliveries";
    OLDEST = "Chờ lâu nhất", "Oldest waits";
    SINCE = "Từ", "Since";
    DEADLINE = "Hạn gần nhất", "Nearest deadline";
    MUST_ACT = "Nơi phải xử lý", "Who must act";
    WHAT_TO_DO = "Cần làm", "What to do";
    SEEN = "Đã thấy", "Seen";
    REASON = "Mã lý do", "Reason code";
    WHERE = "Ở đâu", "Where";
    SHOW_DELIVERIES = "Xem các lượt giao", "Show its deliveries";
    SHOW_MORE = "Xem thêm", "Show more";
    NUMBERS = "Số liệu chính", "Key numbers";
    CAUSES = "Nguyên nhân", "Causes";
    WAITING = "Đang chờ", "Waiting";
    HELD = "Tạm giữ", "Held";
    ACCEPTED = "Đã nhận từ khi khởi động", "Accepted since the start";
    DELIVERED = "Đã giao từ khi khởi động", "Delivered since the start";
    P99 = "Xác nhận p99", "Acknowledge p99";
    INCIDENTS_TITLE = "Sự cố", "Incidents";
    INCIDENTS_LEAD = "Mỗi sự cố báo một lần khi bắt đầu và một lần khi kết thúc, không báo thêm lần nào khác.",
        "An incident alarms once at its beginning and once at its end, and at no other time.";
    INCIDENTS_CAPTION = "Các sự cố, mới nhất trước", "Incidents, newest first";
    CAUSE = "Nguyên nhân", "Cause";
    OPENED = "Bắt đầu", "Began";
    CLOSED = "Kết thúc", "Ended";
    LASTED = "Kéo dài", "Lasted";
    COUNT_MAX = "Nhiều nhất", "Most at a time";
    OPEN_STILL = "đang diễn ra", "still open";
}
