//! The doors, the configuration and the wiring of a gateway.

pub mod config;
pub mod errors;
pub mod quota;
pub mod tls;
