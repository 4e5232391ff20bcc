//! A document-management system: sends signed papers, polls its hub or looks into its folder, registers what comes, says statuses.
//!
//! Its journal is the judge of a test: everything sent and everything received, with what was seen for the first time and what again.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use serde_json::Value;
use tokio::sync::watch;
use tokio::task::JoinHandle;

pub mod call;

use crate::edxml::Dialect;
use crate::edxml::reading::{Seen, read};
use crate::edxml::writing::{self, Paper, Saying};
use call::{CallError, HubAccess, HubCalls, slashed};

/// How a system sends and receives.
#[derive(Clone, Debug)]
pub enum DmsWay {
    /// By a hub's REST door.
    Hub(HubAccess),
    /// By a drop folder: writes into `outgoing`, reads from `incoming`.
    Folder(PathBuf),
}

/// A system.
#[derive(Clone, Debug)]
pub struct DmsOptions {
    /// Its agency's code.
    pub code: String,
    /// How it sends and receives.
    pub way: DmsWay,
    /// How it writes.
    pub dialect: Dialect,
    /// How often it polls.
    pub poll_interval: Duration,
    /// What it says by `updateStatus` about what it fetched.
    pub confirm_as: String,
    /// Whether it says status 01 by itself when a paper arrives.
    pub announces: bool,
}

impl DmsOptions {
    /// A system that polls often, confirms with `done`, and says 01.
    pub fn new(code: &str, way: DmsWay) -> Self {
        Self {
            code: code.to_owned(),
            way,
            dialect: Dialect::Standard,
            poll_interval: Duration::from_millis(100),
            confirm_as: "done".to_owned(),
            announces: true,
        }
    }
}

/// One line of the journal.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Entry {
    /// Whether the system sent it.
    pub is_sent: bool,
    /// Whether the very same package was there before.
    pub is_repeat: bool,
    /// What was in it.
    pub seen: Seen,
    /// The package.
    pub package: Bytes,
}

/// A paper that was sent.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SentPaper {
    /// Its DocumentId.
    pub document_id: String,
    /// Its number and notation.
    pub code: String,
    /// Whom it went to.
    pub to: Vec<String>,
    /// The id that the hub answered; empty for a folder.
    pub doc_id: String,
}

/// Why something was not sent.
#[derive(Debug, thiserror::Error)]
pub enum DmsError {
    /// The hub did not answer.
    #[error(transparent)]
    Call(#[from] CallError),
    /// The hub said no.
    #[error("the hub answered FAIL: {code}: {words}")]
    Refused {
        /// `ErrorCode`.
        code: String,
        /// `ErrorDesc`.
        words: String,
    },
    /// The folder.
    #[error(transparent)]
    Folder(#[from] std::io::Error),
    /// Nothing came in time.
    #[error("not seen in time: {0}")]
    Late(String),
}

/// Faults to come.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct DmsFaults {
    /// Fetches so many packages and forgets them before it confirms, as if it had been restarted.
    pub forget_fetched: usize,
    /// Waits so long between fetching and confirming.
    pub slow: Duration,
    /// Confirms so many packages with `fail`.
    pub fail: usize,
}

/// A running system. Dropping it stops its polling.
pub struct Dms {
    shared: Arc<Shared>,
    polling: Option<JoinHandle<()>>,
}

struct Shared {
    options: DmsOptions,
    hub: Option<HubCalls>,
    journal: Mutex<Vec<Entry>>,
    grown: watch::Sender<usize>,
    faults: Mutex<DmsFaults>,
}

impl Dms {
    /// A system that does not poll yet.
    pub fn new(options: DmsOptions) -> Self {
        let hub = match &options.way {
            DmsWay::Hub(access) => Some(HubCalls::new(access.clone())),
            DmsWay::Folder(_) => None,
        };
        let shared =
            Shared { options, hub, journal: Mutex::default(), grown: watch::Sender::new(0), faults: Mutex::default() };
        Self { shared: Arc::new(shared), polling: None }
    }

    /// Begins to poll; a system that polls already goes on.
    pub fn start(&mut self) {
        let shared = self.shared.clone();
        self.polling.get_or_insert_with(|| tokio::spawn(async move { shared.poll().await }));
    }

    /// Stops polling at once, wherever it is.
    pub fn stop(&mut self) {
        if let Some(task) = self.polling.take() {
            task.abort();
        }
    }

    /// Sets faults.
    pub fn fault(&self, faults: DmsFaults) {
        *self.shared.faults.lock().unwrap_or_else(PoisonError::into_inner) = faults;
    }

    /// Its calls to the hub, for tests that make their own; `None` for a folder.
    pub fn hub(&self) -> Option<&HubCalls> {
        self.shared.hub.as_ref()
    }

