//! Result files by link: copied to the adapter's own disk, served under a name that nobody guesses, until the link ends.
//!
//! A link is an HMAC-SHA-256 over the delivery and the file, so that the same delivery again gives the same link, and whoever does not
//! have it cannot make it up. `results/<token>.bin` is the file, `results/<token>.json` what it is and when the link ends.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use adapters_sdk::{AdapterError, Delivery, Outcome};
use aws_lc_rs::hmac;
use axum::Router;
use axum::body::Body;
use axum::extract::{Path as UrlPath, State};
use axum::response::Response;
use axum::routing::get;
use futures::{StreamExt as _, stream};
use gateway_model::envelope::Part;
use gateway_model::hash::Hasher;
use gateway_model::{Reason, Timestamp};
use http::{HeaderValue, StatusCode, header};
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::disk;
use crate::to_land::later;

/// Bytes read or written at once.
const CHUNK_BYTES: usize = 64 * 1024;
/// Bytes of what stands beside a file.
const NOTE_BYTES_MAX: u64 = 64 * 1024;
/// Bytes of the key.
const KEY_BYTES: usize = 32;
/// Files that are served at one time.
const FILES_MAX: usize = 100_000;
/// How often it is looked for links that have ended: each look reads every note.
const SWEEP_EVERY: Duration = Duration::from_secs(600);
/// A file without a note that is older was begun by an attempt that nobody goes on with.
const ORPHAN_AGE: Duration = Duration::from_secs(86_400);

/// The links.
#[derive(Clone)]
pub(super) struct Links(Arc<Shelf>);

struct Shelf {
    folder: PathBuf,
    key: hmac::Key,
    public_url: String,
    life: Duration,
    swept: Mutex<Option<Swept>>,
}

/// The last look for links that have ended.
struct Swept {
    at: Instant,
    /// Files since.
    files: usize,
}

/// What a served file is.
#[derive(Serialize, Deserialize, Debug)]
struct Note {
    name: String,
    media_type: String,
    size: u64,
    /// Seconds since 1970.
    expires_at: i64,
}

impl Links {
    /// Reads the key, or makes one, and removes what has ended.
    pub(super) fn open(folder: &Path, public_url: &str, life: Duration) -> Result<Self, AdapterError> {
        let path = folder.join("key");
        let bytes = match disk::read_if_there(&path, KEY_BYTES as u64)? {
            Some(bytes) if bytes.len() == KEY_BYTES => bytes,
            Some(_) => return Err(AdapterError::Other(format!("{} is no key", path.display()))),
            None => {
                let mut bytes = [0; KEY_BYTES];
                aws_lc_rs::rand::fill(&mut bytes)
                    .map_err(|_| AdapterError::Other("the machine has no random numbers".to_owned()))?;
                disk::replace(&path, &bytes)?;
                bytes.to_vec()
            }
        };
        let key = hmac::Key::new(hmac::HMAC_SHA256, &bytes);
        let links = Self(Arc::new(Shelf {
            folder: folder.to_owned(),
            key,
            public_url: public_url.to_owned(),
            life,
            swept: Mutex::default(),
        }));
        links.0.count(now())?;
        Ok(links)
    }

    /// Puts a part of a delivery where its link leads, durably, and gives the link.
    pub(super) async fn put(&self, delivery: &Delivery, name: &str, part: &Part) -> Result<String, Outcome> {
        let mut context = hmac::Context::with_key(&self.0.key);
        delivery.ids.iter().for_each(|id| context.update(&id.0));
        context.update(&part.digest.0);
        let token = hex::encode(context.sign().as_ref());
        let url = format!("{}/tep/{token}", self.0.public_url);
        let shelf = self.0.clone();
        let found = disk::run({
            let (shelf, token) = (shelf.clone(), token.clone());
            move || shelf.count(now()).and_then(|count| Ok((count, shelf.note(&token)?)))
        });
        let (count, note) = flat(found.await)?;
        if note.is_some_and(|note| note.expires_at > now().seconds()) {
            return Ok(url);
        }
        if count >= FILES_MAX {
            return Err(later(Reason::StoreFull, "too many files are served by link"));
        }
        self.copy(delivery, part, &token).await?;
        let expires_at = now().plus(self.0.life).seconds();
        let (name, media_type) = (name.to_owned(), part.media_type.clone());
        let note = Note { name, media_type, size: part.size, expires_at };
        // The note comes last: what has a note is whole.
        let kept = disk::run(move || {
            let bytes = serde_json::to_vec(&note).map_err(|fault| AdapterError::Other(fault.to_string()))?;
            disk::replace(&shelf.folder.join(format!("{token}.json")), &bytes)?;
            shelf.add();
            Ok(())
        });
        flat(kept.await)?;
        Ok(url)
    }

    async fn copy(&self, delivery: &Delivery, part: &Part, token: &str) -> Result<(), Outcome> {
        let path = self.0.folder.join(format!("{token}.bin"));
        let unkept = |fault: std::io::Error| later(Reason::AdapterFailed, &format!("a file cannot be kept: {fault}"));
        let unread =
            |fault: std::io::Error| later(Reason::StoreUnavailable, &format!("a part cannot be read: {fault}"));
        let mut file = tokio::fs::File::create(&path).await.map_err(unkept)?;
        let mut source = delivery.parts.open(&part.digest, 0).await.map_err(unread)?;
        let (mut hasher, mut buffer) = (Hasher::new(), vec![0; CHUNK_BYTES]);
        let mut left = part.size;
        loop {
            let count = source.read(&mut buffer).await.map_err(unread)?;
            if count == 0 {
                break;
            }
            let Some(rest) = left.checked_sub(count as u64) else { break };
            left = rest;
            hasher.update(&buffer[..count]);
            file.write_all(&buffer[..count]).await.map_err(unkept)?;
        }
        if left > 0 || hasher.finish() != part.digest {
            return Err(later(Reason::PartDigestMismatch, "a part has other bytes than named"));
        }
        file.flush().await.map_err(unkept)?;
        file.sync_all().await.map_err(unkept)
    }

