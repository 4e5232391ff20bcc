//! The doors, the configuration and the wiring of a gateway.
//!
//! Read in this order: [`config`] says what is told, [`app`] opens everything and names the concrete stores and adapters, [`mod@run`] runs and
//! ends it; [`tls`] and [`listen`] let callers in, [`doors`] answers them, [`console`] shows
//! operators what they need, [`errors`] says how.

pub mod admin;
pub mod alarms;
pub mod app;
pub mod check;
pub mod config;
pub mod console;
pub mod dial;
mod directory_source;
pub mod doors;
pub mod errors;
pub mod evidence_key;
mod gauges;
pub mod listen;
pub mod metrics;
pub mod notice;
pub mod quota;
pub mod register;
pub mod run;
pub mod telemetry;
pub mod tls;

pub use app::{App, StartError};
pub use config::Config;
pub use run::RunError;
