//! One look: what waits behind what, what is held, what was refused, who is turned away, and how the gateway itself is.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use gateway_model::directory::Directory;
use gateway_model::id::AgencyId;
use gateway_model::state::DeliveryStatus;
use gateway_model::{Cause, Reason, Timestamp};
use gateway_store::StoreError;
use gateway_store::backlog::LaneLoad;
use gateway_store::query::Query;
use gateway_store::rows::DeliverySummary;
use gateway_verify::Snapshot;

use super::{Board, FILES_MAX, GROUPS_MAX, GroupKey, LevelBacklog, SAMPLE_MAX, StuckGroup};
use crate::Core;
use crate::gate::ClosedGate;
use crate::lane::{Destination, Party, Place};
use crate::stuck::owner::Owners;

/// Rows read of all lanes in trouble together.
const ROWS_MAX: usize = 10_000;
/// Rows read of one lane.
const LANE_ROWS_MAX: usize = 500;
/// Rows read of a lane that is not in trouble as a whole: a single delivery may be.
const OPEN_LANE_ROWS_MAX: usize = 50;
/// Lanes not in trouble that are read.
const OPEN_LANES_MAX: usize = 200;
/// Attempts after which a delivery needs a person although others to the same place go through.
const ATTEMPTS_PATIENT: u32 = 3;
/// Rows of held and refused deliveries read, a page each.
const PAGES_MAX: usize = 10;
const PAGE_ROWS: usize = 500;
/// A refusal that its sender was told about needs nobody any more after this.
const REFUSED_SHOWN: Duration = Duration::from_secs(72 * 3_600);
/// A directory that ends sooner needs a person.
const DIRECTORY_ENDS_SOON: Duration = Duration::from_secs(7 * 24 * 3_600);
const DETAIL_CHARS_MAX: usize = 512;

/// Looks at everything once.
pub(crate) async fn look(engine: &Core) -> Result<Board, StoreError> {
    let mut look = Look::begin(engine);
    look.waiting().await?;
    look.held().await?;
    look.refused().await?;
    look.at_the_door();
    look.gateway_itself();
    Ok(look.board())
}

/// A look under way.
struct Look<'a> {
    engine: &'a Core,
    snapshot: Option<Arc<Snapshot>>,
    closed: HashMap<Party, ClosedGate>,
    now: Timestamp,
    groups: BTreeMap<GroupKey, StuckGroup>,
    /// The agency that runs this gateway.
    ours: Option<AgencyId>,
    owners: Owners,
    /// Rows that may still be read.
    rows_left: usize,
    /// Deliveries that wait, by level.
    backlog: BTreeMap<String, u64>,
}

/// Why a lane as a whole does not move.
struct Blocked {
    cause: Cause,
    reason: Reason,
    destination: String,
    must_act: Option<AgencyId>,
    detail: String,
}

impl<'a> Look<'a> {
    fn begin(engine: &'a Core) -> Self {
        let closed = engine.gates().closed().into_iter().map(|gate| (gate.party.clone(), gate)).collect();
        let snapshot = engine.trust.current();
        let mut owners = Owners::default();
        let ours = snapshot.as_ref().and_then(|snapshot| owners.of(snapshot.directory(), &engine.gateway));
        let now = engine.clock.now();
        Self {
            engine,
            snapshot,
            closed,
            now,
            groups: BTreeMap::new(),
            ours,
            owners,
            rows_left: ROWS_MAX,
            backlog: BTreeMap::new(),
        }
    }

    /// What has a wake-up.
    async fn waiting(&mut self) -> Result<(), StoreError> {
        let loads = self.engine.store.lane_loads().await?;
        let (mut blocked, mut open) = (Vec::new(), Vec::new());
        for load in loads {
            let Some(place) = Place::of(&load.lane) else { continue };
            self.count_level(&place.destination, load.rows);
            match self.blocked(&place.destination) {
                Some(why) => blocked.push((load, why)),
                None if matches!(place.destination, Destination::Agency(_) | Destination::Gateway(_)) => {
                    open.push(load)
                }
                None => {}
            }
        }
        let rows_a_lane = (ROWS_MAX / blocked.len().max(1)).clamp(1, LANE_ROWS_MAX);
        for (load, why) in blocked {
            let rows = if self.rows_left == 0 { Vec::new() } else { self.read(&load, rows_a_lane).await? };
            let group = self.group(&why);
            group.count += load.rows;
            rows.iter().for_each(|row| group.add_facts(row));
        }
        // The fullest last: where much waits, much moves.
        open.sort_unstable_by_key(|load| load.rows);
        for load in open.into_iter().take(OPEN_LANES_MAX) {
            for row in self.read(&load, OPEN_LANE_ROWS_MAX).await? {
                self.single(&row);
            }
        }
        Ok(())
    }

