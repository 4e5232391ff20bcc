//! Starts real gateways, breaks them, and reconciles the journals.

pub mod gateways;
pub mod half_year;
pub mod load;
pub mod nodes;
pub mod operator;
pub mod reconcile;
pub mod refusal;
pub mod sender;
