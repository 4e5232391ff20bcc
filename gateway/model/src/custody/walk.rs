//! Walks the facts in the order of time: who had the file when, when the clock stood still, when it ended. Nothing is measured yet.

use std::collections::BTreeMap;

use super::{Arrival, BusinessStatus, Fact, Meaning, Pause, Unknown};
use crate::day::Day;
use crate::id::{AgencyId, DeliveryId};
use crate::limits;
use crate::time::Timestamp;

/// What the walk found.
#[derive(Debug, Default)]
pub(super) struct Walked {
    /// The receipt; the first thing known when there is none.
    pub received_at: Option<Timestamp>,
    pub lines: Vec<Line>,
    pub pauses: Vec<Pause>,
    /// Promised days that count, in the order in which they were said.
    pub promises: Vec<(Timestamp, Day)>,
    pub finished_at: Option<Timestamp>,
    pub status: Option<BusinessStatus>,
    pub unknown: Vec<Unknown>,
}

/// A line of the control slip.
#[derive(Debug)]
pub(super) struct Line {
    pub agency: AgencyId,
    pub arrival: Arrival,
    pub from: Option<AgencyId>,
    pub step: String,
    pub handed_over_at: Option<Timestamp>,
    pub since: Option<Timestamp>,
    pub until: Option<Timestamp>,
    pub is_lost: bool,
    delivery: Option<DeliveryId>,
}

/// Everything known of one delivery.
#[derive(Default)]
struct Way<'f> {
    /// From, to, step, and when.
    handed_over: Option<(Timestamp, &'f AgencyId, &'f AgencyId, &'f str)>,
    delivered: Option<(Timestamp, &'f AgencyId)>,
    failed: Option<Timestamp>,
    /// It carries words about the file, not the file.
    is_aside: bool,
}

/// Something that happens at a time.
enum Event<'f> {
    Received(&'f AgencyId),
    Promised(&'f AgencyId, Day),
    HandedOver(DeliveryId),
    /// Delivered, and nobody said by whom it was handed over.
    Appeared(&'f AgencyId),
    /// Not delivered.
    CameBack(DeliveryId),
    Said(Word<'f>),
}

/// What an agency said.
#[derive(Clone, Copy)]
struct Word<'f> {
    by: &'f AgencyId,
    told_at: Timestamp,
    code: &'f str,
    meaning: Meaning,
    due_on: Option<Day>,
}

pub(super) fn walk(facts: &[Fact]) -> Walked {
    let looked_at = &facts[..facts.len().min(limits::CASE_FACTS_MAX)];
    let ways = ways(looked_at);
    let desk = desk(looked_at, &ways);
    let mut events = events(looked_at, &ways);
    if let Some((received_at, _)) = desk {
        // Systems that say only the day say its midnight, which may be before the receipt: nothing is said of a file that is not there.
        let said = events.iter_mut().filter(|(_, event)| matches!(event, Event::Said(_)));
        said.for_each(|(at, _)| *at = received_at.max(*at));
    }
    events.extend(desk.map(|(at, agency)| (at, Event::Received(agency))));
    events.sort_by(|a, b| (a.0, a.1.order()).cmp(&(b.0, b.1.order())));
    events.dedup_by(|a, b| (a.0, a.1.order()) == (b.0, b.1.order()));
    let mut walked = Walked { received_at: events.first().map(|(at, _)| *at), ..Walked::default() };
    if looked_at.len() < facts.len() {
        walked.unknown.push(Unknown::More);
    }
    let first_gift = ways.values().filter_map(|way| way.handed_over).min();
    match desk {
        Some((at, _)) if first_gift.is_none_or(|first| at <= first.0) => walked.received_at = Some(at),
        _ if events.is_empty() => {}
        Some(_) | None => walked.unknown.push(Unknown::Receipt),
    }
    let giver = desk.map(|(_, agency)| agency).or(first_gift.map(|first| first.1));
    for (at, event) in events {
        walked.take(at, event, &ways, giver);
    }
    walked
}

fn ways(facts: &[Fact]) -> BTreeMap<DeliveryId, Way<'_>> {
    let mut ways: BTreeMap<DeliveryId, Way<'_>> = BTreeMap::new();
    for fact in facts {
        match fact {
            Fact::HandedOver { delivery, from, to, step, at } => {
                let way = ways.entry(*delivery).or_default();
                let this = (*at, from, to, step.as_str());
                way.handed_over = Some(way.handed_over.map_or(this, |earlier| earlier.min(this)));
            }
            Fact::Delivered { delivery, to, at } => {
                let way = ways.entry(*delivery).or_default();
                way.delivered = Some(way.delivered.map_or((*at, to), |earlier| earlier.min((*at, to))));
            }
            Fact::NotDelivered { delivery, at } => {
                let way = ways.entry(*delivery).or_default();
                way.failed = Some(way.failed.map_or(*at, |earlier| earlier.min(*at)));
            }
            Fact::Aside { delivery, .. } => ways.entry(*delivery).or_default().is_aside = true,
            Fact::Received { .. } | Fact::Promised { .. } | Fact::Said { .. } => {}
        }
    }
    ways.retain(|_, way| way.handed_over.is_some() || !way.is_aside);
    ways
}

/// Who received the file and when: not later than it handed it over, whatever its clock says.
fn desk<'f>(facts: &'f [Fact], ways: &BTreeMap<DeliveryId, Way<'_>>) -> Option<(Timestamp, &'f AgencyId)> {
    let received = facts.iter().filter_map(|fact| match fact {
        Fact::Received { agency, at } => Some((*at, agency)),
        Fact::Promised { .. }
        | Fact::HandedOver { .. }
        | Fact::Delivered { .. }
        | Fact::NotDelivered { .. }
        | Fact::Aside { .. }
        | Fact::Said { .. } => None,
    });
    let (at, agency) = received.min()?;
    let gave = ways.values().filter_map(|way| way.handed_over).filter(|gave| gave.1 == agency).map(|gave| gave.0);
    Some((gave.min().map_or(at, |gave| gave.min(at)), agency))
}

fn events<'f>(facts: &'f [Fact], ways: &BTreeMap<DeliveryId, Way<'f>>) -> Vec<(Timestamp, Event<'f>)> {
    let mut events = Vec::new();
    for (delivery, way) in ways {
        match (way.handed_over, way.delivered, way.failed) {
            (Some((at, ..)), None, Some(failed)) => {
                events.push((at, Event::HandedOver(*delivery)));
                // A clock that is behind does not bring a file back before it left.
                events.push((failed.max(at), Event::CameBack(*delivery)));
            }
            (Some((at, ..)), _, _) => events.push((at, Event::HandedOver(*delivery))),
            (None, Some((at, to)), _) => events.push((at, Event::Appeared(to))),
            (None, None, _) => {}
        }
    }
    for fact in facts {
        match fact {
            Fact::Promised { by, at, day } => events.push((*at, Event::Promised(by, *day))),
            Fact::Said { by, at, told_at, step, code, due_on } => {
                let meaning = Meaning::of(step, code);
                let word = Word { by, told_at: *told_at, code, meaning, due_on: *due_on };
                events.push((*at, Event::Said(word)));
            }
            Fact::Received { .. }
            | Fact::HandedOver { .. }
            | Fact::Delivered { .. }
            | Fact::NotDelivered { .. }
            | Fact::Aside { .. } => {}
        }
    }
    events
}

