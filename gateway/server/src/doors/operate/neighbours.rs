//! The gateways and adapters that this gateway speaks with, as operators see them.

use std::collections::HashMap;
use std::time::Duration;

use adapters_sdk::quarantine::Quarantined;
use futures::StreamExt as _;
use gateway_directory::moment;
use gateway_engine::lane::{Party, Place};
use gateway_engine::operate::{Contact, Operate};
use gateway_engine::pause::{Pausable, Pause};
use gateway_model::directory::Directory;
use gateway_model::id::{AgencyId, GatewayId};
use gateway_model::language::Language;
use gateway_model::{Refusal, Timestamp};
use gateway_store::backlog::LaneLoad;
use openssl::x509::X509;
use proto::v1;

use super::super::{Doors, adapter, wire};
use super::stuck::name;

/// Lanes of which the oldest row is read: more only counts.
const LANES_READ_MAX: usize = 1_000;
/// How long an adapter may take to say how it is.
const CHECK_TIME_MAX: Duration = Duration::from_secs(3);
/// Adapters asked at the same time.
const CHECKS_AT_ONCE: usize = 8;
const DETAIL_CHARS_MAX: usize = 512;
/// Of what an adapter keeps aside, the newest that are told.
const QUARANTINED_MAX: usize = 20;

/// What waits for everybody, and who answers.
pub(super) struct Neighbours<'a> {
    doors: &'a Doors,
    directory: &'a Directory,
    operate: Operate,
    backlog: HashMap<Party, Backlog>,
    now: Timestamp,
    language: Language,
}

#[derive(Default)]
struct Backlog {
    rows: u64,
    oldest: Option<Timestamp>,
}

impl<'a> Neighbours<'a> {
    /// Looks at the lanes of the parties that are wanted.
    pub(super) async fn look(
        doors: &'a Doors,
        directory: &'a Directory,
        language: Language,
        wanted: fn(&Party) -> bool,
    ) -> Result<Self, Refusal> {
        let operate = doors.engine.operate();
        let (now, mut backlog) = (doors.engine.clock().now(), HashMap::new());
        let party_of = |load: &LaneLoad| Place::of(&load.lane).and_then(|place| place.destination.party());
        let loads = operate.lane_loads().await?.into_iter().filter_map(|load| Some((party_of(&load)?, load)));
        for (index, (party, load)) in loads.filter(|(party, _)| wanted(party)).enumerate() {
            let of_party: &mut Backlog = backlog.entry(party).or_default();
            of_party.rows += load.rows;
            if index < LANES_READ_MAX
                && let Some(came) = oldest(&operate, &load).await?
            {
                of_party.oldest = Some(of_party.oldest.map_or(came, |oldest| oldest.min(came)));
            }
        }
        Ok(Self { doors, directory, operate, backlog, now, language })
    }

    /// The gateways above, below and beside this one.
    pub(super) fn peers(&self) -> Vec<v1::PeerState> {
        let me = self.doors.engine.gateway();
        let parent = self.directory.gateway(me).and_then(|gateway| gateway.parent.clone());
        let relation = |id: &GatewayId, its_parent: Option<&GatewayId>| match (Some(id) == parent.as_ref(), its_parent)
        {
            (true, _) => "parent",
            (false, Some(its_parent)) if its_parent == me => "child",
            (false, _) => "direct",
        };
        let neighbours = self.directory.neighbours(me).into_iter();
        let peer = |gateway: &gateway_model::agency::Gateway| {
            let met = self.doors.peers.as_ref().map(|peers| peers.met(&gateway.id)).unwrap_or_default();
            v1::PeerState {
                gateway: gateway.id.to_string(),
                relation: relation(&gateway.id, gateway.parent.as_ref()).to_owned(),
                address: gateway.address.clone(),
                flow: Some(self.flow(&Party::Gateway(gateway.id.clone()))),
                certificate_expires_at: end(&met.certificate).map(wire::timestamp),
                version: met.version,
            }
        };
        neighbours.map(peer).collect()
    }

