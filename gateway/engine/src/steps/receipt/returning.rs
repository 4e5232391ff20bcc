//! Brings receipts back one gateway, many in one call.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use adapters_sdk::relay::{Relay, ReturnFault};
use bytes::Bytes;
use futures::FutureExt;
use gateway_evidence::{Event, Receipt};
use gateway_model::id::GatewayId;
use gateway_model::{Reason, Timestamp};
use gateway_store::claim::ReturnLease;
use gateway_store::rows::ReturnRow;
use gateway_store::settle::{ReturnState, SettleReturn};

use crate::Core;
use crate::gate::Sign;

/// A refusal waits as long as this many failures more: it does not pass by itself as quickly as a silence does.
const REFUSAL_WEIGHT: u32 = 6;

type Verdict = Result<(), ReturnFault>;

/// Brings leased receipts back to `to` and settles each. Tells what it taught about the gateway.
pub(crate) async fn bring_back(
    engine: &Core,
    to: &GatewayId,
    rows: Vec<(ReturnRow, ReturnLease)>,
    lease_until: Timestamp,
) -> Sign {
    let receipts: Vec<Bytes> = rows.iter().map(|(row, _)| row.receipt.clone()).collect();
    let relay = engine.adapters.relay.as_ref().and_then(|relays| relays.to(to));
    let verdicts = match relay {
        Some(relay) => ask(engine, relay, &receipts, lease_until).await,
        None => all(&receipts, ReturnFault { reason: Reason::RouteMissing, retryable: true }),
    };
    let sign = sign(&verdicts);
    let settles: Vec<SettleReturn> = rows
        .iter()
        .zip(verdicts)
        .map(|((row, lease), verdict)| SettleReturn { lease: *lease, to: state(engine, row, verdict) })
        .collect();
    let done = settles.iter().filter(|settle| settle.to == ReturnState::Done).count();
    engine.metrics.receipts_returned("done", done);
    engine.metrics.receipts_returned("not_done", settles.len() - done);
    settle(engine, to, settles).await;
    sign
}

async fn settle(engine: &Core, to: &GatewayId, settles: Vec<SettleReturn>) {
    let Err(error) = engine.store.settle_returns(settles).await else { return };
    engine.metrics.store_fault();
    tracing::warn!(gateway = %to, %error, "returned receipts could not be settled; they are brought again");
}

async fn ask(engine: &Core, relay: Arc<dyn Relay>, receipts: &[Bytes], lease_until: Timestamp) -> Vec<Verdict> {
    let deadline = lease_until.minus(engine.settings.lease_margin).max(engine.clock.steady());
    let broken = ReturnFault { reason: Reason::AdapterPanicked, retryable: true };
    let verdicts = tokio::select! {
        verdicts = AssertUnwindSafe(relay.return_receipts(receipts)).catch_unwind() => verdicts.unwrap_or_else(|_| all(receipts, broken)),
        () = engine.clock.sleep_until(deadline) => all(receipts, ReturnFault { reason: Reason::PeerUnreachable, retryable: true }),
    };
    // What is not answered is not done.
    if verdicts.len() == receipts.len() { verdicts } else { all(receipts, broken) }
}

fn all(receipts: &[Bytes], fault: ReturnFault) -> Vec<Verdict> {
    receipts.iter().map(|_| Err(fault)).collect()
}

fn state(engine: &Core, row: &ReturnRow, verdict: Verdict) -> ReturnState {
    match verdict {
        Ok(()) => ReturnState::Done,
        Err(ReturnFault { reason, retryable: true }) => {
            let failures = row.attempts.saturating_add(1);
            let wait = engine.settings.delivery_backoff.wait(failures, engine.entropy.unit());
            ReturnState::Waiting { due: engine.clock.steady().plus(wait), reason }
        }
        Err(ReturnFault { reason, retryable: false }) => refused(engine, row, reason),
    }
}

/// The other gateway's trust or store may be behind ours: what it refuses today it may take tomorrow. Only what nobody can read is given up.
fn refused(engine: &Core, row: &ReturnRow, reason: Reason) -> ReturnState {
    let envelope_id = about(row);
    if reason == Reason::RequestMalformed {
        tracing::error!(%envelope_id, gateway = %row.to, %reason, "a receipt is refused for good on its way back");
        return ReturnState::Held { reason };
    }
    let failures = row.attempts.saturating_add(1).saturating_add(REFUSAL_WEIGHT);
    let wait = engine.settings.delivery_backoff.wait(failures, engine.entropy.unit());
    tracing::warn!(%envelope_id, gateway = %row.to, %reason, ?wait, "a receipt is refused on its way back; it is brought again");
    ReturnState::Waiting { due: engine.clock.steady().plus(wait), reason }
}

/// The envelope that a receipt is about, for the log.
fn about(row: &ReturnRow) -> String {
    let event = Receipt::decode(&row.receipt).and_then(|receipt| Event::decode(&receipt.event));
    event.map(|event| event.envelope_id.to_string()).unwrap_or_default()
}

/// When every receipt fails for the same reason of the other side's, the gateway is down; any other answer is an answer.
fn sign(verdicts: &[Verdict]) -> Sign {
    let down = |reason| {
        matches!(reason, Reason::PeerUnreachable | Reason::PeerBusy | Reason::PeerNotTrusted | Reason::RouteMissing)
    };
    match verdicts.first() {
        Some(Err(fault)) if down(fault.reason) && verdicts.iter().all(|verdict| *verdict == Err(*fault)) => {
            Sign::Down {
                reason: fault.reason,
                detail: "receipts could not be brought back".to_owned(),
                retry_after: None,
            }
        }
        Some(Err(ReturnFault { reason: Reason::AdapterPanicked, .. })) | None => Sign::Nothing,
        Some(_) => Sign::Answered,
    }
}
