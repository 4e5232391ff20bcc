//! The serialized messages, read strictly: what a lenient reader would skip or merge is refused, so that every reader
//! sees the same.

mod convert;
mod schema;
mod signed;
mod text;
mod walk;

pub use convert::read_envelope;
pub use signed::{SignaturePart, SignedParts, read_signed};
pub use text::{check_part_name, check_text};

/// Walks the bytes of an `Envelope` without reading its values.
///
/// # Errors
/// The first field that is unknown, repeated or malformed.
pub fn walk_envelope(bytes: &[u8]) -> Result<(), gateway_model::Refusal> {
    walk::walk(&schema::ENVELOPE, bytes)
}
