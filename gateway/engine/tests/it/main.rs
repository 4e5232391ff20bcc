//! The engine as others use it: real signatures, real receipts, a store in memory, a clock that stands still, and fake systems.

mod crash;
mod door;
mod fair;
mod federation;
mod operate;
mod receipts;
mod simulation;
mod system;
mod walk;
mod world;
