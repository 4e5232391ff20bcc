//! The order of the records in an archive, and what each may say where it stands.

use super::record::Record;
use super::{ArchiveError, Head};

/// Follows an archive record by record, and refuses what is out of place. Every writer of a store may rely on what it lets through.
#[derive(Debug, Default)]
pub struct Order {
    records: u64,
    head: Option<Head>,
    section: Section,
    envelopes: u64,
    /// What may still come of the envelope.
    step: Step,
    leaves: u64,
    last_size: u64,
    last_return: u64,
    last_mark: Option<String>,
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default)]
enum Section {
    #[default]
    Start,
    Envelopes,
    Loose,
    Checkpoints,
    Returns,
    Marks,
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default)]
enum Step {
    #[default]
    Row,
    Body,
    Deliveries,
    History,
}

impl Order {
    /// Starts before the first record.
    pub fn new() -> Self {
        Self::default()
    }

    /// The head, once it has come.
    pub fn head(&self) -> Option<&Head> {
        self.head.as_ref()
    }

    /// Lets the next record through.
    ///
    /// # Errors
    /// [`ArchiveError::Misplaced`].
    pub fn admit(&mut self, record: &Record) -> Result<(), ArchiveError> {
        let placed = self.place(record);
        let number = self.records;
        self.records += 1;
        placed.map_err(|what| ArchiveError::Misplaced { record: number, what })
    }

    /// Nothing may be missing at the end.
    ///
    /// # Errors
    /// [`ArchiveError::Misplaced`].
    pub fn end(&self) -> Result<(), ArchiveError> {
        let what = match &self.head {
            None => "there is no head",
            Some(head) if head.envelopes != self.envelopes => "envelopes are missing at the end",
            Some(head) if head.log.size() != self.leaves => "leaves of the log are missing",
            Some(head) if head.log.size() != self.last_size => "the newest checkpoint is missing",
            Some(_) => return Ok(()),
        };
        Err(ArchiveError::Misplaced { record: self.records, what })
    }

    fn place(&mut self, record: &Record) -> Result<(), &'static str> {
        match record {
            Record::Head(head) => {
                must(self.head.is_none() && self.records == 0, "the head comes first, and once")?;
                self.head = Some(head.clone());
                self.enter(Section::Envelopes)
            }
            Record::Envelope { row, .. } => {
                self.enter(Section::Envelopes)?;
                self.envelopes += 1;
                self.step = Step::Body;
                must(row.seq.0 == self.envelopes, "envelopes come by their numbers, from 1")
            }
            Record::Body(_) => {
                self.within(Step::Body)?;
                self.step = Step::Deliveries;
                Ok(())
            }
            Record::Delivery(row) => {
                self.within(Step::Deliveries)?;
                must(row.envelope.0 == self.envelopes, "a delivery of another envelope")
            }
            Record::Own(_) => {
                self.leaves += 1;
                self.within(Step::History)
            }
            Record::Foreign(_) => self.within(Step::History),
            Record::Loose(_) => {
                self.leaves += 1;
                self.enter(Section::Loose)
            }
            Record::Checkpoint { size, .. } => {
                self.enter(Section::Checkpoints)?;
                let rises = *size > std::mem::replace(&mut self.last_size, *size);
                must(rises, "checkpoints come by their sizes")
            }
            Record::Return(row) => {
                self.enter(Section::Returns)?;
                let rises = row.id > std::mem::replace(&mut self.last_return, row.id);
                must(rises, "receipts on their way back come by their numbers")?;
                let given = self.head.as_ref().map_or(0, |head| head.returns_numbered);
                must(row.id <= given, "a number that was never given out")
            }
            Record::Mark { name, .. } => {
                self.enter(Section::Marks)?;
                let before = self.last_mark.replace(name.clone());
                must(before.is_none_or(|before| before < *name), "marks come by their names")
            }
        }
    }

    fn enter(&mut self, section: Section) -> Result<(), &'static str> {
        must(self.head.is_some(), "the head comes first, and once")?;
        must(self.section <= section, "the sections of an archive have an order")?;
        if section > Section::Envelopes {
            let all = self.head.as_ref().map_or(0, |head| head.envelopes);
            must(self.envelopes == all, "envelopes are missing")?;
        }
        self.section = section;
        Ok(())
    }

    /// What hangs on an envelope comes after it, and in order.
    fn within(&mut self, step: Step) -> Result<(), &'static str> {
        must(self.section == Section::Envelopes && self.step != Step::Row, "it belongs to no envelope")?;
        must(self.step <= step, "what hangs on an envelope has an order")?;
        self.step = step;
        Ok(())
    }
}

fn must(holds: bool, what: &'static str) -> Result<(), &'static str> {
    if holds { Ok(()) } else { Err(what) }
}
