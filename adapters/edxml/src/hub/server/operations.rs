//! What each path of the door does.

use std::sync::Arc;
use std::time::Duration;

use adapters_sdk::mailbox::{Failure, NotHeld, Settling};
use adapters_sdk::{AdapterError, Door};
use axum::body::Body;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use gateway_model::id::{AgencyId, DeliveryId};
use http::{Request, StatusCode};
use serde_json::{Value, json};

use super::super::{Answer, ReceivedItem, SERVICE};
use super::HubServer;
use super::guard::Call;
use super::send::send;
use crate::format::local_time_text;
use crate::ledger::Settlement;
use crate::room::Taken;

/// Packages that lie ready for one agency.
const READY_MAX: usize = 32;
/// What is wrong with a docId.
const DOC_ID: &str = "docId không do trục này cấp / docId is none of ours";
/// A repeated call and a late one wait so long for the store.
const SETTLE_TIME_MAX: Duration = Duration::from_secs(20);

/// The paths.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Operation {
    SendEdoc,
    ReceivedList,
    SentList,
    GetEdoc,
    UpdateStatus,
    CountReceiveEdoc,
    CountReceiveStatus,
    Agencies,
    RegisterAgency,
    DeleteAgency,
}

impl Operation {
    pub(super) fn parse(name: &str) -> Option<Self> {
        Some(match name {
            "sendEdoc" => Self::SendEdoc,
            "getReceivedEdocList" => Self::ReceivedList,
            "getSentEdocList" => Self::SentList,
            "getEdoc" => Self::GetEdoc,
            "updateStatus" => Self::UpdateStatus,
            "countReceiveEdoc" => Self::CountReceiveEdoc,
            "countReceiveStatus" => Self::CountReceiveStatus,
            "getAgenciesList" | "getAgenciesListQD20" | "getSynchronizeUnit" => Self::Agencies,
            "registerAgency" => Self::RegisterAgency,
            "deleteAgency" => Self::DeleteAgency,
            _ => return None,
        })
    }
}

/// An answer, and the memory of the package in it.
pub(super) struct Answered {
    pub status: StatusCode,
    pub answer: Answer,
    pub room: Option<Taken>,
}

impl From<(StatusCode, Answer)> for Answered {
    fn from((status, answer): (StatusCode, Answer)) -> Self {
        Self { status, answer, room: None }
    }
}

/// Checks a call and does it.
pub(super) async fn run(
    hub: &Arc<HubServer>,
    operation: Operation,
    request: Request<Body>,
    door: &dyn Door,
) -> Answered {
    let call = match hub.guard.check(request.headers(), door.now()) {
        Ok(call) => call,
        Err(denied) => return denied.into(),
    };
    let from = call.parameters.text("from");
    let Some(agency) = hub.intake.organs.served(from).map(|organ| organ.agency.clone()) else {
        return no("FROM_FOREIGN", "from không phải cơ quan của hệ thống này / from is no agency of this system");
    };
    let done = match operation {
        Operation::SendEdoc => send(hub, &call, request, door).await,
        Operation::ReceivedList => Ok(list(hub, &call, &agency).await),
        Operation::SentList => Ok(yes(sent_list(hub, &agency))),
        // What is overheard shall not fetch a paper again, nor settle it.
        Operation::GetEdoc | Operation::UpdateStatus => match hub.guard.once(&call, door.now()).await {
            Ok(Ok(())) if operation == Operation::GetEdoc => fetch(hub, &call, &agency).await,
            Ok(Ok(())) => update(hub, &call, &agency).await,
            Ok(Err(denied)) => return denied.into(),
            Err(fault) => Err(fault),
        },
        Operation::CountReceiveEdoc => Ok(count(hub, &agency, false).await),
        Operation::CountReceiveStatus => Ok(count(hub, &agency, true).await),
        Operation::Agencies => Ok(yes(agencies(hub))),
        Operation::RegisterAgency | Operation::DeleteAgency => {
            let words = "cơ quan được ghi trong danh bạ có ký số, không ghi tại đây / agencies are entered in the signed directory";
            Ok(no("DIRECTORY_SIGNED", words))
        }
    };
    done.unwrap_or_else(|fault| {
        tracing::error!(%fault, "a call of the system could not be done");
        unavailable()
    })
}

