//! The one row that every commit rewrites: counters and the state of the evidence log; and the file that remembers what was acknowledged.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::Path;

use gateway_evidence::LogState;
use gateway_model::state::DeliveryStatus;
use rusqlite::Connection;

use crate::failure::Failure;
use crate::sum::Sum;

const READ: &str =
    "SELECT commits, boot, positions, ways_back, envelopes, waiting, forwarded, held, returns, log, sum FROM head";
const WRITE: &str = "INSERT OR REPLACE INTO head
    (one, commits, boot, positions, ways_back, envelopes, waiting, forwarded, held, returns, log, sum)
    VALUES (1, ?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)";

/// Counters and log state as of one commit.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct Head {
    /// Commits made.
    pub(crate) commits: i64,
    /// Times the store was opened: the upper half of every fencing token.
    pub(crate) boot: i64,
    /// Positions given out to events.
    pub(crate) positions: i64,
    /// Numbers given out to receipts on their way back.
    pub(crate) ways_back: i64,
    /// Envelopes kept; also the last sequence number.
    pub(crate) envelopes: i64,
    /// Deliveries waiting.
    pub(crate) waiting: i64,
    /// Deliveries forwarded.
    pub(crate) forwarded: i64,
    /// Deliveries held.
    pub(crate) held: i64,
    /// Receipts on their way back.
    pub(crate) returns: i64,
    /// The evidence log.
    pub(crate) log: LogState,
}

impl Head {
    pub(crate) fn read(connection: &Connection) -> Result<Self, Failure> {
        let (head, log, sum) = connection.query_row(READ, [], |row| {
            let head = Self {
                commits: row.get(0)?,
                boot: row.get(1)?,
                positions: row.get(2)?,
                ways_back: row.get(3)?,
                envelopes: row.get(4)?,
                waiting: row.get(5)?,
                forwarded: row.get(6)?,
                held: row.get(7)?,
                returns: row.get(8)?,
                log: LogState::default(),
            };
            Ok((head, row.get::<_, Vec<u8>>(9)?, row.get(10)?))
        })?;
        head.sum(&log).check(sum, || "head".to_owned())?;
        let log = LogState::decode(&log).map_err(|error| Failure::Damaged(format!("head: {error}")))?;
        Ok(Self { log, ..head })
    }

    pub(crate) fn write(&self, connection: &Connection) -> Result<(), Failure> {
        let log = self.log.encode();
        let sum = self.sum(&log).finish();
        connection.prepare_cached(WRITE)?.execute(rusqlite::params![
            self.commits,
            self.boot,
            self.positions,
            self.ways_back,
            self.envelopes,
            self.waiting,
            self.forwarded,
            self.held,
            self.returns,
            &log[..],
            sum
        ])?;
        Ok(())
    }

    /// Counts a delivery in or out of a status.
    pub(crate) fn count(&mut self, status: DeliveryStatus, by: i64) {
        match status {
            DeliveryStatus::Waiting => self.waiting += by,
            DeliveryStatus::Forwarded => self.forwarded += by,
            DeliveryStatus::Held => self.held += by,
            DeliveryStatus::Delivered
            | DeliveryStatus::Refused
            | DeliveryStatus::Expired
            | DeliveryStatus::Returned => {}
        }
    }

    fn sum(&self, log: &[u8]) -> Sum {
        let numbers = [self.commits, self.boot, self.positions, self.ways_back, self.envelopes];
        let counts = [self.waiting, self.forwarded, self.held, self.returns];
        numbers.into_iter().chain(counts).fold(Sum::new("head"), Sum::int).bytes(log)
    }
}

/// A small file beside the database that names the last acknowledged commit.
///
/// It is written after the commit is durable and never synced by itself, so it is never ahead of what power loss leaves. What it does tell,
/// after a crash of the process, is that a database which ends earlier has been cut, damaged or exchanged.
#[derive(Debug)]
pub(crate) struct Acknowledged {
    file: File,
}

const MAGIC: &[u8; 8] = b"LThead1\n";

impl Acknowledged {
    /// Opens the file and tells the commit in it; `None` when the file was not there.
    pub(crate) fn open(path: &Path) -> io::Result<(Self, Option<u64>)> {
        let file = File::options().read(true).write(true).create(true).truncate(false).open(path)?;
        let acknowledged = Self { file };
        // Power loss while the store was being made leaves it empty or full of zeros.
        if acknowledged.is_blank()? {
            acknowledged.write(0)?;
            acknowledged.file.sync_all()?;
            return Ok((acknowledged, None));
        }
        let commit = acknowledged.read()?;
        Ok((acknowledged, Some(commit)))
    }

    pub(crate) fn write(&self, commit: u64) -> io::Result<()> {
        self.file.write_all_at(&encode(commit), 0)
    }

    fn is_blank(&self) -> io::Result<bool> {
        let mut kept = [0; 24];
        let read = self.file.read_at(&mut kept, 0)?;
        Ok(kept[..read].iter().all(|byte| *byte == 0))
    }

    fn read(&self) -> io::Result<u64> {
        let mut kept = [0; 24];
        let damaged = || io::Error::new(io::ErrorKind::InvalidData, "does not match its checksum");
        self.file.read_exact_at(&mut kept, 0).map_err(|_| damaged())?;
        let mut commit = [0; 8];
        commit.copy_from_slice(&kept[8..16]);
        let commit = u64::from_be_bytes(commit);
        if encode(commit) == kept { Ok(commit) } else { Err(damaged()) }
    }
}

fn encode(commit: u64) -> [u8; 24] {
    let mut out = [0; 24];
    out[..8].copy_from_slice(MAGIC);
    out[8..16].copy_from_slice(&commit.to_be_bytes());
    let sum = Sum::new("acknowledged").bytes(&out[..16]).finish();
    out[16..].copy_from_slice(&sum.to_be_bytes());
    out
}
