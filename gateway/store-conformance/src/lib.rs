//! One suite of behaviours that every [`Store`](gateway_store::Store) and every [`PartStore`](gateway_store::parts::PartStore) has to show.
//!
//! A backend's test file is one line a suite:
//!
//! ```text
//! gateway_store_conformance::store_suite!(MyBackend::new());
//! gateway_store_conformance::part_suite!(MyParts::new());
//! ```
//!
//! Each behaviour is a function here and a test of its own there, named after what it says. [`fixture`] makes really signed envelopes,
//! [`suite`] the steps; the other rooms are behaviours, by the part of the contract that they are about.

// A suite of tests: a step that does not go as it has to fails the test there and then.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

pub mod fixture;
pub mod suite;

pub mod accept;
pub mod change;
pub mod claim;
pub mod evidence;
pub mod keep;
pub mod mark;
pub mod parts;
pub mod read;
pub mod record;
pub mod returns;
pub mod settle;

mod stamp;

pub use fixture::Fixture;
pub use parts::PartBackend;
pub use suite::{Backend, Suite};
