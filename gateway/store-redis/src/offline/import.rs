//! Moves a store in: the records of an archive, and the indexes that follow from them. Until the end `importing` says that this is no store yet, so
//! that no gateway starts on it; the next import clears what is left and begins anew.

use std::collections::HashMap;

use bytes::Bytes;
use gateway_model::Timestamp;
use gateway_model::id::EnvelopeId;
use gateway_store::archive::{Incoming, Leaf as ArchivedLeaf, MoveError, Record, Return, next};
use gateway_store::claim::Lane;
use gateway_store::rows::{DeliveryRow, EnvelopeRow};
use gateway_store::settle::ForeignReceipt;
use redis::{Cmd, Value};
use tokio::sync::mpsc::Receiver;

use super::entry::Entry;
use super::{Offline, TRACES, Way, fields, head, rebuild, walk};
use crate::answer::{bytes, fixed, list, text};
use crate::batch::encode_mark;
use crate::codec::{Damaged, sum};
use crate::evidence;
use crate::failure::Failure;
use crate::head::Head;
use crate::keys::{BodyId, Place, event_field, leaf_field, note_field, return_field, return_item, seq_text};
use crate::plan::{Plan, word};
use crate::rows::{EnvelopeState, Event, Known, Leaf, WayBack, encode_delivery, encode_envelope};
use crate::script::{IMPORT, SCAN};

/// Bytes that are written together, roughly.
const BYTES_AT_ONCE: usize = 512 * 1024;
/// Bodies that are written together at most.
const BODIES_AT_ONCE: usize = 32;

impl Offline {
    /// Takes the records of an archive into an empty store, and checks what it has written. Nothing is a store before all of it has come and holds.
    ///
    /// # Errors
    /// [`MoveError::NotEmpty`] before anything is changed; [`MoveError::OtherLog`]; [`MoveError::Archive`], [`MoveError::Damaged`] and
    /// [`MoveError::Store`], after which what was written is cleared again, as far as Redis can be reached.
    ///
    /// # Cancellation
    /// What was written stays, is no store, and is cleared by the next import.
    pub async fn import(&self, from: &mut Receiver<Incoming>) -> Result<(), MoveError> {
        self.empty().await?;
        match self.take_in(from).await {
            Ok(()) => Ok(()),
            Err(error) => {
                if let Err(failure) = self.clear().await {
                    tracing::warn!(%failure, "what was imported stays until the next import");
                }
                Err(error)
            }
        }
    }

    /// Makes sure that nothing is here, but for what an import left.
    async fn empty(&self) -> Result<(), MoveError> {
        let failed = |failure: Failure| self.moved(&failure);
        if self.half_imported.is_some() {
            return self.clear().await.map_err(failed);
        }
        let not_empty = || MoveError::NotEmpty { what: format!("the store in Redis at {}", self.address) };
        if !self.has_any(&["head"]).await.map_err(failed)? {
            return if self.has_any(&TRACES).await.map_err(failed)? { Err(not_empty()) } else { Ok(()) };
        }
        match head(self).await {
            // A gateway was started on it and has kept nothing.
            Ok(head) if head.version == 0 => self.clear().await.map_err(failed),
            Ok(_) => Err(not_empty()),
            Err(failure) => Err(failed(failure)),
        }
    }

    async fn take_in(&self, from: &mut Receiver<Incoming>) -> Result<(), MoveError> {
        let failed = |failure: Failure| self.moved(&failure);
        let mut question = redis::cmd("INCR");
        question.arg(&self.keys.one("boots")[..]);
        let boot: u64 = self.link.ask(Way::Write, &question).await.map_err(failed)?;
        let mut import = Import::new(self, boot);
        import.flush().await.map_err(failed)?;
        let mut records = 0;
        while let Some(record) = next(from.recv().await, records)? {
            records += 1;
            if let Record::Head(head) = &record {
                self.same_log(head)?;
            }
            import.take(record).await.map_err(failed)?;
        }
        import.end().await.map_err(failed)?;
        let report = walk::check(self).await.map_err(failed)?;
        if let Some(finding) = report.findings.first() {
            let what =
                format!("what was imported does not hold: {}: {} {}", finding.code.code(), finding.place, finding.seen);
            return Err(MoveError::Damaged { what });
        }
        let mut plan = Plan::default();
        plan.command([word("DEL"), self.keys.one("importing")]);
        self.settle().await.map_err(failed)?;
        self.mend(&plan).await.map_err(failed)
    }

