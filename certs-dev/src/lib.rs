//! The development PKI: good ladders, and every kind of bad certificate.
//!
//! Nothing here is secret and nothing is committed: tests, demo and bench make what they need at run time. Good certificates and
//! lists come from rcgen; what rcgen rightly refuses to make is written by hand in DER and signed with OpenSSL.

pub mod algorithm;
pub mod bad;
pub mod der;
mod error;
mod key;
pub mod pki;
pub mod province;
pub mod sign;
pub mod tls;
pub mod x509;

pub use crate::error::Error;
pub use crate::key::{Key, KeyKind};
