//! What waits for each gateway and each adapter, how old it is, and who answers. One label a neighbour or adapter, never one an envelope.

use std::collections::{BTreeMap, HashMap};

use gateway_engine::Engine;
use gateway_engine::lane::{Destination, Party, Place};
use gateway_engine::operate::Operate;
use gateway_engine::pause::Pausable;
use gateway_model::directory::Directory;
use gateway_model::id::{AgencyId, GatewayId};
use gateway_model::{Refusal, Timestamp};
use gateway_store::backlog::LaneLoad;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::{Registry, Unit};

/// Lanes whose oldest rows are read at one scrape; further ones only count.
const LANES_READ_MAX: usize = 200;
/// Rows read of each: the earliest wake-up is not always the oldest envelope.
const ROWS_READ: usize = 4;

type Labels = [(&'static str, String); 2];

/// What waits, by whom it waits for.
pub(super) struct Flow {
    adapters: HashMap<AgencyId, String>,
    backlog: Family<Labels, Gauge>,
    oldest: Family<Labels, Gauge>,
    up: Family<Labels, Gauge>,
    paused: Family<Labels, Gauge>,
    evidence_oldest: Gauge,
}

/// Of one gateway or adapter.
#[derive(Default)]
struct Seen {
    relation: &'static str,
    rows: u64,
    oldest: Option<Timestamp>,
    down: bool,
    paused: bool,
}

impl Flow {
    pub(super) fn register(registry: &mut Registry, adapters: HashMap<AgencyId, String>) -> Self {
        let flow = Self {
            adapters,
            backlog: Family::default(),
            oldest: Family::default(),
            up: Family::default(),
            paused: Family::default(),
            evidence_oldest: Gauge::default(),
        };
        registry.register(
            "lienthong_backlog",
            "Deliveries and receipts that wait for a gateway or an adapter",
            flow.backlog.clone(),
        );
        registry.register_with_unit(
            "lienthong_backlog_oldest",
            "Age of the oldest undelivered envelope for a gateway or an adapter; 0 when nothing waits",
            Unit::Seconds,
            flow.oldest.clone(),
        );
        registry.register(
            "lienthong_up",
            "Whether a gateway, or everybody behind an adapter, answers: 1 or 0",
            flow.up.clone(),
        );
        registry.register(
            "lienthong_paused",
            "1 while an operator lets nothing go to a gateway or an adapter, or to an agency behind it",
            flow.paused.clone(),
        );
        registry.register_with_unit(
            "lienthong_evidence_gap_oldest",
            "Age of the oldest envelope that was forwarded and whose final receipt has not come; 0 when none is awaited",
            Unit::Seconds,
            flow.evidence_oldest.clone(),
        );
        flow
    }

    /// Looks at the lanes and the gates.
    ///
    /// # Errors
    /// [`gateway_model::Reason::StoreUnavailable`].
    pub(super) async fn look(&self, engine: &Engine, directory: &Directory) -> Result<(), Refusal> {
        let (operate, now) = (engine.operate(), engine.clock().now());
        let mut seen = self.neighbourhood(engine.gateway(), directory);
        let mut evidence_oldest = None;
        for (index, load) in operate.lane_loads().await?.into_iter().enumerate() {
            let Some(place) = Place::of(&load.lane) else { continue };
            let reads = index < LANES_READ_MAX;
            let oldest = if reads { oldest(&operate, &load).await? } else { None };
            if matches!(place.destination, Destination::Awaiting(_)) {
                evidence_oldest = earliest(evidence_oldest, oldest);
            }
            let Some(of_party) = place.destination.party().and_then(|party| seen.get_mut(&self.to(&party)?)) else {
                continue;
            };
            of_party.rows += load.rows;
            of_party.oldest = earliest(of_party.oldest, oldest);
        }
        for gate in operate.gates() {
            if let Some(of_party) = self.to(&gate.party).and_then(|to| seen.get_mut(&to)) {
                of_party.down = true;
            }
        }
        self.look_at_pauses(&operate, &mut seen);
        self.show(&seen, now);
        self.evidence_oldest.set(age(evidence_oldest, now));
        Ok(())
    }

    /// Everybody that this gateway speaks with, with nothing seen yet.
    fn neighbourhood(&self, me: &GatewayId, directory: &Directory) -> BTreeMap<String, Seen> {
        let parent = directory.gateway(me).and_then(|gateway| gateway.parent.as_ref());
        let neighbours = directory.neighbours(me).into_iter().map(|gateway| {
            let relation = match &gateway.parent {
                _ if Some(&gateway.id) == parent => "parent",
                Some(its_parent) if its_parent == me => "child",
                Some(_) | None => "direct",
            };
            (format!("gateway:{}", gateway.id), Seen { relation, ..Seen::default() })
        });
        let adapters = self
            .adapters
            .values()
            .map(|name| (format!("adapter:{name}"), Seen { relation: "here", ..Seen::default() }));
        neighbours.chain(adapters).collect()
    }

    /// The label of a party: a gateway, or the adapter of an agency.
    fn to(&self, party: &Party) -> Option<String> {
        match party {
            Party::Gateway(id) => Some(format!("gateway:{id}")),
            Party::Agency(id) => Some(format!("adapter:{}", self.adapters.get(id)?)),
        }
    }

    fn look_at_pauses(&self, operate: &Operate, seen: &mut BTreeMap<String, Seen>) {
        for (agency, name) in &self.adapters {
            let is_paused = operate.paused(&Pausable::Party(Party::Agency(agency.clone()))).is_some()
                || operate.paused(&Pausable::Adapter(name.clone())).is_some();
            if let Some(of_adapter) = seen.get_mut(&format!("adapter:{name}")).filter(|_| is_paused) {
                of_adapter.paused = true;
            }
        }
        for (to, of_party) in seen.iter_mut().filter(|(to, _)| to.starts_with("gateway:")) {
            of_party.paused = Pausable::parse(to).is_ok_and(|subject| operate.paused(&subject).is_some());
        }
    }

    /// Only who is a neighbour now has a number.
    fn show(&self, seen: &BTreeMap<String, Seen>, now: Timestamp) {
        for family in [&self.backlog, &self.oldest, &self.up, &self.paused] {
            family.clear();
        }
        for (to, of_party) in seen {
            let labels = [("to", to.clone()), ("relation", of_party.relation.to_owned())];
            super::set(&self.backlog.get_or_create(&labels), of_party.rows);
            self.oldest.get_or_create(&labels).set(age(of_party.oldest, now));
            self.up.get_or_create(&labels).set(i64::from(!of_party.down));
            self.paused.get_or_create(&labels).set(i64::from(of_party.paused));
        }
    }
}

/// When the oldest envelope of a lane came in, as far as it is read.
async fn oldest(operate: &Operate, load: &LaneLoad) -> Result<Option<Timestamp>, Refusal> {
    let rows = operate.waiting_in(&load.lane, ROWS_READ).await?;
    Ok(rows.iter().map(|row| row.envelope.header.received_at).min())
}

fn earliest(one: Option<Timestamp>, other: Option<Timestamp>) -> Option<Timestamp> {
    one.into_iter().chain(other).min()
}

fn age(since: Option<Timestamp>, now: Timestamp) -> i64 {
    since.map_or(0, |since| i64::try_from(now.since(since).as_secs()).unwrap_or(i64::MAX))
}
