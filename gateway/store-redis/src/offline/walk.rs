//! Reads every record, and looks whether each index leads to it. What the indexes have beyond that is for [`super::strays`].

use std::collections::{BTreeSet, HashSet};

use gateway_model::state::DeliveryStatus;
use gateway_store::claim::Lane;
use gateway_store::rows::DeliveryRow;
use gateway_store::soundness::tally::Tally;
use gateway_store::soundness::{FindingCode, Report, is_acceptance_of, is_body_of};
use redis::Pipeline;

use super::entry::Entry;
use super::fields::{self, BODIES, ENVELOPES, Found, Kept, ROWS};
use super::{Offline, head, ledger, small, strays};
use crate::codec::Damaged;
use crate::failure::Failure;
use crate::head::Head;
use crate::keys::Place;
use crate::plan::Plan;
use crate::read;
use crate::rows::{Event, Known};

/// What is known of one store while it is walked.
pub(super) struct Walk<'a> {
    pub(super) store: &'a Offline,
    pub(super) head: Head,
    pub(super) report: Report,
    pub(super) counted: Counted,
    /// What is done about an index that is wrong.
    pub(super) mode: Mode,
}

/// What is done about an index that is wrong.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Mode {
    /// It is told.
    Look,
    /// It is told and put right.
    Mend,
}

/// What the records ask of the indexes, in numbers.
#[derive(Default)]
pub(super) struct Counted {
    pub(super) envelopes: u64,
    pub(super) deliveries: u64,
    pub(super) statuses: [u64; DeliveryStatus::ALL.len()],
    /// Deliveries, and receipts on their way back, with a wake-up.
    pub(super) waking: u64,
    /// Their lanes: as many as there are with open work.
    pub(super) lanes: HashSet<Lane>,
    pub(super) returns: u64,
    /// Envelopes with a file code.
    pub(super) filed: u64,
    pub(super) finished: u64,
    /// Digests that kept bodies name.
    pub(super) parts: Tally,
    /// Leaves as the histories name them, with their envelopes.
    pub(super) leaves: Tally,
}

/// Checks all of it.
pub(super) async fn check(store: &Offline) -> Result<Report, Failure> {
    walk(store, Mode::Look).await
}

/// Walks all of it.
pub(super) async fn walk(store: &Offline, mode: Mode) -> Result<Report, Failure> {
    let head = head(store).await?;
    let mut walk = Walk { store, head, report: Report::default(), counted: Counted::default(), mode };
    if let Err(error) = crate::open::check_log(&walk.head, &store.key) {
        walk.report.find(FindingCode::CheckpointInvalid, "head", error.to_string());
    }
    for page in fields::pages(walk.head.envelopes, ENVELOPES) {
        let found = fields::envelopes(store, page).await?;
        walk.page(&found).await?;
    }
    small::returns(&mut walk).await?;
    small::marks(&mut walk).await?;
    ledger::check(&mut walk).await?;
    strays::look(&mut walk).await?;
    small::counters(&mut walk).await?;
    Ok(walk.report)
}

