//! What an adapter is, and what it may rely on.
//!
//! An adapter hands deliveries to one department's own system, and may bring envelopes in from it. It receives verified bytes and the
//! verified sender, never keys of the gateway. It fails closed: what it does not know to be taken is [`Outcome::Deferred`].
//!
//! Life: [`AdapterKind::prepare`] turns configuration into a [`Prepared`] adapter or a list of faults, without any effect;
//! [`Prepared::open`] makes the effects (folders, connections); then [`Adapter::deliver`] is called, from many tasks at once.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use gateway_model::agency::Hop;
use gateway_model::envelope::{Envelope, ResolvedRecipient};
use gateway_model::id::{AgencyId, DeliveryId, EnvelopeKey, GatewayId, SystemId};
pub use gateway_model::outcome::{Outcome, Scope};
use gateway_model::{Digest, Refusal, Timestamp};
use tokio::io::AsyncRead;

pub use crate::lease::{Absence, LeaseHold, LeaseLost, Room, Settled};

pub mod alone;
pub mod disk;
pub mod forget;
pub mod lease;
pub mod listener;
pub mod mailbox;
pub mod noes;
pub mod outbound;
pub mod quarantine;
pub mod relay;
pub mod seal;
pub mod settings;
pub mod trace;
pub mod worker;

/// One envelope to hand over, with all that an adapter may need. Cheap to clone.
#[derive(Clone)]
pub struct Delivery {
    /// One id per recipient in `recipients`: stable across attempts, gateways and restarts. Two bodies never travel under one id.
    pub ids: Vec<DeliveryId>,
    /// The recipients of this hand-over. A system's adapter sees exactly one; a relay sees all that go the same way.
    pub recipients: Vec<ResolvedRecipient>,
    /// Sender and envelope id.
    pub key: EnvelopeKey,
    /// SHA-256 of the envelope bytes.
    pub digest: Digest,
    /// Serialized `SignedEnvelope`, byte for byte as it was accepted.
    pub signed: bytes::Bytes,
    /// The same, parsed.
    pub envelope: Arc<Envelope>,
    /// This gateway's ACCEPTED receipt, serialized.
    pub receipt: bytes::Bytes,
    /// The first gateway's ACCEPTED receipt, serialized; the same as `receipt` at the first gateway itself.
    pub first_accepted: bytes::Bytes,
    /// Gateways passed so far, this one last.
    pub hops: Vec<GatewayId>,
    /// W3C trace context of this attempt, when tracing is on.
    pub traceparent: Option<String>,
    /// Attempt, from 1.
    pub attempt: u32,
    /// Give up by then and answer [`Outcome::Deferred`]: the lease ends, unless it is extended.
    pub deadline: Timestamp,
    /// The lease: to keep it for longer, and to learn when the outcome is durable.
    pub lease: Arc<dyn LeaseHold>,
    /// Where the bytes of the parts are.
    pub parts: Arc<dyn PartSource>,
}

/// Reads parts of an envelope.
#[async_trait]
pub trait PartSource: Send + Sync {
    /// Opens a part at `offset`. The bytes were checked against the digest when they were stored.
    ///
    /// # Errors
    /// When the part is not there or cannot be read.
    async fn open(&self, digest: &Digest, offset: u64) -> std::io::Result<Box<dyn AsyncRead + Send + Unpin>>;
}

/// Hands deliveries to one system.
#[async_trait]
pub trait Adapter: Send + Sync {
    /// Hands `delivery` over. May be called again for the same id, after a crash on either side: the second time must be harmless.
    ///
    /// # Cancellation
    /// The engine drops the future when the lease ends; the delivery is then walked again.
    async fn deliver(&self, delivery: &Delivery) -> Outcome;

    /// Says whether the system behind it can be reached.
    async fn check(&self) -> Health;

    /// How many deliveries for `agency` it may have under way at one time, those that it has now included. The engine leases no more; the
    /// rest waits in the store and costs nothing.
    fn room(&self, _agency: &AgencyId) -> Room {
        Room::Any
    }

    /// The same for all its agencies together.
    fn room_together(&self) -> Room {
        Room::Any
    }

    /// Resolves when there may be more room since the last call. One caller at a time; a change between two calls is not lost.
    async fn room_changed(&self) {
        std::future::pending().await
    }

    /// Why it takes nothing for `agency` at present, for the operator; `None` when it does, or nothing can be said.
    fn absence(&self, _agency: &AgencyId) -> Option<Absence> {
        None
    }

