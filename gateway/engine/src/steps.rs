//! The steps of the walk, in its order. The first three answer a submission; the last three take what is due one hand-over further.

pub(crate) mod accept;
pub(crate) mod verify;

pub(crate) mod store;

pub(crate) mod repeat;

pub mod route;

pub(crate) mod deliver;

pub(crate) mod receipt;
