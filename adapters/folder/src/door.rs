//! Brings in what is dropped into the outgoing folder.
//!
//! A drop is a describing file and what belongs to it: `NAME.lt` (a serialized `SignedEnvelope`) or `NAME.toml` (a description), with
//! the files `NAME.*` and the folder `NAME/`; or all of that inside the folder `NAME/`. The describing file comes last. A drop is taken
//! when no file of it ends in `.tmp` or `.part` and nothing of it has changed between two looks. Then:
//!
//! 1. plain files are sealed, and the sealed bytes kept under `.lienthong/sealed`, so that a repeat after a crash is byte-identical;
//! 2. parts are uploaded, the envelope submitted;
//! 3. accepted: the drop moves to `sent/` with its receipt; refused: to `refused/` with the reason; busy: it stays and is tried again.
//!
//! A move is written down under `.lienthong/moving` before it begins and finished after a crash. What was sent is removed when it has lain
//! in `sent/` for `set_aside_for`; what was refused is nobody's to remove but its sender's.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use adapters_sdk::forget;
use adapters_sdk::seal::config::SealConfig;
use adapters_sdk::{AdapterError, Door, NewPart, Submitted};
use gateway_model::{Digest, Refusal, Timestamp};
use tokio::time::Instant;

use crate::config::Outgoing;
use crate::layout::Layout;
use adapters_sdk::disk;

mod description;
mod item;
mod ready;
mod settle;

use item::{Fingerprint, Item};
use ready::{Parcel, Preparation};
use settle::Verdict;

/// Longest pause after the gateway said that it is busy, unless it asks for more.
const PAUSE_MAX: Duration = Duration::from_secs(60);

/// A drop that cannot be read or moved is passed over for 1, 2, 4, … looks, and at most for two to this power.
const PASSED_OVER_MAX: u32 = 8;

/// The watched folder.
pub(crate) struct Outbox {
    layout: Arc<Layout>,
    folder: PathBuf,
    poll_interval: Duration,
    preparation: Arc<Preparation>,
    /// What each drop looked like at the last look, and how often it was put off.
    seen: HashMap<String, Seen>,
    /// The gateway is busy: no submissions before then.
    paused_until: Option<Timestamp>,
    pauses: u32,
    set_aside_for: Duration,
    /// When what was sent long ago was last removed.
    swept: Option<Instant>,
}

struct Seen {
    fingerprint: Fingerprint,
    put_off: u32,
    /// Looks to pass over it: it could not be read or moved.
    passed_over: u32,
}

impl Outbox {
    /// Makes the folders and reads the agency's key.
    pub(crate) fn open(layout: &Arc<Layout>, outgoing: Outgoing) -> Result<Self, AdapterError> {
        let folder = layout.root.join(&outgoing.folder);
        for folder in [&folder, &layout.sent, &layout.refused] {
            disk::make_folder(folder)?;
        }
        let sealer = outgoing.seal.as_ref().map(SealConfig::open).transpose()?;
        let preparation = Preparation {
            sealed: layout.sealed.clone(),
            working: layout.working.clone(),
            sealer,
            outgoing: outgoing.clone(),
        };
        Ok(Self {
            layout: layout.clone(),
            folder,
            poll_interval: outgoing.poll_interval,
            set_aside_for: outgoing.set_aside_for,
            swept: None,
            preparation: Arc::new(preparation),
            seen: HashMap::new(),
            paused_until: None,
            pauses: 0,
        })
    }

    /// Looks at the folder again and again until the door closes.
    pub(crate) async fn serve(&mut self, door: &dyn Door) -> Result<(), AdapterError> {
        loop {
            tokio::select! {
                biased;
                () = door.closed() => return Ok(()),
                looked = self.look(door) => looked?,
            }
            tokio::select! {
                () = door.closed() => return Ok(()),
                () = tokio::time::sleep(self.poll_interval) => {}
            }
        }
    }

    /// Looks once: finishes moves that a crash interrupted, then takes every drop that has not changed since the last look.
    ///
    /// # Cancellation
    /// Harmless at any point: what was submitted is submitted again with the same bytes.
    pub(crate) async fn look(&mut self, door: &dyn Door) -> Result<(), AdapterError> {
        let (layout, folder) = (self.layout.clone(), self.folder.clone());
        let items = disk::run(move || {
            settle::finish_moves(&layout, &folder)?;
            item::scan(&folder)
        })
        .await??;
        self.sweep().await?;
        for item in self.unchanged(items) {
            if self.paused_until.is_some_and(|until| door.now() < until) {
                break;
            }
            self.take_or_leave(item, door).await?;
        }
        Ok(())
    }