impl<'f> Event<'f> {
    /// The order of what happens at one instant: what was said in the order in which it was told. Equal only for one and the same thing.
    fn order(&self) -> (u8, Timestamp, &str, &str, Option<DeliveryId>, Option<Day>) {
        let plain = |rank, who: &'f AgencyId, day| (rank, Timestamp::MIN, who.as_str(), "", None, day);
        match self {
            Self::Received(agency) => plain(0, agency, None),
            Self::Promised(by, day) => plain(1, by, Some(*day)),
            Self::Appeared(agency) => plain(2, agency, None),
            Self::HandedOver(delivery) => (3, Timestamp::MIN, "", "", Some(*delivery), None),
            Self::CameBack(delivery) => (4, Timestamp::MIN, "", "", Some(*delivery), None),
            Self::Said(word) => {
                let rank = match word.meaning {
                    Meaning::Stops | Meaning::GoesOn | Meaning::InProcess | Meaning::NotTaken | Meaning::Nothing => 5,
                    Meaning::Ends | Meaning::EndsForHolder => 6,
                };
                (rank, word.told_at, word.code, word.by.as_str(), None, word.due_on)
            }
        }
    }
}

impl Walked {
    fn take(&mut self, at: Timestamp, event: Event<'_>, ways: &BTreeMap<DeliveryId, Way<'_>>, desk: Option<&AgencyId>) {
        match event {
            Event::Received(agency) => self.lines.push(Line::held(agency, Arrival::Received, at)),
            Event::Promised(by, day) => {
                // The desk's word counts; another's only while there is none.
                if Some(by) == desk || self.promises.is_empty() {
                    self.promises.push((at, day));
                }
            }
            Event::Appeared(agency) => {
                self.lacks(Unknown::HowItCame(agency.clone()));
                if self.finished_at.is_none() {
                    self.lines.push(Line::held(agency, Arrival::Unknown, at));
                }
            }
            Event::HandedOver(delivery) => self.hand_over(delivery, &ways[&delivery]),
            Event::CameBack(delivery) => self.come_back(at, delivery),
            Event::Said(word) => self.say(at, word),
        }
    }