    fn same_log(&self, head: &gateway_store::archive::Head) -> Result<(), MoveError> {
        let opens = head.note.as_deref().is_none_or(|note| {
            gateway_evidence::Checkpoint::open(note, self.key.name(), std::slice::from_ref(&self.key)).is_ok()
        });
        if opens && head.origin == self.key.name() {
            return Ok(());
        }
        Err(MoveError::OtherLog { kept: head.origin.clone(), given: self.key.to_string() })
    }

    /// Deletes every key of the store, and the bodies that an import may have written.
    async fn clear(&self) -> Result<(), Failure> {
        let mut question = redis::cmd("GET");
        question.arg(&self.keys.one("importing")[..]);
        let left: Option<String> = self.link.ask(Way::Read, &question).await?;
        let numbers = left.as_deref().and_then(|left| left.split_once(':'));
        let numbers = numbers.and_then(|(boot, last)| Some((boot.parse().ok()?, last.parse().ok()?)));
        if let Some((boot, last)) = numbers {
            for page in fields::pages(last, fields::ROWS as u64) {
                let delete = |number| {
                    let mut delete = redis::cmd("DEL");
                    delete.arg(&self.keys.body(BodyId { boot, number })[..]);
                    delete
                };
                self.link.ask_each(Way::Write, &page.map(delete).collect::<Vec<Cmd>>()).await?;
            }
        }
        while self.clear_some().await? > 0 {}
        let mut plan = Plan::default();
        plan.command([word("DEL"), self.keys.one("importing")]);
        self.mend(&plan).await
    }

    /// Goes through all keys once.
    async fn clear_some(&self) -> Result<usize, Failure> {
        let stays: Vec<Bytes> = ["offline", "alive", "importing"].map(|name| self.keys.one(name)).into();
        let (mut cursor, mut count) = ("0".to_owned(), 0);
        loop {
            let mut call = SCAN.call(&self.keys.head());
            call.arg(&cursor).arg(format!("{}*", self.keys.tag())).arg(fields::ROWS);
            let [next, keys] = fixed(self.link.run(Way::Read, &SCAN, &call).await?)?;
            let keys = list(keys)?.into_iter().map(bytes).collect::<Result<Vec<_>, _>>()?;
            let mut plan = Plan::default();
            for key in keys.into_iter().filter(|key| !stays.contains(key)) {
                plan.command([word("UNLINK"), key]);
                count += 1;
            }
            self.mend(&plan).await?;
            cursor = text(next)?;
            if cursor == "0" {
                return Ok(count);
            }
        }
    }
}

struct Import<'a> {
    store: &'a Offline,
    boot: u64,
    plan: Plan,
    bodies: Vec<(BodyId, Bytes)>,
    ids: Vec<(EnvelopeId, Known)>,
    /// Bytes in the plan, roughly.
    bytes: usize,
    head: Option<Head>,
    token: u64,
    /// The envelope whose deliveries and history are coming.
    current: Option<EnvelopeState>,
    /// The parts that it names, each once.
    parts: std::collections::BTreeSet<gateway_model::Digest>,
    /// The first wake-up of each lane: as many as there are with open work.
    lanes: HashMap<Lane, Timestamp>,
}

impl<'a> Import<'a> {
    fn new(store: &'a Offline, boot: u64) -> Self {
        Self {
            store,
            boot,
            plan: Plan::default(),
            bodies: Vec::new(),
            ids: Vec::new(),
            bytes: 0,
            head: None,
            token: 0,
            current: None,
            parts: std::collections::BTreeSet::new(),
            lanes: HashMap::new(),
        }
    }

