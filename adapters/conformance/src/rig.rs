//! The rig of one point: a gateway, a system and a process of its own, and the steps that points are made of.

mod system;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use crate::Trouble;
use crate::brake::Brake;
use crate::effects::Effects;
use crate::effects::sink::Sink;
use crate::gateway::Gateway;
use crate::gateway::service::{Door, QUEUE};
use crate::gateway::stage::{Call, Stage, Standing, State};
use crate::identity::Identity;
use crate::manifest::{self, Manifest, Named, Values};
use crate::parcel::Letter;
use crate::ports::free_ports;
use crate::process::{self, Process};

/// A step that gets on, piece by piece, may take so many times the patience with one that does not.
const PATIENCE_TIMES_MAX: u32 = 30;

/// Why a point is not passed, in words for the adapter's author.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Finding(pub String);

impl From<Trouble> for Finding {
    fn from(trouble: Trouble) -> Self {
        Self(format!("the kit could not go on: {trouble}"))
    }
}

/// Which configuration file the adapter gets.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Configured {
    /// The good one.
    Well,
    /// The bad one.
    Badly,
}

/// Everything that one point works with.
pub struct Rig {
    /// What the author says.
    pub manifest: Arc<Manifest>,
    /// Keys and certificates.
    pub identity: Arc<Identity>,
    /// What the gateway knows.
    pub stage: Arc<Stage>,
    /// What the system has.
    pub effects: Arc<Effects>,
    /// The gateway.
    pub gateway: Gateway,
    /// What `{canary}` stands for.
    pub canary: String,
    parts_brake: Brake,
    values: Values,
    work: PathBuf,
    process: Option<Process>,
    logs: Vec<String>,
    starts: u32,
}

impl Rig {
    /// Makes the gateway and the system; the adapter is started by the point.
    ///
    /// # Errors
    /// When there is no port or no folder.
    pub async fn new(
        manifest: Arc<Manifest>,
        identity: Arc<Identity>,
        work: PathBuf,
        newer: bool,
    ) -> Result<Self, Trouble> {
        std::fs::create_dir_all(work.join("state")).map_err(|source| Trouble::File { path: work.clone(), source })?;
        let canary = format!("canary-{:016x}", rand::random::<u64>());
        let mut values = Values::new(&manifest.values);
        values.set("work", work.display().to_string());
        values.set("here", manifest.here.display().to_string());
        values.set("canary", &canary);
        values.set("sender", crate::identity::SENDER);
        values.set("recipient", crate::identity::RECIPIENT);
        values.set("seal_certificate", identity.files.seal_certificate.display().to_string());
        values.set("seal_key", identity.files.seal_key.display().to_string());
        values.set("port", free_ports(1).map_err(Trouble::Network)?.remove(0).to_string());
        let sink = match &manifest.effects {
            manifest::Effects::Http { id, answer } => Some(Sink::start(id, answer).await?),
            manifest::Effects::Folder { .. } | manifest::Effects::Command { .. } => None,
        };
        if let Some(sink) = &sink {
            values.set("sink", sink.url());
        }
        let effects = Arc::new(Effects::new(&manifest.effects, &values, &manifest.here, sink));
        let (stage, parts_brake) = (Arc::new(Stage::default()), Brake::default());
        let door = Door {
            stage: stage.clone(),
            identity: identity.clone(),
            effects: effects.clone(),
            brake: parts_brake.clone(),
        };
        let gateway = Gateway::start(door, newer).await?;
        let (process, logs, starts) = (None, Vec::new(), 0);
        Ok(Self {
            manifest,
            identity,
            stage,
            effects,
            gateway,
            canary,
            parts_brake,
            values,
            work,
            process,
            logs,
            starts,
        })
    }

