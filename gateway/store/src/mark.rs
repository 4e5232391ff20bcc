//! Marks: the few decisions of operators that outlive a restart, by name, each kept in the same commit as the leaf that says who took it.

use bytes::Bytes;

/// Bytes of a mark's name.
pub const NAME_BYTES_MAX: usize = 256;
/// Bytes of a mark's value.
pub const VALUE_BYTES_MAX: usize = 1024 * 1024;

/// The step: a mark is set, or taken away.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Mark {
    /// Its name, such as `pause/gateway:gw-huyen`; at most [`NAME_BYTES_MAX`] bytes.
    pub name: String,
    /// What it says from now on, at most [`VALUE_BYTES_MAX`] bytes; `None` takes it away.
    pub value: Option<Bytes>,
    /// Serialized leaf; `None` for what nobody decided.
    pub leaf: Option<Bytes>,
}

impl Mark {
    /// Whether name and value are within their bounds.
    pub fn is_bounded(&self) -> bool {
        let value = self.value.as_ref().map_or(0, Bytes::len);
        (1..=NAME_BYTES_MAX).contains(&self.name.len()) && value <= VALUE_BYTES_MAX
    }
}
