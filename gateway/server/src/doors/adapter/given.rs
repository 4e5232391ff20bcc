//! What workers are given: deliveries under a lease, as much as fits into one answer.

use std::time::Duration;

use adapters_sdk::mailbox::Taken;
use adapters_worker::{Queue, WorkerView};
use bytes::Bytes;
use gateway_evidence::{Event, Receipt};
use gateway_model::Timestamp;
use gateway_model::id::DeliveryId;
use prost::Message as _;
use proto::v1;

use crate::doors::wire;

/// Bytes of one answer: below what every client takes. One delivery always fits.
const ANSWER_BYTES_MAX: usize = 3 * 1024 * 1024;

/// The deliveries of one answer; what does not fit goes back.
pub(super) fn deliveries(now: Timestamp, queue: &Queue, taken: Vec<Taken>) -> Vec<v1::LeasedDelivery> {
    let (mut given, mut bytes) = (Vec::with_capacity(taken.len()), 0);
    for taken in taken {
        let Some(&id) = taken.delivery.ids.first() else { continue };
        match delivery(now, &taken) {
            Ok(delivery) if given.is_empty() || bytes + delivery.encoded_len() <= ANSWER_BYTES_MAX => {
                bytes += delivery.encoded_len();
                given.push(delivery);
            }
            Ok(_) => queue.mailbox().put_back(id, taken.token),
            Err(error) => {
                tracing::error!(delivery = %id, %error, "a kept envelope cannot be read; its lease runs out");
            }
        }
    }
    given
}

/// The workers of a queue, for an operator.
pub(super) fn workers(now: Timestamp, queue: &Queue) -> Vec<v1::WorkerState> {
    let ago = |span: Duration| Some(wire::timestamp(now.minus(span)));
    let worker = |worker: WorkerView| v1::WorkerState {
        instance: worker.info.instance,
        version: worker.info.version,
        system: queue.config().system.to_string(),
        last_poll_at: worker.polled.and_then(ago),
        leases: u32::try_from(worker.held).unwrap_or(u32::MAX),
        queue: queue.config().name.clone(),
        name: worker.info.name,
        registered_at: ago(worker.registered),
        heard_at: ago(worker.heard),
        draining: worker.draining,
        problems: worker.info.problems,
    };
    queue.workers().into_iter().map(worker).collect()
}

/// What became of a lease that a worker wants to keep.
pub(super) fn verdict(now: Timestamp, id: DeliveryId, left: Option<Duration>) -> v1::LeaseVerdict {
    v1::LeaseVerdict {
        delivery_id: id.to_string(),
        held: left.is_some(),
        lease_expires_at: left.map(|left| wire::timestamp(now.plus(left))),
    }
}

/// A span on the wire.
pub(super) fn span(span: Duration) -> prost_types::Duration {
    prost_types::Duration {
        seconds: i64::try_from(span.as_secs()).unwrap_or(i64::MAX),
        nanos: i32::try_from(span.subsec_nanos()).unwrap_or(0),
    }
}

fn delivery(now: Timestamp, taken: &Taken) -> Result<v1::LeasedDelivery, prost::DecodeError> {
    let delivery = &taken.delivery;
    let (id, recipient) = (delivery.ids.first(), delivery.recipients.first());
    let envelope = v1::SignedEnvelope::decode(delivery.signed.clone())?;
    Ok(v1::LeasedDelivery {
        delivery_id: id.map(ToString::to_string).unwrap_or_default(),
        lease_token: Bytes::copy_from_slice(taken.token.as_bytes()),
        lease_expires_at: Some(wire::timestamp(now.plus(taken.lease_left))),
        lease_remaining: Some(span(taken.lease_left)),
        attempt: delivery.attempt,
        recipient: recipient.map(|recipient| recipient.serving.to_string()).unwrap_or_default(),
        recipient_named: recipient.map(|recipient| recipient.named.to_string()).unwrap_or_default(),
        sender: delivery.key.sender.to_string(),
        signers: signers(&envelope, &delivery.receipt),
        envelope: Some(envelope),
        receipt: Some(v1::Receipt::decode(delivery.receipt.clone())?),
        first_accepted: Some(v1::Receipt::decode(delivery.first_accepted.clone())?),
        hops: delivery.hops.iter().map(ToString::to_string).collect(),
        traceparent: delivery.traceparent.clone().unwrap_or_default(),
    })
}

/// The verified signers, as this gateway's ACCEPTED receipt names them, in the order of the signatures.
fn signers(envelope: &v1::SignedEnvelope, receipt: &Bytes) -> Vec<v1::VerifiedSigner> {
    let event = Receipt::decode(receipt).ok().and_then(|receipt| Event::decode(&receipt.event).ok());
    let certificates = event.and_then(|event| event.verification).map(|facts| facts.signer_certificates);
    let certificates = certificates.unwrap_or_default();
    let signer = |(signature, certificate): (&v1::Signature, &gateway_model::Digest)| v1::VerifiedSigner {
        role: signature.role,
        certificate_sha256: Bytes::copy_from_slice(certificate.as_bytes()),
    };
    envelope.signatures.iter().zip(&certificates).map(signer).collect()
}
