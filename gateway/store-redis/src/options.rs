//! How a store is opened, and why it may not be.

use std::time::Duration;

use gateway_model::Timestamp;
use gateway_model::note::NoteSigner;

/// How a store is opened.
#[derive(Debug)]
pub struct OpenOptions {
    /// Where Redis is.
    pub server: Server,
    /// What every key begins with: several systems may share one Redis.
    pub prefix: String,
    /// Signs the evidence log; its name is the log's origin, and stands in every key.
    pub signer: NoteSigner,
    /// The name of this node among those on the same store. Each node has its own, and keeps it over restarts.
    pub node: String,
    /// Whether Redis has to keep what it has acknowledged.
    pub durability: Durability,
    /// Replicas that must have a commit before it is acknowledged: in their memory, and from version 7.2 on their disk.
    pub replicas: u32,
    /// Below so many free bytes of Redis' memory the door is closed and nothing more is accepted; deliveries go on.
    pub free_bytes_min: u64,
    /// When it is opened. With it, whatever waits to be tried again and would wake later than `retry_max` from then is due at once: a clock
    /// that ran ahead has set that wake-up. Without it, wake-ups stay as they are.
    pub now: Option<Timestamp>,
    /// The longest span between two attempts.
    pub retry_max: Duration,
    /// The longest that Redis may take for one answer; then the connection is given up.
    pub answer_timeout: Duration,
    /// The longest that a step waits for Redis to come back, to know what became of it; then its answer is `Unknown`.
    pub return_timeout: Duration,
    /// How long an opening waits for a Redis that does not answer yet, or is still reading its file.
    pub start_patience: Duration,
    /// Steps that may wait for the writer.
    pub queue_steps_max: usize,
    /// Bytes that may wait for the writer.
    pub queue_bytes_max: usize,
}

/// Where Redis is, and as whom it is spoken to.
#[derive(Clone, PartialEq, Eq)]
pub struct Server {
    /// Which servers the addresses name.
    pub topology: Topology,
    /// Each `host:port`.
    pub addresses: Vec<String>,
    /// User of the access control list; `None` for the default user.
    pub user: Option<String>,
    /// Their password.
    pub password: Option<String>,
    /// Encrypted, when given.
    pub tls: Option<Tls>,
}

/// Which servers the addresses name.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Topology {
    /// One Redis.
    Single,
    /// Sentinels, which know the master of this name. They are spoken to without a user; with TLS, when it is given.
    Sentinel {
        /// The name of the master.
        master: String,
    },
    /// Some nodes of a Cluster; they know the others.
    Cluster,
}

/// Certificates towards Redis.
#[derive(Clone, PartialEq, Eq)]
pub struct Tls {
    /// Authorities that Redis' certificate must come from, PEM. Those of the system are not looked for.
    pub roots: Vec<u8>,
    /// Own certificate and key, PEM, when Redis asks for one.
    pub identity: Option<(Vec<u8>, Vec<u8>)>,
}

/// Whether Redis has to keep what it has acknowledged.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Durability {
    /// It has; a server whose settings say otherwise is refused.
    Required,
    /// It need not: what was acknowledged is lost with the process or the power. For trials, and for the test that has to see that loss.
    WaivedForTrials,
}

impl OpenOptions {
    /// The ordinary way.
    pub fn new(server: Server, signer: NoteSigner) -> Self {
        Self {
            server,
            prefix: "lienthong".to_owned(),
            signer,
            node: "node-1".to_owned(),
            durability: Durability::Required,
            replicas: 0,
            free_bytes_min: 256 * 1024 * 1024,
            now: None,
            retry_max: Duration::from_secs(60 * 60),
            answer_timeout: Duration::from_secs(5),
            return_timeout: Duration::from_secs(5),
            start_patience: Duration::ZERO,
            queue_steps_max: 4_096,
            queue_bytes_max: 64 * 1024 * 1024,
        }
    }
}

impl Server {
    /// One Redis without a user and without TLS.
    pub fn single(address: impl Into<String>) -> Self {
        Self { topology: Topology::Single, addresses: vec![address.into()], user: None, password: None, tls: None }
    }
}

/// Tells no secret.
impl std::fmt::Debug for Server {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { topology, addresses, user, password: _, tls } = self;
        let mut told = f.debug_struct("Server");
        told.field("topology", topology).field("addresses", addresses).field("user", user);
        told.field("tls", &tls.is_some()).finish_non_exhaustive()
    }
}

/// Tells no secret.
impl std::fmt::Debug for Tls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tls").field("identity", &self.identity.is_some()).finish_non_exhaustive()
    }
}

