//! Other organisations' systems, as they behave in the field.

pub mod dms;
pub mod edxml;
pub mod hub;
pub mod land;
pub mod onestop;
