//! Polls another organisation's hub: list → fetch → bring in → confirm.
//!
//! A package is confirmed `done` only when the gateway has it durably, `rejection` only when it lies in quarantine; whatever goes wrong in
//! between, it is listed again. One that cannot be fetched is passed over for a while, longer each time, with the reason in quarantine; when
//! the gateway is busy, nothing more is fetched for the moment.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use adapters_sdk::outbound::OutboundError;
use adapters_sdk::{AdapterError, Door, disk};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use gateway_model::{Digest, Timestamp};
use tokio::time::Instant;

use super::{Answered, CallFault, HubClient, data, is_passing};
use crate::hub::ReceivedItem;
use crate::intake::NotIn;
use crate::quarantine;

/// Packages of one list; the rest comes with the next.
const ITEMS_MAX: usize = 1_000;

/// Longest pause between two tries to fetch a package.
const PASSED_OVER_MAX: Duration = Duration::from_secs(3_600);
/// Packages that are passed over at one time.
const PASSED_OVER_COUNT_MAX: usize = 10_000;
/// Pause after the gateway said that it is busy, unless it asks for more, and at most.
const PAUSE: Duration = Duration::from_secs(5);
const PAUSE_MAX: Duration = Duration::from_secs(60);

impl HubClient {
    /// Polls until the gateway drains.
    pub(crate) async fn serve(&self, door: &dyn Door) -> Result<(), AdapterError> {
        loop {
            tokio::select! {
                biased;
                () = door.closed() => return Ok(()),
                polled = self.poll(door) => polled?,
            }
            tokio::select! {
                () = door.closed() => return Ok(()),
                () = tokio::time::sleep(self.config.poll_interval) => {}
            }
        }
    }

