//! Incidents: a cause from its beginning to its end. Kept as marks, so that a restart neither forgets one nor gives its alarm again.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use gateway_model::{Cause, Reason, Timestamp};
use gateway_store::mark::Mark;
use gateway_store::{Store, StoreError};
use prost::Message as _;
use proto::v1;

use crate::Core;
use crate::stuck::{Board, GroupKey, StuckGroup};

mod telling;

pub use telling::Alarm;

/// How the names of their marks begin.
const MARKS: &str = "incident/";
/// Incidents remembered, open and ended; the longest ended are forgotten first.
pub const INCIDENTS_MAX: usize = 2_000;
/// Looks in a row at which a cause has to be gone before its incident is over: what comes and goes is one incident.
const LOOKS_GONE: u32 = 2;

/// A cause from its beginning to its end.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Incident {
    /// Names it, together with `opened_at`: the same cause may come back.
    pub id: String,
    /// What it is.
    pub key: GroupKey,
    /// Stable reason code.
    pub reason: Reason,
    /// When it began, by the wall clock.
    pub opened_at: Timestamp,
    /// When it ended; `None` while it lasts.
    pub closed_at: Option<Timestamp>,
    /// The most that waited for it at a time.
    pub count_max: u64,
    /// What was seen at its beginning, of another gateway that does not answer; empty otherwise: it leaves the house, and what an agency's own
    /// system says may be about a person.
    pub detail: String,
    /// Channels to which its beginning has not been told yet.
    pub begin_waits: Vec<String>,
    /// The same for its end.
    pub end_waits: Vec<String>,
}

/// All incidents that are remembered.
#[derive(Debug, Default)]
pub(crate) struct IncidentBook(Mutex<Book>);

#[derive(Debug, Default)]
struct Book {
    /// Whether this node opens and closes incidents; another one only shows them.
    leads: bool,
    open: BTreeMap<GroupKey, Open>,
    /// By when they began.
    ended: BTreeMap<(Timestamp, String), Incident>,
}

#[derive(Clone, Debug)]
struct Open {
    incident: Incident,
    looks_gone: u32,
}

impl IncidentBook {
    /// Reads what is open, and what has ended, from the marks.
    pub(crate) async fn load(&self, store: &dyn Store) -> Result<(), StoreError> {
        let marks = store.marks(MARKS, INCIDENTS_MAX * 2).await?;
        let mut book = self.book();
        *book = Book { leads: book.leads, ..Book::default() };
        for (name, value) in marks {
            let Some(incident) = Incident::decode(&value) else {
                tracing::error!(name, "an incident cannot be read; it is forgotten");
                continue;
            };
            match incident.closed_at {
                None => drop(book.open.insert(incident.key.clone(), Open { incident, looks_gone: 0 })),
                Some(_) => drop(book.ended.insert((incident.opened_at, incident.id.clone()), incident)),
            }
        }
        Ok(())
    }

    /// Whether this node opens and closes incidents.
    pub(crate) fn leads(&self) -> bool {
        self.book().leads
    }

    /// Takes or leaves that; tells whether it has just been taken.
    pub(crate) fn lead(&self, leads: bool) -> bool {
        let led = std::mem::replace(&mut self.book().leads, leads);
        leads && !led
    }

    /// Takes in a look: what began and what ended, once each. What was given as an alarm is a mark already.
    pub(crate) async fn learn(&self, engine: &Core, board: &Board) -> Result<Vec<Alarm>, StoreError> {
        let now = board.as_of.unwrap_or_else(|| engine.clock.now());
        let alarms = {
            let mut book = self.book();
            book.turn(board, now, engine.settings.alarm_channels)
        };
        for alarm in &alarms {
            engine.store.mark(alarm.incident.mark()).await?;
        }
        let forgotten = self.book().forget();
        for forgotten in forgotten {
            if !forgotten.begin_waits.is_empty() || !forgotten.end_waits.is_empty() {
                tracing::error!(incident = %forgotten.id, "an incident is forgotten before its alarms were told");
            }
            engine.store.mark(Mark { value: None, ..forgotten.mark() }).await?;
        }
        Ok(alarms)
    }

    /// Since when the cause lasts.
    pub(crate) fn since(&self, key: &GroupKey) -> Option<Timestamp> {
        self.book().open.get(key).map(|open| open.incident.opened_at)
    }

    /// The newest first, those that last before those that ended, begun at or after `since`.
    pub(crate) fn newest(&self, since: Option<Timestamp>, limit: usize) -> Vec<Incident> {
        let book = self.book();
        let mut open: Vec<Incident> = book.open.values().map(|open| open.incident.clone()).collect();
        open.sort_by(|a, b| (b.opened_at, &a.id).cmp(&(a.opened_at, &b.id)));
        let all = open.into_iter().chain(book.ended.values().rev().cloned());
        all.filter(|incident| since.is_none_or(|since| incident.opened_at >= since)).take(limit).collect()
    }