    /// The route of the links.
    pub(super) fn router(&self) -> Router {
        Router::new().route("/tep/{token}", get(serve)).with_state(self.clone())
    }
}

impl Shelf {
    fn note(&self, token: &str) -> Result<Option<Note>, AdapterError> {
        let bytes = disk::read_if_there(&self.folder.join(format!("{token}.json")), NOTE_BYTES_MAX)?;
        Ok(bytes.and_then(|bytes| serde_json::from_slice(&bytes).ok()))
    }

    /// How many files are served; now and then, what has ended is removed before.
    fn count(&self, now: Timestamp) -> Result<usize, AdapterError> {
        let mut swept = self.swept.lock().unwrap_or_else(PoisonError::into_inner);
        match &*swept {
            Some(swept) if swept.at.elapsed() < SWEEP_EVERY => Ok(swept.files),
            Some(_) | None => {
                let files = self.sweep(now)?;
                *swept = Some(Swept { at: Instant::now(), files });
                Ok(files)
            }
        }
    }

    /// One file more is served.
    fn add(&self) {
        if let Some(swept) = &mut *self.swept.lock().unwrap_or_else(PoisonError::into_inner) {
            swept.files += 1;
        }
    }

    /// Removes what has ended; gives how many files are left.
    fn sweep(&self, now: Timestamp) -> Result<usize, AdapterError> {
        let mut left = 0;
        for entry in std::fs::read_dir(&self.folder).map_err(disk::at(&self.folder))? {
            let entry = entry.map_err(disk::at(&self.folder))?;
            let name = entry.file_name();
            if let Some(token) = name.to_str().and_then(|name| name.strip_suffix(".bin")) {
                self.remove_orphan(&entry, token)?;
            }
            let Some(token) = name.to_str().and_then(|name| name.strip_suffix(".json")) else { continue };
            match self.note(token)? {
                Some(note) if note.expires_at > now.seconds() => left += 1,
                _ => {
                    disk::remove(&self.folder.join(format!("{token}.json")))?;
                    disk::remove(&self.folder.join(format!("{token}.bin")))?;
                }
            }
        }
        Ok(left)
    }

    fn remove_orphan(&self, file: &std::fs::DirEntry, token: &str) -> Result<(), AdapterError> {
        let modified = file.metadata().and_then(|metadata| metadata.modified());
        let is_old = modified.is_ok_and(|at| at.elapsed().is_ok_and(|age| age > ORPHAN_AGE));
        match is_old && !self.folder.join(format!("{token}.json")).exists() {
            true => disk::remove(&file.path()),
            false => Ok(()),
        }
    }
}

async fn serve(State(links): State<Links>, UrlPath(token): UrlPath<String>) -> Response {
    // Only the shape of our own tokens is a name on our disk.
    if token.len() != 64 || !token.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return only(StatusCode::NOT_FOUND);
    }
    let shelf = links.0.clone();
    let found = disk::run({
        let token = token.clone();
        move || shelf.note(&token)
    });
    let note = match found.await.and_then(|note| note) {
        Ok(Some(note)) if note.expires_at > now().seconds() => note,
        Ok(Some(_)) => return only(StatusCode::GONE),
        Ok(None) => return only(StatusCode::NOT_FOUND),
        Err(fault) => {
            tracing::error!(%fault, "a file that is served by link cannot be read");
            return only(StatusCode::SERVICE_UNAVAILABLE);
        }
    };
    let Ok(file) = tokio::fs::File::open(links.0.folder.join(format!("{token}.bin"))).await else {
        return only(StatusCode::NOT_FOUND);
    };
    let chunks = stream::try_unfold(file, |mut file| async move {
        let mut chunk = vec![0; CHUNK_BYTES];
        let count = file.read(&mut chunk).await?;
        chunk.truncate(count);
        Ok::<_, std::io::Error>((count > 0).then(|| (bytes::Bytes::from(chunk), file)))
    });
    let mut response = Response::new(Body::from_stream(chunks.boxed()));
    let headers = response.headers_mut();
    let media_type = HeaderValue::from_str(&note.media_type);
    headers.insert(header::CONTENT_TYPE, media_type.unwrap_or(HeaderValue::from_static("application/octet-stream")));
    headers.insert(header::CONTENT_LENGTH, HeaderValue::from(note.size));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    if let Ok(value) = HeaderValue::from_str(&disposition(&note.name)) {
        headers.insert(header::CONTENT_DISPOSITION, value);
    }
    response
}

/// A download with the file's own name (RFC 8187), never something to show in a page.
fn disposition(name: &str) -> String {
    let encoded: String = name.bytes().map(percent).collect();
    format!("attachment; filename*=UTF-8''{encoded}")
}

fn percent(byte: u8) -> String {
    match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => char::from(byte).to_string(),
        byte => format!("%{byte:02X}"),
    }
}

fn only(status: StatusCode) -> Response {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = status;
    response
}

fn flat<T>(done: Result<Result<T, AdapterError>, AdapterError>) -> Result<T, Outcome> {
    done.and_then(|done| done).map_err(|fault| later(Reason::AdapterFailed, &fault.to_string()))
}

/// Links end by the clock on the wall: they outlive every process.
fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    Timestamp::from_seconds(i64::try_from(since.as_secs()).unwrap_or(i64::MAX))
}
