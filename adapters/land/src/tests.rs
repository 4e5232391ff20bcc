//! The adapter over real sockets, against a land system and a one-stop desk that know nothing of it.

mod desk;
mod land;
mod stage;
