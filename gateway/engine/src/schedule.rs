//! Fairness: how many rows to take from which lane next. Pure: no store, no clock, no randomness.
//!
//! Destinations take turns, so that a large backlog for one does not delay another. Within a destination the priorities share by weight
//! (16 : 8 : 4 : 2 : 1, the most urgent first), so that urgent work goes first and ordinary work still moves. Within a priority the senders
//! take turns, so that one busy sender starves nobody.

use std::collections::{BTreeMap, HashMap};
use std::ops::Bound;

use gateway_model::id::AgencyId;
use gateway_store::claim::{Lane, LaneHead};

use crate::lane::{Destination, Place};

const PRIORITIES: usize = 5;
/// By rank: ordinary first.
const WEIGHTS: [i64; PRIORITIES] = [1, 2, 4, 8, 16];
/// How many destinations' turns are remembered.
const TURNS_REMEMBERED: usize = 16_384;

/// Remembers whose turn it is.
#[derive(Debug, Default)]
pub struct Scheduler {
    turns: HashMap<Destination, Turn>,
    last: Option<Destination>,
}

#[derive(Debug, Default)]
struct Turn {
    credit: [i64; PRIORITIES],
    last_sender: [Option<AgencyId>; PRIORITIES],
}

/// What to claim.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Plan {
    /// From which lanes, and how many rows at most from each.
    pub lanes: Vec<(Lane, usize)>,
    /// Lanes with due work that cannot be taken now.
    pub blocked: usize,
}

impl Plan {
    /// Both.
    pub fn add(&mut self, more: Self) {
        self.lanes.extend(more.lanes);
        self.blocked += more.blocked;
    }
}

/// How many rows a destination may take.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Space {
    /// By itself.
    pub room: usize,
    /// Together with others: under which name, and how many in all.
    pub shared: Option<(String, usize)>,
}

impl From<usize> for Space {
    fn from(room: usize) -> Self {
        Self { room, shared: None }
    }
}

impl Space {
    /// How many rows there is room for.
    pub fn left(&self) -> usize {
        self.shared.as_ref().map_or(self.room, |(_, all)| self.room.min(*all))
    }
}

impl Scheduler {
    /// Shares `room` rows out over the lanes that have due work. `room_of` tells how many rows a destination may take.
    pub fn plan(&mut self, heads: &[LaneHead], room: usize, room_of: impl Fn(&Destination) -> Space) -> Plan {
        let (mut queues, mut shares, blocked) = sort(heads, room_of);
        if self.turns.len() > TURNS_REMEMBERED {
            self.turns.clear();
        }
        let mut taken: BTreeMap<Lane, usize> = BTreeMap::new();
        let mut left = room;
        while left > 0 && !queues.is_empty() {
            let Some(destination) = self.next_destination(&queues) else { break };
            let Some(queue) = queues.get_mut(&destination) else { break };
            if let Some(share) = queue.share.as_ref().and_then(|name| shares.get_mut(name)) {
                let Some(rest) = share.checked_sub(1) else {
                    queues.remove(&destination);
                    continue;
                };
                *share = rest;
            }
            let turn = self.turns.entry(destination.clone()).or_default();
            if let Some(lane) = turn.pick(queue) {
                *taken.entry(lane).or_default() += 1;
            }
            queue.room -= 1;
            if queue.room == 0 {
                queues.remove(&destination);
            }
            self.last = Some(destination);
            left -= 1;
        }
        Plan { lanes: taken.into_iter().collect(), blocked }
    }

    fn next_destination(&self, queues: &BTreeMap<Destination, Queue>) -> Option<Destination> {
        let after = self.last.as_ref().and_then(|last| {
            let mut rest = queues.range((Bound::Excluded(last), Bound::Unbounded));
            rest.next().map(|(destination, _)| destination)
        });
        after.or_else(|| queues.keys().next()).cloned()
    }
}

/// The lanes of one destination.
struct Queue {
    room: usize,
    /// Under which name it shares room with others.
    share: Option<String>,
    senders: [BTreeMap<Option<AgencyId>, Lane>; PRIORITIES],
}

type Sorted = (BTreeMap<Destination, Queue>, HashMap<String, usize>, usize);

fn sort(heads: &[LaneHead], room_of: impl Fn(&Destination) -> Space) -> Sorted {
    let mut spaces: HashMap<Destination, Space> = HashMap::new();
    let mut queues: BTreeMap<Destination, Queue> = BTreeMap::new();
    let mut blocked = 0;
    for head in heads {
        // A lane that no engine named is nobody's work.
        let Some(place) = Place::of(&head.lane) else {
            blocked += 1;
            continue;
        };
        let space = spaces.entry(place.destination.clone()).or_insert_with(|| room_of(&place.destination));
        if space.left() == 0 {
            blocked += 1;
            continue;
        }
        let (room, share) = (space.room, space.shared.as_ref().map(|(name, _)| name.clone()));
        let queue =
            queues.entry(place.destination).or_insert_with(|| Queue { room, share, senders: Default::default() });
        if let Some(senders) = queue.senders.get_mut(usize::from(place.priority.rank())) {
            senders.insert(place.sender, head.lane.clone());
        }
    }
    (queues, spaces.into_values().filter_map(|space| space.shared).collect(), blocked)
}

