//! The doors, the configuration and the wiring of a gateway.

pub mod config;
