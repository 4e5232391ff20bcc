//! Starts real gateways, breaks them, and reconciles the journals.
