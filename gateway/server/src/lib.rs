//! The doors, the configuration and the wiring of a gateway.

pub mod admin;
pub mod config;
pub mod dial;
pub mod directory_source;
pub mod doors;
pub mod errors;
pub mod quota;
pub mod telemetry;
pub mod tls;
