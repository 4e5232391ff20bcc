//! Other organisations' systems, as they behave in the field.

pub mod land;
pub mod onestop;
pub mod dms;
pub mod edxml;
pub mod hub;
