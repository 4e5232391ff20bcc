//! How things look: foreign text, times, numbers, states, icons, charts. Nothing here asks the door.

pub(crate) mod chart;
pub(crate) mod event;
pub(crate) mod icon;
pub(crate) mod ladder;
pub(crate) mod number;
pub(crate) mod state;
pub(crate) mod text;
pub(crate) mod time;