    /// Starts the adapter, or starts it again with the same state folder.
    ///
    /// # Errors
    /// When its command cannot be started.
    pub fn start(&mut self, configured: Configured) -> Result<(), Finding> {
        self.keep_log();
        let files = &self.identity.files;
        let path = |path: &std::path::Path| path.display().to_string();
        let mut environment = vec![
            ("LIENTHONG_GATEWAY", self.gateway.url()),
            ("LIENTHONG_ROOTS", path(&files.roots)),
            ("LIENTHONG_CERTIFICATE", path(&files.certificate)),
            ("LIENTHONG_KEY", path(&files.key)),
            ("LIENTHONG_QUEUE", QUEUE.to_owned()),
            ("LIENTHONG_STATE", path(&self.work.join("state"))),
            // Everything is on this machine: no proxy of the author's stands between.
            ("NO_PROXY", "127.0.0.1,localhost".to_owned()),
            ("no_proxy", "127.0.0.1,localhost".to_owned()),
        ];
        if let Some(config) = &self.manifest.config {
            let file = self.work.join(&config.file);
            let text = if configured == Configured::Well { &config.good } else { &config.bad };
            let beside = config.beside.iter().map(|(name, text)| (self.work.join(name), text));
            for (path, text) in beside.chain([(file.clone(), text)]) {
                let written = std::fs::write(&path, self.values.fill(text));
                written.map_err(|source| Trouble::File { path, source })?;
            }
            environment.push(("LIENTHONG_CONFIG", path(&file)));
        }
        self.starts += 1;
        let log = self.work.join(format!("log-{}", self.starts));
        let command = self.values.fill_all(&self.manifest.command);
        self.process = Some(Process::start(&command, &self.manifest.here, &environment, log)?);
        Ok(())
    }

    /// Starts the adapter with its good configuration and waits until it asks for work.
    ///
    /// # Errors
    /// When it does not.
    pub async fn start_working(&mut self) -> Result<(), Finding> {
        let before = self.stage.see(|state| state.calls.len());
        self.start(Configured::Well)?;
        let leases = |state: &mut State| {
            let new = state.calls.get(before..).unwrap_or_default();
            new.iter().any(|call| matches!(call, Call::Lease { .. })).then_some(())
        };
        self.wait_within(self.manifest.start_patience(), "register and call Lease", leases).await
    }

    /// Puts a delivery into the queue and gives its id.
    ///
    /// # Errors
    /// When it cannot be signed.
    pub fn queue(&self, letter: Letter) -> Result<String, Finding> {
        let parcel = letter.seal(&self.identity, self.manifest.content)?;
        let id = parcel.id.clone();
        self.stage.change(|state| state.queue(parcel));
        Ok(id)
    }

    /// Waits for the adapter's next step, which `what` names.
    ///
    /// # Errors
    /// When it does not come in time, or the process ends.
    pub async fn wait<T>(&self, what: &str, ready: impl FnMut(&mut State) -> Option<T>) -> Result<T, Finding> {
        self.wait_within(self.manifest.patience(), what, ready).await
    }

    /// As [`Self::wait`], for as long as said.
    ///
    /// # Errors
    /// When it does not come in time, or the process ends.
    pub async fn wait_within<T>(
        &self,
        within: Duration,
        what: &str,
        mut ready: impl FnMut(&mut State) -> Option<T>,
    ) -> Result<T, Finding> {
        let begun = Instant::now();
        let (mut until, latest) = (begun + within, begun + within * PATIENCE_TIMES_MAX);
        let mut look = |state: &mut State| match state.broken() {
            Some(what) => Some(Err(what.to_owned())),
            None => ready(state).map(Ok),
        };
        loop {
            let found = tokio::select! {
                biased;
                found = self.stage.wait(until.saturating_duration_since(Instant::now()), &mut look) => found,
                () = self.end() => self.stage.change(&mut look),
            };
            match found {
                Some(Ok(found)) => return Ok(found),
                Some(Err(broken)) => return Err(self.finding(&broken)),
                None => {}
            }
            if let Some(status) = self.process.as_ref().and_then(Process::has_ended) {
                return Err(self.finding(&format!("the adapter did not {what}: it ended with {status}")));
            }
            // Who reads a large part gets on: patience is counted from the last piece.
            let last_piece = self.stage.see(|state| state.last_piece);
            let longer = last_piece.map_or(until, |piece| (piece + within).min(latest));
            if longer <= until {
                let seconds = begun.elapsed().as_secs_f32();
                return Err(self.finding(&format!("the adapter did not {what} within {seconds:.0} s")));
            }
            until = longer;
        }
    }

    /// Waits until a delivery is completed.
    ///
    /// # Errors
    /// When it is not.
    pub async fn wait_delivered(&self, id: &str) -> Result<(), Finding> {
        let settled = |state: &mut State| match state.standing(id) {
            Some(Standing::Delivered) => Some(Ok(())),
            Some(Standing::Refused) => Some(Err(())),
            _ => None,
        };
        let settled = self.wait("complete the delivery", settled).await?;
        settled.map_err(|()| self.finding("the adapter refused for good a delivery that its system would have taken"))
    }

