//! Document-management systems: edXML packages and statuses.

pub mod format;
