//! Words for states, events, causes and standings.

words! {
    WAITING = "đang chờ", "waiting";
    WAITING_TEXT = "Chờ lần gửi tiếp theo; trục liên thông tự làm.", "Waits for its next attempt; the gateway does that by itself.";
    FORWARDED = "đã chuyển tiếp", "forwarded";
    FORWARDED_TEXT = "Trục kế tiếp đã giữ; chờ biên nhận của nơi nhận.", "The next gateway has it; the recipient's receipt is awaited.";
    DELIVERED = "đã giao", "delivered";
    DELIVERED_TEXT = "Hệ thống của nơi nhận đã giữ.", "The recipient's system has it.";
    REFUSED = "bị từ chối", "refused";
    REFUSED_TEXT = "Bị từ chối hẳn; nơi gửi phải xử lý.", "Refused for good; the sender has to act.";
    HELD = "tạm giữ", "held";
    HELD_TEXT = "Cần người xử lý; không mất gì.", "A person has to act; nothing is lost.";
    EXPIRED = "hết hạn", "expired";
    EXPIRED_TEXT = "Không giao được trước khi hết hạn.", "It was not delivered in time.";
    RETURNED = "đã trả lại", "returned";
    RETURNED_TEXT = "Người vận hành đã trả lại nơi gửi.", "An operator gave it back to its sender.";
    UNKNOWN = "không rõ", "unknown";

    EVENT_ACCEPTED = "đã kiểm tra chữ ký và lưu an toàn", "verified the signatures and kept it durably";
    EVENT_FORWARDED = "đã chuyển tiếp; bên nhận đã xác nhận", "forwarded; the next gateway acknowledged";
    EVENT_DELIVERED = "đã giao tới hệ thống của nơi nhận", "delivered to the recipient's system";
    EVENT_REFUSED = "bị từ chối", "refused";
    EVENT_HELD = "tạm giữ, cần người xử lý", "held, a person has to act";
    EVENT_RELEASED = "được cho đi tiếp", "released";
    EVENT_RETRIED = "được yêu cầu gửi lại", "another attempt asked for";
    EVENT_EXPIRED = "hết hạn trước khi giao được", "expired before it was delivered";
    EVENT_SUCCEEDED = "cơ quan nhận đã được thay thế", "the recipient has been succeeded";
    EVENT_RETURNED = "được trả lại nơi gửi", "returned to the sender";
    EVENT_RECORDED = "đã nhận và xác nhận biên nhận", "received and confirmed the receipt";
    EVENT_REROUTED = "đổi hướng", "rerouted";
    ACT_HELD = "tạm giữ", "held";
    ACT_RELEASED = "cho đi tiếp", "released";
    ACT_RETRIED = "yêu cầu gửi lại", "asked for another attempt";
    ACT_RETURNED = "trả lại nơi gửi", "returned to the sender";
    ACT_REROUTED = "đổi hướng", "rerouted";
    ACT_PAUSED = "tạm dừng", "paused";
    ACT_RESUMED = "cho chạy lại", "resumed";
    ACT_BULK_PLANNED = "lập kế hoạch hàng loạt", "planned a bulk action";
    ACT_BULK_APPROVED = "duyệt kế hoạch hàng loạt", "approved a bulk action";
    ACT_BULK_STARTED = "chạy kế hoạch hàng loạt", "began a bulk action";
    ACT_BULK_STOPPED = "dừng kế hoạch hàng loạt", "stopped a bulk action";
    ACT_EXPORTED = "xuất nội dung gói tin", "exported an envelope";
    ACT_SIGNED_IN = "đăng nhập bảng điều khiển", "signed in to the console";

    CAUSE_PEER_DOWN = "Trục liên thông khác không trả lời", "Another gateway does not answer";
    CAUSE_ADAPTER_ERROR = "Bộ kết nối hoặc hệ thống phía sau bị lỗi", "An adapter, or the system behind it, fails";
    CAUSE_NOT_PICKED_UP = "Nơi nhận không lấy về", "The recipient does not pick up";
    CAUSE_CERTIFICATE = "Chứng thư số hết hạn, bị thu hồi hoặc chưa đăng ký", "A certificate is expired, revoked or not registered";
    CAUSE_REVOCATION = "Danh sách thu hồi đã cũ hoặc thiếu", "A revocation list is stale or missing";
    CAUSE_HELD = "Tạm giữ, cần người quyết định", "Held until a person decides";
    CAUSE_REFUSED = "Bị từ chối ở phía nhận", "Refused on the receiving side";
    CAUSE_RECEIPT_OVERDUE = "Đã chuyển tiếp, biên nhận cuối chưa về", "Forwarded, and the final receipt is overdue";
    CAUSE_PAUSED = "Có người tạm dừng", "A person paused it";
    CAUSE_GATEWAY = "Chính trục liên thông này", "This gateway itself";
    CAUSE_UNKNOWN = "Nguyên nhân chưa rõ", "Cause unknown";

    IN_WORK = "đang giải quyết", "in work";
    IN_WORK_LATE = "đang giải quyết, đã trễ hạn", "in work, late";
    EARLY = "trước hạn", "early";
    ON_TIME = "đúng hạn", "on time";
    LATE = "trễ hạn", "late";
    ENDED = "đã kết thúc, không rõ hạn", "ended, no due time known";
    PAUSED_CLOCK = "tạm dừng tính giờ", "the clock stands still";

    BUSINESS_01 = "đã đến", "arrived";
    BUSINESS_02 = "từ chối tiếp nhận", "refused by the recipient";
    BUSINESS_03 = "đã tiếp nhận", "registered";
    BUSINESS_04 = "đã phân công", "assigned";
    BUSINESS_05 = "đang xử lý", "in work";
    BUSINESS_06 = "đã hoàn thành", "finished";
    BUSINESS_13 = "yêu cầu lấy lại hoặc thu hồi", "recall asked for";
    BUSINESS_15 = "đồng ý lấy lại hoặc cập nhật", "recall or update agreed";
    BUSINESS_16 = "từ chối lấy lại hoặc cập nhật", "recall or update refused";

    KIND_DOCUMENT = "Văn bản", "Document";
    KIND_DOSSIER = "Hồ sơ", "File";
    KIND_STATUS = "Trạng thái nghiệp vụ", "Business status";
    KIND_CHANGE_REQUEST = "Yêu cầu thay đổi", "Change request";
    KIND_CHANGE_ANSWER = "Trả lời yêu cầu", "Answer to a change request";
    KIND_OPAQUE = "Gói tin", "Envelope";
}
