//! The ladder: gateways as rungs, an envelope's way over them as arrows up and down, time from left to right.

use std::collections::{HashMap, HashSet};

use gateway_model::language::Language;
use maud::Markup;
use proto::v1;

use super::event::Told;
use super::time;

pub(crate) mod draw;

/// Columns that are drawn; more would be no picture any more.
const COLUMNS_MAX: usize = 28;
/// Rungs that are drawn.
const RUNGS_MAX: usize = 12;

/// The way of one or more envelopes, ready to be drawn.
#[derive(Clone, PartialEq, Debug)]
pub(crate) struct Ladder {
    /// From the top down.
    rungs: Vec<Rung>,
    /// From left to right.
    marks: Vec<Mark>,
    moves: Vec<Move>,
    /// Whether earlier marks were left out.
    pub cut: bool,
}

/// One gateway.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Rung {
    gateway: String,
    /// This gateway, one that told, or one that did not.
    knowledge: Knowledge,
}

/// Whose word a rung stands on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Knowledge {
    /// This gateway's own.
    Here,
    /// It was asked and told.
    Told,
    /// It did not answer: only what it had sent before is known.
    Lacking,
}

/// Something that happened at a gateway.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Mark {
    column: usize,
    rung: usize,
    shape: Shape,
    at: Option<prost_types::Timestamp>,
    words: String,
}

/// What a mark looks like.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Shape {
    Accepted,
    Status,
    Delivered,
    Held,
    Ended,
    Waiting,
}

/// A hand-over from mark to mark.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Move {
    from: usize,
    to: usize,
    /// Whether it has happened, or waits to happen.
    waits: bool,
}

/// Sender and envelope id.
type Key<'a> = (&'a str, &'a str);

/// What the picture is made from.
pub(crate) struct Known<'a> {
    /// Events, oldest first.
    pub events: &'a [Told],
    /// What this gateway has.
    pub envelopes: &'a [v1::EnvelopeSummary],
    /// Who was asked.
    pub sources: &'a [v1::TimelineSource],
    /// This gateway's neighbours with their relation to it.
    pub peers: &'a [v1::PeerState],
    /// This gateway.
    pub here: &'a str,
}

impl Known<'_> {
    /// The gateway whose knowledge an envelope's entry is.
    fn told_by<'a>(&'a self, envelope: &'a v1::EnvelopeSummary) -> &'a str {
        if envelope.gateway.is_empty() { self.here } else { &envelope.gateway }
    }
}

impl Ladder {
    /// Places what is known; `None` when no gateway is known to have had it.
    pub(crate) fn of(known: &Known<'_>, l: Language) -> Option<Self> {
        let rungs = rungs(known);
        let mut ladder = Self { rungs, marks: Vec::new(), moves: Vec::new(), cut: false };
        let mut accepted: HashMap<(Key<'_>, usize), usize> = HashMap::new();
        for told in known.events {
            ladder.place(told, known, &mut accepted, l);
        }
        ladder.connect(known, &accepted);
        ladder.place_waiting(known, &accepted, l);
        ladder.keep_the_end();
        (!ladder.marks.is_empty()).then_some(ladder)
    }

    /// The picture.
    pub(crate) fn picture(&self, l: Language) -> Markup {
        draw::picture(self, l)
    }

    fn place<'a>(
        &mut self,
        told: &'a Told,
        known: &Known<'_>,
        accepted: &mut HashMap<(Key<'a>, usize), usize>,
        l: Language,
    ) {
        let event = &told.event;
        let Some(rung) = self.rung(&event.gateway) else { return };
        let key = (event.sender.as_str(), event.envelope_id.as_str());
        let Some(shape) = shape(event.kind(), is_status(known, key)) else { return };
        let (_, _, word) = super::event::event_words(event.kind());
        let words = format!("{}: {} · {}", event.gateway, word.of(l), event.envelope_id);
        let index = self.mark(rung, shape, event.at, words);
        if event.kind() == v1::EventKind::Accepted {
            accepted.insert((key, rung), index);
        }
    }

    /// Draws an arrow for each hand-over that both ends are known of.
    fn connect(&mut self, known: &Known<'_>, accepted: &HashMap<(Key<'_>, usize), usize>) {
        let mut drawn = HashSet::new();
        for told in known.events.iter().filter(|told| told.event.kind() == v1::EventKind::Forwarded) {
            let event = &told.event;
            let key = (event.sender.as_str(), event.envelope_id.as_str());
            let ends = [&event.gateway, &event.counterpart].map(|gateway| self.rung(gateway));
            let [Some(from), Some(to)] = ends else { continue };
            let ends = [from, to].map(|rung| accepted.get(&(key, rung)).copied());
            if let [Some(from), Some(to)] = ends
                && drawn.insert((from, to))
            {
                self.moves.push(Move { from, to, waits: false });
            }
        }
    }