    /// Counts what waits by the level that it goes to.
    fn count_level(&mut self, destination: &Destination, rows: u64) {
        let Some(directory) = self.snapshot.as_ref().map(|snapshot| snapshot.directory()) else { return };
        let agency = match destination {
            Destination::Agency(agency) => Some(agency.clone()),
            Destination::Gateway(gateway) => self.owners.of(directory, gateway),
            Destination::Awaiting(_) | Destination::Nowhere | Destination::Receipts(_) => return,
        };
        let level = agency.and_then(|agency| directory.agency(&agency)).map(|agency| agency.level.clone());
        *self.backlog.entry(level.unwrap_or_default()).or_default() += rows;
    }

    async fn read(&mut self, load: &LaneLoad, limit: usize) -> Result<Vec<DeliverySummary>, StoreError> {
        let rows = self.engine.store.waiting_in(&load.lane, limit.min(self.rows_left)).await?;
        self.rows_left = self.rows_left.saturating_sub(rows.len());
        Ok(rows)
    }

    /// Why nothing goes to a destination, when that needs a person.
    fn blocked(&mut self, destination: &Destination) -> Option<Blocked> {
        if let Some((subject, pause)) = self.engine.pauses.before(self.engine, destination) {
            let detail = format!("{}: {}", pause.operator, pause.note);
            let (cause, reason) = (Cause::Paused, Reason::DestinationPaused);
            return Some(Blocked {
                cause,
                reason,
                destination: subject.to_string(),
                must_act: self.ours.clone(),
                detail,
            });
        }
        let party = destination.party()?;
        if let Some(gate) = self.closed.get(&party) {
            let (cause, reason) = match &party {
                Party::Gateway(_) => (Cause::PeerDown, gate.reason),
                Party::Agency(_) => (Cause::AdapterError, gate.reason),
            };
            let (destination, detail) = (party.to_string(), gate.detail.clone());
            return Some(Blocked { cause, reason, destination, must_act: self.behind(&party), detail });
        }
        let Party::Agency(agency) = &party else { return None };
        self.engine.incidents.of(agency)?;
        let absence = crate::pick_up::absence(self.engine, agency)?;
        let (cause, reason, destination) = (Cause::NotPickedUp, Reason::NotPickedUp, party.to_string());
        Some(Blocked { cause, reason, destination, must_act: Some(agency.clone()), detail: absence.detail })
    }

    /// A delivery that does not get through although others do.
    fn single(&mut self, row: &DeliverySummary) {
        let Some(reason) = row.delivery.state.reason() else { return };
        let Some(party) = Place::of(&row.delivery.lane).and_then(|place| place.destination.party()) else { return };
        let cause = match (reason, &party) {
            (Reason::ReceiptOverdue, _) => Cause::ReceiptOverdue,
            _ if row.delivery.attempts < ATTEMPTS_PATIENT => return,
            (_, Party::Gateway(_)) => Cause::PeerDown,
            (_, Party::Agency(_)) => Cause::AdapterError,
        };
        let (destination, must_act) = (party.to_string(), self.behind(&party));
        self.add(&Blocked { cause, reason, destination, must_act, detail: String::new() }, row);
    }

    async fn held(&mut self) -> Result<(), StoreError> {
        for row in self.list(DeliveryStatus::Held).await? {
            let Some(reason) = row.delivery.state.reason() else { continue };
            let cause = Cause::of_trust(reason).unwrap_or(Cause::Held);
            let (destination, must_act) = self.held_up(cause, &row.envelope.key.sender);
            self.add(&Blocked { cause, reason, destination, must_act, detail: String::new() }, &row);
        }
        Ok(())
    }

    async fn refused(&mut self) -> Result<(), StoreError> {
        let after = self.now.minus(REFUSED_SHOWN);
        for row in self.list(DeliveryStatus::Refused).await? {
            let Some(reason) = row.delivery.state.reason().filter(|_| row.delivery.since >= after) else { continue };
            let cause = Cause::of_trust(reason).unwrap_or(Cause::Refused);
            let destination = format!("agency:{}", row.delivery.recipient.serving);
            let must_act = Some(row.envelope.key.sender.clone());
            self.add(&Blocked { cause, reason, destination, must_act, detail: String::new() }, &row);
        }
        Ok(())
    }

    async fn list(&self, status: DeliveryStatus) -> Result<Vec<DeliverySummary>, StoreError> {
        let (mut rows, mut after) = (Vec::new(), None);
        for _ in 0..PAGES_MAX {
            let query = Query { statuses: vec![status], limit: PAGE_ROWS, after, ..Query::default() };
            let page = self.engine.store.list(&query).await?;
            rows.extend(page.rows);
            after = page.next;
            if after.is_none() {
                break;
            }
        }
        Ok(rows)
    }