    fn book(&self) -> MutexGuard<'_, Book> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Book {
    fn turn(&mut self, board: &Board, now: Timestamp, channels: &[&str]) -> Vec<Alarm> {
        let mut alarms = Vec::new();
        let waits = || channels.iter().map(|channel| (*channel).to_owned()).collect::<Vec<String>>();
        for open in self.open.values_mut() {
            open.looks_gone += 1;
        }
        for group in &board.groups {
            if let Some(open) = self.open.get_mut(&group.key) {
                open.looks_gone = 0;
                open.incident.count_max = open.incident.count_max.max(group.count);
                continue;
            }
            let incident = Incident {
                id: group.key.incident_id(),
                key: group.key.clone(),
                reason: group.reason,
                opened_at: now,
                closed_at: None,
                count_max: group.count,
                detail: told_detail(group),
                begin_waits: waits(),
                end_waits: Vec::new(),
            };
            alarms.push(Alarm { incident: incident.clone(), is_end: false });
            self.open.insert(group.key.clone(), Open { incident, looks_gone: 0 });
        }
        // What a board has no room for is not over.
        if board.cut {
            return alarms;
        }
        let over = |open: &Open| open.looks_gone >= LOOKS_GONE;
        let gone: Vec<GroupKey> = self.open.iter().filter(|(_, open)| over(open)).map(|(key, _)| key.clone()).collect();
        for key in gone {
            let Some(open) = self.open.remove(&key) else { continue };
            let incident = Incident { closed_at: Some(now), end_waits: waits(), ..open.incident };
            self.ended.insert((incident.opened_at, incident.id.clone()), incident.clone());
            alarms.push(Alarm { incident, is_end: true });
        }
        alarms
    }

    /// Takes out what is too much.
    fn forget(&mut self) -> Vec<Incident> {
        let mut forgotten = Vec::new();
        while self.ended.len() > INCIDENTS_MAX {
            let Some((_, incident)) = self.ended.pop_first() else { break };
            forgotten.push(incident);
        }
        forgotten
    }
}

impl Incident {
    fn mark(&self) -> Mark {
        let name = format!("{MARKS}{:020}/{}", self.opened_at.micros(), self.id);
        Mark { name, value: Some(self.encode()), leaf: None }
    }

    fn encode(&self) -> Bytes {
        let instant = |at: Timestamp| {
            let (seconds, nanos) = at.to_parts();
            prost_types::Timestamp { seconds, nanos }
        };
        let wire = v1::IncidentMark {
            cause: self.key.cause.as_str().to_owned(),
            reason: self.reason.code().to_owned(),
            destination: self.key.destination.clone(),
            must_act: self.key.must_act.as_ref().map(ToString::to_string).unwrap_or_default(),
            by_reason: self.key.reason.is_some(),
            opened_at: Some(instant(self.opened_at)),
            closed_at: self.closed_at.map(instant),
            count_max: self.count_max,
            detail: self.detail.clone(),
            begin_waits: self.begin_waits.clone(),
            end_waits: self.end_waits.clone(),
        };
        wire.encode_to_vec().into()
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        let wire = v1::IncidentMark::decode(bytes).ok()?;
        let instant = |at: prost_types::Timestamp| Timestamp::from_parts(at.seconds, at.nanos);
        let named = (wire.cause.as_str(), wire.reason.as_str());
        let (key, reason) = GroupKey::of_mark(named, wire.destination, &wire.must_act, wire.by_reason)?;
        let closed_at = match wire.closed_at {
            Some(at) => Some(instant(at)?),
            None => None,
        };
        let (id, opened_at) = (key.incident_id(), instant(wire.opened_at?)?);
        let (count_max, detail) = (wire.count_max, wire.detail);
        let (begin_waits, end_waits) = (wire.begin_waits, wire.end_waits);
        Some(Self { id, key, reason, opened_at, closed_at, count_max, detail, begin_waits, end_waits })
    }
}

