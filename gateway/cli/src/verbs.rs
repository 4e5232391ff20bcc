//! The verbs, a file each.

pub mod adapter;
pub mod bench;
pub mod check;
pub mod completions;
pub mod config;
pub mod demo;
pub mod directory;
pub mod explain;
pub mod msg;
pub mod receipt;
pub mod send;
pub mod serve;
pub mod status;
pub mod trace;
pub mod verify;