    /// What gateways still have to hand over, each by its own word.
    fn place_waiting(&mut self, known: &Known<'_>, accepted: &HashMap<(Key<'_>, usize), usize>, l: Language) {
        for envelope in known.envelopes {
            let Some(holder) = self.rung(known.told_by(envelope)) else { continue };
            let key = (envelope.sender.as_str(), envelope.envelope_id.as_str());
            let mut seen = HashSet::new();
            for delivery in envelope.deliveries.iter().filter(|d| d.status() == v1::DeliveryStatus::Waiting) {
                if !seen.insert(delivery.next_hop.as_str()) {
                    continue;
                }
                let rung = self.rung(&delivery.next_hop).unwrap_or(holder);
                let words = format!("{} → {}", crate::words::timeline::LEGEND_WAIT.of(l), delivery.next_hop);
                let to = self.mark(rung, Shape::Waiting, delivery.next_attempt_at, words);
                if let Some(&from) = accepted.get(&(key, holder)) {
                    self.moves.push(Move { from, to, waits: true });
                }
            }
        }
    }

    fn mark(&mut self, rung: usize, shape: Shape, at: Option<prost_types::Timestamp>, words: String) -> usize {
        let index = self.marks.len();
        self.marks.push(Mark { column: index, rung, shape, at, words });
        index
    }

    fn keep_the_end(&mut self) {
        let Some(first) = self.marks.len().checked_sub(COLUMNS_MAX).filter(|first| *first > 0) else { return };
        self.cut = true;
        self.marks.drain(..first);
        self.moves.retain(|step| step.from >= first && step.to >= first);
        for mark in &mut self.marks {
            mark.column -= first;
        }
        for step in &mut self.moves {
            (step.from, step.to) = (step.from - first, step.to - first);
        }
    }

    fn rung(&self, gateway: &str) -> Option<usize> {
        self.rungs.iter().position(|rung| rung.gateway == gateway)
    }
}

impl Mark {
    /// Hour and day, as two short lines.
    fn when(&self) -> [String; 2] {
        time::read(self.at.as_ref())
            .map_or_else(Default::default, |at| ["%H:%M", "%d/%m"].map(|form| time::written(at, form)))
    }
}

/// Which events are drawn, and as what.
fn shape(kind: v1::EventKind, is_status: bool) -> Option<Shape> {
    use v1::EventKind as K;
    match kind {
        K::Accepted if is_status => Some(Shape::Status),
        K::Accepted => Some(Shape::Accepted),
        K::Delivered => Some(Shape::Delivered),
        K::Held => Some(Shape::Held),
        K::Refused | K::Expired | K::Returned => Some(Shape::Ended),
        K::Forwarded | K::Released | K::Retried | K::Succeeded | K::Recorded | K::Rerouted => None,
        K::Unspecified => None,
    }
}

fn is_status(known: &Known<'_>, (sender, id): Key<'_>) -> bool {
    known.envelopes.iter().any(|e| e.kind == "status" && e.envelope_id == id && e.sender == sender)
}

/// Gateways in the order in which the first envelope climbed them, the highest at the top as far as the neighbours tell.
fn rungs(known: &Known<'_>) -> Vec<Rung> {
    let neighbours: HashSet<&str> = known
        .peers
        .iter()
        .map(|peer| peer.gateway.as_str())
        .chain(known.sources.iter().map(|s| s.gateway.as_str()))
        .collect();
    let of_events = known.events.iter().flat_map(|told| {
        let next = (told.event.kind() == v1::EventKind::Forwarded).then_some(told.event.counterpart.as_str());
        std::iter::once(told.event.gateway.as_str()).chain(next)
    });
    let deliveries = known.envelopes.iter().flat_map(|envelope| &envelope.deliveries);
    let waited_for = deliveries.filter(|delivery| delivery.status() == v1::DeliveryStatus::Waiting);
    let waited_for = waited_for.map(|delivery| delivery.next_hop.as_str()).filter(|hop| neighbours.contains(hop));
    let mut order: Vec<&str> = Vec::new();
    for gateway in of_events.chain(waited_for) {
        if !gateway.is_empty() && !order.contains(&gateway) && order.len() < RUNGS_MAX {
            order.push(gateway);
        }
    }
    if !descends(&order, known) {
        order.reverse();
    }
    let knowledge = |gateway: &str| {
        let lacking = known.sources.iter().any(|source| source.gateway == gateway && !source.answered);
        match (gateway == known.here, lacking) {
            (true, _) => Knowledge::Here,
            (false, true) => Knowledge::Lacking,
            (false, false) => Knowledge::Told,
        }
    };
    order.into_iter().map(|gateway| Rung { gateway: gateway.to_owned(), knowledge: knowledge(gateway) }).collect()
}