    /// How much working time a delivery may wait for being picked up before that is an incident; `None` for adapters that push.
    fn not_picked_up_after(&self) -> Option<Duration> {
        None
    }

    /// The folder in which it keeps what it could not take in, with the reasons, as [`quarantine`] reads them; `None` when it keeps nothing.
    fn quarantine(&self) -> Option<PathBuf> {
        None
    }

    /// Serves the other direction until `door` closes, for adapters that bring envelopes in. The default has no such direction.
    ///
    /// # Errors
    /// When it cannot go on; the server starts it again after a pause and raises an alarm.
    async fn receive(&self, door: Arc<dyn Door>) -> Result<(), AdapterError> {
        door.closed().await;
        Ok(())
    }
}

/// How well the system behind an adapter is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Health {
    /// It answers.
    Up,
    /// It does not, with the cause in words for an operator.
    Down {
        /// Cause.
        cause: String,
    },
}

/// The way in for adapters. Every submission is verified like any other.
#[async_trait]
pub trait Door: Send + Sync {
    /// Keeps the bytes of a part, as uploaded by the adapter's own system identity.
    ///
    /// # Errors
    /// A [`Refusal`] when size or digest do not fit, or the store is full.
    async fn upload(&self, part: NewPart, bytes: Box<dyn AsyncRead + Send + Unpin>) -> Result<(), Refusal>;

    /// Submits a serialized `SignedEnvelope`. The original may be removed only after `Ok`.
    ///
    /// # Errors
    /// A [`Refusal`]; [`gateway_model::Reason::is_retryable`] tells whether to try again.
    async fn submit(&self, signed: bytes::Bytes) -> Result<Submitted, Refusal>;

    /// Who is submitting.
    fn hop(&self) -> &Hop;

    /// The instant now, by the gateway's clock.
    fn now(&self) -> Timestamp;

    /// Resolves when the gateway drains: finish what is at hand and return.
    async fn closed(&self);
}

/// A part about to be uploaded.
#[derive(Clone, Copy, Debug)]
pub struct NewPart {
    /// SHA-256 of its bytes.
    pub digest: Digest,
    /// Its exact size in bytes.
    pub size: u64,
}

/// Accepted and durable.
#[derive(Clone, Debug)]
pub struct Submitted {
    /// Sender and envelope id.
    pub key: EnvelopeKey,
    /// Serialized `Receipt` of the ACCEPTED event.
    pub receipt: bytes::Bytes,
    /// True when it had been accepted before.
    pub duplicate: bool,
}

/// A kind of adapter: a name in the configuration, and how to make one.
pub trait AdapterKind: Send + Sync {
    /// The name in `kind = "…"`.
    fn name(&self) -> &'static str;

    /// Checks configuration without any effect.
    ///
    /// # Errors
    /// Every fault found, each naming its key.
    fn prepare(&self, config: &toml::Table, context: &PrepareContext) -> Result<Box<dyn Prepared>, Vec<ConfigFault>>;
}

/// What `prepare` may know.
#[derive(Clone, Debug)]
pub struct PrepareContext {
    /// Name of the adapter in the configuration.
    pub name: String,
    /// Folder that relative paths start from: that of the configuration file.
    pub base: PathBuf,
    /// Agencies that the adapter serves; none while they are not known yet. A fault about them has the key `agencies`.
    pub agencies: Vec<AgencyId>,
    /// The identity under which it submits; `None` for adapters that only deliver.
    pub system: Option<SystemId>,
}

/// A fault in an adapter's configuration.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{key}: {problem}")]
pub struct ConfigFault {
    /// The key, within the adapter's table.
    pub key: String,
    /// What is wrong and what would be right.
    pub problem: String,
}

/// A configured adapter that has not touched the world yet.
#[async_trait]
pub trait Prepared: Send + Sync {
    /// Looks at the files that the configuration names and changes nothing: what would keep it from opening, each fault with its key.
    fn check(&self) -> Vec<ConfigFault> {
        Vec::new()
    }

    /// Makes the effects.
    ///
    /// # Errors
    /// When the system behind it cannot be set up; one that is merely down is no error.
    async fn open(self: Box<Self>) -> Result<Arc<dyn Adapter>, AdapterError>;
}

/// Why an adapter cannot work.
#[derive(Debug, thiserror::Error)]
pub enum AdapterError {
    /// A file or folder.
    #[error("{path}: {source}")]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// Anything else, in words for an operator.
    #[error("{0}")]
    Other(String),
}

/// The kinds that a binary knows, listed by hand.
pub type Kinds = BTreeMap<&'static str, Box<dyn AdapterKind>>;