    /// Waits until the adapter has a delivery at hand and is in the middle of it.
    ///
    /// # Errors
    /// When that does not happen.
    pub async fn wait_at_work(&self, id: &str) -> Result<(), Finding> {
        let kind = self.slow_kind();
        let handed = move |state: &mut State| {
            let at_work = |call: &Call| match (&kind, call) {
                (Some(Named::Parts), Call::Download { id: found }) => found == id,
                (Some(Named::Parts), _) => false,
                (_, Call::Handed { id: found, .. }) => found == id,
                (_, _) => false,
            };
            state.calls.iter().any(at_work).then_some(())
        };
        let what = match kind {
            Some(Named::Parts) => "call DownloadPart for a delivery that has a part (`[faults] slow` has other ways)",
            _ => "lease a delivery",
        };
        self.wait(what, handed).await?;
        if let (Some(Named::Sink), Some(sink)) = (kind, self.effects.sink()) {
            let arrived = tokio::time::timeout(self.manifest.patience(), sink.arrival(id)).await;
            return arrived.map_err(|_| self.finding("no request with the delivery id came to the system"));
        }
        Ok(())
    }

    /// kill -9, and nothing else.
    pub async fn kill(&mut self) {
        if let Some(process) = &self.process {
            process.kill().await;
            self.stage.change(State::bury_workers);
        }
        if let Some(sink) = self.effects.sink() {
            sink.forget_waiting();
        }
        self.keep_log();
    }

    /// The process.
    ///
    /// # Errors
    /// When none has been started.
    pub fn process(&self) -> Result<&Process, Finding> {
        self.process.as_ref().ok_or_else(|| Finding("no process has been started".to_owned()))
    }

    /// Gives `{name}` a value from now on.
    pub fn set(&mut self, name: &str, value: String) {
        self.values.set(name, value);
    }

    /// Puts the values into a text of the manifest.
    pub fn fill(&self, text: &str) -> String {
        self.values.fill(text)
    }

    /// Everything that every process of this point has printed.
    pub fn logs(&mut self) -> &[String] {
        if let Some(process) = &self.process {
            self.logs.push(process.log());
        }
        &self.logs
    }

    /// A finding with the end of the adapter's log.
    pub fn finding(&self, text: &str) -> Finding {
        let log = self.process.as_ref().map(Process::log).unwrap_or_default();
        let tail = process::tail(log.trim_end(), 8);
        Finding(if tail.is_empty() { text.to_owned() } else { format!("{text}\nend of its log:\n{tail}") })
    }

    fn keep_log(&mut self) {
        if let Some(process) = self.process.take() {
            self.logs.push(process.log());
        }
    }

    async fn end(&self) {
        match &self.process {
            Some(process) => drop(process.ended().await),
            None => std::future::pending().await,
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

    use std::collections::BTreeMap;

    use super::*;

    /// A rig with a second of patience, and no process.
    async fn rig(folder: &std::path::Path) -> Rig {
        let text = "command = [\"x\"]\nstep_seconds = 1\n[effects]\nkind = \"folder\"\npath = \"{work}/out\"\n";
        let file = folder.join("adapter-test.toml");
        std::fs::write(&file, text).unwrap();
        let manifest = Manifest::read(&file, &BTreeMap::new()).unwrap();
        let identity = Identity::make(folder).unwrap();
        Rig::new(Arc::new(manifest), Arc::new(identity), folder.join("point"), false).await.unwrap()
    }

    #[tokio::test]
    async fn who_reads_piece_by_piece_is_waited_for_and_who_does_nothing_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let rig = rig(folder.path()).await;
        let reads = async {
            for _ in 0..8 {
                rig.stage.gives_piece();
                // The slow reader itself: twice the patience in all.
                tokio::time::sleep(Duration::from_millis(250)).await;
            }
            rig.stage.change(|state| state.calls.push(Call::Unknown));
        };
        let done = |state: &mut State| (!state.calls.is_empty()).then_some(());
        let (waited, ()) = tokio::join!(rig.wait("go on", done), reads);
        assert_eq!(waited, Ok(()));
        let found = rig.wait("go on", |_| None::<()>).await.unwrap_err();
        assert!(found.0.contains("did not go on within"), "{found:?}");
    }

    #[tokio::test]
    async fn what_no_gateway_takes_is_told_at_once() {
        let folder = tempfile::tempdir().unwrap();
        let rig = rig(folder.path()).await;
        rig.stage.change(|state| state.calls.push(Call::Broken("Fail: code is \"\"".to_owned())));
        let found = rig.wait("call Complete", |_| None::<()>).await.unwrap_err();
        assert_eq!(found.0, "Fail: code is \"\"");
    }
}
