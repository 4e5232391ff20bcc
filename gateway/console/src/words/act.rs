//! Words of what a person may do, and of what was done.

words! {
    ACTIONS = "Thao tác", "Actions";
    RETRY = "Gửi lại ngay", "Retry now";
    HOLD = "Tạm giữ", "Hold";
    RELEASE = "Cho đi tiếp", "Release";
    RETURN = "Trả lại nơi gửi", "Return to the sender";
    RETURN_FINAL = "Không thể hoàn tác.", "This is final.";
    REROUTE = "Đổi hướng", "Reroute";
    VIA = "Qua trục liên thông", "By way of gateway";
    REASON = "Lý do", "Reason";
    REASON_HINT = "Ghi vào nhật ký thao tác cùng tên người làm.", "Written into the audit with your name.";
    PAUSE = "Tạm dừng", "Pause";
    RESUME = "Cho chạy lại", "Resume";
    PING = "Hỏi thử", "Ping";
    ONLY_VIEW = "Vai trò của bạn chỉ được xem.", "Your role may only look.";
    DONE_RETRY = "Đã yêu cầu gửi lại.", "Another attempt has been asked for.";
    DONE_HOLD = "Đã tạm giữ.", "It is held.";
    DONE_RELEASE = "Đã cho đi tiếp.", "It goes on.";
    DONE_RETURN = "Đã trả lại nơi gửi.", "It has been returned to the sender.";
    DONE_REROUTE = "Đã đổi hướng.", "It has been rerouted.";
    DONE_PAUSE = "Đã tạm dừng.", "Paused.";
    DONE_RESUME = "Đã cho chạy lại.", "Resumed.";
    DONE_PLAN = "Đã lập kế hoạch; chưa có gì được thực hiện.", "Planned; nothing has moved yet.";
    DONE_APPROVE = "Đã duyệt.", "Approved.";
    DONE_RUN = "Đang thực hiện.", "It runs.";
    DONE_STOP = "Đã dừng; phần đã làm giữ nguyên.", "Stopped; what is done stays done.";
    PONG = "đã trả lời", "answered";
    PONG_AFTER = "sau", "after";
    PONG_DIRECTORY = "danh bạ bản", "directory version";
}
