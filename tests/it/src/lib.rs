//! Integration tests, a module per walk; they live in `tests/walks.rs`.
