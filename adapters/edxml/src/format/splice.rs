//! Changes to a package that leave every other byte as it is: what a hub may do on the way.

use gateway_model::Timestamp;

use super::fault::{Defect, Fault};
use super::tree;
use super::writer::trace_header;

/// Appends our TraceHeader behind the last one, as every hub does. A package without a list of them, such as a status, stays as it is.
///
/// # Errors
/// When the bytes are no package.
pub fn append_trace(package: &[u8], organ_id: &str, at: Timestamp) -> Result<Vec<u8>, Fault> {
    let root = tree::read(package)?;
    let Some(last) = root.everywhere("TraceHeader").into_iter().max_by_key(|node| node.outer.end) else {
        return Ok(package.to_vec());
    };
    let header = trace_header(&last.prefix, organ_id, at);
    let (before, after) = package.split_at_checked(last.outer.end).ok_or_else(out_of_bounds)?;
    Ok([before, header.as_bytes(), after].concat())
}

/// Leaves out every `To` besides that of `organ_id`: a hub routes by `To`, and each hand-over to it is for one recipient. A package that
/// does not name the recipient stays as it is.
///
/// # Errors
/// When the bytes are no package.
pub fn keep_recipient(package: &[u8], organ_id: &str) -> Result<Vec<u8>, Fault> {
    let root = tree::read(package)?;
    let recipients = root.everywhere("To");
    let is_kept = |node: &&tree::Node| node.all("OrganId").any(|id| id.text == organ_id);
    if !recipients.iter().any(is_kept) {
        return Ok(package.to_vec());
    }
    let mut out = Vec::with_capacity(package.len());
    let mut from = 0;
    for node in recipients.iter().filter(|node| !is_kept(node)) {
        out.extend_from_slice(package.get(from..node.outer.start).ok_or_else(out_of_bounds)?);
        from = node.outer.end;
    }
    out.extend_from_slice(package.get(from..).ok_or_else(out_of_bounds)?);
    Ok(out)
}

fn out_of_bounds() -> Fault {
    Fault::new(Defect::NotWellFormed, "end of file")
}
