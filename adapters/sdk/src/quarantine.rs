//! What an adapter could not take in, as operators see it: a name, a reason code, a line of words. Each adapter keeps it in a folder of its own.
//!
//! Three ways of keeping are known: a file beside `<name>.reason.txt`, a folder with a `reason.txt`, and a `<name>.json` with a `reason`. The first line
//! of a reason is its code.

use std::path::{Path, PathBuf};
use std::time::SystemTime;

use gateway_model::Timestamp;

use crate::{AdapterError, disk};

/// Entries of a folder that are looked at.
const LOOKED_AT_MAX: usize = 10_000;
/// Bytes read of one reason.
const REASON_BYTES_MAX: u64 = 256 * 1024;
const DETAIL_CHARS_MAX: usize = 256;

/// One thing that was not taken in. Nothing of its content.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Quarantined {
    /// Its name in the folder.
    pub name: String,
    /// Stable reason code.
    pub reason: String,
    /// The first words of the reason, at most 256 characters.
    pub detail: String,
    /// When it was put there.
    pub since: Timestamp,
}

/// What lies in a folder, the newest first: how many there are, and the newest of them.
///
/// # Errors
/// [`AdapterError`] when the folder cannot be read; one that is not there is empty.
pub async fn look(folder: PathBuf, limit: usize) -> Result<(usize, Vec<Quarantined>), AdapterError> {
    disk::run(move || look_now(&folder, limit)).await?
}

fn look_now(folder: &Path, limit: usize) -> Result<(usize, Vec<Quarantined>), AdapterError> {
    let entries = match std::fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok((0, Vec::new())),
        Err(error) => return Err(disk::at(folder)(error)),
    };
    let mut found: Vec<(SystemTime, String, PathBuf)> = Vec::new();
    for entry in entries.take(LOOKED_AT_MAX).flatten() {
        let (path, name) = (entry.path(), entry.file_name().to_string_lossy().into_owned());
        let Ok(metadata) = entry.metadata() else { continue };
        let kept = match (metadata.is_dir(), name.strip_suffix(".reason.txt"), name.strip_suffix(".json")) {
            (true, ..) => Some((name.clone(), path.join("reason.txt"))),
            (false, Some(name), _) | (false, None, Some(name)) => Some((name.to_owned(), path)),
            (false, None, None) => None,
        };
        if let Some((name, reason)) = kept.filter(|(name, reason)| !name.starts_with('.') && reason.exists()) {
            found.push((metadata.modified().unwrap_or(SystemTime::UNIX_EPOCH), name, reason));
        }
    }
    found.sort_by(|a, b| b.cmp(a));
    let count = found.len();
    let newest = found.into_iter().take(limit).map(|(at, name, path)| read(at, name, &path)).collect();
    Ok((count, newest))
}

fn read(at: SystemTime, name: String, path: &Path) -> Quarantined {
    let text = disk::read(path, REASON_BYTES_MAX).ok().flatten().unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let (reason, detail) = match serde_json::from_str::<serde_json::Value>(&text) {
        Ok(json) => {
            (json["reason"].as_str().unwrap_or_default().to_owned(), json["vi"].as_str().unwrap_or_default().to_owned())
        }
        Err(_) => {
            let mut lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
            (lines.next().unwrap_or_default().to_owned(), lines.next().unwrap_or_default().to_owned())
        }
    };
    let seconds = at.duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let since = Timestamp::from_seconds(i64::try_from(seconds).unwrap_or(i64::MAX));
    let cut = |text: &str, max: usize| text.chars().filter(|c| !c.is_control()).take(max).collect::<String>();
    Quarantined {
        name: cut(&name, DETAIL_CHARS_MAX),
        reason: cut(&reason, 64),
        detail: cut(&detail, DETAIL_CHARS_MAX),
        since,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn each_way_of_keeping_is_seen_with_its_reason_and_the_count_is_whole() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        std::fs::write(path("goi-1.edxml"), "x").unwrap();
        std::fs::write(path("goi-1.reason.txt"), "EDXML_DATE\n\nTiếng Việt: ngày 30 tháng 2\n").unwrap();
        std::fs::create_dir(path("hs-0001")).unwrap();
        std::fs::write(path("hs-0001/reason.txt"), "RECIPIENT_UNKNOWN\nkhông có nơi nhận này\n").unwrap();
        std::fs::write(path("ab.json"), r#"{"reason":"REQUEST_MALFORMED","vi":"thiếu SoBienNhan","body":"{}"}"#)
            .unwrap();
        let (count, all) = look(folder.path().to_owned(), 10).await.unwrap();
        let mut seen: Vec<_> =
            all.iter().map(|one| (one.name.as_str(), one.reason.as_str(), one.detail.as_str())).collect();
        seen.sort_unstable();
        let expected = [
            ("ab", "REQUEST_MALFORMED", "thiếu SoBienNhan"),
            ("goi-1", "EDXML_DATE", "Tiếng Việt: ngày 30 tháng 2"),
            ("hs-0001", "RECIPIENT_UNKNOWN", "không có nơi nhận này"),
        ];
        assert_eq!((count, seen.as_slice()), (3, &expected[..]));
        assert_eq!(look(folder.path().to_owned(), 1).await.unwrap().1.len(), 1);
        assert_eq!(look(path("nowhere"), 10).await.unwrap(), (0, Vec::new()));
    }
}
