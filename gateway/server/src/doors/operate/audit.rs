//! What operators did, as operators see it.

use gateway_engine::audit::{AuditEntry, AuditPage, AuditQuery, Done};
use gateway_engine::operate::Operate;
use gateway_evidence::EventKind;
use gateway_model::id::OperatorId;
use gateway_model::{Refusal, limits};
use proto::v1;

use super::super::wire;
use super::asked;

/// Reads the question.
pub(super) fn query(request: &v1::ListAuditRequest) -> Result<AuditQuery, Refusal> {
    let operator = asked::filled(&request.operator).map(OperatorId::parse).transpose();
    let before = asked::filled(&request.page_token).map(|token| u64::from_str_radix(token, 16)).transpose();
    Ok(AuditQuery {
        since: request.since.as_ref().map(|at| asked::instant(at, "since")).transpose()?,
        until: request.until.as_ref().map(|at| asked::instant(at, "until")).transpose()?,
        operator: operator.map_err(|_| asked::malformed("operator", "an operator id"))?,
        limit: asked::rows(request.page_size, limits::PAGE_ROWS_MAX),
        before: before.map_err(|_| asked::malformed("page_token", "a token as the last answer gave it"))?,
    })
}

/// Tells a page, each entry with its proof.
pub(super) async fn page(operate: &Operate, query: &AuditQuery) -> Result<v1::ListAuditResponse, Refusal> {
    let AuditPage { entries, next } = operate.audit(query).await?;
    let mut told = Vec::with_capacity(entries.len());
    for entry in entries {
        let receipt = operate.receipt(entry.leaf_index).await?;
        told.push(v1::AuditEntry { receipt: receipt.map(|receipt| receipt.to_wire()), ..self::entry(&entry) });
    }
    Ok(v1::ListAuditResponse {
        entries: told,
        next_page_token: next.map(|next| format!("{next:x}")).unwrap_or_default(),
    })
}

fn entry(entry: &AuditEntry) -> v1::AuditEntry {
    let (at, operator, leaf_index) =
        (Some(wire::timestamp(entry.what.at())), entry.what.operator().to_owned(), entry.leaf_index);
    match &entry.what {
        Done::Act(act) => v1::AuditEntry {
            at,
            operator,
            leaf_index,
            action: act.kind.as_str().to_owned(),
            subject: act.subject.clone(),
            note: act.note.clone(),
            address: entry.address.clone(),
            ..v1::AuditEntry::default()
        },
        Done::Event(event) => v1::AuditEntry {
            at,
            operator,
            leaf_index,
            action: EventKind::as_str(event.kind).to_owned(),
            sender: event.sender.to_string(),
            envelope_id: event.envelope_id.to_string(),
            recipients: event.recipients.iter().map(ToString::to_string).collect(),
            note: event.note.clone(),
            address: entry.address.clone(),
            ..v1::AuditEntry::default()
        },
    }
}
