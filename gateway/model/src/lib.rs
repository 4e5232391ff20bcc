//! The nouns of the gateway. No I/O, no clock, no wire format: time, trust and randomness are arguments.
//!
//! Read in this order: [`id`] and [`agency`] say who, [`directory`] says who speaks for whom and which way, [`envelope`] is what travels,
//! [`state`] is where it is, [`outcome`] is what a hand-over led to, [`reason`] is why something did not go on,
//! [`cause`] is what a person has to do something about; [`calendar`], [`working_time`], [`procedure`] and [`custody`] say who holds a file and until
//! when.

pub mod agency;
pub mod calendar;
pub mod cause;
pub mod custody;
pub mod day;
pub mod directory;
pub mod envelope;
pub mod hash;
pub mod id;
pub mod language;
pub mod limits;
pub mod note;
pub mod outcome;
pub mod procedure;
pub mod reason;
pub mod state;
pub mod time;
pub mod working_time;

pub use cause::Cause;
pub use hash::Digest;
pub use reason::{Reason, Refusal};
pub use time::Timestamp;
