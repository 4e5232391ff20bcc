//! Every door over real sockets and files, against systems that share no code with the adapter.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test that cannot go on has failed")]

mod client;
mod folder;
mod fresh;
mod server;
mod stage;
mod statuses;
