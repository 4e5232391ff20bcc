//! One file a page. Each asks the door, and renders what it answers.

pub(crate) mod act;
pub(crate) mod audit;
pub(crate) mod bulk;
pub(crate) mod filter;
pub(crate) mod health;
pub(crate) mod incidents;
pub(crate) mod papers;
pub(crate) mod peers;
pub(crate) mod search;
pub(crate) mod sign_in;
pub(crate) mod statistics;
pub(crate) mod stuck;
pub(crate) mod timeline;
pub(crate) mod trust;
