//! The signed directory: made from readable TOML, opened only when the authority signed it.
