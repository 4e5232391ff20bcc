//! Answers that fit into one message: what does not fit is left out, and the answer says so.

use std::collections::VecDeque;

use gateway_evidence::{Event, EventKind, Receipt};

/// Bytes of an answer: below the 4 MiB that callers take by default, with room for what frames it.
pub(super) const ANSWER_BYTES_MAX: usize = (4 << 20) - (64 << 10);
/// What a field costs beside its bytes, at most.
const FRAME_BYTES: usize = 16;

/// A bounded list that is filled oldest first; it keeps the first, the final and the newest.
pub(super) struct Fitted<T> {
    kept: VecDeque<Item<T>>,
    count_max: usize,
    bytes_max: usize,
    bytes: usize,
    cut: bool,
}

struct Item<T> {
    value: T,
    bytes: usize,
    precious: bool,
}

impl<T: prost::Message> Fitted<T> {
    /// Empty.
    pub(super) fn new(count_max: usize, bytes_max: usize) -> Self {
        Self { kept: VecDeque::new(), count_max, bytes_max, bytes: 0, cut: false }
    }

    /// Adds the next one; an older one that matters less goes when there is no room.
    pub(super) fn push(&mut self, value: T, is_final: bool) {
        let bytes = value.encoded_len() + FRAME_BYTES;
        let precious = is_final || (self.kept.is_empty() && !self.cut);
        self.bytes += bytes;
        self.kept.push_back(Item { value, bytes, precious });
        while self.kept.len() > self.count_max || self.bytes > self.bytes_max {
            self.cut = true;
            let least = self.kept.iter().position(|item| !item.precious).unwrap_or(0);
            let Some(gone) = self.kept.remove(least) else { return };
            self.bytes -= gone.bytes;
        }
    }

    /// More was there than was looked at.
    pub(super) fn cut(&mut self) {
        self.cut = true;
    }

    /// Its bytes so far.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// What is kept, oldest first, and whether something is missing.
    pub(super) fn finish(self) -> (Vec<T>, bool) {
        (self.kept.into_iter().map(|item| item.value).collect(), self.cut)
    }
}

/// Whether a receipt tells the end of a delivery.
pub(super) fn is_final(receipt: &Receipt) -> bool {
    Event::decode(&receipt.event).is_ok_and(|event| match event.kind {
        EventKind::Delivered | EventKind::Refused | EventKind::Expired | EventKind::Returned => true,
        EventKind::Accepted
        | EventKind::Forwarded
        | EventKind::Held
        | EventKind::Released
        | EventKind::Retried
        | EventKind::Succeeded
        | EventKind::Recorded
        | EventKind::Rerouted => false,
    })
}

#[cfg(test)]
mod tests {
    use proto::v1;

    use super::*;

    fn entry(number: usize, bytes: usize) -> v1::MissingPart {
        v1::MissingPart { sha256: vec![0; bytes].into(), received: number as u64 }
    }

    fn numbers(fitted: Fitted<v1::MissingPart>) -> (Vec<u64>, bool) {
        let (kept, cut) = fitted.finish();
        (kept.into_iter().map(|entry| entry.received).collect(), cut)
    }

    #[test]
    fn what_fits_is_kept_whole_and_is_not_said_to_be_cut() {
        let mut fitted = Fitted::new(3, 1_000);
        (0..3).for_each(|number| fitted.push(entry(number, 10), false));
        assert_eq!(numbers(fitted), (vec![0, 1, 2], false));
    }

    #[test]
    fn beyond_the_count_the_first_the_final_and_the_newest_stay() {
        let mut fitted = Fitted::new(4, 1_000_000);
        (0..10).for_each(|number| fitted.push(entry(number, 10), number == 3));
        assert_eq!(numbers(fitted), (vec![0, 3, 8, 9], true));
    }

    #[test]
    fn no_answer_has_more_bytes_than_its_bound() {
        let mut fitted = Fitted::new(1_000_000, ANSWER_BYTES_MAX);
        (0..100).for_each(|number| fitted.push(entry(number, 100_000), true));
        assert!(fitted.bytes() <= ANSWER_BYTES_MAX);
        let (kept, cut) = fitted.finish();
        let encoded: usize = kept.iter().map(prost::Message::encoded_len).sum();
        assert!(cut && encoded < 4 << 20 && encoded > 3 << 20, "{encoded}");
        assert_eq!(kept.last().unwrap().received, 99);
    }
}
