//! Events in words that a clerk understands.

use gateway_model::Reason;
use gateway_model::language::Language;
use prost::Message as _;
use proto::v1;

use crate::output::{local_time, rfc3339};

/// One event, read out of its receipt.
#[derive(Clone, Debug)]
pub struct Line {
    /// The event.
    pub event: v1::Event,
    /// Whether the asked gateway saw it itself.
    pub local: bool,
}

impl Line {
    /// Reads the event of a receipt; `None` when the bytes are no event.
    pub fn of(receipt: Option<&v1::Receipt>, local: bool) -> Option<Self> {
        v1::Event::decode(receipt?.event.clone()).ok().map(|event| Self { event, local })
    }

    /// The line as JSON.
    pub fn json(&self) -> serde_json::Value {
        let event = &self.event;
        serde_json::json!({
            "at": rfc3339(event.at.as_ref()),
            "event": event.kind().as_str_name().trim_start_matches("EVENT_KIND_").to_lowercase(),
            "gateway": event.gateway,
            "sender": event.sender,
            "envelope_id": event.envelope_id,
            "recipients": event.recipients,
            "counterpart": event.counterpart,
            "reason": event.reason,
            "attempt": event.attempt,
            "local": self.local,
        })
    }

    /// The line as text: time, gateway, what happened.
    pub fn text(&self, language: Language) -> String {
        let mark = if self.local { " " } else { "↩" };
        format!(
            "{}  {mark} {:<14} {}",
            local_time(self.event.at.as_ref(), language),
            self.event.gateway,
            self.what(language)
        )
    }

    /// What happened, in words.
    pub fn what(&self, language: Language) -> String {
        let event = &self.event;
        let to =
            if event.recipients.is_empty() { String::new() } else { format!(" → {}", event.recipients.join(", ")) };
        let by = &event.counterpart;
        let phrase = match event.kind() {
            v1::EventKind::Accepted => language
                .pick("đã kiểm tra chữ ký và lưu an toàn", "verified the signatures and kept it durably")
                .to_owned(),
            v1::EventKind::Forwarded => format!(
                "{} {by}",
                language.pick("đã chuyển tiếp, bên nhận đã xác nhận:", "passed on, and acknowledged by")
            ),
            v1::EventKind::Delivered => format!(
                "{} ({by})",
                language.pick("đã giao tới hệ thống của nơi nhận", "delivered to the recipient's system")
            ),
            v1::EventKind::Refused => language.pick("bị từ chối", "refused").to_owned(),
            v1::EventKind::Held => language.pick("tạm giữ, cần người xử lý", "held, a person has to act").to_owned(),
            v1::EventKind::Released => format!("{} {by}", language.pick("được cho đi tiếp bởi", "released by")),
            v1::EventKind::Retried => {
                format!("{} {by}", language.pick("được yêu cầu gửi lại bởi", "another attempt asked by"))
            }
            v1::EventKind::Expired => {
                language.pick("hết hạn trước khi giao được", "expired before it was delivered").to_owned()
            }
            v1::EventKind::Succeeded => format!(
                "{} {by}",
                language.pick("cơ quan nhận đã được thay thế bởi", "the recipient has been succeeded by")
            ),
            v1::EventKind::Returned => {
                format!("{} {by}", language.pick("được trả lại nơi gửi bởi", "returned to the sender by"))
            }
            v1::EventKind::Recorded => format!(
                "{} {by}",
                language.pick("đã nhận và kiểm tra biên nhận của", "checked and recorded the receipt of")
            ),
            v1::EventKind::Rerouted => format!("{} {by}", language.pick("đổi hướng qua", "rerouted by way of")),
            v1::EventKind::Unspecified => language.pick("(không rõ)", "(unknown)").to_owned(),
        };
        format!("{phrase}{to}{}", self.reason(language))
    }

    fn reason(&self, language: Language) -> String {
        let mut text = String::new();
        if !self.event.reason.is_empty() {
            let words = Reason::parse(&self.event.reason).map_or("", |reason| reason.message(language));
            text = format!(": {} [{}]", words.trim_end_matches('.'), self.event.reason);
        }
        if !self.event.note.is_empty() {
            text.push_str(&format!(" “{}”", self.event.note));
        }
        text
    }
}

/// A delivery's state in words.
pub fn state_words(state: &v1::DeliveryState, language: Language) -> String {
    let status = match state.status() {
        v1::DeliveryStatus::Waiting => language.pick("đang chờ", "waiting"),
        v1::DeliveryStatus::Forwarded => language.pick("đã chuyển tiếp", "forwarded"),
        v1::DeliveryStatus::Delivered => language.pick("đã giao", "delivered"),
        v1::DeliveryStatus::Refused => language.pick("bị từ chối", "refused"),
        v1::DeliveryStatus::Held => language.pick("tạm giữ", "held"),
        v1::DeliveryStatus::Expired => language.pick("hết hạn", "expired"),
        v1::DeliveryStatus::Returned => language.pick("đã trả lại", "returned"),
        v1::DeliveryStatus::Unspecified => "?",
    };
    let mut text = status.to_owned();
    if !state.next_hop.is_empty() {
        text.push_str(&format!(" {} {}", language.pick("qua", "by way of"), state.next_hop));
    }
    if !state.reason.is_empty() {
        text.push_str(&format!(" [{}]", state.reason));
    }
    text
}

/// When a delivery that is still on its way was tried and will be: attempts, next attempt, since. Empty for one that has ended.
pub fn waiting_words(state: &v1::DeliveryState, language: Language) -> String {
    if !matches!(state.status(), v1::DeliveryStatus::Waiting | v1::DeliveryStatus::Held) {
        return String::new();
    }
    let mut said = vec![format!("{} {}", language.pick("số lần thử:", "attempts:"), state.attempts)];
    let times = [
        (language.pick("lần tới:", "next:"), state.next_attempt_at.as_ref()),
        (language.pick("từ:", "since:"), state.since.as_ref()),
    ];
    for (name, at) in times {
        if at.is_some() {
            said.push(format!("{name} {}", local_time(at, language)));
        }
    }
    said.join(", ")
}

/// Why a delivery waits, is held or was refused: the gateway's own words, or the reason code's.
pub fn reason_words(state: &v1::DeliveryState, language: Language) -> String {
    if !state.message.is_empty() {
        return state.message.clone();
    }
    Reason::parse(&state.reason).map_or_else(String::new, |reason| reason.message(language).to_owned())
}

/// A delivery's state as JSON.
pub fn state_json(state: &v1::DeliveryState) -> serde_json::Value {
    serde_json::json!({
        "recipient": state.recipient,
        "status": status_name(state.status()),
        "reason": state.reason,
        "attempts": state.attempts,
        "next_attempt_at": rfc3339(state.next_attempt_at.as_ref()),
        "next_hop": state.next_hop,
        "since": rfc3339(state.since.as_ref()),
    })
}

/// Name of a status, as in logs and metrics.
pub fn status_name(status: v1::DeliveryStatus) -> String {
    status.as_str_name().trim_start_matches("DELIVERY_STATUS_").to_lowercase()
}
