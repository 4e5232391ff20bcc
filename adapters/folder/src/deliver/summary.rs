//! The readable files of a delivery: `summary.txt` for a clerk, `envelope.json` for a program, and the signed bytes themselves.

use adapters_sdk::Delivery;
use gateway_model::Timestamp;
use gateway_model::envelope::{ContentKind, Envelope, Part, Priority, Reference};
use gateway_model::id::DeliveryId;
use prost::Message;
use proto::v1;
use serde_json::{Value, json};

use super::name;

/// Vietnam has had one zone without summer time since 1975.
const VIETNAM: std::time::Duration = std::time::Duration::from_secs(7 * 3_600);

/// Name and content of every file but the parts.
pub(super) fn texts(delivery: &Delivery, id: DeliveryId) -> Vec<(&'static str, Vec<u8>)> {
    let accepted_at = accepted_at(delivery);
    vec![
        ("envelope.bin", delivery.signed.to_vec()),
        ("receipt.bin", delivery.receipt.to_vec()),
        ("envelope.json", format!("{:#}\n", envelope_json(delivery, id, accepted_at)).into_bytes()),
        ("summary.txt", summary(delivery, id, accepted_at).into_bytes()),
    ]
}

fn accepted_at(delivery: &Delivery) -> Option<Timestamp> {
    let receipt = v1::Receipt::decode(delivery.receipt.as_ref()).ok()?;
    let at = v1::Event::decode(receipt.event).ok()?.at?;
    Timestamp::from_parts(at.seconds, at.nanos)
}

fn envelope_json(delivery: &Delivery, id: DeliveryId, accepted_at: Option<Timestamp>) -> Value {
    let envelope = &delivery.envelope;
    let reference = |reference: &Option<Reference>| {
        reference
            .as_ref()
            .map(|r| json!({ "sender": r.sender, "id": r.id.to_string(), "sha256": r.digest.map(|d| d.to_string()) }))
    };
    let part = |(index, part): (usize, &Part)| {
        json!({
            "file": format!("parts/{}", name::file_name(index + 1, &part.name)),
            "name": part.name,
            "media_type": part.media_type,
            "size": part.size,
            "sha256": part.digest.to_string(),
            "role": part.role,
        })
    };
    json!({
        "schema": gateway_model::envelope::ENVELOPE_SCHEMA,
        "delivery_id": id.to_string(),
        "id": envelope.id.to_string(),
        "sha256": delivery.digest.to_string(),
        "sender": delivery.key.sender.as_str(),
        "from": envelope.from,
        "to": envelope.to,
        "recipient": recipient(delivery, id),
        "created_at": envelope.created_at.to_string(),
        "expires_at": envelope.expires_at.to_string(),
        "accepted_at": accepted_at.map(|at| at.to_string()),
        "priority": priority(envelope.priority).1.to_lowercase().replace(' ', "-"),
        "in_reply_to": reference(&envelope.in_reply_to),
        "supersedes": reference(&envelope.supersedes),
        "case": envelope.case.as_ref().map(|case| json!({
            "file_code": case.file_code,
            "issuer": case.issuer,
            "procedure_code": case.procedure_code,
            "step": case.step,
        })),
        "kind": envelope.content.kind.as_str(),
        "subject": envelope.content.subject,
        "code": envelope.content.code,
        "parts": envelope.parts.iter().enumerate().map(part).collect::<Vec<_>>(),
        "hops": delivery.hops.iter().map(|hop| hop.as_str()).collect::<Vec<_>>(),
    })
}