    async fn take(&mut self, record: Record) -> Result<(), Failure> {
        match record {
            Record::Head(head) => {
                self.token = head.token_max;
                self.head = Some(Head {
                    version: head.commits,
                    envelopes: head.envelopes,
                    returns_numbered: head.returns_numbered,
                    log: head.log,
                    note: head.note,
                    ..Head::new(&head.origin)
                });
            }
            Record::Envelope { row, final_at } => self.envelope(row, final_at),
            Record::Body(signed) => self.body(signed)?,
            Record::Delivery(row) => self.delivery(&row)?,
            Record::Own(leaf) => {
                let seq = self.line(|_| Event::Own(leaf.index))?;
                self.leaf(seq, leaf);
            }
            Record::Foreign(ForeignReceipt { leaf_hash, bytes }) => {
                let seq = self.line(|_| Event::Foreign(bytes))?;
                Entry::Foreign(seq, leaf_hash).write(&self.store.keys, &mut self.plan);
            }
            Record::Loose(leaf) => self.leaf(0, leaf),
            Record::Checkpoint { size, note } => {
                let key = self.store.keys.log(size.saturating_sub(1));
                self.set(key, note_field(size), evidence::encode_note(size, &note));
            }
            Record::Return(row) => self.way_back(row),
            Record::Mark { name, value } => {
                let row = encode_mark(&name, &value);
                self.plan.put(self.store.keys.one("marknames"), 0, name.clone().into());
                self.set(self.store.keys.one("marks"), name.into(), row);
            }
        }
        if self.bytes >= BYTES_AT_ONCE || self.bodies.len() >= BODIES_AT_ONCE { self.flush().await } else { Ok(()) }
    }

    fn set(&mut self, key: Bytes, field: Bytes, value: Bytes) {
        self.bytes += key.len() + field.len() + value.len();
        self.plan.set(key, field, value);
    }

    fn envelope(&mut self, row: EnvelopeRow, final_at: Option<Timestamp>) {
        self.close_envelope();
        let (seq, keys) = (row.seq.0, &self.store.keys);
        let header = encode_envelope(seq, &row.key, row.digest, &row.header, row.accepted_leaf);
        self.set(keys.envelope(seq), "h".into(), header);
        let known = Known { sender: row.key.sender, seq, digest: row.digest, accepted_leaf: row.accepted_leaf };
        self.ids.push((row.key.id, known));
        if !row.header.file_code.is_empty() {
            self.plan.command([word("RPUSH"), keys.file(&row.header.file_code), seq_text(seq)]);
        }
        self.parts = row.header.parts.iter().map(|part| part.digest).collect();
        self.current = Some(EnvelopeState { seq, body: None, places: 0, open: 0, final_at, events: 0 });
    }

    fn body(&mut self, signed: Bytes) -> Result<(), Damaged> {
        let boot = self.boot;
        let state = self.current.as_mut().ok_or_else(|| Damaged::at("the archive"))?;
        let id = BodyId { boot, number: state.seq };
        state.body = Some((id, sum("body", &signed)));
        self.bytes += signed.len();
        self.bodies.push((id, signed));
        for digest in std::mem::take(&mut self.parts) {
            self.plan.count(self.store.keys.one("parts"), digest.0.to_vec(), "1");
        }
        Ok(())
    }

    fn delivery(&mut self, row: &DeliveryRow) -> Result<(), Damaged> {
        let (state, head) = (self.current.as_mut(), self.head.as_mut());
        let (state, head) = state.zip(head).ok_or_else(|| Damaged::at("the archive"))?;
        let (place, status) = (Place { envelope: state.seq, place: state.places }, row.state.status());
        state.places += 1;
        state.open += u32::from(!status.is_final());
        head.count_in(status);
        let keys = &self.store.keys;
        Entry::Delivery(row.id, place).write(keys, &mut self.plan);
        Entry::Status(status, place).write(keys, &mut self.plan);
        if let Some(wake) = row.wake {
            self.wake(row.lane.clone(), place.item(), wake);
        }
        self.set(keys.envelope(place.envelope), place.field(), encode_delivery(place, row));
        Ok(())
    }

