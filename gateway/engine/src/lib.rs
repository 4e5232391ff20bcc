//! The walk of an envelope: accept, verify, store, route, deliver, receipt.