    /// The adapters with their agencies.
    pub(super) async fn adapters(&self) -> Vec<v1::AdapterState> {
        let mut agencies: HashMap<&str, Vec<&AgencyId>> = HashMap::new();
        for (agency, name) in &self.doors.adapters {
            agencies.entry(name.as_str()).or_default().push(agency);
        }
        let mut asked = Vec::new();
        for (name, kind) in &self.doors.adapter_kinds {
            let mut served = agencies.remove(name.as_str()).unwrap_or_default();
            served.sort();
            asked.push(self.adapter(name, kind, served));
        }
        futures::stream::iter(asked).buffered(CHECKS_AT_ONCE).collect().await
    }

    async fn adapter(&self, name: &str, kind: &str, served: Vec<&AgencyId>) -> v1::AdapterState {
        let health = tokio::time::timeout(CHECK_TIME_MAX, self.operate.check_adapter(name)).await.ok().flatten();
        let silent = self.language.pick("không trả lời kịp", "did not answer in time").to_owned();
        let (healthy, detail) = health.unwrap_or((false, silent));
        let (aside, newest) = match self.operate.quarantined(name, QUARANTINED_MAX).await {
            Ok(quarantined) => quarantined,
            Err(refusal) => {
                tracing::warn!(adapter = name, %refusal, "cannot read what the adapter keeps aside");
                (0, Vec::new())
            }
        };
        let agency = |agency: &&AgencyId| v1::AgencyFlow {
            agency: agency.to_string(),
            name: self::name(self.directory, agency, self.language),
            flow: Some(self.flow(&Party::Agency((*agency).clone()))),
        };
        v1::AdapterState {
            name: name.to_owned(),
            kind: kind.to_owned(),
            healthy,
            detail: detail.chars().take(DETAIL_CHARS_MAX).collect(),
            paused: self.operate.paused(&Pausable::Adapter(name.to_owned())).map(pause),
            agencies: served.iter().map(agency).collect(),
            workers: adapter::workers_of(self.doors, name),
            quarantined_count: aside as u64,
            quarantined: newest.into_iter().map(quarantined).collect(),
        }
    }

    fn flow(&self, party: &Party) -> v1::Flow {
        let Contact { closed, answered_at, absence, taken_per_minute } = self.operate.contact(party);
        let backlog = self.backlog.get(party);
        let reason = closed.as_ref().map(|gate| gate.reason).or(absence.as_ref().map(|absence| absence.reason));
        let detail =
            closed.as_ref().map(|gate| gate.detail.clone()).or(absence.as_ref().map(|absence| absence.detail.clone()));
        let lasting = absence.as_ref().map(|absence| self.now.minus(absence.lasting));
        v1::Flow {
            up: reason.is_none(),
            since: closed.as_ref().map(|gate| gate.since).or(lasting).map(wire::timestamp),
            reason: reason.map(|reason| reason.code().to_owned()).unwrap_or_default(),
            detail: detail.unwrap_or_default().chars().take(DETAIL_CHARS_MAX).collect(),
            backlog: backlog.map_or(0, |backlog| backlog.rows),
            oldest: backlog.and_then(|backlog| backlog.oldest).map(wire::timestamp),
            last_success_at: answered_at.map(wire::timestamp),
            next_probe_at: closed.map(|gate| wire::timestamp(gate.next_probe)),
            paused: self.operate.paused(&Pausable::Party(party.clone())).map(pause),
            taken_per_minute,
        }
    }
}

/// When a certificate ends; `None` when nobody has shown one.
fn end(der: &[u8]) -> Option<Timestamp> {
    moment(X509::from_der(der).ok()?.not_after())
}

fn quarantined(one: Quarantined) -> v1::Quarantined {
    let since = Some(wire::timestamp(one.since));
    v1::Quarantined { name: one.name, reason: one.reason, detail: one.detail, since }
}

async fn oldest(operate: &Operate, load: &LaneLoad) -> Result<Option<Timestamp>, Refusal> {
    let first = operate.waiting_in(&load.lane, 1).await?;
    Ok(first.first().map(|row| row.envelope.header.received_at))
}

/// A pause.
pub(super) fn pause(pause: Pause) -> v1::PauseState {
    v1::PauseState {
        operator: pause.operator.to_string(),
        reason: pause.note,
        since: Some(wire::timestamp(pause.since)),
    }
}