async fn list(hub: &HubServer, call: &Call, agency: &AgencyId) -> Answered {
    hub.mailbox.attend(agency, READY_MAX, hub.config.poll_expected);
    let wanted = call.parameters.text("messagetype");
    let offered = hub.mailbox.offered(agency, hub.config.list_wait).await;
    let items: Vec<ReceivedItem> = offered
        .iter()
        .filter_map(|offered| {
            let id = *offered.delivery.ids.first()?;
            let shown = hub.shown(id)?;
            let kind = if shown.is_status { "status" } else { "edoc" };
            let created = local_time_text(offered.delivery.envelope.created_at);
            (wanted.is_empty() || wanted.eq_ignore_ascii_case(kind)).then(|| ReceivedItem {
                id: id.to_string(),
                status: "initial".to_owned(),
                created_time: created.clone(),
                updated_time: created,
                message_type: kind.to_owned(),
                service_type: SERVICE.to_owned(),
                from: shown.from,
                to: shown.to,
                content_sha256: shown.digest.to_string(),
                content_length: shown.size,
            })
        })
        .collect();
    yes(json!(items))
}

async fn count(hub: &HubServer, agency: &AgencyId, statuses: bool) -> Answered {
    hub.mailbox.attend(agency, READY_MAX, hub.config.poll_expected);
    let offered = hub.mailbox.offered(agency, hub.config.list_wait).await;
    let ids = offered.iter().filter_map(|offered| offered.delivery.ids.first());
    let count = ids.filter_map(|id| hub.shown(*id)).filter(|shown| shown.is_status == statuses).count();
    yes(json!(count))
}

fn sent_list(hub: &HubServer, agency: &AgencyId) -> Value {
    let is_own = |code: &str| hub.intake.organs.canonical(code) == agency.as_str();
    json!(hub.sent.of(is_own))
}

fn agencies(hub: &HubServer) -> Value {
    let organs = hub.intake.organs.all().iter();
    Value::Array(
        organs.map(|organ| json!({ "code": organ.code(), "name": organ.name, "id": organ.agency.as_str() })).collect(),
    )
}

async fn fetch(hub: &HubServer, call: &Call, agency: &AgencyId) -> Result<Answered, AdapterError> {
    let Some(id) = DeliveryId::parse(call.parameters.text("docid")) else {
        return Ok(no("DOC_ID", DOC_ID));
    };
    if !is_theirs(hub, id, agency).await? {
        return Ok(not_here());
    }
    // Remembered first: a confirmation that comes after the lease has run out then still counts.
    hub.settle_if_open(id, Settlement::Fetched(agency.to_string())).await?;
    let Some(taken) = hub.mailbox.pick(agency.as_str(), id) else { return Ok(not_here()) };
    match hub.handover.package(&taken.delivery).await {
        Ok(outgoing) => {
            let answered = yes(Value::String(STANDARD.encode(&outgoing.bytes)));
            Ok(Answered { room: Some(outgoing.room), ..answered })
        }
        Err(stop) => {
            tracing::warn!(%stop, "a package cannot be made for the system now");
            let failure = failure("PACKAGE", "the package could not be made", true);
            settled(hub.mailbox.fail(id, taken.token, failure)).await;
            Ok(unavailable())
        }
    }
}

/// Whether the delivery lies ready for this agency, or was fetched by it.
async fn is_theirs(hub: &HubServer, id: DeliveryId, agency: &AgencyId) -> Result<bool, AdapterError> {
    let offered = hub.mailbox.offered(agency, Duration::ZERO).await;
    if offered.iter().any(|offered| offered.delivery.ids.contains(&id)) {
        return Ok(true);
    }
    Ok(matches!(hub.settlement(id).await?, Some(Settlement::Fetched(by)) if by == agency.as_str()))
}

