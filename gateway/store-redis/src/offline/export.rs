//! Moves a store out: every record, in the order of an archive. Ends at the first record that is damaged.

use gateway_store::archive::record::token_bound;
use gateway_store::archive::{Head, Leaf as ArchivedLeaf, MoveError, Record, Return};
use gateway_store::settle::ForeignReceipt;
use tokio::sync::mpsc::Sender;

use super::fields::{self, BODIES, ENVELOPES, Kept, LINES, ROWS};
use super::{Offline, Way, head, ledger};
use crate::answer::{bytes, list};
use crate::batch::decode_mark;
use crate::codec::Damaged;
use crate::failure::Failure;
use crate::keys::{LEAVES_IN_A_CHUNK, Place, read_return, return_field};
use crate::read;
use crate::rows::{Event, Leaf, WayBack};

impl Offline {
    /// Hands every record to `to`, in the order of an archive. Changes nothing.
    ///
    /// # Errors
    /// [`MoveError::Damaged`], which names the record; [`MoveError::Store`].
    ///
    /// # Cancellation
    /// What was handed over is an archive without its end.
    pub async fn export(&self, to: &Sender<Record>) -> Result<(), MoveError> {
        self.need_whole().await.map_err(|error| MoveError::Store { what: error.to_string() })?;
        let export = Export { store: self, to };
        export.run().await.map_err(|failure| self.moved(&failure))
    }
}

struct Export<'a> {
    store: &'a Offline,
    to: &'a Sender<Record>,
}

