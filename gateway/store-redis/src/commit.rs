//! One commit on its way to Redis, and finding out what became of it.

use std::sync::Arc;
use std::time::Duration;

use redis::{Cmd, Value};
use tokio::time::Instant;

use crate::answer::{fixed, optional};
use crate::batch::Written;
use crate::codec::Damaged;
use crate::failure::Failure;
use crate::head::Head;
use crate::keys::{BodyId, Keys};
use crate::link::{Link, Way};
use crate::plan::{Bodies, CommitOf, Plan};
use crate::script::{ACCEPT, COMMIT, LOAD};

/// What the script answers.
const OTHER_COMMIT_FIRST: i64 = 0;
const COMMITTED: i64 = 1;
const COMMITTED_BEFORE: i64 = 2;
const LEASE_GONE: i64 = 3;

/// Sends commits.
pub(crate) struct Committer {
    pub(crate) link: Arc<Link>,
    pub(crate) keys: Keys,
    pub(crate) node: String,
    /// The number of this opening; with the number of the commit it is the nonce.
    pub(crate) boot: u64,
    pub(crate) commits: u64,
    /// Replicas that must have each commit.
    pub(crate) replicas: u32,
    /// The longest that they may take.
    pub(crate) replicas_timeout: Duration,
    /// The longest that Redis may be away before a commit's end is told as unknown.
    pub(crate) return_timeout: Duration,
}

/// What became of a commit.
#[derive(Debug)]
pub(crate) enum Committed {
    Yes,
    /// Another node's commit, or claim, came first: nothing was written.
    OtherFirst,
    /// Nothing was written.
    No(Failure),
    /// It cannot be said.
    Unknown(String),
}

impl Committer {
    /// Commits, or tells what else.
    pub(crate) async fn commit(&mut self, written: &Written, accepts: bool) -> Committed {
        let bodies = if self.link.connector.is_cluster() { Bodies::Apart } else { Bodies::Within };
        if bodies == Bodies::Apart
            && let Err(failure) = self.write_bodies(&written.plan.bodies).await
        {
            return Committed::No(failure);
        }
        let nonce = self.nonce();
        let commit = CommitOf { expected: written.expected, node: &self.node, nonce: &nonce, head: &written.head };
        let script = if accepts { &ACCEPT } else { &COMMIT };
        let call = written.plan.call(script, &self.keys, &commit, bodies);
        let committed = match self.link.run(Way::Write, script, &call).await {
            Ok(answer) => read(&answer),
            Err(Failure::Away(why) | Failure::Broken(why)) => self.find_out(&nonce, why).await,
            Err(failure) => Committed::No(failure),
        };
        if bodies == Bodies::Apart {
            match &committed {
                Committed::Yes => self.delete_bodies(written.plan.dead_bodies.iter()).await,
                Committed::OtherFirst | Committed::No(_) => {
                    self.delete_bodies(written.plan.bodies.iter().map(|(id, _)| id)).await;
                }
                Committed::Unknown(_) => {}
            }
        }
        committed
    }

    /// Waits until as many replicas as are asked for have what this connection has written.
    pub(crate) async fn wait_for_replicas(&self) -> Result<(), String> {
        wait_for_replicas(&self.link, self.replicas, self.replicas_timeout).await
    }

    fn nonce(&mut self) -> String {
        self.commits += 1;
        format!("{}.{}", self.boot, self.commits)
    }

