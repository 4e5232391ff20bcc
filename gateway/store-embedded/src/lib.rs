//! One node's store: SQLite with group commit, parts as files.
