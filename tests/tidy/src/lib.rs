//! Style and direction as a test.
