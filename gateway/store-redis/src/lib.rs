//! The store of many nodes: Redis or Valkey, alone, behind Sentinel, or as a Cluster.
//!
//! # Keys
//! Every key but those of bodies begins with a tag, `prefix:{gateway}:`, whose part in braces is what a Cluster hashes: all of them lie in one slot,
//! and a script can change them together. Bodies, the greater part of the bytes, have keys without braces and spread over all masters.
//!
//! | key | kind | what |
//! |---|---|---|
//! | `head` | string | version, counters, state of the evidence log, newest signed checkpoint: rewritten by every commit |
//! | `ids` | hash | envelope id → for each sender: number, digest, first leaf. The memory of duplicates, for the whole retention |
//! | `e:<seq>` | hash | one envelope: `h` what never changes, `s` what does, `d<place>` its deliveries, `e<n>` its history, `f<hash>` foreign receipts known |
//! | `dids` | hash | delivery id → envelope and place |
//! | `log:<chunk>` | hash | 1,024 leaves with their proofs, and `n<size>` the signed checkpoints over them |
//! | `lane:<lane>` | sorted set | what waits there, by wake-up; what is leased, by the end of its lease |
//! | `lanes` | sorted set | the lanes, by the first wake-up in each |
//! | `leases` | hash | item → fencing token, node, the wake-up before, lane |
//! | `tokens` | string | the last fencing token |
//! | `back` | hash | receipts on their way back |
//! | `status:<n>` | sorted set | deliveries by status, newest envelope first |
//! | `file:<code>` | list | envelopes by file code |
//! | `finished` | sorted set | envelopes that wait for nothing, by since when |
//! | `parts` | hash | digest of a part → how many kept bodies name it; `parts.new` while they are counted anew |
//! | `marks`, `marknames` | hash, sorted set | what operators have decided |
//! | `nodes` | hash | node → nonce of its last commit: the number of its opening and of the commit |
//! | `duty:<name>` | string with an end | the node that has a duty which one node has at a time |
//! | `uses` | stream | what nodes have let in on shared quotas |
//! | `boots` | string | how often the store was opened, by any node |
//! | `alive` | sorted set | nodes that run on the store, by when they will have been silent for too long |
//! | `offline` | string | the verb of the command line that has the store to itself; goes thirty seconds after that was last heard of |
//! | `importing` | string | an import has begun and not ended: this is no store yet. How many bodies it may have written |
//! | `prefix:body:gateway:<boot>:<n>` | string | one body, under a name that is never given twice |
//!
//! Rows are bytes that begin with a checksum (`src/codec.rs`): what was damaged is named and never served.
//!
//! # Commit
//! One task of each node writes. It takes the steps that wait, reads what they need in one script, decides, appends their leaves under one
//! checkpoint signature, and commits with one script that does nothing unless the head still has the version that was decided on
//! (`src/writer.rs`). So any number of nodes share one store and one evidence log without a leader: whoever comes second tries again. Redis
//! answers when its append-only file is on disk (`appendfsync always`); everything that waited shares that one sync. In a Cluster bodies are
//! written before the commit that names them.
//!
//! Claims are scripts of their own and touch no version. A settlement rests on the token of its lease, which the commit script compares.
//!
//! # Durability
//! A Redis that would lose what it acknowledges is refused, at the start and after every reconnection (`src/fitness.rs`). A Redis that
//! comes back behind a commit that was acknowledged ends the store: [`RedisStore::failed`] tells the server. While Redis is away every
//! step fails at once, and everything goes on by itself when it is back (`src/keeper.rs`).

mod answer;
mod batch;
mod claim;
mod codec;
mod commit;
mod connection;
mod evidence;
mod failure;
mod fitness;
mod head;
mod keeper;
mod keys;
mod link;
mod list;
mod load;
mod offline;
mod open;
mod options;
mod plan;
mod queue;
mod read;
mod rows;
mod script;
mod shared;
mod store;
mod uses;
mod view;
mod writer;

pub use offline::Offline;
pub use options::{Durability, OpenError, OpenOptions, Server, Tls, Topology, Unfit};
pub use store::RedisStore;
