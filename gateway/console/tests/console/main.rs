//! The console over a double of the door: what its pages show, what its forms do, what it refuses.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod double;
mod forms;
mod house;
mod pages;
mod sample;
mod sign_in;