fn summary(delivery: &Delivery, id: DeliveryId, accepted_at: Option<Timestamp>) -> String {
    let envelope = &delivery.envelope;
    let mut text = String::from("PHIẾU GIAO NHẬN VĂN BẢN, HỒ SƠ ĐIỆN TỬ\nDELIVERY SLIP\n\n");
    let mut line = |vi: &str, en: &str, value: &str| {
        if !value.is_empty() {
            text.push_str(&format!("{vi} / {en}: {}\n", on_one_line(value)));
        }
    };
    let (kind_vi, kind_en) = kind(envelope.content.kind);
    let (priority_vi, priority_en) = priority(envelope.priority);
    line("Nơi gửi", "From", &sender(delivery));
    line("Nơi nhận", "To", &recipient(delivery, id));
    line("Loại", "Kind", &format!("{kind_vi} / {kind_en}"));
    line("Trích yếu", "Subject", &envelope.content.subject);
    line("Số, ký hiệu", "Number", &envelope.content.code);
    if let Some(case) = &envelope.case {
        line("Mã hồ sơ", "File code", &case.file_code);
        line("Mã thủ tục", "Procedure", &case.procedure_code);
        line("Bước", "Step", &case.step);
    }
    line("Độ khẩn", "Priority", &format!("{priority_vi} / {priority_en}"));
    line("Gửi lúc", "Sent at", &vietnam_time(envelope.created_at));
    line("Tiếp nhận lúc", "Accepted at", &accepted_at.map(vietnam_time).unwrap_or_default());
    line("Hết hạn lúc", "Expires at", &vietnam_time(envelope.expires_at));
    line("Trả lời", "In reply to", &envelope.in_reply_to.as_ref().map(reference).unwrap_or_default());
    line("Thay thế", "Replaces", &envelope.supersedes.as_ref().map(reference).unwrap_or_default());
    line("Mã gói tin", "Envelope id", &envelope.id.to_string());
    line("Mã băm SHA-256", "SHA-256", &delivery.digest.to_string());
    text + &attachments(envelope)
}

fn attachments(envelope: &Envelope) -> String {
    let total: u64 = envelope.parts.iter().map(|part| part.size).fold(0, u64::saturating_add);
    let mut text = format!("\nTệp kèm theo / Attachments: {} ({})\n", envelope.parts.len(), size(total));
    for (index, part) in envelope.parts.iter().enumerate() {
        let role = if part.role.is_empty() { String::new() } else { format!(" — {}", on_one_line(&part.role)) };
        let file = name::file_name(index + 1, &part.name);
        text.push_str(&format!("  {}{role} — {} — parts/{file}\n", on_one_line(&part.name), size(part.size)));
    }
    text
}

fn sender(delivery: &Delivery) -> String {
    let id = delivery.key.sender.as_str();
    if delivery.envelope.from == id { id.to_owned() } else { format!("{} ({id})", delivery.envelope.from) }
}

/// The agency that gets it, and the one that was named when another has taken over.
fn recipient(delivery: &Delivery, id: DeliveryId) -> String {
    let place = delivery.ids.iter().position(|&known| known == id);
    match place.and_then(|place| delivery.recipients.get(place)) {
        Some(recipient) if recipient.named == recipient.serving => recipient.serving.to_string(),
        Some(recipient) => format!("{} ({})", recipient.serving, recipient.named),
        None => String::new(),
    }
}

fn reference(reference: &Reference) -> String {
    format!("{} {}", reference.sender, reference.id)
}

fn kind(kind: ContentKind) -> (&'static str, &'static str) {
    match kind {
        ContentKind::Document => ("Văn bản", "Document"),
        ContentKind::Dossier => ("Hồ sơ một cửa", "One-stop file"),
        ContentKind::Status => ("Trạng thái xử lý", "Business status"),
        ContentKind::ChangeRequest => ("Đề nghị thu hồi, cập nhật, thay thế", "Request to recall, update or replace"),
        ContentKind::ChangeAnswer => ("Trả lời đề nghị", "Answer to a request"),
        ContentKind::Opaque => ("Loại khác", "Other"),
    }
}

fn priority(priority: Priority) -> (&'static str, &'static str) {
    match priority {
        Priority::Normal => ("Thường", "Normal"),
        Priority::Urgent => ("Khẩn", "Urgent"),
        Priority::VeryUrgent => ("Thượng khẩn", "Very urgent"),
        Priority::Express => ("Hỏa tốc", "Express"),
        Priority::ExpressTimed => ("Hỏa tốc hẹn giờ", "Express timed"),
    }
}

/// `HH:MM:SS DD/MM/YYYY (+07:00)`, from the RFC 3339 text of the instant shifted to Vietnam.
fn vietnam_time(at: Timestamp) -> String {
    let text = Timestamp::from_seconds(at.plus(VIETNAM).seconds()).to_string();
    match (text.get(..4), text.get(5..7), text.get(8..10), text.get(11..19)) {
        (Some(year), Some(month), Some(day), Some(time)) => format!("{time} {day}/{month}/{year} (+07:00)"),
        _ => at.to_string(),
    }
}

fn size(bytes: u64) -> String {
    match bytes {
        0..1_024 => format!("{bytes} B"),
        1_024..1_048_576 => format!("{}.{} KiB", bytes >> 10, ((bytes & 0x3FF) * 10) >> 10),
        _ => format!("{}.{} MiB", bytes >> 20, ((bytes & 0xF_FFFF) * 10) >> 20),
    }
}

fn on_one_line(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}
