//! The queue of the workers.