/// What an alarm may say beside its reason.
fn told_detail(group: &StuckGroup) -> String {
    match group.key.cause {
        Cause::PeerDown => group.detail.clone(),
        Cause::AdapterError
        | Cause::NotPickedUp
        | Cause::Certificate
        | Cause::Revocation
        | Cause::Held
        | Cause::Refused
        | Cause::ReceiptOverdue
        | Cause::Paused
        | Cause::Gateway => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use gateway_model::id::AgencyId;

    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_seconds(second)
    }

    fn board(second: i64, agencies: &[&str]) -> Board {
        let group = |agency: &&str| StuckGroup {
            key: GroupKey {
                cause: Cause::AdapterError,
                destination: format!("agency:{agency}"),
                must_act: AgencyId::parse(agency).ok(),
                reason: None,
            },
            reason: Reason::AdapterUnavailable,
            count: 3,
            oldest: None,
            deadline: None,
            detail: "no answer".to_owned(),
            sample: Vec::new(),
            files: Vec::new(),
        };
        Board { as_of: Some(at(second)), groups: agencies.iter().map(group).collect(), ..Board::default() }
    }

    fn turn(book: &mut Book, second: i64, agencies: &[&str]) -> Vec<(String, bool)> {
        let alarms = book.turn(&board(second, agencies), at(second), &[]);
        let told = |alarm: Alarm| (alarm.incident.key.destination, !alarm.is_end);
        alarms.into_iter().map(told).collect()
    }

    #[test]
    fn one_alarm_at_the_beginning_and_one_at_the_end() {
        let mut book = Book::default();
        assert_eq!(turn(&mut book, 0, &["a"]), [("agency:a".to_owned(), true)]);
        assert_eq!(turn(&mut book, 2, &["a", "b"]), [("agency:b".to_owned(), true)]);
        assert_eq!(turn(&mut book, 4, &["a", "b"]), []);
        assert_eq!(turn(&mut book, 6, &["b"]), [], "gone at one look is not over");
        assert_eq!(turn(&mut book, 8, &["b"]), [("agency:a".to_owned(), false)]);
        assert_eq!(turn(&mut book, 10, &["a", "b"]), [("agency:a".to_owned(), true)], "a new incident");
    }

    #[test]
    fn what_comes_and_goes_is_one_incident() {
        let mut book = Book::default();
        turn(&mut book, 0, &["a"]);
        for second in 1..20 {
            let there: &[&str] = if second % 2 == 0 { &["a"] } else { &[] };
            assert_eq!(turn(&mut book, second, there), []);
        }
    }

    #[test]
    fn what_a_full_board_does_not_show_is_not_over() {
        let mut book = Book::default();
        turn(&mut book, 0, &["a"]);
        for second in 1..5 {
            let cut = Board { cut: true, ..board(second, &[]) };
            assert_eq!(book.turn(&cut, at(second), &[]), []);
        }
    }

    #[test]
    fn an_incident_is_read_as_it_is_kept() {
        let mut book = Book::default();
        let began = book.turn(&board(7, &["a"]), at(7), &["mail"]).remove(0).incident;
        assert_eq!(Incident::decode(&began.encode()), Some(began.clone()));
        let ended = Incident { closed_at: Some(at(9)), ..began };
        assert_eq!(Incident::decode(&ended.encode()), Some(ended));
        assert_eq!(Incident::decode(b"\xff"), None);
    }

    #[test]
    fn an_alarm_waits_for_each_channel_until_it_is_told_there_and_the_beginning_comes_first() {
        let kept = IncidentBook::default();
        assert!(kept.lead(true) && !kept.lead(true), "taken once");
        let next = |channel: &str| kept.waiting(channel).map(|alarm| alarm.is_end);
        let channels = ["webhook", "mail"];
        kept.book().turn(&board(0, &["a"]), at(0), &channels);
        for second in [2, 4] {
            kept.book().turn(&board(second, &[]), at(second), &channels);
        }
        let began = kept.waiting("mail").unwrap();
        assert!(!began.is_end && began.incident.closed_at.is_some());
        let told = kept.told("mail", &began).unwrap();
        assert_eq!(Incident::decode(&told.encode()), Some(told.clone()), "it is kept so");
        assert_eq!((next("mail"), next("webhook"), next("pigeon")), (Some(true), Some(false), None));
        let ended = kept.waiting("mail").unwrap();
        kept.told("mail", &ended).unwrap();
        assert_eq!((next("mail"), next("webhook")), (None, Some(false)));
    }

    #[test]
    fn the_longest_ended_are_forgotten() {
        let mut book = Book::default();
        let incident = book.turn(&board(0, &["a"]), at(0), &[]).remove(0).incident;
        for second in 0..INCIDENTS_MAX as i64 + 3 {
            let ended = Incident { opened_at: at(second), closed_at: Some(at(second)), ..incident.clone() };
            book.ended.insert((ended.opened_at, ended.id.clone()), ended);
        }
        assert_eq!(book.forget().len(), 3);
        assert_eq!(book.ended.len(), INCIDENTS_MAX);
    }
}
