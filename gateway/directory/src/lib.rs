//! The signed directory: made from readable TOML, opened only when the authority signed it.
//!
//! Read in this order: [`mod@source`] reads what people write, [`mod@issue`] makes and signs the snapshot, [`mod@open`] is the only way back in;
//! [`mod@diff`] and [`mod@show`] tell a person what is in it.

mod certificate;
pub mod diff;
pub mod fault;
pub mod issue;
pub mod open;
mod reader;
mod shape;
pub mod show;
pub mod source;
mod wire;

pub use certificate::moment;
pub use diff::{Change, Difference, FieldDifference, Noun, diff};
pub use fault::{Fault, FaultKind};
pub use issue::{cosign, issue, sign};
pub use open::{Expiry, Opened, Replacement, open, open_with};
pub use show::{CalendarSummary, Summary, summarize};
pub use source::Source;

/// Name of the one directory format there is; also the first line of the note.
pub const DIRECTORY_SCHEMA: &str = "lienthong.directory.v1";
/// Name of the source format.
pub const SOURCE_SCHEMA: &str = "lienthong.directory-source.v1";
/// Bytes of a serialized SignedDirectory: 125,000 agencies need about 25 MB.
pub const DIRECTORY_BYTES_MAX: usize = 256 * 1024 * 1024;