    /// One round. A hub that does not answer is no error of ours: the next round asks again.
    async fn poll(&self, door: &dyn Door) -> Result<(), AdapterError> {
        let mut trouble = None;
        'round: for code in &self.config.poll_as {
            for kind in ["edoc", "status"] {
                match self.poll_one(code, kind, door).await? {
                    Ok(Polled::All) => {}
                    Ok(Polled::Busy(pause)) => {
                        tokio::time::sleep(pause).await;
                        break 'round;
                    }
                    Err(fault) => trouble = Some(fault.to_string()),
                }
            }
        }
        let mut last = self.trouble.lock().unwrap_or_else(PoisonError::into_inner);
        if *last != trouble {
            match &trouble {
                Some(cause) => tracing::warn!(%cause, "the hub cannot be polled"),
                None => tracing::info!("the hub is polled again"),
            }
        }
        *last = trouble;
        Ok(())
    }

    async fn poll_one(
        &self,
        code: &str,
        kind: &str,
        door: &dyn Door,
    ) -> Result<Result<Polled, CallFault>, AdapterError> {
        let parameters = [("from", code), ("messagetype", kind)];
        let listed = self.call("getReceivedEdocList", &parameters, None, door.now()).await;
        let items: Vec<ReceivedItem> = match listed.and_then(data) {
            Ok(items) => items,
            Err(fault) => return Ok(Err(fault)),
        };
        let mut trouble = Ok(Polled::All);
        for item in items.iter().filter(|item| !self.passed_over.has(&item.id)).take(ITEMS_MAX) {
            match self.take(code, item, door).await? {
                Ok(Polled::All) => {}
                Ok(Polled::Busy(pause)) => return Ok(Ok(Polled::Busy(pause))),
                // One package that cannot be fetched does not stop the others.
                Err(fault) => trouble = Err(fault),
            }
        }
        Ok(trouble)
    }

    /// Passes a package over for a while. The first time the reason is kept where the operator finds it.
    async fn pass_over(&self, item: &ReceivedItem, fault: &CallFault) -> Result<(), AdapterError> {
        if self.passed_over.add(&item.id, self.config.poll_interval) > 1 {
            return Ok(());
        }
        let name = quarantine::name_of(&item.id, &Digest::of(item.id.as_bytes()).to_string());
        let (quarantine, reason) = (self.quarantine.clone(), quarantine::of_silence(fault));
        disk::run(move || quarantine.explain(&name, &reason)).await?
    }

    async fn take(
        &self,
        code: &str,
        item: &ReceivedItem,
        door: &dyn Door,
    ) -> Result<Result<Polled, CallFault>, AdapterError> {
        let package = match self.fetch(code, item, door.now()).await {
            Ok(package) => package,
            Err(fault) => {
                if fault.is_about_the_package() {
                    self.pass_over(item, &fault).await?;
                }
                return Ok(Err(fault));
            }
        };
        self.passed_over.remove(&item.id);
        let confirmation = match self.intake.bring(package.clone(), None, door).await? {
            Ok(_) => "done",
            Err(NotIn::Busy(refusal)) => {
                tracing::info!(reason = %refusal.reason, "the gateway does not take submissions now");
                return Ok(Ok(Polled::Busy(refusal.retry_after.unwrap_or(PAUSE).min(PAUSE_MAX))));
            }
            Err(NotIn::Defect(fault)) => self.put_away(item, &package, quarantine::of_fault(&fault)).await?,
            Err(NotIn::Refused(refusal)) => self.put_away(item, &package, quarantine::of_refusal(&refusal)).await?,
        };
        let parameters = [("from", code), ("docId", item.id.as_str()), ("status", confirmation)];
        Ok(self.call("updateStatus", &parameters, None, door.now()).await.map(|_| Polled::All))
    }

    async fn fetch(&self, code: &str, item: &ReceivedItem, now: Timestamp) -> Result<Bytes, CallFault> {
        let answer = self.call("getEdoc", &[("from", code), ("docId", item.id.as_str())], None, now).await?;
        let package = match answer {
            Answered::Raw(bytes) => bytes,
            Answered::Json(answer) => {
                let text = answer.data.as_ref().and_then(|data| data.as_str()).ok_or(CallFault::Answer)?;
                STANDARD.decode(text.trim()).map(Bytes::from).map_err(|_| CallFault::Answer)?
            }
        };
        let wanted = &item.content_sha256;
        match wanted.is_empty() || wanted.eq_ignore_ascii_case(&Digest::of(&package).to_string()) {
            true => Ok(package),
            false => Err(CallFault::Answer),
        }
    }

    async fn put_away(
        &self,
        item: &ReceivedItem,
        package: &Bytes,
        reason: String,
    ) -> Result<&'static str, AdapterError> {
        let (quarantine, name, package) = (self.quarantine.clone(), item.id.clone(), package.clone());
        disk::run(move || quarantine.keep(&name, &package, &reason)).await??;
        Ok("rejection")
    }
}

impl CallFault {
    /// Whether it is this package that the hub cannot give, or not as it should be; otherwise nothing can be had of the hub.
    fn is_about_the_package(&self) -> bool {
        match self {
            Self::No { code, .. } => !is_passing(code),
            Self::Answer | Self::Parameter | Self::Outbound(OutboundError::TooLarge { .. }) => true,
            Self::Outbound(_) => false,
        }
    }
}

/// How far a round came.
enum Polled {
    /// To its end.
    All,
    /// The gateway takes nothing more for so long.
    Busy(Duration),
}

/// Packages that could not be fetched, how often, and until when they are passed over.
#[derive(Default)]
pub(super) struct PassedOver(Mutex<HashMap<String, (u32, Instant)>>);

impl PassedOver {
    fn has(&self, id: &str) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(id).is_some_and(|(_, until)| *until > Instant::now())
    }

    /// Counts one more failure, and gives how many there were with it.
    fn add(&self, id: &str, poll_interval: Duration) -> u32 {
        let mut packages = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if packages.len() >= PASSED_OVER_COUNT_MAX && !packages.contains_key(id) {
            packages.clear();
        }
        let (times, until) = packages.entry(id.to_owned()).or_insert((0, Instant::now()));
        let pause = poll_interval.saturating_mul(2 << (*times).min(16)).min(PASSED_OVER_MAX);
        (*times, *until) = (times.saturating_add(1), Instant::now() + pause);
        *times
    }

    fn remove(&self, id: &str) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(id);
    }
}
