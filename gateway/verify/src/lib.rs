//! Hostile bytes in, a [`VerifiedEnvelope`] or a [`Refusal`](gateway_model::Refusal) out. Time and trust are arguments;
//! nothing is fetched, read or remembered beyond bounded caches of what has been checked.
//!
//! Read in this order: [`verify()`] is the way from bytes to a verified envelope; [`proof`] has one value for each step
//! of it; [`wire`] reads the protobuf messages and [`cms`] the signatures strictly; [`chain`] asks OpenSSL once and
//! remembers; [`revocation`] holds the lists as an index; [`trust`] and [`snapshot`] are what verdicts stand on.
#![cfg_attr(not(test), deny(clippy::indexing_slicing, clippy::arithmetic_side_effects))]

pub mod algorithm;
pub mod attribute;
mod cache;
pub mod certificate;
pub mod chain;
pub mod cms;
pub mod der;
pub mod detached;
pub mod extension;
pub mod key;
pub mod name;
pub mod proof;
pub mod revocation;
pub mod signer;
pub mod snapshot;
pub mod trust;
pub mod verified;
pub mod verify;
pub mod wire;

pub use detached::{DetachedOptions, SignerReport, verify_detached};
pub use revocation::RevocationUsed;
pub use snapshot::Snapshot;
pub use trust::{Trust, TrustFault, TrustSource};
pub use verified::{VerificationFacts, VerifiedEnvelope, VerifiedSigner};
pub use verify::{RawEnvelope, VerifyTime, verify};
