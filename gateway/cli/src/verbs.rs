//! The verbs, a file each.

pub mod adapter;
pub mod audit;
pub mod bench;
pub mod bulk;
pub mod check;
pub mod completions;
pub mod config;
pub mod console;
pub mod demo;
pub mod directory;
pub mod explain;
pub mod msg;
mod pausing;
pub mod peer;
pub mod receipt;
pub mod send;
pub mod serve;
pub mod stats;
pub mod status;
pub mod store;
pub mod stuck;
pub mod trace;
pub mod trust;
pub mod verify;