/// Whether the order, as it was climbed, runs from the top down: this gateway's neighbours tell.
fn descends(order: &[&str], known: &Known<'_>) -> bool {
    let Some(here) = order.iter().position(|gateway| *gateway == known.here) else { return false };
    let relation =
        |gateway: &str| known.peers.iter().find(|peer| peer.gateway == gateway).map(|peer| peer.relation.as_str());
    let before = order[..here].iter().rev().find_map(|gateway| relation(gateway));
    let after = order[here + 1..].iter().find_map(|gateway| relation(gateway));
    before == Some("parent") || (before.is_none() && after == Some("child"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(kind: v1::EventKind, gateway: &str, counterpart: &str, seconds: i64) -> Told {
        let event = v1::Event {
            kind: kind as i32,
            gateway: gateway.to_owned(),
            counterpart: counterpart.to_owned(),
            sender: "xa".to_owned(),
            envelope_id: "e1".to_owned(),
            at: Some(prost_types::Timestamp { seconds, nanos: 0 }),
            ..Default::default()
        };
        Told { event, leaf: 0, local: true }
    }

    fn peer(gateway: &str, relation: &str) -> v1::PeerState {
        v1::PeerState { gateway: gateway.to_owned(), relation: relation.to_owned(), ..Default::default() }
    }

    fn climbed() -> Vec<Told> {
        use v1::EventKind as K;
        vec![
            told(K::Accepted, "gw-xa", "", 1),
            told(K::Accepted, "gw-huyen", "", 2),
            told(K::Forwarded, "gw-xa", "gw-huyen", 3),
            told(K::Accepted, "gw-tinh", "", 4),
            told(K::Forwarded, "gw-huyen", "gw-tinh", 5),
            told(K::Delivered, "gw-tinh", "land", 6),
        ]
    }

    fn names(ladder: &Ladder) -> Vec<&str> {
        ladder.rungs.iter().map(|rung| rung.gateway.as_str()).collect()
    }

    #[test]
    fn the_higher_gateway_stands_higher_whichever_way_the_envelope_went() {
        let events = climbed();
        let peers = [peer("gw-tinh", "parent"), peer("gw-xa", "child")];
        let known = Known { events: &events, envelopes: &[], sources: &[], peers: &peers, here: "gw-huyen" };
        let ladder = Ladder::of(&known, Language::Vi).unwrap();
        assert_eq!(names(&ladder), ["gw-tinh", "gw-huyen", "gw-xa"]);
        assert_eq!(ladder.moves.len(), 2);
        let peers = [peer("gw-tinh", "child"), peer("gw-xa", "parent")];
        let ladder = Ladder::of(&Known { peers: &peers, ..known }, Language::Vi).unwrap();
        assert_eq!(names(&ladder), ["gw-xa", "gw-huyen", "gw-tinh"]);
    }

    #[test]
    fn what_waits_and_who_did_not_answer_are_drawn() {
        let events = vec![told(v1::EventKind::Accepted, "gw-xa", "", 1)];
        let state = v1::DeliveryState {
            status: v1::DeliveryStatus::Waiting as i32,
            next_hop: "gw-huyen".to_owned(),
            ..Default::default()
        };
        let envelope = v1::EnvelopeSummary {
            sender: "xa".to_owned(),
            envelope_id: "e1".to_owned(),
            deliveries: vec![state.clone(), state],
            ..Default::default()
        };
        let source = v1::TimelineSource { gateway: "gw-huyen".to_owned(), answered: false, ..Default::default() };
        let known = Known {
            events: &events,
            envelopes: &[envelope],
            sources: &[source],
            peers: &[peer("gw-huyen", "parent")],
            here: "gw-xa",
        };
        let ladder = Ladder::of(&known, Language::En).unwrap();
        assert_eq!(ladder.rungs[0].knowledge, Knowledge::Lacking);
        assert_eq!(ladder.moves, [Move { from: 0, to: 1, waits: true }], "once for one destination");
        assert!(ladder.picture(Language::En).into_string().contains("only local knowledge"));
    }

    #[test]
    fn the_picture_is_bounded_and_harmless() {
        let mut events: Vec<Told> =
            (0..400).map(|n| told(v1::EventKind::Accepted, &format!("gw-{n}</svg><script>"), "", n)).collect();
        events.extend((0..400).map(|n| told(v1::EventKind::Held, "gw-0</svg><script>", "", n)));
        let known = Known { events: &events, envelopes: &[], sources: &[], peers: &[], here: "gw-0" };
        let ladder = Ladder::of(&known, Language::Vi).unwrap();
        assert!(ladder.cut && ladder.marks.len() == COLUMNS_MAX && ladder.rungs.len() == RUNGS_MAX);
        assert!(!ladder.picture(Language::Vi).into_string().contains("<script"));
    }
}
