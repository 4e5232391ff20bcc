//! The store while no gateway runs on it: checked, mended, moved out and in.
//!
//! Rooms: [`walk`] reads every record, [`entry`] is one line of an index, [`fields`] reads rows some at a time, [`strays`] looks from the indexes to the
//! rows, [`ledger`] is the evidence log, [`small`] what there is little of; [`rebuild`] mends; [`export`] and [`import`] move.
//!
//! # Who has the store
//! A node says every second that it runs, and then looks whether a verb of the command line has the store. A verb says first that it has the
//! store, and then looks whether a node runs. So one of the two always sees the other: a gateway does not start under a verb, and a verb does
//! not work under a gateway. A node that was killed counts as running until ten seconds after it was last heard of; a verb has the store for
//! thirty seconds longer than it was. Whatever a verb writes is refused by Redis once it has
//! lost the store, and while it has it Redis refuses what a node writes that was held up and goes on.

mod entry;
mod export;
mod fields;
mod import;
mod ledger;
mod rebuild;
mod small;
mod strays;
mod walk;

use std::sync::Arc;
use std::time::Duration;

use gateway_model::note::VerifierKey;
use gateway_store::archive::MoveError;
use gateway_store::soundness::{Rebuilt, Report};
use redis::Value;
use tokio::task::JoinHandle;

use crate::answer::{fixed, number, optional, text};
use crate::commit::wait_for_replicas;
use crate::connection::Connector;
use crate::failure::Failure;
use crate::fitness::Demands;
use crate::keys::Keys;
use crate::link::{Link, Way};
use crate::open::{broken, check_names, refuse};
use crate::options::{OpenError, OpenOptions};
use crate::plan::Plan;
use crate::script::{ALIVE, HOLD, Lua, MEND};

/// How long a node counts as running after it was last heard of.
const ALIVE_FOR: Duration = Duration::from_secs(10);
/// How long a verb has the store after it was last heard of.
const HELD_FOR: Duration = Duration::from_secs(30);
/// How often a verb says that it still works.
const RENEW: Duration = Duration::from_secs(5);

/// What a node finds when it says that it runs.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Found {
    /// The verb that has the store.
    pub(crate) holder: Option<String>,
    pub(crate) is_half_imported: bool,
    /// The number of the newest opening under the node's name; 0 before the first.
    pub(crate) newest_boot: u64,
}

/// Says that a node runs on the store.
pub(crate) async fn announce(link: &Link, keys: &Keys, node: &str) -> Result<Found, Failure> {
    let mut call = ALIVE.call(&keys.head());
    call.arg(keys.tag()).arg(node).arg(milliseconds(ALIVE_FOR));
    let [holder, importing, nonce] = fixed(link.try_run(Way::Read, &ALIVE, &call).await?)?;
    let first = |text: bytes::Bytes| String::from_utf8_lossy(&text).split('.').next().unwrap_or_default().to_owned();
    let newest_boot = optional(nonce)?.and_then(|nonce| first(nonce).parse().ok()).unwrap_or(0);
    Ok(Found { holder: optional(holder)?.map(first), is_half_imported: number(importing)? > 0, newest_boot })
}

/// Says that the opening of this number, under the name of a node, has ended.
pub(crate) async fn leave(link: &Link, keys: &Keys, node: &str, boot: u64) -> Result<(), Failure> {
    let mut call = ALIVE.call(&keys.head());
    call.arg(keys.tag()).arg(node).arg(0).arg(boot);
    link.try_run(Way::Read, &ALIVE, &call).await.map(drop)
}

/// A store that no gateway runs on, held until it is closed.
pub struct Offline {
    link: Arc<Link>,
    keys: Keys,
    key: VerifierKey,
    holder: String,
    /// Where Redis is, for a person.
    address: String,
    /// What an import that has not ended left.
    half_imported: Option<bytes::Bytes>,
    /// Replicas that must have what was written, and the longest that they may take.
    replicas: (u32, Duration),
    renewing: JoinHandle<()>,
}