impl Walk<'_> {
    pub(super) fn find(&mut self, code: FindingCode, place: impl Into<String>, seen: impl Into<String>) {
        self.report.find(code, place, seen);
    }

    async fn page(&mut self, found: &[Found]) -> Result<(), Failure> {
        let mut whole = Vec::new();
        for found in found {
            self.report.rows += 1;
            self.counted.envelopes += u64::from(found.is_there);
            match &found.kept {
                Ok(kept) => whole.push((found, kept)),
                Err(damaged) if found.is_there => self.find(FindingCode::RecordDamaged, damaged.what.clone(), ""),
                Err(damaged) => self.find(FindingCode::RecordMissing, damaged.what.clone(), ""),
            }
        }
        let mut entries = Vec::new();
        for (found, kept) in &whole {
            self.envelope(kept, &mut entries);
            let fields = self.hanging(kept, &mut entries).await?;
            if fields + 2 != found.fields {
                strays::fields_of(self, kept).await?;
            }
            self.look_up(&mut entries, ROWS).await?;
        }
        self.look_up(&mut entries, 0).await?;
        let kept: Vec<&Kept> = whole.into_iter().map(|(_, kept)| kept).collect();
        for kept in kept.chunks(BODIES) {
            self.bodies(kept).await?;
        }
        let accepted: Vec<u64> = kept.iter().map(|kept| kept.row.accepted_leaf).collect();
        for (kept, leaf) in kept.iter().zip(ledger::leaves(self.store, &accepted).await?) {
            // A leaf that cannot be read is told with the log.
            if leaf.is_ok_and(|leaf| !is_acceptance_of(&leaf.event, &kept.row)) {
                let seen = format!("it does not say that envelope {} was accepted", kept.row.seq.0);
                self.find(FindingCode::LogBroken, format!("leaf {}", kept.row.accepted_leaf), seen);
            }
        }
        Ok(())
    }

    fn envelope(&mut self, kept: &Kept, entries: &mut Vec<Entry>) {
        let (row, seq) = (&kept.row, kept.row.seq.0);
        let known = Known { sender: row.key.sender.clone(), seq, digest: row.digest, accepted_leaf: row.accepted_leaf };
        entries.push(Entry::Id(row.key.id, known));
        if !row.header.file_code.is_empty() {
            self.counted.filed += 1;
            entries.push(Entry::File(row.header.file_code.clone(), seq));
        }
        if kept.state.body.is_some() {
            for digest in parts_of(kept) {
                self.counted.parts.add(&[&digest.0]);
                entries.push(Entry::Part(digest));
            }
        }
    }

    /// Deliveries and history. Gives how many fields of the envelope they take.
    async fn hanging(&mut self, kept: &Kept, entries: &mut Vec<Entry>) -> Result<u64, Failure> {
        let seq = kept.row.seq.0;
        let mut open = 0;
        let places: Vec<Place> = (0..kept.state.places).map(|place| Place { envelope: seq, place }).collect();
        for places in places.chunks(ROWS) {
            for (place, row) in places.iter().zip(fields::deliveries(self.store, places).await?) {
                match row {
                    Ok(row) => open += self.delivery(*place, &row, entries),
                    Err(damaged) => self.find(FindingCode::RecordDamaged, damaged.what, ""),
                }
            }
            self.look_up(entries, ROWS).await?;
        }
        self.ends(kept, open, entries).await?;
        let mut known = HashSet::new();
        for positions in fields::positions(&kept.state) {
            for (position, line) in positions.clone().zip(fields::lines(self.store, seq, positions).await?) {
                self.line(kept, position, line, &mut known);
            }
        }
        entries.extend(known.iter().map(|hash| Entry::Foreign(seq, *hash)));
        Ok(u64::from(kept.state.places) + u64::from(kept.state.events) + known.len() as u64)
    }

    /// Gives 1 when it is open.
    fn delivery(&mut self, place: Place, row: &DeliveryRow, entries: &mut Vec<Entry>) -> u32 {
        self.report.rows += 1;
        let (status, counted) = (row.state.status(), &mut self.counted);
        counted.deliveries += 1;
        counted.statuses[usize::from(status.number())] += 1;
        entries.push(Entry::Delivery(row.id, place));
        entries.push(Entry::Status(status, place));
        if let Some(wake) = row.wake {
            counted.waking += 1;
            counted.lanes.insert(row.lane.clone());
            entries.push(Entry::Wake(row.lane.clone(), place.item(), wake));
        }
        u32::from(!status.is_final())
    }

    /// The number of open deliveries, and with it whether the envelope is finished.
    async fn ends(&mut self, kept: &Kept, open: u32, entries: &mut Vec<Entry>) -> Result<(), Failure> {
        let (state, seq) = (&kept.state, kept.row.seq.0);
        let mut right = state.clone();
        right.open = open;
        right.final_at = match (open, state.final_at) {
            (0, Some(at)) => Some(at),
            // Nobody knows better any more: the time that everything about it began.
            (0, None) => Some(kept.row.header.received_at),
            (1.., _) => None,
        };
        if right != *state {
            let seen = format!("{open} deliveries are open, it says {} and {:?}", state.open, state.final_at);
            self.find(FindingCode::CounterWrong, format!("the state of envelope {seq}"), seen);
            if self.mode == Mode::Mend {
                let mut plan = Plan::default();
                plan.set(self.store.keys.envelope(seq), &b"s"[..], right.encode());
                self.store.mend(&plan).await?;
            }
        }
        if let Some(at) = right.final_at.filter(|_| right.body.is_some()) {
            self.counted.finished += 1;
            entries.push(Entry::Finished(seq, at));
        }
        Ok(())
    }

    fn line(
        &mut self,
        kept: &Kept,
        position: u32,
        line: Result<Event, Damaged>,
        known: &mut HashSet<gateway_model::Digest>,
    ) {
        self.report.rows += 1;
        let seq = kept.row.seq.0;
        match line {
            Ok(Event::Own(leaf)) => {
                self.counted.leaves.add(&[&leaf.to_be_bytes(), &seq.to_be_bytes()]);
                if position == 1 && leaf != kept.row.accepted_leaf {
                    let seen = format!("its history begins with leaf {leaf}, not {}", kept.row.accepted_leaf);
                    self.find(FindingCode::LogBroken, format!("envelope {seq}"), seen);
                }
            }
            Ok(Event::Foreign(receipt)) => match gateway_evidence::Receipt::decode(&receipt) {
                Ok(receipt) => drop(known.insert(receipt.leaf_hash())),
                Err(error) => {
                    let place = format!("event {position} of envelope {seq}");
                    self.find(FindingCode::RecordDamaged, place, error.to_string());
                }
            },
            Err(damaged) => self.find(FindingCode::RecordDamaged, damaged.what, ""),
        }
    }

    async fn bodies(&mut self, kept: &[&Kept]) -> Result<(), Failure> {
        let states: Vec<_> = kept.iter().map(|kept| &kept.state).collect();
        for (kept, body) in kept.iter().zip(read::bodies(&self.store.link, &self.store.keys, &states).await?) {
            let place = format!("the body of envelope {}", kept.row.seq.0);
            match body {
                Ok(Some(body)) if is_body_of(&body, &kept.row) => {}
                Ok(Some(_)) => self.find(FindingCode::BodyOther, place, ""),
                Ok(None) => continue,
                Err(damaged) => self.find(FindingCode::RecordDamaged, damaged.what, ""),
            }
            self.report.rows += 1;
        }
        Ok(())
    }

    /// Looks lines of indexes up, when there are more than `above`.
    pub(super) async fn look_up(&mut self, entries: &mut Vec<Entry>, above: usize) -> Result<(), Failure> {
        if entries.len() <= above || entries.is_empty() {
            return Ok(());
        }
        for entries in std::mem::take(entries).chunks(ROWS) {
            let mut questions = Pipeline::new();
            entries.iter().for_each(|entry| entry.ask(&self.store.keys, &mut questions));
            let answers = self.store.link.ask_all(super::Way::Read, &questions).await?;
            let mut answers = answers.into_iter();
            let mut wrong = Vec::new();
            for entry in entries {
                let (Some(answer), Some(more)) = (answers.next(), answers.next()) else {
                    return Err(Damaged::at("an answer of Redis").into());
                };
                if let Some((code, seen)) = entry.judge(answer, more)? {
                    self.find(code, entry.place(), seen);
                    wrong.push(entry.clone());
                }
            }
            if self.mode == Mode::Mend {
                super::rebuild::mend(self.store, &wrong).await?;
            }
        }
        Ok(())
    }
}

/// The parts that an envelope names, each once.
pub(super) fn parts_of(kept: &Kept) -> BTreeSet<gateway_model::Digest> {
    kept.row.header.parts.iter().map(|part| part.digest).collect()
}
