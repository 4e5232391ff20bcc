//! What a whole check of a store finds: each finding with a stable code, its place, what was seen, and what to do.
//!
//! Rooms: [`log`] grows the evidence log anew and compares; [`tally`] compares an index with the rows that it leads to, without keeping either.

pub mod log;
pub mod tally;

use gateway_evidence::Event;
use gateway_model::Digest;
use gateway_model::language::Language;
use prost::Message as _;

use crate::rows::EnvelopeRow;

/// Findings that one report names; the others are counted.
pub const FINDINGS_MAX: usize = 1_000;

/// What a whole check saw.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Report {
    /// Rows read.
    pub rows: u64,
    /// Leaves of the evidence log hashed.
    pub leaves: u64,
    /// Parts looked for.
    pub parts: u64,
    /// What is wrong; the first [`FINDINGS_MAX`].
    pub findings: Vec<Finding>,
    /// Findings beyond those.
    pub more: u64,
    /// Whether a record is among all of them that is not what was written.
    pub has_damaged_records: bool,
}

/// One thing that is wrong.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Finding {
    /// Which kind of thing.
    pub code: FindingCode,
    /// Where.
    pub place: String,
    /// What was seen; may be empty.
    pub seen: String,
}

/// Kinds of findings. Their codes are stable.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum FindingCode {
    /// A page of the database file.
    PageDamaged,
    /// A record is not what was written.
    RecordDamaged,
    /// A record is missing.
    RecordMissing,
    /// A body does not have the digest of its envelope.
    BodyOther,
    /// An index does not lead to a record.
    IndexMissing,
    /// An index leads to what is not there.
    IndexStray,
    /// An index says something else than the record.
    IndexWrong,
    /// A counter is not what is counted.
    CounterWrong,
    /// The log does not grow to what its state says, or a leaf is not about what it should be.
    LogBroken,
    /// A signed checkpoint does not hold.
    CheckpointInvalid,
    /// Commits that were acknowledged are missing.
    CommitsLost,
    /// A part that a kept body names is missing.
    PartMissing,
    /// A part is not what its digest says.
    PartDamaged,
}

/// What a finding is about, and so what mends it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Concern {
    /// A record itself: only a backup has it.
    Record,
    /// An index or a counter: made anew from the records.
    Index,
    /// A file beside the store.
    Part,
}

/// What became of making the indexes anew.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Rebuilt {
    /// Records are damaged: nothing was changed. The report names them, and everything else that is wrong.
    Refused(Report),
    /// What was wrong is as the records say now.
    Mended {
        /// What was put right.
        mended: Vec<Finding>,
        /// What was put right beyond those that a report names.
        more: u64,
        /// The store as it stands after it.
        after: Report,
    },
}

impl Report {
    /// Whether all is well.
    pub fn is_sound(&self) -> bool {
        self.findings.is_empty()
    }

    /// Findings in all.
    pub fn count(&self) -> u64 {
        self.findings.len() as u64 + self.more
    }

    /// Adds a finding.
    pub fn find(&mut self, code: FindingCode, place: impl Into<String>, seen: impl Into<String>) {
        self.has_damaged_records |= code.concern() == Concern::Record;
        if self.findings.len() < FINDINGS_MAX {
            self.findings.push(Finding { code, place: place.into(), seen: seen.into() });
        } else {
            self.more += 1;
        }
    }
}

impl FindingCode {
    /// Every code.
    pub const ALL: [Self; 13] = [
        Self::PageDamaged,
        Self::RecordDamaged,
        Self::RecordMissing,
        Self::BodyOther,
        Self::IndexMissing,
        Self::IndexStray,
        Self::IndexWrong,
        Self::CounterWrong,
        Self::LogBroken,
        Self::CheckpointInvalid,
        Self::CommitsLost,
        Self::PartMissing,
        Self::PartDamaged,
    ];

