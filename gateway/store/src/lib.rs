//! The Store trait, its contract, MemoryStore and the conformance suite.