impl Offline {
    /// Takes the store for `verb`, which is a plain word. Waits for a node that was killed to be silent for long enough, ten seconds at most. Has to
    /// be called inside of a Tokio runtime.
    ///
    /// # Errors
    /// [`OpenError::Running`], [`OpenError::Held`], and what else keeps a store from opening.
    pub async fn open(options: &OpenOptions, verb: &'static str) -> Result<Self, OpenError> {
        check_names(options)?;
        let key = options.signer.verifier().clone();
        let keys = Keys::new(&options.prefix, key.name());
        let connector = Connector::new(options.server.clone(), options.answer_timeout)?;
        let address = connector.name();
        // A store is also looked at where no more would be accepted.
        let demands = Demands { durability: options.durability, free_bytes_min: 0 };
        let link = Link::open(connector, demands, options.answer_timeout).await;
        let link = Arc::new(link.map_err(|unusable| refuse(&address, unusable))?);
        let begun = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
        let holder = format!("{verb}.{}.{}", std::process::id(), begun.as_nanos());
        let half_imported = take(&link, &keys, &holder, &address).await?;
        let renewing = tokio::spawn(renew(link.clone(), keys.clone(), holder.clone()));
        let replicas = (options.replicas, options.answer_timeout / 2);
        Ok(Self { link, keys, key, holder, address, half_imported, replicas, renewing })
    }

    /// Gives the store back. Without it the store is free again thirty seconds after the end.
    pub async fn close(self) {
        if let Err(failure) = hold(&self.link, &self.keys, &self.holder, Duration::ZERO, Hold::Keep).await {
            tracing::warn!(%failure, "the store in Redis is given back only in thirty seconds");
        }
    }

    /// Reads all of it and tells everything that is wrong. Changes nothing.
    ///
    /// # Errors
    /// [`OpenError::HalfImported`], [`OpenError::NoStore`]; [`OpenError`] when Redis fails.
    pub async fn check(&self) -> Result<Report, OpenError> {
        self.need_whole().await?;
        walk::check(self).await.map_err(|failure| self.told(&failure))
    }

    /// Makes every index and counter anew where it is not what the records say. Refuses, and changes nothing, when a record is damaged. Stopped in the
    /// middle it has lost nothing: run it again.
    ///
    /// # Errors
    /// As [`Offline::check`].
    pub async fn rebuild(&self) -> Result<Rebuilt, OpenError> {
        self.need_whole().await?;
        rebuild::rebuild(self).await.map_err(|failure| self.told(&failure))
    }

    /// There is a store, and all of it.
    async fn need_whole(&self) -> Result<(), OpenError> {
        if self.half_imported.is_some() {
            return Err(OpenError::HalfImported);
        }
        let failed = |failure: Failure| self.told(&failure);
        let key = || format!("{}head", self.keys.tag());
        match (self.has_any(&["head"]).await.map_err(failed)?, self.has_any(&TRACES).await.map_err(failed)?) {
            (true, _) => Ok(()),
            (false, true) => Err(OpenError::Missing { key: key() }),
            (false, false) => Err(OpenError::NoStore { key: key() }),
        }
    }

    /// Whether any of these keys is there.
    async fn has_any(&self, names: &[&str]) -> Result<bool, Failure> {
        let mut question = redis::cmd("EXISTS");
        for name in names {
            question.arg(&self.keys.one(name)[..]);
        }
        Ok(self.link.ask::<u64>(Way::Read, &question).await? > 0)
    }

    fn told(&self, failure: &Failure) -> OpenError {
        broken(&self.address, failure)
    }

    /// Waits until as many replicas as are asked for have what was written.
    async fn settle(&self) -> Result<(), Failure> {
        wait_for_replicas(&self.link, self.replicas.0, self.replicas.1).await.map_err(Failure::Away)
    }

