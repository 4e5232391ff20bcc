//! The points of the kit, in the order of the contract.

use std::pin::Pin;

use crate::rig::{Finding, Rig};

mod again;
mod bodies;
mod errors;
mod flow;
mod handover;
mod start;

/// How a point is driven.
pub type Drive = for<'a> fn(&'a mut Rig) -> Pin<Box<dyn Future<Output = Result<(), Finding>> + Send + 'a>>;

/// One point.
pub struct Point {
    /// Its name, for `--only` and `[skip]`.
    pub name: &'static str,
    /// What a good adapter does, in English.
    pub english: &'static str,
    /// The same in Vietnamese.
    pub vietnamese: &'static str,
    /// Whether the gateway speaks with unknown fields.
    pub newer: bool,
    /// Drives it.
    pub drive: Drive,
}

macro_rules! point {
    ($name:literal, $drive:path, $english:literal, $vietnamese:literal) => {
        Point {
            name: $name,
            english: $english,
            vietnamese: $vietnamese,
            newer: false,
            drive: |rig| Box::pin($drive(rig)),
        }
    };
}

/// All of them: the fifteen of the contract, and what a worker owes a gateway that was away.
pub const POINTS: [Point; 16] = [
    point!("info", start::info, "registers first, and says who it is", "đăng ký trước tiên và nói rõ mình là ai"),
    point!(
        "config",
        start::config,
        "works with a good configuration; names the faults of a bad one, takes no work and exits with 78",
        "chạy với cấu hình đúng; nêu lỗi của cấu hình sai, không nhận việc và kết thúc với mã 78"
    ),
    point!(
        "deliver",
        handover::deliver,
        "a delivery becomes one effect, and Complete is said only after it",
        "một lần giao thành đúng một kết quả, và chỉ báo Complete sau đó"
    ),
    point!(
        "submit",
        handover::submit,
        "what the system gives is sealed and submitted; a lost answer is answered with the same bytes",
        "việc hệ thống đưa ra được ký và gửi; khi mất câu trả lời thì gửi lại đúng các byte cũ"
    ),
    point!(
        "duplicate",
        again::duplicate,
        "the same delivery twice is one effect",
        "nhận hai lần cùng một gói tin vẫn chỉ có một kết quả"
    ),
    point!(
        "kill",
        again::kill,
        "kill -9 in mid-work, and after the effect: redelivered, one effect",
        "kill -9 giữa chừng và sau khi xong: được giao lại, vẫn một kết quả"
    ),
    point!(
        "lease",
        again::lease,
        "a lease that was lost: the old one is silent, the new one completes, one effect",
        "mất quyền giữ việc: lượt cũ im lặng, lượt mới hoàn tất, một kết quả"
    ),
    point!(
        "permanent",
        errors::permanent,
        "what the system refuses for good is failed for good, with a code",
        "hệ thống từ chối hẳn thì báo lỗi không thử lại, kèm mã"
    ),
    point!(
        "retryable",
        errors::retryable,
        "what the system cannot take now is failed for now, and is taken later",
        "hệ thống tạm thời không nhận thì báo lỗi thử lại, và sau đó nhận được"
    ),
    point!(
        "slow",
        flow::slow,
        "a slow system: heartbeats keep the lease",
        "hệ thống chậm: nhịp báo giữ được quyền giữ việc"
    ),
    point!(
        "payloads",
        bodies::payloads,
        "0 bytes, 1 MB, the maximum, many parts, NFC and NFD names; a damaged part is no effect",
        "0 byte, 1 MB, cỡ tối đa, nhiều tệp, tên NFC và NFD; tệp hỏng thì không có kết quả"
    ),
    Point {
        newer: true,
        ..point!(
            "unknown-fields",
            handover::unknown_fields,
            "fields of a newer gateway are let be",
            "trường mới của trục liên thông mới hơn được bỏ qua"
        )
    },
    point!(
        "back-pressure",
        flow::back_pressure,
        "never holds more deliveries than it first had room for",
        "không bao giờ giữ nhiều việc hơn mức mình đã nêu"
    ),
    point!(
        "drain",
        flow::drain,
        "SIGTERM: finishes what is at hand, takes no more, exits with 0 in time",
        "SIGTERM: làm xong việc đang cầm, không nhận thêm, kết thúc đúng hạn với mã 0"
    ),
    point!(
        "secrets",
        errors::secrets,
        "no password, key or payload in its log or its reports",
        "nhật ký và báo cáo không có mật khẩu, khóa hay nội dung gói tin"
    ),
    point!(
        "reconnect",
        flow::reconnect,
        "a gateway that was away: it backs off, lives on, registers again and goes on",
        "trục liên thông vắng mặt: chờ thưa dần, không thoát, đăng ký lại và làm tiếp"
    ),
];

/// The point of a name.
pub fn find(name: &str) -> Option<&'static Point> {
    POINTS.iter().find(|point| point.name == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique_and_each_point_speaks_both_languages() {
        for point in &POINTS {
            assert_eq!(POINTS.iter().filter(|other| other.name == point.name).count(), 1, "{}", point.name);
            assert!(!point.english.is_empty() && !point.vietnamese.is_empty(), "{}", point.name);
        }
    }
}