    fn wake(&mut self, lane: Lane, item: Bytes, at: Timestamp) {
        self.plan.put(self.store.keys.lane(&lane), at.micros(), item);
        self.bytes += lane.as_str().len();
        let first = self.lanes.entry(lane).or_insert(at);
        *first = at.min(*first);
    }

    /// The next line of the history; gives the envelope.
    fn line(&mut self, event: impl FnOnce(u64) -> Event) -> Result<u64, Damaged> {
        let state = self.current.as_mut().ok_or_else(|| Damaged::at("the archive"))?;
        state.events += 1;
        let (seq, position) = (state.seq, state.events);
        let row = event(seq).encode(seq, position);
        self.set(self.store.keys.envelope(seq), event_field(position), row);
        Ok(seq)
    }

    fn leaf(&mut self, envelope: u64, leaf: ArchivedLeaf) {
        let ArchivedLeaf { index, tree_size, event, proof } = leaf;
        let row = Leaf { index, envelope, tree_size, event, proof }.encode();
        self.set(self.store.keys.log(index), leaf_field(index), row);
    }

    fn way_back(&mut self, row: Return) {
        let Return { id, to, lane, wake, attempts, reason, receipt } = row;
        if let Some(at) = wake {
            self.wake(lane.clone(), return_item(id), at);
        }
        if let Some(head) = &mut self.head {
            head.returns += 1;
        }
        let row = WayBack { id, to, lane, wake, attempts, reason, receipt }.encode();
        self.set(self.store.keys.one("back"), return_field(id).into(), row);
    }

    /// Nothing more comes of the envelope.
    fn close_envelope(&mut self) {
        let Some(state) = self.current.take() else { return };
        if let Some(at) = state.final_at.filter(|_| state.body.is_some()) {
            Entry::Finished(state.seq, at).write(&self.store.keys, &mut self.plan);
        }
        self.set(self.store.keys.envelope(state.seq), "s".into(), state.encode());
    }

    /// Writes what has come. That a body may be there is written before it is.
    async fn flush(&mut self) -> Result<(), Failure> {
        let last = self.bodies.last().map(|(id, _)| id.number);
        if last.is_some() || self.head.is_none() {
            let mut plan = Plan::default();
            let left = format!("{}:{}", self.boot, last.unwrap_or(0));
            plan.command([word("SET"), self.store.keys.one("importing"), left.into()]);
            self.store.write(&IMPORT, &plan).await?;
        }
        let set = |(id, body): (BodyId, Bytes)| {
            let mut set = redis::cmd("SET");
            set.arg(&self.store.keys.body(id)[..]).arg(&body[..]);
            set
        };
        let sets: Vec<Cmd> = std::mem::take(&mut self.bodies).into_iter().map(set).collect();
        let _set: Vec<Value> = self.store.link.ask_each(Way::Write, &sets).await?;
        let mut plan = std::mem::take(&mut self.plan);
        rebuild::add_ids(self.store, &std::mem::take(&mut self.ids), &mut plan).await?;
        self.bytes = 0;
        self.store.write(&IMPORT, &plan).await
    }

    async fn end(mut self) -> Result<(), Failure> {
        self.close_envelope();
        for (lane, first) in std::mem::take(&mut self.lanes) {
            self.plan.put(self.store.keys.one("lanes"), first.micros(), lane.as_str().to_owned().into());
        }
        self.flush().await?;
        let head = self.head.take().ok_or_else(|| Damaged::at("the archive"))?;
        let mut plan = Plan::default();
        plan.command([word("SET"), self.store.keys.one("tokens"), self.token.to_string().into()]);
        plan.command([word("SET"), self.store.keys.head(), head.encode()]);
        self.store.write(&IMPORT, &plan).await
    }
}
