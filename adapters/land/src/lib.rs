//! Land systems: their calls and callbacks.
