//! Keeps the connections: makes them anew when they break, and looks every second at how much room there is and what other nodes have done.

use std::sync::Arc;
use std::time::Duration;

use redis::Value;

use crate::failure::Failure;
use crate::fitness::{self, Unusable};
use crate::head::VERSION_BYTES;
use crate::keys::Keys;
use crate::link::{Link, Way};
use crate::offline;
use crate::shared::Shared;

/// How often it looks.
const LOOK: Duration = Duration::from_secs(1);
/// First pause before connecting anew; it doubles.
const PAUSE_FIRST: Duration = Duration::from_millis(50);
/// Longest pause.
const PAUSE_MAX: Duration = Duration::from_secs(2);

/// The task's own.
pub(crate) struct Keeper {
    pub(crate) link: Arc<Link>,
    pub(crate) keys: Keys,
    pub(crate) shared: Arc<Shared>,
    pub(crate) node: String,
    /// The number of this opening.
    pub(crate) boot: u64,
}

impl Keeper {
    /// Keeps until the link is closed.
    pub(crate) async fn run(self) {
        while !self.link.is_closed() {
            tokio::select! {
                () = self.link.lost() => self.bring_back().await,
                () = tokio::time::sleep(LOOK) => {
                    // What breaks here is seen by the link.
                    self.look().await.ok();
                }
            }
        }
    }

    /// Connects again and again, with pauses, until there is a Redis that is fit and has lost nothing.
    async fn bring_back(&self) {
        let (mut pause, mut told) = (PAUSE_FIRST, String::new());
        while let Some(why) = self.link.is_away() {
            if self.link.is_closed() {
                return;
            }
            if told.is_empty() {
                tracing::warn!(redis = self.link.connector.name(), %why, "Redis is away: nothing is accepted until it is back");
            }
            match self.link.connect().await {
                Ok(()) => {}
                Err(unusable) => {
                    let why = tell(&unusable);
                    if why != told {
                        tracing::warn!(redis = self.link.connector.name(), %why, "Redis cannot be used");
                    }
                    told = why;
                    tokio::time::sleep(pause).await;
                    pause = (pause * 2).min(PAUSE_MAX);
                }
            }
        }
        if self.look().await.is_ok() {
            tracing::info!(redis = self.link.connector.name(), "Redis is back");
            self.shared.woken.notify_one();
        }
    }

    /// Says that this node runs, and looks how much room there is, and how far the store has come.
    pub(crate) async fn look(&self) -> Result<(), Failure> {
        match offline::announce(&self.link, &self.keys, &self.node).await {
            Ok(found) if found.newest_boot > self.boot => {
                let what = format!(
                    "another process has started as node \"{}\" of this store: give each process a name of its own (redis.node)",
                    self.node
                );
                tracing::error!(%what, "this node takes nothing any more");
                self.shared.fail(what);
            }
            Err(failure @ Failure::Broken(_)) => return Err(failure),
            Ok(_) | Err(_) => {}
        }
        // Where nothing can be written now, no verb of the command line can take the store either.
        let mut question = redis::cmd("INFO");
        question.arg("memory");
        let answers = self.link.ask_each_master(Way::Read, question).await?;
        let free = answers.into_iter().filter_map(|(_, answer)| match answer {
            Value::BulkString(text) => fitness::free_bytes(&String::from_utf8_lossy(&text)),
            Value::VerbatimString { text, .. } | Value::SimpleString(text) => fitness::free_bytes(&text),
            _ => None,
        });
        self.shared.set_free_bytes(free.min().unwrap_or(0));
        let acknowledged = self.shared.acknowledged();
        let mut question = redis::cmd("GETRANGE");
        question.arg(&self.keys.head()[..]).arg(0).arg(VERSION_BYTES - 1);
        let version: Vec<u8> = self.link.ask(Way::Read, &question).await?;
        let version = <[u8; VERSION_BYTES]>::try_from(version).map_or(0, u64::from_be_bytes);
        if version < acknowledged {
            let what = format!(
                "Redis at {} stands at commit {version}, but commit {acknowledged} had been acknowledged: it has lost what it had said to be durable; bring its append-only file back",
                self.link.connector.name()
            );
            tracing::error!(%what, "Redis has lost commits: the gateway has to be restarted");
            self.shared.fail(what);
        }
        self.shared.see(version);
        Ok(())
    }
}

/// Why a Redis cannot be used, in words.
fn tell(unusable: &Unusable) -> String {
    match unusable {
        Unusable::Unfit(address, unfit) if address.is_empty() => unfit.to_string(),
        Unusable::Unfit(address, unfit) => format!("{address}: {unfit}"),
        Unusable::Failed(failure) => failure.to_string(),
    }
}