/// Why a store cannot be opened, and what to do.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// What was given cannot be used.
    #[error("{setting}: {problem}")]
    Setting {
        /// Which option.
        setting: &'static str,
        /// What is wrong with it.
        problem: String,
    },
    /// Nobody answers, or not as Redis does.
    #[error("Redis at {address}: {problem}: check that it runs, the address, the user and the certificates")]
    Unreachable {
        /// Where.
        address: String,
        /// What was seen.
        problem: String,
        /// Whether it may go by itself: nobody listened, or Redis was still reading its file.
        is_passing: bool,
    },
    /// Leases go by the clocks of the nodes.
    #[error(
        "the clock of this machine is {seconds} seconds off that of Redis at {address}: set both by NTP, then start again"
    )]
    ClockOff {
        /// Where Redis is.
        address: String,
        /// How far.
        seconds: u64,
    },
    /// It would lose what was acknowledged, or is too old.
    #[error("Redis at {address}: {refusal}")]
    Unfit {
        /// Where.
        address: String,
        /// Which setting, and what it has to be.
        refusal: Unfit,
    },
    /// A newer version wrote it.
    #[error(
        "the store in Redis has format {found}, this version knows formats up to {known}: start the newer version, or restore the backup made before the upgrade"
    )]
    Newer {
        /// Its format.
        found: u64,
        /// The newest one known here.
        known: u64,
    },
    /// Keys of the store are there, but not the one that all begins with.
    #[error(
        "{key} is missing in Redis, but other keys of this store are there: bring back the append-only file or a backup; an empty store is not started in its place"
    )]
    Missing {
        /// The key.
        key: String,
    },
    /// A verb of the command line has the store to itself.
    #[error("`lienthong store {verb}` has the store in Redis to itself: wait until it has ended")]
    Held {
        /// Which verb.
        verb: String,
    },
    /// A gateway runs on it.
    #[error("the gateway {node} runs on the store in Redis: stop every node, then try again")]
    Running {
        /// Its name.
        node: String,
    },
    /// There is none.
    #[error("there is no store under {key} in Redis: check the prefix, and the gateway that the configuration names")]
    NoStore {
        /// The key that is missing.
        key: String,
    },
    /// An import has not ended.
    #[error(
        "the store in Redis is half imported: `lienthong store import` was stopped before its end; run it again from the beginning"
    )]
    HalfImported,
    /// The evidence log was signed with another key.
    #[error("the evidence log in Redis was signed by {kept}, not by {given}: configure the key it was made with")]
    LogKeyChanged {
        /// Name of the log in the store.
        kept: String,
        /// The key that was given.
        given: String,
    },
    /// What was read is not what was written.
    #[error("the store in Redis is damaged: {what}: restore a backup")]
    Corrupt {
        /// What was seen.
        what: String,
    },
}

/// Which setting of Redis would lose what was acknowledged, and what it has to be.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Unfit {
    /// Too old.
    #[error("its version is {found}, and at least {needed} is needed: upgrade it")]
    Version {
        /// What it says.
        found: String,
        /// The oldest that will do.
        needed: &'static str,
    },
    /// It keeps nothing.
    #[error(
        "appendonly is \"{found}\": everything would be lost with the process; set `appendonly yes`, or waive durability for a trial"
    )]
    AppendOnly {
        /// What it says.
        found: String,
    },
    /// It acknowledges before it has written.
    #[error(
        "appendfsync is \"{found}\": what was acknowledged would be lost with the power; set `appendfsync always`, or waive durability for a trial"
    )]
    AppendFsync {
        /// What it says.
        found: String,
    },
    /// It does not wait for the disk while it rewrites its file.
    #[error(
        "no-appendfsync-on-rewrite is \"{found}\": what was acknowledged during a rewrite would be lost with the power; set `no-appendfsync-on-rewrite no`, or waive durability for a trial"
    )]
    NoSyncOnRewrite {
        /// What it says.
        found: String,
    },
    /// It throws envelopes away when the memory is full.
    #[error("maxmemory-policy is \"{found}\": it would throw envelopes away; set `maxmemory-policy noeviction`")]
    Eviction {
        /// What it says.
        found: String,
    },
    /// There would never be room.
    #[error("maxmemory is {found} bytes, and below {needed} free bytes nothing is accepted: raise `maxmemory`")]
    Memory {
        /// What it says.
        found: u64,
        /// How many have to be free.
        needed: u64,
    },
    /// It is a replica.
    #[error("its role is \"{found}\": name the master, or the sentinels that know it")]
    Role {
        /// What it says.
        found: String,
    },
    /// It may not be asked.
    #[error("it does not tell its settings ({problem}): allow `CONFIG GET` and `INFO` to this user")]
    Untold {
        /// What it answered.
        problem: String,
    },
}
