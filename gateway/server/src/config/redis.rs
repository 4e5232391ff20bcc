//! `[redis]`: where Redis is, when the store is kept there.

use std::path::PathBuf;
use std::time::Duration;

use super::layers::Raw;
use super::reader::Reader;
use super::value::{self, Read};

/// Replicas that may be waited for.
const REPLICAS_MAX: u32 = 16;

/// Where Redis is, and as whom it is spoken to.
#[derive(Clone, Debug)]
pub struct Redis {
    /// Which servers the addresses name.
    pub topology: Topology,
    /// Each `host:port`.
    pub addresses: Vec<String>,
    /// User of the access control list.
    pub user: Option<String>,
    /// File with the password.
    pub password: Option<PathBuf>,
    /// CA certificates of Redis, PEM; with them the way there is encrypted.
    pub roots: Option<PathBuf>,
    /// Own certificate and key, PEM.
    pub identity: Option<(PathBuf, PathBuf)>,
    /// What every key begins with.
    pub prefix: String,
    /// This node among those on the same store; empty for the name of the machine.
    pub node: String,
    /// Replicas that must have a commit.
    pub replicas: u32,
    /// The longest that Redis may take for an answer.
    pub answer_timeout: Duration,
    /// Whether a Redis that loses what it acknowledges will do.
    pub trial_without_durability: bool,
}

/// Which servers the addresses name.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Topology {
    /// One Redis.
    Single,
    /// Sentinels, which know the master of this name.
    Sentinel(String),
    /// Nodes of a Cluster.
    Cluster,
}

impl Reader {
    /// Reads the section; without addresses nobody is meant to use it.
    pub(super) fn redis(&mut self) -> Option<Option<Redis>> {
        let base = self.base.clone();
        let topology = self.read("redis.topology", topology);
        let master = self.read("redis.master", value::text);
        let addresses = self.read("redis.addresses", texts);
        let user = self.read("redis.user", value::text);
        let password = self.read("redis.password", value::optional_path(&base));
        let roots = self.read("redis.roots", value::optional_path(&base));
        let certificate = self.read("redis.certificate", value::optional_path(&base));
        let key = self.read("redis.key", value::optional_path(&base));
        let prefix = self.read("redis.prefix", value::required);
        let node = self.read("redis.node", value::text);
        let replicas = self.lowered("redis.replicas", none_or_more, REPLICAS_MAX);
        let answer_timeout = self.read("redis.answer_timeout", value::duration);
        let trial_without_durability = self.read("redis.trial_without_durability", value::truth);
        let identity = match (certificate?, key?) {
            (Some(certificate), Some(key)) => Some((certificate, key)),
            (None, None) => None,
            (Some(_), None) | (None, Some(_)) => {
                self.fault("redis.certificate", "certificate and key go together".to_owned());
                None
            }
        };
        if identity.is_some() && roots == Some(None) {
            self.fault("redis.roots", "is required with `certificate`".to_owned());
        }
        let master = master?;
        let topology = match topology? {
            Topology::Sentinel(_) if master.is_empty() => {
                self.fault("redis.master", "is required with sentinels".to_owned());
                return None;
            }
            Topology::Sentinel(_) => Topology::Sentinel(master),
            other @ (Topology::Single | Topology::Cluster) => other,
        };
        let redis = Redis {
            topology,
            addresses: addresses?,
            user: Some(user?).filter(|user| !user.is_empty()),
            password: password?,
            roots: roots?,
            identity,
            prefix: prefix?,
            node: node?,
            replicas: replicas?,
            answer_timeout: answer_timeout?,
            trial_without_durability: trial_without_durability?,
        };
        Some(Some(redis).filter(|redis| !redis.addresses.is_empty()))
    }
}

fn topology(raw: &Raw) -> Read<Topology> {
    match value::text(raw)?.as_str() {
        "single" => Ok(Topology::Single),
        "sentinel" => Ok(Topology::Sentinel(String::new())),
        "cluster" => Ok(Topology::Cluster),
        other => Err(format!("\"single\", \"sentinel\" or \"cluster\" is expected, not \"{other}\"")),
    }
}

fn texts(raw: &Raw) -> Read<Vec<String>> {
    match raw {
        Raw::List(list) => Ok(list.clone()),
        Raw::Text(_) | Raw::Integer(_) | Raw::Boolean(_) | Raw::Other(_) => {
            Err("a list of \"host:port\" is expected".to_owned())
        }
    }
}

fn none_or_more(raw: &Raw) -> Read<u32> {
    match raw {
        Raw::Integer(0) => Ok(0),
        other => value::count(other),
    }
}
