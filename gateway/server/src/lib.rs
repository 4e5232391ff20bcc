//! The doors, the configuration and the wiring.
