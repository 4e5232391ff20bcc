//! How fast it goes: what came in and went out within the last minute, who took how much of it, and how long the disk lasts when it goes on
//! like this.

use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use gateway_model::Timestamp;

use crate::lane::Party;

/// What is called now.
const MINUTE: Duration = Duration::from_secs(60);
/// What one party took is counted in slots of so many seconds.
const SLOT_SECONDS: i64 = 5;
/// Slots of a minute.
const SLOTS: i64 = 12;
/// Parties of which it is counted; beyond that it is counted anew.
const PARTIES_MAX: usize = 16_384;
/// Between two samples of the disk.
const DISK_EVERY: Duration = Duration::from_secs(5 * 60);
/// Samples of the disk: a day's.
const DISK_SAMPLES: usize = 288;
/// Before that, what the disk loses says nothing about a day.
const DISK_KNOWN_AFTER: Duration = Duration::from_secs(30 * 60);

/// One look at the counters, by the steady clock.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Sample {
    pub(crate) at: Timestamp,
    /// Envelopes accepted since the start.
    pub(crate) accepted: u64,
    /// Deliveries made since the start.
    pub(crate) delivered: u64,
    /// Bytes free on the disk of the store.
    pub(crate) free_bytes: u64,
}

/// The newest samples.
#[derive(Debug, Default)]
pub(crate) struct Pace(Mutex<Kept>);

#[derive(Debug, Default)]
struct Kept {
    /// Of the last minute, and one that is older.
    minute: VecDeque<Sample>,
    /// Of the last day.
    disk: VecDeque<Sample>,
    /// Who took how much in each slot of the last minute, the newest slot last.
    taken: HashMap<Party, VecDeque<(i64, u64)>>,
}

/// Counts of the last minute; shorter spans are projected.
#[derive(Clone, Copy, PartialEq, Debug, Default)]
pub struct PerMinute {
    /// Envelopes accepted.
    pub accepted: f64,
    /// Deliveries made.
    pub delivered: f64,
}

impl Pace {
    /// Takes a look in.
    pub(crate) fn learn(&self, sample: Sample) {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let Kept { minute, disk, .. } = &mut *kept;
        minute.push_back(sample);
        while minute.get(1).is_some_and(|second| sample.at.since(second.at) >= MINUTE) {
            minute.pop_front();
        }
        if disk.back().is_none_or(|last| sample.at.since(last.at) >= DISK_EVERY) {
            disk.push_back(sample);
            if disk.len() > DISK_SAMPLES {
                disk.pop_front();
            }
        }
    }

    /// What the last minute brought; `None` before the second look.
    pub(crate) fn per_minute(&self) -> Option<PerMinute> {
        let kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (first, last) = (kept.minute.front()?, kept.minute.back()?);
        let minutes = last.at.since(first.at).as_secs_f64() / MINUTE.as_secs_f64();
        (minutes > 0.0).then(|| PerMinute {
            accepted: last.accepted.saturating_sub(first.accepted) as f64 / minutes,
            delivered: last.delivered.saturating_sub(first.delivered) as f64 / minutes,
        })
    }

    /// A party took so many deliveries at `at`, by the steady clock.
    pub(crate) fn count_taken(&self, party: &Party, rows: usize, at: Timestamp) {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.taken.len() >= PARTIES_MAX && !kept.taken.contains_key(party) {
            kept.taken.clear();
        }
        let (slot, slots) = (slot(at), kept.taken.entry(party.clone()).or_default());
        match slots.back_mut() {
            Some((newest, count)) if *newest == slot => *count += rows as u64,
            Some(_) | None => slots.push_back((slot, rows as u64)),
        }
        while slots.front().is_some_and(|(oldest, _)| slot - oldest >= SLOTS) {
            slots.pop_front();
        }
    }

    /// What a party took within the minute before `now`, by the steady clock.
    pub(crate) fn taken_per_minute(&self, party: &Party, now: Timestamp) -> u64 {
        let kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let slots = kept.taken.get(party).into_iter().flatten();
        slots.filter(|(taken_in, _)| slot(now) - taken_in < SLOTS).map(|(_, count)| count).sum()
    }

    /// How long the disk lasts when it goes on filling as since the first sample of the last day; `None` when it does not fill, or nobody knows yet.
    pub(crate) fn disk_lasts(&self) -> Option<Duration> {
        let kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (first, last) = (kept.disk.front()?, kept.disk.back()?);
        let (took, lost) = (last.at.since(first.at), first.free_bytes.saturating_sub(last.free_bytes));
        if took < DISK_KNOWN_AFTER || lost == 0 {
            return None;
        }
        Duration::try_from_secs_f64(took.as_secs_f64() * last.free_bytes as f64 / lost as f64).ok()
    }
}

fn slot(at: Timestamp) -> i64 {
    at.seconds() / SLOT_SECONDS
}

#[cfg(test)]
mod tests {
    use gateway_model::id::GatewayId;

    use super::*;

    fn sample(seconds: i64, accepted: u64, free_bytes: u64) -> Sample {
        Sample { at: Timestamp::from_seconds(seconds), accepted, delivered: accepted / 2, free_bytes }
    }

    #[test]
    fn a_rate_is_that_of_the_last_minute_and_of_nothing_before() {
        let pace = Pace::default();
        assert_eq!(pace.per_minute(), None);
        pace.learn(sample(0, 1_000, 0));
        assert_eq!(pace.per_minute(), None, "one look is no rate");
        pace.learn(sample(2, 1_010, 0));
        assert_eq!(pace.per_minute(), Some(PerMinute { accepted: 300.0, delivered: 150.0 }), "projected");
        (1..=60).for_each(|minute| pace.learn(sample(2 + minute * 10, 1_010, 0)));
        assert_eq!(pace.per_minute(), Some(PerMinute::default()), "a minute ago nothing came any more");
    }

    #[test]
    fn what_a_party_took_counts_for_a_minute_and_only_for_that_party() {
        let party = |id: &str| Party::Gateway(GatewayId::parse(id).unwrap());
        let (pace, at) = (Pace::default(), Timestamp::from_seconds);
        let (above, below) = (party("gw-tinh"), party("gw-xa"));
        pace.count_taken(&above, 7, at(100));
        pace.count_taken(&above, 1, at(101));
        pace.count_taken(&below, 2, at(130));
        assert_eq!([&above, &below].map(|party| pace.taken_per_minute(party, at(130))), [8, 2]);
        assert_eq!(pace.taken_per_minute(&above, at(159)), 8);
        assert_eq!([&above, &below].map(|party| pace.taken_per_minute(party, at(160))), [0, 2], "a minute later");
        (0..10_000).for_each(|second| pace.count_taken(&above, 1, at(200 + second)));
        assert_eq!(pace.taken_per_minute(&above, at(10_199)), 60);
        let slots = pace.0.lock().unwrap().taken[&above].len();
        assert!(slots <= 12, "what is older is forgotten: {slots}");
    }

    #[test]
    fn a_disk_lasts_as_long_as_it_fills() {
        let (pace, hour) = (Pace::default(), 3_600);
        pace.learn(sample(0, 0, 1_000_000));
        pace.learn(sample(300, 0, 999_000));
        assert_eq!(pace.disk_lasts(), None, "five minutes say nothing");
        pace.learn(sample(hour, 0, 900_000));
        assert_eq!(pace.disk_lasts(), Some(Duration::from_secs(9 * 3_600)));
        pace.learn(sample(2 * hour, 0, 1_100_000));
        assert_eq!(pace.disk_lasts(), None, "it does not fill");
    }
}
