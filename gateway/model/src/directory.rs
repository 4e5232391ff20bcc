//! The directory, indexed: one immutable snapshot of who exists, who speaks for whom, and which way.
//!
//! Ids are for ever; codes are not. A code carries no dates of its own, so it belongs to the agency that ends first until that agency ends,
//! and then to the next one that lists it: [`Directory::agency_named_at`] answers for an instant.

mod consistency;
mod succession;
#[cfg(test)]
mod tests;
mod timetable;

use std::collections::HashMap;

use crate::agency::{Agency, Gateway, Operator, System};
use crate::calendar::Calendar;
use crate::hash::Digest;
use crate::id::{AgencyId, GatewayId, OperatorId, SystemId};
use crate::procedure::Procedure;
use crate::time::Timestamp;

pub use consistency::DirectoryFault;
pub use succession::Serving;
pub use timetable::{calendar_name, procedure_name};

/// A trust anchor with its profile (see `Anchor` of the wire).
#[derive(Clone, Debug)]
pub struct Anchor {
    /// DER certificate.
    pub certificate: Vec<u8>,
    /// What it anchors.
    pub purpose: AnchorPurpose,
    /// Signature algorithm families allowed below it; empty means all supported.
    pub algorithms: Vec<String>,
    /// Policy OIDs of which a leaf must carry one; empty means any.
    pub policies: Vec<String>,
    /// How long past nextUpdate a revocation list still counts.
    pub revocation_grace: std::time::Duration,
}

/// What an anchor anchors.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum AnchorPurpose {
    /// Signatures over envelopes.
    Sign,
    /// TLS between gateways and with systems.
    Tls,
}

/// Everything a snapshot holds, before indexing.
#[derive(Debug)]
pub struct DirectoryContent {
    /// Rises with every issue.
    pub version: u64,
    /// When it was made.
    pub issued_at: Timestamp,
    /// After this nobody trusts it.
    pub expires_at: Timestamp,
    /// Every agency, dead ones too.
    pub agencies: Vec<Agency>,
    /// Systems.
    pub systems: Vec<System>,
    /// Gateways.
    pub gateways: Vec<Gateway>,
    /// Operators.
    pub operators: Vec<Operator>,
    /// Trust anchors.
    pub anchors: Vec<Anchor>,
    /// Intermediate certificates, DER.
    pub intermediates: Vec<Vec<u8>>,
    /// Certificate revocation lists, DER.
    pub crls: Vec<Vec<u8>>,
    /// Calendars, older versions too.
    pub calendars: Vec<Calendar>,
    /// Procedures, older versions too.
    pub procedures: Vec<Procedure>,
}

impl DirectoryContent {
    /// Nothing yet: the lists are filled by whoever makes one.
    pub fn empty(version: u64, issued_at: Timestamp, expires_at: Timestamp) -> Self {
        Self {
            version,
            issued_at,
            expires_at,
            agencies: Vec::new(),
            systems: Vec::new(),
            gateways: Vec::new(),
            operators: Vec::new(),
            anchors: Vec::new(),
            intermediates: Vec::new(),
            crls: Vec::new(),
            calendars: Vec::new(),
            procedures: Vec::new(),
        }
    }
}

/// The party behind a TLS certificate.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Party {
    /// A system.
    System(SystemId),
    /// A gateway.
    Gateway(GatewayId),
    /// An operator.
    Operator(OperatorId),
}

impl std::fmt::Display for Party {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::System(id) => write!(f, "system {id}"),
            Self::Gateway(id) => write!(f, "gateway {id}"),
            Self::Operator(id) => write!(f, "operator {id}"),
        }
    }
}

/// An indexed, consistent directory.
#[derive(Debug)]
pub struct Directory {
    content: DirectoryContent,
    agency_by_id: HashMap<String, usize>,
    /// Who lists a code, the one that ends first first.
    agencies_by_code: HashMap<String, Vec<usize>>,
    system_by_id: HashMap<SystemId, usize>,
    gateway_by_id: HashMap<GatewayId, usize>,
    operator_by_id: HashMap<OperatorId, usize>,
    party_by_certificate: HashMap<Digest, Party>,
    timetable: timetable::Timetable,
}

impl Directory {
    /// Indexes `content` and checks that it holds together.
    ///
    /// # Errors
    /// Every fault found.
    pub fn new(content: DirectoryContent) -> Result<Self, Vec<DirectoryFault>> {
        let mut directory = Self {
            system_by_id: content.systems.iter().enumerate().map(|(i, s)| (s.id.clone(), i)).collect(),
            gateway_by_id: content.gateways.iter().enumerate().map(|(i, g)| (g.id.clone(), i)).collect(),
            operator_by_id: content.operators.iter().enumerate().map(|(i, o)| (o.id.clone(), i)).collect(),
            agency_by_id: content.agencies.iter().enumerate().map(|(i, a)| (a.id.to_string(), i)).collect(),
            agencies_by_code: codes(&content.agencies),
            party_by_certificate: HashMap::new(),
            timetable: timetable::Timetable::new(&content),
            content,
        };
        for (party, certificate) in certificates(&directory.content) {
            directory.party_by_certificate.entry(certificate).or_insert(party);
        }
        let faults = consistency::faults(&directory);
        if faults.is_empty() { Ok(directory) } else { Err(faults) }
    }

    /// Rises with every issue.
    pub fn version(&self) -> u64 {
        self.content.version
    }

    /// When it was made.
    pub fn issued_at(&self) -> Timestamp {
        self.content.issued_at
    }

