//! Hands an envelope to the next gateway, and brings receipts back to the one before.
//!
//! One outbound connection per gateway: TLS 1.3 both ways, the other side known by its certificate in the directory. Over it runs one
//! long-lived `Relay` stream with many envelopes in flight; parts go first, in calls of their own, and go on where a broken upload
//! stopped. Whatever is not known to be taken is deferred: an answer that got lost is asked for again, and the other gateway answers with
//! its first receipt.
//!
//! The rooms: [`config`] is what the server gives at wiring, `tls` who the other side is, `link` one connection, `pipeline` its stream,
//! `upload` the parts, `deliver` the relay itself, `ask` what moves nothing, `fault` what each failure means to the engine.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use adapters_sdk::relay::{Relay, RelayAdapters};
use gateway_model::Digest;
use gateway_model::id::GatewayId;

mod ask;
pub mod config;
mod deliver;
mod fault;
mod link;
mod pipeline;
mod tls;
mod upload;

pub use crate::ask::AskFault;
pub use crate::config::{Now, RelayIdentity, RelayIdentityError, RelaySettings};
use crate::deliver::PeerRelay;

/// Where a gateway is and how it is known: facts of the directory in force.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PeerFacts {
    /// `https://host:port`.
    pub address: String,
    /// SHA-256 of the certificates registered for it.
    pub tls_certificates: Vec<Digest>,
}

/// Tells the facts of the moment; asked at every call, so that a change of the directory applies to the next connection at once.
pub trait PeerBook: Send + Sync {
    /// The facts about `id`; `None` when the directory does not know it.
    fn peer(&self, id: &GatewayId) -> Option<PeerFacts>;
}

/// What a gateway showed of itself when it was last met. Empty before that: nothing is known of whoever was not spoken with since the start.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Met {
    /// Its TLS certificate, DER.
    pub certificate: Vec<u8>,
    /// Its software version, by its own word; at most 64 characters.
    pub version: String,
}

/// The relays to all gateways, each made when it is first needed.
pub struct RelayPeers {
    wiring: Arc<Wiring>,
    relays: Mutex<HashMap<GatewayId, Arc<PeerRelay>>>,
}

/// What all relays share.
struct Wiring {
    identity: RelayIdentity,
    settings: RelaySettings,
    book: Arc<dyn PeerBook>,
    now: Now,
}

impl RelayPeers {
    /// Relays that identify themselves with `identity` and find their peers in `book`; `now` is the gateway's clock.
    pub fn new(identity: RelayIdentity, settings: RelaySettings, book: Arc<dyn PeerBook>, now: Now) -> Self {
        Self { wiring: Arc::new(Wiring { identity, settings, book, now }), relays: Mutex::default() }
    }

    /// What a gateway showed of itself when it was last met.
    pub fn met(&self, gateway: &GatewayId) -> Met {
        let relays = self.relays.lock().unwrap_or_else(PoisonError::into_inner);
        relays.get(gateway).map(|relay| relay.met()).unwrap_or_default()
    }
}

impl RelayAdapters for RelayPeers {
    fn to(&self, gateway: &GatewayId) -> Option<Arc<dyn Relay>> {
        let mut relays = self.relays.lock().unwrap_or_else(PoisonError::into_inner);
        if self.wiring.book.peer(gateway).is_none() {
            // A gateway that left the directory loses its connection when the last call over it ends.
            relays.remove(gateway);
            return None;
        }
        let make = || Arc::new(PeerRelay::new(gateway.clone(), self.wiring.clone()));
        Some(relays.entry(gateway.clone()).or_insert_with(make).clone())
    }
}

#[cfg(test)]
mod fixture;
#[cfg(test)]
mod tests;
