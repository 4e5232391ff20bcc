//! Integration tests, a module per walk.