    /// Where what does not get in or on is stuck, and who puts it right: its certificate only the sender; the rest, revocation lists too, is for
    /// whoever runs this gateway.
    fn held_up(&self, cause: Cause, sender: &AgencyId) -> (String, Option<AgencyId>) {
        match cause {
            Cause::Certificate => (format!("agency:{sender}"), Some(sender.clone())),
            _ => (String::new(), self.ours.clone()),
        }
    }

    /// Senders that nobody lets in.
    fn at_the_door(&mut self) {
        let version = self.snapshot.as_ref().map_or(0, |snapshot| snapshot.directory().version());
        for ((sender, cause), trouble) in self.engine.door_trouble.all() {
            // Revocation lists come with a directory: whether the newest one mends it, the next refusal tells.
            if cause == Cause::Revocation && trouble.directory < version {
                continue;
            }
            let (destination, must_act) = self.held_up(cause, &sender);
            let why = Blocked { cause, reason: trouble.reason, destination, must_act, detail: String::new() };
            let group = self.group(&why);
            group.count += trouble.count;
            group.oldest = Some(group.oldest.map_or(trouble.first, |oldest| oldest.min(trouble.first)));
        }
    }

    fn gateway_itself(&mut self) {
        let mut troubles = Vec::new();
        let directory: Option<&Directory> = self.snapshot.as_ref().map(|snapshot| snapshot.directory());
        match directory.map(Directory::expires_at) {
            None => troubles.push((Reason::DirectoryMissing, None)),
            Some(end) if end <= self.now.plus(DIRECTORY_ENDS_SOON) => {
                troubles.push((Reason::DirectoryExpired, Some(end)))
            }
            Some(_) => {}
        }
        if let gateway_store::Pressure::Busy { reason, .. } = self.engine.store.pressure()
            && reason != Reason::Overloaded
        {
            troubles.push((reason, None));
        }
        for (reason, deadline) in troubles {
            let destination = format!("gateway:{}", self.engine.gateway);
            let must_act = self.ours.clone();
            let why = Blocked { cause: Cause::Gateway, reason, destination, must_act, detail: String::new() };
            let group = self.group(&why);
            group.deadline = deadline.or(group.deadline);
        }
    }

    /// The agency behind a party.
    fn behind(&mut self, party: &Party) -> Option<AgencyId> {
        match party {
            Party::Agency(agency) => Some(agency.clone()),
            Party::Gateway(gateway) => self.owners.of(self.snapshot.as_ref()?.directory(), gateway),
        }
    }

    fn add(&mut self, why: &Blocked, row: &DeliverySummary) {
        let group = self.group(why);
        group.count += 1;
        group.add_facts(row);
    }

    fn group(&mut self, why: &Blocked) -> &mut StuckGroup {
        let (destination, must_act) = (why.destination.clone(), why.must_act.clone());
        let reason = matches!(why.cause, Cause::Held | Cause::Refused).then_some(why.reason);
        let key = GroupKey { cause: why.cause, destination, must_act, reason };
        self.groups.entry(key.clone()).or_insert_with(|| StuckGroup {
            key,
            reason: why.reason,
            count: 0,
            oldest: None,
            deadline: None,
            detail: why.detail.chars().take(DETAIL_CHARS_MAX).collect(),
            sample: Vec::new(),
            files: Vec::new(),
        })
    }

    fn board(self) -> Board {
        let mut groups: Vec<StuckGroup> = self.groups.into_values().collect();
        groups.sort_by_key(|group| (group.oldest.unwrap_or(Timestamp::MAX), group.key.clone()));
        let cut = groups.len() > GROUPS_MAX;
        groups.truncate(GROUPS_MAX);
        let level = |(level, waiting)| LevelBacklog { level, waiting };
        Board { as_of: Some(self.now), groups, cut, backlog: self.backlog.into_iter().map(level).collect() }
    }
}

impl StuckGroup {
    /// Takes in what one of its deliveries tells.
    fn add_facts(&mut self, row: &DeliverySummary) {
        let (came, ends) = (row.envelope.header.received_at, row.envelope.header.expires_at);
        self.oldest = Some(self.oldest.map_or(came, |oldest| oldest.min(came)));
        self.deadline = Some(self.deadline.map_or(ends, |deadline| deadline.min(ends)));
        if self.sample.len() < SAMPLE_MAX {
            self.sample.push(row.delivery.id);
        }
        let file_code = &row.envelope.header.file_code;
        if !file_code.is_empty() && self.files.len() < FILES_MAX && !self.files.contains(file_code) {
            self.files.push(file_code.clone());
        }
    }
}
