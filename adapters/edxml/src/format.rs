//! The format: edXML packages and status packages of QCVN 102:2016, read tolerantly and written strictly. Pure: no I/O, no clock.
//!
//! Tolerated, because producers differ: any prefix, any order of elements, any name of the root, any layering, `cid:` or not, an attachment
//! as a raw file or in a ZIP with one entry, a signature that proves nothing. Refused, each with a code: what is in [`Defect`]. Nothing is
//! repaired: a package is taken as it stands, or not at all.

mod attachment;
mod day;
mod fault;
mod package;
mod reader;
mod secrecy;
mod skeleton;
mod splice;
mod tree;
mod writer;

#[cfg(test)]
mod fixtures;
#[cfg(test)]
mod tests;

pub use day::{local_time, local_time_text, slashed};
pub use fault::{Defect, Fault};
pub use package::{
    Attachment, Business, BusinessKind, DOSSIER, Document, Organ, Package, ResponseFor, SignatureSeen, Status,
};
pub use reader::{Limits, read};
pub use skeleton::{Skeleton, SkeletonError};
pub use splice::{append_trace, keep_recipient};
pub use tree::NAMESPACE;
pub use writer::{write_document, write_status};
