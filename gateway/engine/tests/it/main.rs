//! The engine as others use it: real signatures, real receipts, a store in memory, a clock that stands still, and fake systems.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a step that does not go as it has to fails the test there and then"
)]

mod attacked;
mod bulk;
mod counted;
mod crash;
mod door;
mod fair;
mod federation;
mod operate;
mod receipts;
mod simulation;
mod stuck;
mod system;
mod taken;
mod trouble;
mod walk;
mod world;