    fn hand_over(&mut self, delivery: DeliveryId, way: &Way<'_>) {
        let Some((at, from, to, step)) = way.handed_over else { return };
        if self.finished_at.is_some() {
            return self.lacks(Unknown::WentOn(at));
        }
        let since = way.delivered.map(|(delivered, _)| delivered.max(at));
        let is_same = |line: &&mut Line| {
            line.until.is_none() && line.agency == *to && line.from.as_ref() == Some(from) && line.step == step
        };
        if let Some(line) = self.lines.iter_mut().rev().find(is_same) {
            // The same file once more, in a new envelope: whichever arrives first.
            line.since = [line.since, since].into_iter().flatten().min();
            return;
        }
        self.leave(from, at);
        self.lines.push(Line {
            agency: to.clone(),
            arrival: Arrival::HandedOver,
            from: Some(from.clone()),
            step: step.to_owned(),
            handed_over_at: Some(at),
            since,
            until: None,
            is_lost: false,
            delivery: Some(delivery),
        });
    }

    /// An agency gives the file away.
    fn leave(&mut self, agency: &AgencyId, at: Timestamp) {
        let mut own = self.lines.iter_mut().rev().filter(|line| line.agency == *agency);
        match own.find(|line| line.until.is_none_or(|until| until == at)) {
            // To several at once.
            Some(line) if line.until.is_some() => {}
            Some(line) => {
                let is_clear = line.since.is_some_and(|since| since <= at);
                line.until = Some(at);
                if !is_clear {
                    // It cannot give what it does not have: when it came is unknown.
                    line.since = None;
                    self.lacks(Unknown::HowItCame(agency.clone()));
                }
            }
            None => {
                let line = Line { since: None, until: Some(at), ..Line::held(agency, Arrival::Unknown, at) };
                self.lines.push(line);
                self.lacks(Unknown::HowItCame(agency.clone()));
            }
        }
    }

    fn come_back(&mut self, at: Timestamp, delivery: DeliveryId) {
        let is_it = |line: &&mut Line| line.delivery == Some(delivery) && line.until.is_none() && line.since.is_none();
        let Some(line) = self.lines.iter_mut().find(is_it) else { return };
        line.until = Some(at);
        line.is_lost = true;
        let (giver, from) = (line.from.clone(), line.agency.clone());
        self.give_back(at, giver, from);
    }

    fn give_back(&mut self, at: Timestamp, giver: Option<AgencyId>, from: AgencyId) {
        let Some(giver) = giver else { return };
        let step = self.lines.iter().rev().find(|line| line.agency == giver).map(|line| line.step.clone());
        let back = Line::held(&giver, Arrival::CameBack, at);
        self.lines.push(Line { from: Some(from), step: step.unwrap_or_default(), ..back });
    }

    fn say(&mut self, at: Timestamp, word: Word<'_>) {
        let Word { by, code, meaning, due_on, .. } = word;
        if !code.is_empty() {
            self.status = Some(BusinessStatus { code: code.to_owned(), by: by.clone(), at });
        }
        if self.finished_at.is_some() {
            return;
        }
        match meaning {
            Meaning::Stops => {
                if self.pauses.last().is_none_or(|pause| pause.until.is_some()) {
                    let pause = Pause { agency: by.clone(), since: at, until: None, code: code.to_owned() };
                    self.pauses.push(pause);
                }
            }
            Meaning::GoesOn => {
                self.go_on(at);
                self.promises.extend(due_on.map(|day| (at, day)));
            }
            Meaning::InProcess => self.go_on(at),
            Meaning::Ends => self.end(at),
            Meaning::EndsForHolder => {
                if self.lines.iter().any(|line| line.agency == *by && line.until.is_none()) {
                    self.end(at);
                }
            }
            Meaning::NotTaken => {
                let is_its = |line: &&mut Line| line.agency == *by && line.until.is_none() && line.from.is_some();
                if let Some(line) = self.lines.iter_mut().rev().find(is_its) {
                    line.since = line.since.filter(|since| *since <= at);
                    line.until = Some(at);
                    let giver = line.from.clone();
                    self.give_back(at, giver, by.clone());
                }
            }
            Meaning::Nothing => {}
        }
    }

    fn go_on(&mut self, at: Timestamp) {
        if let Some(pause) = self.pauses.last_mut().filter(|pause| pause.until.is_none()) {
            pause.until = Some(at);
        }
    }

    fn end(&mut self, at: Timestamp) {
        self.go_on(at);
        self.finished_at = Some(at);
        for line in self.lines.iter_mut().filter(|line| line.until.is_none()) {
            line.since = line.since.filter(|since| *since <= at);
            line.until = Some(at);
        }
    }

    fn lacks(&mut self, what: Unknown) {
        if !self.unknown.contains(&what) {
            self.unknown.push(what);
        }
    }
}

impl Line {
    fn held(agency: &AgencyId, arrival: Arrival, since: Timestamp) -> Self {
        Self {
            agency: agency.clone(),
            arrival,
            from: None,
            step: String::new(),
            handed_over_at: None,
            since: Some(since),
            until: None,
            is_lost: false,
            delivery: None,
        }
    }
}
