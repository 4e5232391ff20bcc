//! Document-management systems: edXML packages and statuses.