impl Export<'_> {
    async fn run(&self) -> Result<(), Failure> {
        let head = head(self.store).await?;
        let mut question = redis::cmd("GET");
        question.arg(&self.store.keys.one("tokens")[..]);
        let token: Option<u64> = self.store.link.ask(Way::Read, &question).await?;
        let (envelopes, size) = (head.envelopes, head.log.size());
        self.put(Record::Head(Head {
            origin: head.origin,
            commits: head.version,
            envelopes,
            returns_numbered: head.returns_numbered,
            token_max: token_bound(token.unwrap_or(0)),
            log: head.log,
            note: head.note,
        }))
        .await?;
        for page in fields::pages(envelopes, ENVELOPES) {
            let found = fields::envelopes(self.store, page).await?;
            let kept = found.into_iter().map(|found| found.kept).collect::<Result<Vec<_>, _>>()?;
            for kept in kept.chunks(BODIES) {
                self.envelopes(kept).await?;
            }
        }
        self.loose_leaves(size).await?;
        self.checkpoints(size).await?;
        self.returns().await?;
        self.marks().await
    }

    async fn put(&self, record: Record) -> Result<(), Failure> {
        let gone = |_| Failure::Refused("nobody takes the archive any more".to_owned());
        self.to.send(record).await.map_err(gone)
    }

    async fn envelopes(&self, kept: &[Kept]) -> Result<(), Failure> {
        let states: Vec<_> = kept.iter().map(|kept| &kept.state).collect();
        let bodies = read::bodies(&self.store.link, &self.store.keys, &states).await?;
        for (kept, body) in kept.iter().zip(bodies) {
            self.put(Record::Envelope { row: kept.row.clone(), final_at: kept.state.final_at }).await?;
            if let Some(body) = body? {
                self.put(Record::Body(body)).await?;
            }
            let seq = kept.row.seq.0;
            let places: Vec<Place> = (0..kept.state.places).map(|place| Place { envelope: seq, place }).collect();
            for places in places.chunks(ROWS) {
                for row in fields::deliveries(self.store, places).await? {
                    self.put(Record::Delivery(row?)).await?;
                }
            }
            self.history(kept).await?;
        }
        Ok(())
    }

    async fn history(&self, kept: &Kept) -> Result<(), Failure> {
        for positions in fields::positions(&kept.state) {
            let lines = fields::lines(self.store, kept.row.seq.0, positions).await?;
            let lines = lines.into_iter().collect::<Result<Vec<_>, _>>()?;
            let own = |line: &Event| match line {
                Event::Own(leaf) => Some(*leaf),
                Event::Foreign(_) => None,
            };
            let indexes: Vec<u64> = lines.iter().filter_map(own).collect();
            let mut leaves = ledger::leaves(self.store, &indexes).await?.into_iter();
            for line in lines {
                match line {
                    Event::Own(index) => {
                        let leaf = leaves.next().ok_or_else(|| Damaged::at(format!("leaf {index}")))??;
                        self.put(Record::Own(archived(leaf))).await?;
                    }
                    Event::Foreign(receipt) => {
                        let unreadable = |_| Damaged::at(format!("a receipt about envelope {}", kept.row.seq.0));
                        let leaf_hash = gateway_evidence::Receipt::decode(&receipt).map_err(unreadable)?.leaf_hash();
                        self.put(Record::Foreign(ForeignReceipt { leaf_hash, bytes: receipt })).await?;
                    }
                }
            }
        }
        Ok(())
    }

    async fn loose_leaves(&self, size: u64) -> Result<(), Failure> {
        for page in fields::pages(size, LINES as u64) {
            let indexes: Vec<u64> = page.map(|number| number - 1).collect();
            for leaf in ledger::leaves(self.store, &indexes).await? {
                let leaf = leaf?;
                if leaf.envelope == 0 {
                    self.put(Record::Loose(archived(leaf))).await?;
                }
            }
        }
        Ok(())
    }

    /// Their sizes are told by the names of their fields.
    async fn checkpoints(&self, size: u64) -> Result<(), Failure> {
        for chunk in 0..size.div_ceil(LEAVES_IN_A_CHUNK) {
            let mut question = redis::cmd("HKEYS");
            question.arg(&self.store.keys.log(chunk * LEAVES_IN_A_CHUNK)[..]);
            let mut sizes = Vec::new();
            for field in list(self.store.link.ask(Way::Read, &question).await?)? {
                let field = String::from_utf8_lossy(&bytes(field)?).into_owned();
                let size = field.strip_prefix('n').map(|size| u64::from_str_radix(size, 16));
                sizes.extend(size.and_then(Result::ok));
            }
            sizes.sort_unstable();
            for size in sizes {
                let missing = || Damaged::at(format!("the checkpoint over {size} leaves"));
                let note = ledger::note(self.store, size).await?.ok_or_else(missing)?;
                self.put(Record::Checkpoint { size, note }).await?;
            }
        }
        Ok(())
    }

    async fn returns(&self) -> Result<(), Failure> {
        let key = self.store.keys.one("back");
        let mut ids = std::collections::BTreeSet::new();
        let mut cursor = 0;
        loop {
            let (next, found) = fields::scan(self.store, redis::cmd("HSCAN"), &key, cursor).await?;
            for pair in found.chunks_exact(2) {
                ids.insert(read_return(&bytes(pair[0].clone())?)?);
            }
            if next == 0 {
                break;
            }
            cursor = next;
        }
        for id in ids {
            let mut question = redis::cmd("HGET");
            question.arg(&key[..]).arg(return_field(id));
            let row: Option<Vec<u8>> = self.store.link.ask(Way::Read, &question).await?;
            let WayBack { id, to, lane, wake, attempts, reason, receipt } =
                WayBack::decode(id, &row.unwrap_or_default())?;
            self.put(Record::Return(Return { id, to, lane, wake, attempts, reason, receipt })).await?;
        }
        Ok(())
    }

    async fn marks(&self) -> Result<(), Failure> {
        let key = self.store.keys.one("marks");
        let mut question = redis::cmd("HKEYS");
        question.arg(&key[..]);
        // Names only: what operators have decided is little, what they have written need not be.
        let mut names: Vec<String> = self.store.link.ask(Way::Read, &question).await?;
        names.sort_unstable();
        for name in names {
            let mut question = redis::cmd("HGET");
            question.arg(&key[..]).arg(&name);
            let row: Option<Vec<u8>> = self.store.link.ask(Way::Read, &question).await?;
            let value = decode_mark(&name, &row.unwrap_or_default())?;
            self.put(Record::Mark { name, value }).await?;
        }
        Ok(())
    }
}

fn archived(leaf: Leaf) -> ArchivedLeaf {
    ArchivedLeaf { index: leaf.index, tree_size: leaf.tree_size, event: leaf.event, proof: leaf.proof }
}