    /// The stable code.
    pub fn code(self) -> &'static str {
        match self {
            Self::PageDamaged => "STORE_PAGE_DAMAGED",
            Self::RecordDamaged => "STORE_RECORD_DAMAGED",
            Self::RecordMissing => "STORE_RECORD_MISSING",
            Self::BodyOther => "STORE_BODY_OTHER",
            Self::IndexMissing => "STORE_INDEX_MISSING",
            Self::IndexStray => "STORE_INDEX_STRAY",
            Self::IndexWrong => "STORE_INDEX_WRONG",
            Self::CounterWrong => "STORE_COUNTER_WRONG",
            Self::LogBroken => "STORE_LOG_BROKEN",
            Self::CheckpointInvalid => "STORE_CHECKPOINT_INVALID",
            Self::CommitsLost => "STORE_COMMITS_LOST",
            Self::PartMissing => "STORE_PART_MISSING",
            Self::PartDamaged => "STORE_PART_DAMAGED",
        }
    }

    /// What it is about.
    pub fn concern(self) -> Concern {
        match self {
            Self::PageDamaged
            | Self::RecordDamaged
            | Self::RecordMissing
            | Self::BodyOther
            | Self::LogBroken
            | Self::CheckpointInvalid
            | Self::CommitsLost => Concern::Record,
            Self::IndexMissing | Self::IndexStray | Self::IndexWrong | Self::CounterWrong => Concern::Index,
            Self::PartMissing | Self::PartDamaged => Concern::Part,
        }
    }

    /// What is wrong, in one sentence.
    pub fn message(self, language: Language) -> &'static str {
        let (vi, en) = match self {
            Self::PageDamaged => ("một trang của tệp cơ sở dữ liệu bị hỏng", "a page of the database file is damaged"),
            Self::RecordDamaged => ("bản ghi không còn như khi được ghi", "the record is not what was written"),
            Self::RecordMissing => ("thiếu bản ghi", "the record is missing"),
            Self::BodyOther => {
                ("nội dung không khớp mã băm của phong bì", "the body does not have the digest of its envelope")
            }
            Self::IndexMissing => ("chỉ mục không dẫn tới bản ghi", "the index does not lead to the record"),
            Self::IndexStray => ("chỉ mục dẫn tới thứ không có", "the index leads to what is not there"),
            Self::IndexWrong => ("chỉ mục nói khác bản ghi", "the index says something else than the record"),
            Self::CounterWrong => ("bộ đếm khác với số đếm được", "the counter is not what is counted"),
            Self::LogBroken => {
                ("sổ bằng chứng không khớp với các lá của nó", "the evidence log does not agree with its leaves")
            }
            Self::CheckpointInvalid => ("điểm chốt đã ký không hợp lệ", "the signed checkpoint does not hold"),
            Self::CommitsLost => ("mất những lần ghi đã được xác nhận", "commits that were acknowledged are missing"),
            Self::PartMissing => {
                ("thiếu tệp đính kèm mà một phong bì còn giữ nêu tên", "a part that a kept envelope names is missing")
            }
            Self::PartDamaged => ("tệp đính kèm không khớp mã băm", "the part does not have its digest"),
        };
        language.pick(vi, en)
    }

    /// What a person does next.
    pub fn next_step(self, language: Language) -> &'static str {
        let (vi, en) = match self.concern() {
            Concern::Record => (
                "giữ nguyên kho, kiểm tra ổ đĩa, rồi khôi phục từ bản sao lưu",
                "leave the store as it is, check the disk, then restore a backup",
            ),
            Concern::Index => (
                "chạy `lienthong store rebuild-index`: không bản ghi nào bị mất",
                "run `lienthong store rebuild-index`: no record is lost",
            ),
            Concern::Part => (
                "khôi phục tệp từ bản sao lưu, hoặc yêu cầu nơi gửi gửi lại",
                "bring the file back from a backup, or have the sender send it again",
            ),
        };
        language.pick(vi, en)
    }
}

/// Whether a kept body is the one whose digest the envelope has.
pub fn is_body_of(body: &[u8], row: &EnvelopeRow) -> bool {
    proto::v1::SignedEnvelope::decode(body).is_ok_and(|signed| Digest::of(&signed.envelope) == row.digest)
}

/// Whether a leaf says that this very envelope was accepted: its id, its sender, its digest. So the row rests on the signed log.
pub fn is_acceptance_of(event: &[u8], row: &EnvelopeRow) -> bool {
    Event::decode(event).is_ok_and(|event| {
        event.envelope_id == row.key.id && event.sender == row.key.sender && event.envelope_digest == row.digest
    })
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn every_code_has_its_own_name_and_words_in_both_languages() {
        let codes: HashSet<&str> = FindingCode::ALL.iter().map(|code| code.code()).collect();
        assert_eq!(codes.len(), FindingCode::ALL.len());
        for code in FindingCode::ALL {
            assert_ne!(code.message(Language::Vi), code.message(Language::En));
            assert_ne!(code.next_step(Language::Vi), code.next_step(Language::En));
        }
    }

    #[test]
    fn what_is_beyond_the_bound_is_counted() {
        let mut report = Report::default();
        for number in 0..=FINDINGS_MAX {
            report.find(FindingCode::IndexStray, format!("place {number}"), "");
        }
        assert_eq!((report.findings.len(), report.more, report.count()), (FINDINGS_MAX, 1, FINDINGS_MAX as u64 + 1));
        assert!(!report.has_damaged_records && !report.is_sound());
        report.find(FindingCode::RecordDamaged, "", "");
        assert!(report.has_damaged_records);
    }
}
