//! Words of the health page.

words! {
    TITLE = "Tình trạng trục liên thông", "Health of the gateway";
    WELL = "Đang nhận", "Taking envelopes";
    BUSY = "Không nhận thêm", "Taking no more";
    TRAFFIC = "Lưu lượng", "Traffic";
    IN = "Nhận từ khi khởi động", "In since the start";
    OUT = "Giao từ khi khởi động", "Out since the start";
    IN_RATE = "Nhận trong phút qua", "In within the last minute";
    OUT_RATE = "Giao trong phút qua", "Out within the last minute";
    STARTED = "Khởi động", "Started";
    P99 = "Xác nhận p99", "Acknowledge p99";
    BACKLOG = "Tồn đọng", "Backlog";
    WAITING = "Đang chờ gửi", "Waiting";
    HELD = "Tạm giữ", "Held";
    ENVELOPES = "Gói tin đang lưu", "Envelopes kept";
    DISK = "Đĩa còn trống", "Disk free";
    DISK_LASTS = "Đĩa còn đủ", "Disk lasts";
    DISK_STEADY = "không đầy thêm", "it does not fill";
    BY_LEVEL = "Đang chờ gửi, theo cấp của nơi đến", "Waiting, by the level that it goes to";
    LEVEL_NONE = "không rõ cấp", "no level said";
    LEVEL = "Cấp", "Level";
    EVIDENCE_GAP = "Bàn giao chưa đủ chứng cứ", "Hand-overs not yet proven to everybody";
    EVIDENCE = "Sổ bằng chứng", "Evidence log";
    LEAVES = "lá", "leaves";
    DIRECTORY = "Danh bạ", "Directory";
    DIRECTORY_VERSION = "bản", "version";
    EXPIRES = "hết hạn", "expires";
    GATES = "Nơi đến không trả lời", "Destinations that do not answer";
    GATES_CAPTION = "Nơi đến không trả lời, lâu nhất trước", "Destinations that do not answer, the longest first";
    GATES_NONE = "Mọi nơi đến đều trả lời.", "Every destination answers.";
    DESTINATION = "Nơi đến", "Destination";
    REASON = "Lý do", "Reason";
    SINCE = "Từ", "Since";
    NEXT_PROBE = "Thử lại", "Next probe";
    SEEN = "Đã thấy", "Seen";
    REFUSALS = "Từ chối tại cửa", "Refusals at the door";
    REFUSALS_CAPTION = "Các lần từ chối gần nhất", "The newest refusals";
    REFUSALS_NONE = "Chưa từ chối gì từ khi khởi động.", "Nothing has been refused since the start.";
    TIME = "Thời gian", "Time";
    HOP = "Bên gửi", "Sent by";
    FIELD = "Trường", "Field";
    ENVELOPE = "Gói tin", "Envelope";
}