    /// Removes once a day what was sent long ago. Between two looks nothing is being moved, and every move that had begun is finished.
    async fn sweep(&mut self) -> Result<(), AdapterError> {
        if self.swept.is_some_and(|at| at.elapsed() < forget::EVERY) {
            return Ok(());
        }
        self.swept = Some(Instant::now());
        let (layout, older_than) = (self.layout.clone(), self.set_aside_for);
        let swept = disk::run(move || forget::set_aside(&layout.sent, settle::RECEIPT, older_than));
        if let Err(fault) = swept.await? {
            tracing::warn!(%fault, "what was sent long ago cannot be removed now");
        }
        Ok(())
    }

    /// The drops that looked the same last time, those first that were put off least.
    fn unchanged(&mut self, items: Vec<Item>) -> Vec<Item> {
        let mut before = std::mem::take(&mut self.seen);
        let mut same = Vec::new();
        for item in items {
            let seen = before.remove(&item.name);
            let is_same = seen.as_ref().is_some_and(|seen| seen.fingerprint == item.fingerprint);
            let (put_off, passed_over) = seen.map_or((0, 0), |seen| (seen.put_off, seen.passed_over));
            let fingerprint = item.fingerprint.clone();
            self.seen
                .insert(item.name.clone(), Seen { fingerprint, put_off, passed_over: passed_over.saturating_sub(1) });
            if is_same && item.is_complete && passed_over == 0 {
                same.push((put_off, item));
            }
        }
        same.sort_by(|(a, one), (b, other)| (a, &one.name).cmp(&(b, &other.name)));
        same.into_iter().map(|(_, item)| item).collect()
    }

    /// A drop whose own files cannot be read now, or have just gone, is left for the next look; the others go on.
    async fn take_or_leave(&mut self, item: Item, door: &dyn Door) -> Result<(), AdapterError> {
        let (name, fingerprint) = (item.name.clone(), item.fingerprint.clone());
        let put_off = self.seen.get(&name).map_or(0, |seen| seen.put_off);
        match self.take(item, door).await {
            Err(fault @ AdapterError::File { .. }) => {
                tracing::warn!(%fault, "a dropped envelope cannot be read or moved now");
                let passed_over = 1 << put_off.min(PASSED_OVER_MAX);
                self.seen.insert(name, Seen { fingerprint, put_off: put_off.saturating_add(1), passed_over });
                Ok(())
            }
            taken => taken,
        }
    }

    async fn take(&mut self, item: Item, door: &dyn Door) -> Result<(), AdapterError> {
        let (preparation, now) = (self.preparation.clone(), door.now());
        let (item, prepared) = disk::run(move || {
            let prepared = preparation.prepare(&item, now);
            (item, prepared)
        })
        .await?;
        let parcel = match prepared? {
            Ok(parcel) => parcel,
            Err(refusal) => {
                let key = Digest::of(item.name.as_bytes());
                return self.settle(item, key, Verdict::Refused(refusal), None).await;
            }
        };
        match hand_in(&parcel, door).await? {
            Ok(submitted) => {
                self.paused_until = None;
                self.pauses = 0;
                let verdict = Verdict::Sent { receipt: submitted.receipt, signed: parcel.signed };
                self.settle(item, parcel.key, verdict, parcel.sealed).await
            }
            Err(refusal) if refusal.reason.is_retryable() => {
                self.put_off(&item, &refusal, now);
                Ok(())
            }
            Err(refusal) => self.settle(item, parcel.key, Verdict::Refused(refusal), parcel.sealed).await,
        }
    }

    /// What may be tried again is about the gateway, not about the drop: everything waits a little.
    fn put_off(&mut self, item: &Item, refusal: &Refusal, now: Timestamp) {
        let grown = self.poll_interval.saturating_mul(1 << self.pauses.min(10)).min(PAUSE_MAX);
        let wait = refusal.retry_after.unwrap_or_default().max(grown);
        self.pauses += 1;
        self.paused_until = Some(now.plus(wait));
        if let Some(seen) = self.seen.get_mut(&item.name) {
            seen.put_off += 1;
        }
        tracing::info!(reason = %refusal.reason, wait_seconds = wait.as_secs(), "the gateway does not take submissions now");
    }

    async fn settle(
        &mut self,
        item: Item,
        key: Digest,
        verdict: Verdict,
        sealed: Option<PathBuf>,
    ) -> Result<(), AdapterError> {
        self.seen.remove(&item.name);
        let (layout, folder) = (self.layout.clone(), self.folder.clone());
        disk::run(move || settle::settle(&layout, &folder, &item, key, &verdict, sealed.as_deref())).await?
    }
}

/// Uploads the parts and submits. The outer error is the adapter's, the inner one the gateway's answer.
async fn hand_in(parcel: &Parcel, door: &dyn Door) -> Result<Result<Submitted, Refusal>, AdapterError> {
    for part in &parcel.parts {
        let file = tokio::fs::File::open(&part.path).await.map_err(disk::at(&part.path))?;
        if let Err(refusal) = door.upload(NewPart { digest: part.digest, size: part.size }, Box::new(file)).await {
            return Ok(Err(refusal));
        }
    }
    Ok(door.submit(parcel.signed.clone()).await)
}

#[cfg(test)]
mod tests;
