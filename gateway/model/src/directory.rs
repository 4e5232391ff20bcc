//! The directory, indexed: one immutable snapshot of who exists, who speaks for whom, and which way.

use std::collections::HashMap;

use crate::agency::{Agency, Gateway, Operator, System};
use crate::hash::Digest;
use crate::id::{AgencyId, GatewayId, OperatorId, SystemId};
use crate::time::Timestamp;

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
}

/// Why a directory does not hold together. Every fault is found in one pass.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum DirectoryFault {
    /// Two agencies with one id, or one code for two agencies.
    #[error("the name {name} stands for both {first} and {second}")]
    NameTaken {
        /// Id or code.
        name: String,
        /// Who has it.
        first: AgencyId,
        /// Who claims it as well.
        second: AgencyId,
    },
    /// A link that leads nowhere.
    #[error("{from} names {target} as its {relation}, which does not exist")]
    Dangling {
        /// Who names it.
        from: String,
        /// What is named.
        target: String,
        /// As what.
        relation: &'static str,
    },
    /// Parent links that lead in a circle.
    #[error("the parents of {0} lead in a circle")]
    Circle(String),
    /// One TLS certificate for two parties.
    #[error("the TLS certificate {certificate:?} is registered for both {first} and {second}")]
    CertificateTaken {
        /// Its digest.
        certificate: Digest,
        /// Who has it.
        first: String,
        /// Who claims it as well.
        second: String,
    },
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

/// An indexed, consistent directory.
#[derive(Debug)]
pub struct Directory {
    content: DirectoryContent,
    agency_by_name: HashMap<String, usize>,
    system_by_id: HashMap<SystemId, usize>,
    gateway_by_id: HashMap<GatewayId, usize>,
    operator_by_id: HashMap<OperatorId, usize>,
    party_by_certificate: HashMap<Digest, Party>,
}

impl Directory {
    /// Indexes `content` and checks that it holds together.
    ///
    /// # Errors
    /// Every fault found.
    pub fn new(content: DirectoryContent) -> Result<Self, Vec<DirectoryFault>> {
        let mut faults = Vec::new();
        let agency_by_name = index_agencies(&content.agencies, &mut faults);
        let mut directory = Self {
            system_by_id: content.systems.iter().enumerate().map(|(i, s)| (s.id.clone(), i)).collect(),
            gateway_by_id: content.gateways.iter().enumerate().map(|(i, g)| (g.id.clone(), i)).collect(),
            operator_by_id: content.operators.iter().enumerate().map(|(i, o)| (o.id.clone(), i)).collect(),
            party_by_certificate: HashMap::new(),
            agency_by_name,
            content,
        };
        directory.index_certificates(&mut faults);
        directory.check_links(&mut faults);
        directory.check_circles(&mut faults);
        if faults.is_empty() { Ok(directory) } else { Err(faults) }
    }

    fn index_certificates(&mut self, faults: &mut Vec<DirectoryFault>) {
        let systems = self.content.systems.iter().map(|s| (Party::System(s.id.clone()), &s.tls_certificates));
        let gateways = self.content.gateways.iter().map(|g| (Party::Gateway(g.id.clone()), &g.tls_certificates));
        let operators = self.content.operators.iter().map(|o| (Party::Operator(o.id.clone()), &o.tls_certificates));
        for (party, certificates) in systems.chain(gateways).chain(operators) {
            for certificate in certificates {
                if let Some(first) = self.party_by_certificate.insert(*certificate, party.clone())
                    && first != party
                {
                    faults.push(DirectoryFault::CertificateTaken {
                        certificate: *certificate,
                        first: format!("{first:?}"),
                        second: format!("{party:?}"),
                    });
                }
            }
        }
    }

    fn check_links(&self, faults: &mut Vec<DirectoryFault>) {
        let mut need = |found: bool, from: &str, target: &str, relation: &'static str| {
            if !found {
                faults.push(DirectoryFault::Dangling { from: from.to_owned(), target: target.to_owned(), relation });
            }
        };
        for agency in &self.content.agencies {
            let links = agency.parent.iter().map(|p| (p, "parent")).chain(agency.succeeded_by.iter().map(|s| (s, "successor")));
            for (target, relation) in links {
                need(self.agency(target).is_some(), agency.id.as_str(), target.as_str(), relation);
            }
            if let Some(gateway) = &agency.gateway {
                need(self.gateway(gateway).is_some(), agency.id.as_str(), gateway.as_str(), "gateway");
            }
        }
        for system in &self.content.systems {
            for agency in &system.speaks_for {
                need(self.agency(agency).is_some(), system.id.as_str(), agency.as_str(), "agency");
            }
        }
        for gateway in &self.content.gateways {
            for target in gateway.parent.iter().chain(&gateway.direct_links) {
                need(self.gateway(target).is_some(), gateway.id.as_str(), target.as_str(), "gateway");
            }
        }
    }

    fn check_circles(&self, faults: &mut Vec<DirectoryFault>) {
        for agency in &self.content.agencies {
            let mut steps = 0;
            let mut at = agency.parent.as_ref();
            while let Some(parent) = at {
                steps += 1;
                if *parent == agency.id || steps > 64 {
                    faults.push(DirectoryFault::Circle(agency.id.to_string()));
                    break;
                }
                at = self.agency(parent).and_then(|a| a.parent.as_ref());
            }
        }
        for gateway in &self.content.gateways {
            if self.ladder(&gateway.id).len() > 64 {
                faults.push(DirectoryFault::Circle(gateway.id.to_string()));
            }
        }
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
        self.agency_named(id.as_str()).filter(|agency| agency.id == *id)
    }

    /// Finds an agency by internal id or by any of its codes.
    pub fn agency_named(&self, name: &str) -> Option<&Agency> {
        self.agency_by_name.get(name).map(|&i| &self.content.agencies[i])
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

fn index_agencies(agencies: &[Agency], faults: &mut Vec<DirectoryFault>) -> HashMap<String, usize> {
    let mut by_name: HashMap<String, usize> = HashMap::with_capacity(agencies.len() * 3);
    for (index, agency) in agencies.iter().enumerate() {
        for name in std::iter::once(agency.id.as_str()).chain(agency.codes.iter().map(String::as_str)) {
            let earlier = by_name.get(name).copied();
            match earlier {
                None => {
                    by_name.insert(name.to_owned(), index);
                }
                Some(first) if first == index => {}
                // A code may pass from a dead agency to a living one; the living one answers to it.
                Some(first) if agencies[first].validity.until.is_some() && agencies[first].id.as_str() != name => {
                    by_name.insert(name.to_owned(), index);
                }
                Some(_) if agency.validity.until.is_some() && agency.id.as_str() != name => {}
                Some(first) => faults.push(DirectoryFault::NameTaken {
                    name: name.to_owned(),
                    first: agencies[first].id.clone(),
                    second: agency.id.clone(),
                }),
            }
        }
    }
    by_name
}
