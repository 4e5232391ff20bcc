//! What a batch is going to write: commands for the commit script, the leases that it rests on, the lanes whose first wake-up may change.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use gateway_model::Timestamp;
use gateway_store::claim::Lane;
use redis::Cmd;

use crate::head::Head;
use crate::keys::{BodyId, Keys};
use crate::script::Lua;

/// Words of one command: a script cannot hand many thousands on.
const WORDS_MAX: usize = 2_000;

/// Commands of one commit, in order.
#[derive(Debug, Default)]
pub(crate) struct Plan {
    words: Vec<Bytes>,
    /// Fields to be set, by hash: one command each, at the end.
    fields: BTreeMap<Bytes, Vec<Bytes>>,
    leases: Vec<(Bytes, u64)>,
    lanes: BTreeSet<Lane>,
    /// Bodies to be written before or with the commit.
    pub(crate) bodies: Vec<(BodyId, Bytes)>,
    /// Bodies to be deleted with or after it.
    pub(crate) dead_bodies: Vec<BodyId>,
    /// Whether it sets a wake-up.
    pub(crate) wakes: bool,
}

impl Plan {
    /// Adds a command.
    pub(crate) fn command(&mut self, words: impl IntoIterator<Item = Bytes>) {
        let at = self.words.len();
        self.words.push(Bytes::new());
        self.words.extend(words);
        self.words[at] = (self.words.len() - at - 1).to_string().into();
    }

    /// Sets a field of a hash, after all commands; of two values of one field the last one stays.
    pub(crate) fn set(&mut self, key: Bytes, field: impl Into<Bytes>, value: Bytes) {
        self.fields.entry(key).or_default().extend([field.into(), value]);
    }

    /// Removes a field of a hash; not one that is set in the same batch.
    pub(crate) fn unset(&mut self, key: Bytes, field: impl Into<Bytes>) {
        self.command([word("HDEL"), key, field.into()]);
    }

    /// Adds to a count in a hash, which goes when it is zero.
    pub(crate) fn count(&mut self, key: Bytes, field: impl Into<Bytes>, by: &'static str) {
        self.command([word("COUNT"), key, field.into(), word(by)]);
    }

    /// Puts a member into a sorted set.
    pub(crate) fn put(&mut self, key: Bytes, score: i64, member: Bytes) {
        self.command([word("ZADD"), key, score.to_string().into(), member]);
    }

    /// Takes a member out of a sorted set.
    pub(crate) fn take(&mut self, key: Bytes, member: Bytes) {
        self.command([word("ZREM"), key, member]);
    }

    /// The commit happens only if the lease on `item` still has this token.
    pub(crate) fn rest_on_lease(&mut self, item: Bytes, token: u64) {
        self.leases.push((item, token));
    }

    /// Sets or clears the wake-up of an item in its lane, and ends its lease.
    pub(crate) fn wake(&mut self, keys: &Keys, lane: &Lane, item: Bytes, wake: Option<Timestamp>) {
        match wake {
            Some(at) => {
                self.put(keys.lane(lane), at.micros(), item);
                self.wakes = true;
            }
            None => self.take(keys.lane(lane), item),
        }
        self.lanes.insert(lane.clone());
    }

    /// Whether nothing is to be written.
    pub(crate) fn is_empty(&self) -> bool {
        self.words.is_empty() && self.fields.is_empty()
    }

    /// The call of the commit script. With `bodies` they are written and deleted in the same step.
    pub(crate) fn call(&self, script: &Lua, keys: &Keys, commit: &CommitOf<'_>, bodies: Bodies) -> Cmd {
        let mut cmd = script.call(&keys.head());
        cmd.arg(keys.tag())
            .arg(&commit.expected[..])
            .arg(commit.node)
            .arg(commit.nonce)
            .arg(&commit.head.encode()[..])
            .arg(self.leases.len());
        for (item, token) in &self.leases {
            cmd.arg(&item[..]).arg(token.to_string());
        }
        cmd.arg(self.lanes.len());
        for lane in &self.lanes {
            cmd.arg(lane.as_str());
        }
        self.add_words(&mut cmd);
        match bodies {
            Bodies::Within => {
                for (id, body) in &self.bodies {
                    cmd.arg(3).arg("SET").arg(&keys.body(*id)[..]).arg(&body[..]);
                }
                for id in &self.dead_bodies {
                    cmd.arg(2).arg("DEL").arg(&keys.body(*id)[..]);
                }
            }
            Bodies::Apart => {}
        }
        cmd
    }
}

impl Plan {
    /// The call of a script that writes for the verb which has the store.
    pub(crate) fn mending(&self, script: &Lua, keys: &Keys, holder: &str) -> Cmd {
        let mut cmd = script.call(&keys.head());
        cmd.arg(keys.tag()).arg(holder);
        self.add_words(&mut cmd);
        cmd
    }

    fn add_words(&self, cmd: &mut Cmd) {
        for word in &self.words {
            cmd.arg(&word[..]);
        }
        for (key, pairs) in &self.fields {
            for pairs in pairs.chunks(WORDS_MAX) {
                cmd.arg(pairs.len() + 2).arg("HSET").arg(&key[..]);
                for word in pairs {
                    cmd.arg(&word[..]);
                }
            }
        }
    }
}

/// Where bodies are written.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Bodies {
    /// In the commit script itself: one Redis has every slot.
    Within,
    /// Before it and after it: in a Cluster they stand in slots of their own.
    Apart,
}

/// What tells one commit from another.
pub(crate) struct CommitOf<'a> {
    /// The version that the decisions were taken on.
    pub(crate) expected: [u8; 8],
    pub(crate) node: &'a str,
    pub(crate) nonce: &'a str,
    pub(crate) head: &'a Head,
}

/// A word that never changes.
pub(crate) fn word(text: &'static str) -> Bytes {
    Bytes::from_static(text.as_bytes())
}