    /// Waits until Redis is back and asks it. What was not committed is fenced off.
    async fn find_out(&mut self, nonce: &str, why: String) -> Committed {
        let deadline = Instant::now() + self.return_timeout;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() || !self.link.back_within(left).await {
                return Committed::Unknown(format!("Redis did not answer a commit, and has not come back: {why}"));
            }
            match self.ask_for(nonce).await {
                Ok(Found::Committed) => return Committed::Yes,
                Ok(Found::Fenced) => return Committed::OtherFirst,
                Ok(Found::Moved) | Err(Failure::Away(_) | Failure::Broken(_)) => {}
                Err(failure) => return Committed::Unknown(failure.to_string()),
            }
        }
    }

    async fn ask_for(&mut self, nonce: &str) -> Result<Found, Failure> {
        let mut call = LOAD.call(&self.keys.head());
        call.arg(self.keys.tag()).arg("").arg("N").arg(&self.node);
        let [head, last] = fixed(self.link.run(Way::Write, &LOAD, &call).await?)?;
        if optional(last)?.as_deref() == Some(nonce.as_bytes()) {
            return Ok(Found::Committed);
        }
        let mut head = Head::decode(&optional(head)?.ok_or_else(|| Damaged::at("head"))?)?;
        let expected = head.version_bytes();
        head.version += 1;
        let nonce = self.nonce();
        let fence = CommitOf { expected, node: &self.node, nonce: &nonce, head: &head };
        let call = Plan::default().call(&COMMIT, &self.keys, &fence, Bodies::Within);
        match read(&self.link.run(Way::Write, &COMMIT, &call).await?) {
            Committed::Yes => Ok(Found::Fenced),
            Committed::OtherFirst | Committed::No(_) | Committed::Unknown(_) => Ok(Found::Moved),
        }
    }

    async fn write_bodies(&self, bodies: &[(BodyId, bytes::Bytes)]) -> Result<(), Failure> {
        let set = |(id, body): &(BodyId, bytes::Bytes)| {
            let mut cmd = redis::cmd("SET");
            cmd.arg(&self.keys.body(*id)[..]).arg(&body[..]);
            cmd
        };
        let cmds: Vec<Cmd> = bodies.iter().map(set).collect();
        self.link.ask_each(Way::Write, &cmds).await.map(drop)
    }

    /// Nobody reads them any more: one that stays costs memory and nothing else.
    async fn delete_bodies<'a>(&self, bodies: impl Iterator<Item = &'a BodyId>) {
        let delete = |id: &BodyId| {
            let mut cmd = redis::cmd("DEL");
            cmd.arg(&self.keys.body(*id)[..]);
            cmd
        };
        let cmds: Vec<Cmd> = bodies.map(delete).collect();
        if let Err(failure) = self.link.ask_each(Way::Write, &cmds).await {
            tracing::warn!(bodies = cmds.len(), error = %failure, "bodies that nobody reads any more stay in Redis");
        }
    }
}

/// Waits until as many replicas as are asked for have what this connection has written.
pub(crate) async fn wait_for_replicas(link: &Link, replicas: u32, longest: Duration) -> Result<(), String> {
    if replicas == 0 {
        return Ok(());
    }
    let timeout = u64::try_from(longest.as_millis()).unwrap_or(u64::MAX);
    let on_disk = link.has_waitaof();
    let mut cmd = redis::cmd(if on_disk { "WAITAOF" } else { "WAIT" });
    if on_disk {
        cmd.arg(1);
    }
    cmd.arg(replicas).arg(timeout);
    // In a Cluster bodies stand on every master.
    let answers = link.ask_each_master(Way::Write, cmd).await.map_err(|failure| failure.to_string())?;
    for (_, answer) in answers {
        // On a timeout it answers lower numbers, and no error.
        let have = match answer {
            Value::Int(replicas) => replicas,
            Value::Array(numbers) => match numbers[..] {
                [Value::Int(1), Value::Int(replicas)] => replicas,
                _ => return Err("Redis has not synced its own append-only file".to_owned()),
            },
            _ => return Err("Redis does not tell which replicas have the commit".to_owned()),
        };
        if have < i64::from(replicas) {
            return Err(format!("{have} of {replicas} replicas had the commit in time"));
        }
    }
    Ok(())
}

enum Found {
    Committed,
    /// It was not committed, and never will be.
    Fenced,
    /// Another commit came between: to be asked again.
    Moved,
}

fn read(answer: &Value) -> Committed {
    match answer {
        Value::Int(COMMITTED | COMMITTED_BEFORE) => Committed::Yes,
        Value::Int(OTHER_COMMIT_FIRST | LEASE_GONE) => Committed::OtherFirst,
        _ => Committed::Unknown("Redis answered a commit with what is no answer to it".to_owned()),
    }
}