    /// After this nobody trusts it.
    pub fn expires_at(&self) -> Timestamp {
        self.content.expires_at
    }

    /// All that it holds.
    pub fn content(&self) -> &DirectoryContent {
        &self.content
    }

    /// Finds an agency by internal id.
    pub fn agency(&self, id: &AgencyId) -> Option<&Agency> {
        self.agency_by_id.get(id.as_str()).map(|&i| &self.content.agencies[i])
    }

    /// Finds an agency by internal id or by any of its codes; a code that passed on leads to the agency that lists it last.
    pub fn agency_named(&self, name: &str) -> Option<&Agency> {
        self.agency_named_at(name, Timestamp::MAX)
    }

    /// Finds an agency by internal id, or by a code that it has at `at`; a code that nobody has any more leads to the last that had it.
    pub fn agency_named_at(&self, name: &str, at: Timestamp) -> Option<&Agency> {
        if let Some(&index) = self.agency_by_id.get(name) {
            return self.content.agencies.get(index);
        }
        let holders = self.agencies_by_code.get(name)?;
        let now = holders.iter().find(|&&i| self.content.agencies[i].validity.until.is_none_or(|until| at < until));
        now.or(holders.last()).map(|&i| &self.content.agencies[i])
    }

    /// Finds a system.
    pub fn system(&self, id: &SystemId) -> Option<&System> {
        self.system_by_id.get(id).map(|&i| &self.content.systems[i])
    }

    /// Finds a gateway.
    pub fn gateway(&self, id: &GatewayId) -> Option<&Gateway> {
        self.gateway_by_id.get(id).map(|&i| &self.content.gateways[i])
    }

    /// Finds an operator.
    pub fn operator(&self, id: &OperatorId) -> Option<&Operator> {
        self.operator_by_id.get(id).map(|&i| &self.content.operators[i])
    }

    /// Finds who is behind a TLS certificate.
    pub fn party(&self, certificate: &Digest) -> Option<&Party> {
        self.party_by_certificate.get(certificate)
    }

    /// The gateway that serves an agency: its own, or that of the nearest ancestor that has one.
    pub fn gateway_of(&self, agency: &AgencyId) -> Option<&Gateway> {
        let mut at = self.agency(agency);
        while let Some(agency) = at {
            if let Some(gateway) = &agency.gateway {
                return self.gateway(gateway);
            }
            at = agency.parent.as_ref().and_then(|parent| self.agency(parent));
        }
        None
    }

    /// Whether two gateways speak with each other: one is the other's parent, or either declares a direct link.
    pub fn are_neighbours(&self, one: &GatewayId, other: &GatewayId) -> bool {
        let leads = |from: &GatewayId, to: &GatewayId| {
            self.gateway(from)
                .is_some_and(|gateway| gateway.parent.as_ref() == Some(to) || gateway.direct_links.contains(to))
        };
        self.gateway(one).is_some() && self.gateway(other).is_some() && (leads(one, other) || leads(other, one))
    }

    /// The gateways that `id` speaks with: the parent first, then by id.
    pub fn neighbours(&self, id: &GatewayId) -> Vec<&Gateway> {
        let parent = self.gateway(id).and_then(|gateway| gateway.parent.as_ref());
        let mut neighbours: Vec<&Gateway> = self
            .content
            .gateways
            .iter()
            .filter(|gateway| gateway.id != *id && self.are_neighbours(id, &gateway.id))
            .collect();
        neighbours.sort_by_key(|gateway| (parent != Some(&gateway.id), &gateway.id));
        neighbours
    }

    /// The gateways from `id` up to the top, `id` first. Longer than 64 only when the links lead in a circle.
    pub fn ladder(&self, id: &GatewayId) -> Vec<&Gateway> {
        let mut rungs = Vec::new();
        let mut at = self.gateway(id);
        while let Some(gateway) = at {
            rungs.push(gateway);
            if rungs.len() > 64 {
                break;
            }
            at = gateway.parent.as_ref().and_then(|parent| self.gateway(parent));
        }
        rungs
    }
}

/// Codes with the agencies that list them, the one that ends first first.
fn codes(agencies: &[Agency]) -> HashMap<String, Vec<usize>> {
    let mut by_code: HashMap<String, Vec<usize>> = HashMap::with_capacity(agencies.len() * 2);
    for (index, agency) in agencies.iter().enumerate() {
        for code in &agency.codes {
            match by_code.get_mut(code.as_str()) {
                Some(holders) if holders.contains(&index) => {}
                Some(holders) => holders.push(index),
                None => {
                    by_code.insert(code.clone(), vec![index]);
                }
            }
        }
    }
    for holders in by_code.values_mut().filter(|holders| holders.len() > 1) {
        holders.sort_by_key(|&index| agencies[index].validity.until.unwrap_or(Timestamp::MAX));
    }
    by_code
}

/// Every TLS certificate with the party that registers it.
fn certificates(content: &DirectoryContent) -> impl Iterator<Item = (Party, Digest)> {
    let systems = content.systems.iter().map(|s| (Party::System(s.id.clone()), &s.tls_certificates));
    let gateways = content.gateways.iter().map(|g| (Party::Gateway(g.id.clone()), &g.tls_certificates));
    let operators = content.operators.iter().map(|o| (Party::Operator(o.id.clone()), &o.tls_certificates));
    let parties = systems.chain(gateways).chain(operators);
    parties.flat_map(|(party, digests)| digests.iter().map(move |digest| (party.clone(), *digest)))
}
