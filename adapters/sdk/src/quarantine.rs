//! What an adapter could not take in, as operators see it: a name, a reason code, a line of words. Each adapter keeps it in a folder of its own.
//!
//! Three ways of keeping are known: a file beside `<name>.reason.txt`, a folder with a `reason.txt`, and a `<name>.json` with a `reason`. The first line
//! of a reason is its code. The third is written here too: [`RefusedCall::keep`].

use std::path::{Path, PathBuf};
use std::time::SystemTime;

use gateway_model::language::Language;
use gateway_model::{Digest, Reason, Refusal, Timestamp};
use serde_json::json;

use crate::{AdapterError, disk};

/// Entries of a folder that are looked at.
const LOOKED_AT_MAX: usize = 10_000;
/// Bytes read of one reason.
const REASON_BYTES_MAX: u64 = 256 * 1024;
const DETAIL_CHARS_MAX: usize = 256;

/// Calls of a folder that are kept.
const CALLS_MAX: usize = 1_000;

/// A call that was refused for good.
#[derive(Clone, Copy, Debug)]
pub struct RefusedCall<'a> {
    /// Its name.
    pub call: &'a str,
    /// What it said.
    pub body: &'a [u8],
    /// Why.
    pub refusal: &'a Refusal,
    /// When it came.
    pub at: Timestamp,
}

/// How much is kept of a call.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Keep {
    /// Its body too, for a person to work with. What is there never makes room for another one.
    Whole,
    /// That it was refused, and the digest by which whoever made the call finds it again: its body is nobody else's to read. The oldest makes
    /// room for the newest.
    DigestAlone,
}

impl RefusedCall<'_> {
    /// Keeps the call as one file of `folder`, at most 1000 of them; durable when this returns. The same call with the same reason is kept once.
    /// The digest that names it; `None` when there is no room.
    ///
    /// # Errors
    /// The folder's, or the file's.
    pub fn keep(&self, folder: &Path, keep: Keep) -> Result<Option<Digest>, AdapterError> {
        self.keep_within(folder, keep, CALLS_MAX)
    }

    fn keep_within(&self, folder: &Path, keep: Keep, calls_max: usize) -> Result<Option<Digest>, AdapterError> {
        let reason = self.refusal.reason.code();
        let digest = Digest::of_pieces(&[self.call.as_bytes(), b"\0", reason.as_bytes(), b"\0", self.body]);
        let path = folder.join(format!("{digest}.json"));
        if path.exists() {
            return Ok(Some(digest));
        }
        if !make_room(folder, keep, calls_max)? {
            return Ok(None);
        }
        let told = match keep {
            Keep::Whole => self.refusal.clone(),
            Keep::DigestAlone => Refusal::new(self.refusal.reason).at(self.refusal.field.clone()),
        };
        let mut kept = json!({
            "call": self.call,
            "received_at": self.at.to_string(),
            "reason": reason,
            "vi": told.in_words(Language::Vi),
            "en": told.in_words(Language::En),
        });
        match keep {
            Keep::Whole => kept["body"] = String::from_utf8_lossy(self.body).into(),
            Keep::DigestAlone => kept["sha256"] = Digest::of(self.body).to_string().into(),
        }
        disk::write_whole(folder, &path, format!("{kept:#}\n").as_bytes())?;
        Ok(Some(digest))
    }
}

/// Whether there is room for one more.
fn make_room(folder: &Path, keep: Keep, calls_max: usize) -> Result<bool, AdapterError> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(disk::at(folder))? {
        let entry = entry.map_err(disk::at(folder))?;
        let changed = entry.metadata().and_then(|metadata| metadata.modified());
        files.push((changed.unwrap_or(SystemTime::UNIX_EPOCH), entry.path()));
    }
    if files.len() < calls_max {
        return Ok(true);
    }
    if keep == Keep::Whole {
        return Ok(false);
    }
    files.sort();
    for (_, oldest) in files.iter().take(files.len() + 1 - calls_max) {
        crate::forget::remove(oldest)?;
    }
    Ok(true)
}

/// One thing that was not taken in. Nothing of its content.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Quarantined {
    /// Its name in the folder.
    pub name: String,
    /// Stable reason code.
    pub reason: String,
    /// What it means, at most 256 characters: never what was seen in one place or another.
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
    // What was seen may be what somebody wrote, a citizen's number in the place of a recipient: it is for whoever has the adapter's folder.
    let detail = Reason::parse(&reason).map_or(detail, |known| known.message(Language::Vi).to_owned());
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

    fn refused<'a>(body: &'a [u8], refusal: &'a Refusal) -> RefusedCall<'a> {
        RefusedCall { call: "tiepnhan", body, refusal, at: Timestamp::from_seconds(1_795_000_000) }
    }

    #[tokio::test]
    async fn a_refused_call_is_kept_once_with_its_body_or_without_and_is_seen_with_its_reason() {
        let folder = tempfile::tempdir().unwrap();
        let refusal = Refusal::new(Reason::RecipientUnknown).at("to").saw("099000000001");
        for (keep, is_there) in [(Keep::Whole, true), (Keep::DigestAlone, false)] {
            let place = folder.path().join(format!("{keep:?}"));
            disk::make_folder(&place).unwrap();
            let call = refused(b"099000000001", &refusal);
            let digests = [call.keep(&place, keep).unwrap(), call.keep(&place, keep).unwrap()];
            assert_eq!(digests[0], digests[1]);
            let (count, seen) = look(place.clone(), 10).await.unwrap();
            assert_eq!((count, seen[0].reason.as_str()), (1, "RECIPIENT_UNKNOWN"));
            assert_eq!(seen[0].detail, refusal.reason.message(Language::Vi));
            let text = std::fs::read_to_string(place.join(format!("{}.json", digests[0].unwrap()))).unwrap();
            assert_eq!(text.contains("099000000001"), is_there, "{text}");
        }
    }

    #[test]
    fn a_full_folder_takes_no_more_bodies_and_gives_up_its_oldest_record() {
        let folder = tempfile::tempdir().unwrap();
        let refusal = Refusal::new(Reason::RecipientUnknown);
        let keep = |body: &[u8], keep| refused(body, &refusal).keep_within(folder.path(), keep, 2).unwrap();
        let kept = [b"1", b"2"].map(|body| keep(body, Keep::Whole).unwrap());
        let place = |digest: Digest| folder.path().join(format!("{digest}.json"));
        let file = std::fs::File::options().append(true).open(place(kept[1])).unwrap();
        file.set_modified(SystemTime::UNIX_EPOCH).unwrap();
        assert_eq!(keep(b"3", Keep::Whole), None);
        assert_eq!(keep(b"1", Keep::Whole), Some(kept[0]), "what is there is there");
        let newest = keep(b"3", Keep::DigestAlone).unwrap();
        assert_eq!([newest, kept[0], kept[1]].map(|digest| place(digest).exists()), [true, true, false]);
    }

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
            ("ab", "REQUEST_MALFORMED", Reason::RequestMalformed.message(Language::Vi)),
            ("goi-1", "EDXML_DATE", "Tiếng Việt: ngày 30 tháng 2"),
            ("hs-0001", "RECIPIENT_UNKNOWN", Reason::RecipientUnknown.message(Language::Vi)),
        ];
        assert_eq!((count, seen.as_slice()), (3, &expected[..]));
        assert_eq!(look(folder.path().to_owned(), 1).await.unwrap().1.len(), 1);
        assert_eq!(look(path("nowhere"), 10).await.unwrap(), (0, Vec::new()));
    }
}
