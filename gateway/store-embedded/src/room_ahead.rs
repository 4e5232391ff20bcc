//! Zeros at the end of the write-ahead log: a commit into room that is there already syncs its data and waits for no new size.
//!
//! SQLite ends its reading of the log at the first frame that does not carry the salt of the log's header, and takes a log without a header
//! for an empty one: zeros are neither. The log keeps its length when it is written from its beginning again, so this is done once a start.

use std::fs::File;
use std::io::{self, Write as _};
use std::path::Path;

static ZEROS: [u8; 256 * 1024] = [0; 256 * 1024];

/// Lengthens the log to `bytes` and syncs it. What finds no room is taken back: then the log grows with its commits, as it always can.
pub(crate) fn lay_out(log: &Path, bytes: u64) -> io::Result<()> {
    let mut file = File::options().append(true).open(log)?;
    let before = file.metadata()?.len();
    match fill(&mut file, bytes.saturating_sub(before)) {
        Err(error) if error.kind() == io::ErrorKind::StorageFull => file.set_len(before).and_then(|()| file.sync_all()),
        filled => filled,
    }
}

fn fill(file: &mut File, bytes: u64) -> io::Result<()> {
    let mut left = usize::try_from(bytes).unwrap_or(usize::MAX);
    while left > 0 {
        let length = left.min(ZEROS.len());
        file.write_all(&ZEROS[..length])?;
        left -= length;
    }
    file.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_log_is_lengthened_with_zeros_behind_what_is_there_and_never_cut() {
        let folder = tempfile::tempdir().unwrap();
        let log = folder.path().join("log");
        std::fs::write(&log, b"frames").unwrap();
        lay_out(&log, 300 * 1024).unwrap();
        let content = std::fs::read(&log).unwrap();
        assert_eq!(content.len(), 300 * 1024);
        assert!(content.starts_with(b"frames") && content[6..].iter().all(|byte| *byte == 0));
        lay_out(&log, 10).unwrap();
        assert_eq!(std::fs::metadata(&log).unwrap().len(), 300 * 1024);
    }
}