async fn update(hub: &HubServer, call: &Call, agency: &AgencyId) -> Result<Answered, AdapterError> {
    let Some(id) = DeliveryId::parse(call.parameters.text("docid")) else {
        return Ok(no("DOC_ID", DOC_ID));
    };
    let Some(confirmation) = Confirmation::parse(call.parameters.text("status")) else {
        let words =
            "status không thuộc danh mục / status is none of inbox, processing, acceptance, rejection, done, fail";
        return Ok(no("STATUS", words));
    };
    match (hub.settlement(id).await?, confirmation) {
        (Some(Settlement::Taken), Confirmation::Taken) | (Some(Settlement::Refused(_)), Confirmation::Rejected) => {
            return Ok((StatusCode::OK, Answer { doc_id: Some(id.to_string()), ..Answer::ok() }).into());
        }
        (Some(Settlement::Taken | Settlement::Refused(_)), _) => {
            let words = "gói tin đã được xác nhận khác trước đó / the package was confirmed otherwise before";
            return Ok(no("SETTLED", words));
        }
        (Some(Settlement::Fetched(by)), _) if by == agency.as_str() => {}
        (Some(Settlement::Fetched(_) | Settlement::Sending(_)) | None, _) => return Ok(not_here()),
    }
    let taken = hub.mailbox.pick(agency.as_str(), id);
    let settling = match confirmation {
        Confirmation::Taken => {
            hub.settle(id, Settlement::Taken).await?;
            taken.map(|taken| hub.mailbox.complete(id, taken.token))
        }
        Confirmation::Rejected => {
            let detail = "the system answered rejection".to_owned();
            hub.settle(id, Settlement::Refused(detail)).await?;
            let failure = failure("rejection", "the system refused the package", false);
            taken.map(|taken| hub.mailbox.fail(id, taken.token, failure))
        }
        Confirmation::Failed => {
            let failure = failure("fail", "the system could not take the package", true);
            taken.map(|taken| hub.mailbox.fail(id, taken.token, failure))
        }
    };
    if let Some(settling) = settling {
        settled(settling).await;
    }
    Ok((StatusCode::OK, Answer { doc_id: Some(id.to_string()), ..Answer::ok() }).into())
}

/// What the system says by `updateStatus`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Confirmation {
    /// It has the package.
    Taken,
    /// It will not have it.
    Rejected,
    /// Not now.
    Failed,
}

impl Confirmation {
    fn parse(status: &str) -> Option<Self> {
        Some(match status.to_ascii_lowercase().as_str() {
            "inbox" | "processing" | "acceptance" | "done" => Self::Taken,
            "rejection" => Self::Rejected,
            "fail" => Self::Failed,
            _ => return None,
        })
    }
}

impl HubServer {
    /// Remembers a fetch unless the delivery is settled already.
    async fn settle_if_open(&self, id: DeliveryId, fetched: Settlement) -> Result<(), AdapterError> {
        match self.settlement(id).await? {
            Some(_) => Ok(()),
            None => self.settle(id, fetched).await,
        }
    }
}

fn failure(code: &str, detail: &str, retryable: bool) -> Failure {
    Failure { code: code.to_owned(), detail: detail.to_owned(), retryable, retry_after: None, system_down: false }
}

/// Waits until the store has it. What the system said is remembered here either way.
async fn settled(settling: Result<Settling, NotHeld>) {
    let settling = match settling {
        Ok(settling) | Err(NotHeld::Ended(settling)) => settling,
        Err(NotHeld::Lost) => return,
    };
    if tokio::time::timeout(SETTLE_TIME_MAX, settling.settled()).await.is_err() {
        tracing::warn!("a confirmation is slow to become durable; it is remembered");
    }
}

fn yes(data: Value) -> Answered {
    (StatusCode::OK, Answer { data: Some(data), ..Answer::ok() }).into()
}

/// A no in the protocol's own way.
pub(super) fn no(code: &str, words: &str) -> Answered {
    (StatusCode::OK, Answer::fail(code, words)).into()
}

fn not_here() -> Answered {
    no("NOT_HERE", "không có gói tin này, hãy lấy lại danh sách / no such package lies ready; list again")
}

fn unavailable() -> Answered {
    (StatusCode::SERVICE_UNAVAILABLE, Answer::fail("UNAVAILABLE", "hãy thử lại sau / come again later")).into()
}