    /// Sends a paper under a new DocumentId.
    ///
    /// # Errors
    /// [`DmsError`].
    pub async fn send(&self, paper: &Paper) -> Result<SentPaper, DmsError> {
        let id = format!(
            "{},{},{}/{},{}",
            self.shared.options.code,
            paper.date,
            paper.number,
            paper.notation,
            uuid::Uuid::new_v4().simple()
        );
        self.send_as(paper, &id).await
    }

    /// Sends a paper under this DocumentId.
    ///
    /// # Errors
    /// [`DmsError`].
    pub async fn send_as(&self, paper: &Paper, document_id: &str) -> Result<SentPaper, DmsError> {
        let options = &self.shared.options;
        let package = writing::paper(paper, &options.code, document_id, &slashed(SystemTime::now()), options.dialect);
        let doc_id = self.shared.hand_over(package.into(), "edoc").await?;
        Ok(SentPaper {
            document_id: document_id.to_owned(),
            code: format!("{}/{}", paper.number, paper.notation),
            to: paper.to.clone(),
            doc_id,
        })
    }

    /// Asks for a paper back.
    ///
    /// # Errors
    /// [`DmsError`].
    pub async fn recall(&self, sent: &SentPaper, reason: &str) -> Result<SentPaper, DmsError> {
        let (number, notation) = sent.code.split_once('/').unwrap_or((&sent.code, ""));
        let recall = Paper {
            number: number.to_owned(),
            notation: notation.to_owned(),
            to: sent.to.clone(),
            files: Vec::new(),
            business: 1,
            reason: reason.to_owned(),
            ..Paper::default()
        };
        self.send_as(&recall, &sent.document_id).await
    }

    /// Says a status about a paper that came; 15 and 16 answer a recall or an update.
    ///
    /// # Errors
    /// [`DmsError`].
    pub async fn say(&self, about: &Entry, status: &str, note: &str) -> Result<(), DmsError> {
        self.shared.say(&about.seen, status, note).await
    }

    /// Hands any bytes over as a package.
    ///
    /// # Errors
    /// [`DmsError`].
    pub async fn hand_over(&self, package: Bytes) -> Result<String, DmsError> {
        self.shared.hand_over(package, "edoc").await
    }

    /// Everything sent and received so far.
    pub fn journal(&self) -> Vec<Entry> {
        self.shared.journal.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Waits until something received fits, and gives it.
    ///
    /// # Errors
    /// [`DmsError::Late`].
    pub async fn wait_for(&self, what: &str, fits: impl Fn(&Entry) -> bool) -> Result<Entry, DmsError> {
        let mut grown = self.shared.grown.subscribe();
        let found = async {
            loop {
                if let Some(entry) = self.journal().into_iter().find(|entry| !entry.is_sent && fits(entry)) {
                    return entry;
                }
                if grown.changed().await.is_err() {
                    std::future::pending::<()>().await;
                }
            }
        };
        tokio::time::timeout(Duration::from_secs(60), found).await.map_err(|_| DmsError::Late(what.to_owned()))
    }

    /// Waits for a paper.
    ///
    /// # Errors
    /// [`DmsError::Late`].
    pub async fn wait_for_paper(&self, document_id: &str, business: &str) -> Result<Entry, DmsError> {
        let fits = |entry: &Entry| {
            let kind = if entry.seen.business.is_empty() { "0" } else { entry.seen.business.as_str() };
            entry.seen.status.is_empty() && entry.seen.document_id == document_id && kind == business
        };
        self.wait_for(&format!("{document_id} as {business}"), fits).await
    }

    /// Waits for a status about a paper.
    ///
    /// # Errors
    /// [`DmsError::Late`].
    pub async fn wait_for_status(&self, document_id: &str, status: &str) -> Result<Entry, DmsError> {
        let fits = |entry: &Entry| entry.seen.status == status && entry.seen.document_id == document_id;
        self.wait_for(&format!("{status} about {document_id}"), fits).await
    }
}

impl Drop for Dms {
    fn drop(&mut self) {
        self.stop();
    }
}

impl Shared {
    async fn poll(&self) {
        loop {
            let polled = match &self.options.way {
                DmsWay::Hub(_) => self.poll_hub().await,
                DmsWay::Folder(folder) => self.look(folder).await,
            };
            if let Err(fault) = polled {
                tracing::debug!(%fault, "the system could not poll");
            }
            tokio::time::sleep(self.options.poll_interval).await;
        }
    }

    async fn poll_hub(&self) -> Result<(), DmsError> {
        let Some(hub) = &self.hub else { return Ok(()) };
        let code = self.options.code.as_str();
        for kind in ["edoc", "status"] {
            let listed =
                answer(hub.call("getReceivedEdocList", &[("from", code), ("messagetype", kind)], Bytes::new()).await?)?;
            let items = listed.get("data").and_then(Value::as_array).cloned().unwrap_or_default();
            for item in items {
                let id = item.get("id").and_then(Value::as_str).unwrap_or_default();
                self.fetch(hub, id).await?;
            }
        }
        Ok(())
    }

