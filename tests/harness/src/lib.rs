//! Starts real gateways, breaks them, and reconciles the journals.

pub mod gateways;
pub mod load;
pub mod reconcile;
pub mod refusal;
pub mod sender;