    fn moved(&self, failure: &Failure) -> MoveError {
        let what = format!("Redis at {}: {failure}", self.address);
        match failure {
            Failure::Damaged(_) => MoveError::Damaged { what },
            Failure::Conflict(_)
            | Failure::Moved
            | Failure::Bound(_)
            | Failure::Away(_)
            | Failure::Broken(_)
            | Failure::Full
            | Failure::Refused(_) => MoveError::Store { what },
        }
    }

    /// Writes, as long as the store is ours.
    async fn write(&self, script: &Lua, plan: &Plan) -> Result<(), Failure> {
        if plan.is_empty() {
            return Ok(());
        }
        match self.link.run(Way::Write, script, &plan.mending(script, &self.keys, &self.holder)).await? {
            Value::Int(1) => Ok(()),
            _ => Err(Failure::Refused("the store was not heard of in time, and another has it now".to_owned())),
        }
    }

    async fn mend(&self, plan: &Plan) -> Result<(), Failure> {
        self.write(&MEND, plan).await
    }
}

impl Drop for Offline {
    fn drop(&mut self) {
        self.renewing.abort();
        self.link.close();
    }
}

/// Keys that say that a store was here.
const TRACES: [&str; 4] = ["ids", "tokens", "lanes", "nodes"];

/// Takes the store, once no node runs on it.
async fn take(link: &Link, keys: &Keys, holder: &str, address: &str) -> Result<Option<bytes::Bytes>, OpenError> {
    let failed = |failure: Failure| broken(address, &failure);
    let (mut how, mut has_waited) = (Hold::Take, false);
    loop {
        let held = hold(link, keys, holder, HELD_FOR, how).await.map_err(failed)?;
        if held.holder != holder {
            let verb = held.holder.split('.').next().unwrap_or_default().to_owned();
            return Err(OpenError::Held { verb });
        }
        let Some(node) = held.node else { return Ok(held.importing) };
        if has_waited {
            hold(link, keys, holder, Duration::ZERO, Hold::Keep).await.map_err(failed)?;
            return Err(OpenError::Running { node });
        }
        // A node that runs is heard of again meanwhile; one that was killed is not.
        tokio::time::sleep(held.silent_in.min(ALIVE_FOR) + Duration::from_millis(1)).await;
        (how, has_waited) = (Hold::Keep, true);
    }
}

struct Held {
    holder: String,
    node: Option<String>,
    /// When the node will have been silent for too long.
    silent_in: Duration,
    importing: Option<bytes::Bytes>,
}

/// Whether the store has to be held already.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Hold {
    Take,
    Keep,
}

async fn hold(link: &Link, keys: &Keys, holder: &str, span: Duration, how: Hold) -> Result<Held, Failure> {
    let mut call = HOLD.call(&keys.head());
    call.arg(keys.tag()).arg(holder).arg(milliseconds(span)).arg(u8::from(how == Hold::Take));
    let [holder, node, left, importing] = fixed(link.run(Way::Write, &HOLD, &call).await?)?;
    let node = optional(node)?.map(|node| String::from_utf8_lossy(&node).into_owned());
    let left = number(left).unwrap_or(0);
    let holder = text(holder)?;
    Ok(Held { holder, node, silent_in: Duration::from_millis(left), importing: optional(importing)? })
}

/// Says that the verb still works, until it is aborted.
async fn renew(link: Arc<Link>, keys: Keys, holder: String) {
    loop {
        tokio::time::sleep(RENEW).await;
        if let Err(failure) = hold(&link, &keys, &holder, HELD_FOR, Hold::Keep).await {
            tracing::warn!(%failure, "Redis cannot be told that the store is still in use");
        }
    }
}

fn milliseconds(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}

/// The head.
async fn head(store: &Offline) -> Result<crate::head::Head, Failure> {
    crate::read::head(&store.link, &store.keys).await
}