impl Turn {
    /// The lane that is next. Smooth weighted round-robin over the priorities that have work, then the next sender.
    fn pick(&mut self, queue: &Queue) -> Option<Lane> {
        let waiting = |rank: &usize| !queue.senders[*rank].is_empty();
        let whole: i64 = (0..PRIORITIES).filter(waiting).map(|rank| WEIGHTS[rank]).sum();
        for rank in (0..PRIORITIES).filter(waiting) {
            self.credit[rank] += WEIGHTS[rank];
        }
        let rank = (0..PRIORITIES).filter(waiting).max_by_key(|&rank| (self.credit[rank], rank))?;
        self.credit[rank] -= whole;
        let senders = &queue.senders[rank];
        let after = (Bound::Excluded(&self.last_sender[rank]), Bound::Unbounded);
        let (sender, lane) = senders.range(after).next().or_else(|| senders.first_key_value())?;
        self.last_sender[rank] = sender.clone();
        Some(lane.clone())
    }
}

#[cfg(test)]
mod tests {
    use gateway_model::Timestamp;
    use gateway_model::envelope::Priority;
    use gateway_model::id::GatewayId;

    use super::*;

    fn agency(id: &str) -> AgencyId {
        AgencyId::parse(id).unwrap()
    }

    fn head(to: &str, priority: Priority, from: &str) -> LaneHead {
        LaneHead {
            lane: Destination::Agency(agency(to)).lane(priority, &agency(from)),
            due: Timestamp::from_seconds(0),
        }
    }

    /// How many rows each lane gets in `rounds` plans of `room` rows.
    fn shares(heads: &[LaneHead], room: usize, rounds: usize) -> Vec<usize> {
        let mut scheduler = Scheduler::default();
        let mut total = vec![0; heads.len()];
        for _ in 0..rounds {
            for (lane, rows) in scheduler.plan(heads, room, |_| room.into()).lanes {
                let index = heads.iter().position(|head| head.lane == lane).unwrap();
                total[index] += rows;
            }
        }
        total
    }

    #[test]
    fn senders_share_alike_even_when_there_is_room_for_one() {
        let heads =
            [head("a", Priority::Normal, "x"), head("a", Priority::Normal, "y"), head("a", Priority::Normal, "z")];
        assert_eq!(shares(&heads, 1, 300), [100, 100, 100]);
        assert_eq!(shares(&heads, 30, 10), [100, 100, 100]);
    }

    #[test]
    fn priorities_share_by_weight_and_none_starves() {
        let heads: Vec<LaneHead> = Priority::ALL.into_iter().map(|priority| head("a", priority, "x")).collect();
        assert_eq!(shares(&heads, 31, 1), [1, 2, 4, 8, 16]);
        assert_eq!(shares(&heads, 1, 310), [10, 20, 40, 80, 160]);
    }

    #[test]
    fn destinations_take_turns_whatever_their_backlog() {
        let mut heads: Vec<LaneHead> = (0..50).map(|n| head("a", Priority::ExpressTimed, &format!("x{n}"))).collect();
        heads.push(head("b", Priority::Normal, "y"));
        let shares = shares(&heads, 10, 10);
        assert_eq!(shares.last(), Some(&50), "one of two destinations gets half");
    }

    #[test]
    fn a_closed_destination_takes_no_room_from_others() {
        let heads = [head("dead", Priority::ExpressTimed, "x"), head("b", Priority::Normal, "y")];
        let dead = Destination::Agency(agency("dead"));
        let room = |destination: &Destination| if *destination == dead { 0 } else { 8 };
        let plan = Scheduler::default().plan(&heads, 8, |destination| room(destination).into());
        assert_eq!(plan, Plan { lanes: vec![(heads[1].lane.clone(), 8)], blocked: 1 });
    }

    #[test]
    fn a_destination_gets_no_more_than_its_room() {
        let heads = [head("a", Priority::Normal, "x"), head("a", Priority::Urgent, "y")];
        let plan = Scheduler::default().plan(&heads, 100, |_| 1.into());
        assert_eq!(plan.lanes.iter().map(|(_, rows)| rows).sum::<usize>(), 1);
    }

    #[test]
    fn destinations_that_share_room_take_turns_and_never_more_than_it() {
        let heads =
            [head("a", Priority::Normal, "x"), head("b", Priority::Normal, "x"), head("c", Priority::Normal, "x")];
        let space = |destination: &Destination| match destination {
            Destination::Agency(id) if id.as_str() == "c" => Space::from(9),
            _ => Space { room: 9, shared: Some(("queue".to_owned(), 4)) },
        };
        let plan = Scheduler::default().plan(&heads, 100, space);
        let lanes = heads.each_ref().map(|head| head.lane.clone());
        let [a, b, c] = lanes;
        assert_eq!(plan, Plan { lanes: vec![(a, 2), (b, 2), (c, 9)], blocked: 0 });
        let none = Scheduler::default().plan(&heads, 100, |_| Space { room: 9, shared: Some(("queue".to_owned(), 0)) });
        assert_eq!(none, Plan { lanes: Vec::new(), blocked: 3 });
    }

    #[test]
    fn receipts_have_turns_of_their_own() {
        let back = GatewayId::parse("gw").unwrap();
        let heads = [
            LaneHead { lane: Destination::receipts(&back), due: Timestamp::from_seconds(0) },
            head("a", Priority::Normal, "x"),
        ];
        assert_eq!(shares(&heads, 2, 10), [10, 10]);
    }
}
