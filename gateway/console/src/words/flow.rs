//! Words of peers, adapters and workers.

words! {
    TITLE = "Trục và bộ kết nối", "Peers and adapters";
    PEERS = "Các trục liên thông lân cận", "Neighbouring gateways";
    PEERS_CAPTION = "Các trục liên thông mà trục này nói chuyện", "The gateways that this one speaks with";
    ADAPTERS = "Bộ kết nối", "Adapters";
    ADAPTER_CAPTION = "Các cơ quan qua bộ kết nối này", "The agencies behind this adapter";
    QUARANTINE_CAPTION = "Không nhận vào được, để riêng", "Not taken in, kept aside";
    QUARANTINE_NAME = "Tên", "Name";
    QUARANTINE_REASON = "Lý do", "Reason";
    WORKERS_CAPTION = "Tiến trình lấy việc", "Workers";
    GATEWAY = "Trục liên thông", "Gateway";
    PARENT = "cấp trên", "above";
    CHILD = "cấp dưới", "below";
    DIRECT = "kết nối thẳng", "direct link";
    STATE = "Tình trạng", "State";
    UP = "thông", "up";
    DOWN = "tắc", "down";
    PAUSED = "tạm dừng", "paused";
    NOT_TRIED = "chưa thử", "not tried yet";
    SINCE = "từ", "since";
    BACKLOG = "Đang chờ", "Backlog";
    OLDEST = "Chờ lâu nhất", "Oldest";
    RATE = "Nhận mỗi phút", "Taken a minute";
    LAST_SUCCESS = "Trả lời gần nhất", "Last answer";
    NEXT_PROBE = "Thử lại lúc", "Next probe";
    CERTIFICATE_DAYS = "Chứng thư số còn (ngày)", "Certificate days left";
    AGENCY = "Cơ quan", "Agency";
    KIND = "Loại", "Kind";
    HEALTHY = "hệ thống sẵn sàng", "its system is there";
    UNHEALTHY = "hệ thống không sẵn sàng", "its system is not there";
    INSTANCE = "Tiến trình", "Instance";
    VERSION = "Phiên bản", "Version";
    SYSTEM = "Hệ thống", "System";
    QUEUE = "Hàng đợi", "Queue";
    HEARD = "Nghe lần cuối", "Last heard of";
    LAST_POLL = "Lấy việc gần nhất", "Last poll";
    DRAINING = "không nhận thêm", "takes no more";
    PROBLEMS = "cấu hình có lỗi", "its configuration has faults";
    LEASES = "Đang giữ", "Holds";
    NO_WORKERS = "Không có tiến trình nào đang kết nối.", "No worker is connected.";
    NO_PEERS = "Trục này không nối với trục nào.", "This gateway has no neighbours.";
    NO_ADAPTERS = "Trục này không có bộ kết nối nào.", "This gateway has no adapters.";
    PAUSED_BY = "tạm dừng bởi", "paused by";
}