    async fn fetch(&self, hub: &HubCalls, id: &str) -> Result<(), DmsError> {
        let code = self.options.code.as_str();
        let fetched = answer(hub.call("getEdoc", &[("from", code), ("docId", id)], Bytes::new()).await?)?;
        let text = fetched.get("data").and_then(Value::as_str).unwrap_or_default();
        let package = Bytes::from(STANDARD.decode(text).unwrap_or_default());
        let (forget, fail, slow) = {
            let mut faults = self.faults.lock().unwrap_or_else(PoisonError::into_inner);
            let (forget, fail) = (faults.forget_fetched > 0, faults.fail > 0);
            faults.forget_fetched = faults.forget_fetched.saturating_sub(1);
            faults.fail = faults.fail.saturating_sub(usize::from(!forget));
            (forget, fail, faults.slow)
        };
        tokio::time::sleep(slow).await;
        if forget {
            return Ok(());
        }
        let confirmation = if fail { "fail" } else { self.options.confirm_as.as_str() };
        let arrived = if fail || confirmation == "rejection" { None } else { self.register(package) };
        let parameters = [("from", code), ("docId", id), ("status", confirmation)];
        answer(hub.call("updateStatus", &parameters, Bytes::new()).await?)?;
        self.announce(arrived).await
    }

    async fn look(&self, folder: &std::path::Path) -> Result<(), DmsError> {
        let incoming = folder.join("incoming");
        if !incoming.exists() {
            return Ok(());
        }
        for entry in std::fs::read_dir(incoming)? {
            let path = entry?.path();
            let arrived = self.register(std::fs::read(&path)?.into());
            std::fs::remove_file(&path)?;
            self.announce(arrived).await?;
        }
        Ok(())
    }

    /// Writes a package into the journal; what was seen when it is a paper and came for the first time.
    fn register(&self, package: Bytes) -> Option<Seen> {
        let seen = read(&package).unwrap_or_default();
        let is_repeat = self.note(false, seen.clone(), package);
        let is_paper = seen.status.is_empty() && matches!(seen.business.as_str(), "" | "0" | "2" | "3");
        (is_paper && !is_repeat).then_some(seen)
    }

    async fn announce(&self, arrived: Option<Seen>) -> Result<(), DmsError> {
        match arrived {
            Some(seen) if self.options.announces => self.say(&seen, "01", "Đã đến").await,
            _ => Ok(()),
        }
    }

    async fn say(&self, about: &Seen, status: &str, note: &str) -> Result<(), DmsError> {
        let saying = Saying {
            to: about.from.clone(),
            document_id: about.document_id.clone(),
            code: about.code.clone(),
            status: status.to_owned(),
            note: note.to_owned(),
            at: slashed(SystemTime::now()),
        };
        let package = writing::saying(&saying, &self.options.code, self.options.dialect);
        self.hand_over(package.into(), "status").await.map(drop)
    }

    async fn hand_over(&self, package: Bytes, kind: &str) -> Result<String, DmsError> {
        let doc_id = match (&self.options.way, &self.hub) {
            (DmsWay::Hub(_), Some(hub)) => {
                let parameters = [("from", self.options.code.as_str()), ("messagetype", kind)];
                let answered = answer(hub.call("sendEdoc", &parameters, package.clone()).await?)?;
                answered.get("DocId").and_then(Value::as_str).unwrap_or_default().to_owned()
            }
            (DmsWay::Folder(folder), _) => {
                let name = uuid::Uuid::new_v4().simple().to_string();
                let outgoing = folder.join("outgoing");
                std::fs::write(outgoing.join(format!("{name}.part")), &package)?;
                std::fs::rename(outgoing.join(format!("{name}.part")), outgoing.join(format!("{name}.edxml")))?;
                String::new()
            }
            (DmsWay::Hub(_), None) => String::new(),
        };
        let seen = read(&package).unwrap_or_default();
        self.note(true, seen, package);
        Ok(doc_id)
    }

    fn note(&self, is_sent: bool, seen: Seen, package: Bytes) -> bool {
        let mut journal = self.journal.lock().unwrap_or_else(PoisonError::into_inner);
        let is_repeat = journal.iter().any(|entry| entry.is_sent == is_sent && entry.package == package);
        journal.push(Entry { is_sent, is_repeat, seen, package });
        self.grown.send_replace(journal.len());
        is_repeat
    }
}

fn answer(answer: Value) -> Result<Value, DmsError> {
    let text = |key: &str| answer.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
    if text("status") == "OK" {
        return Ok(answer);
    }
    Err(DmsError::Refused { code: text("ErrorCode"), words: text("ErrorDesc") })
}
