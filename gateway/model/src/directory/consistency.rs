//! Whether a directory holds together: every fault is found in one pass.

use std::collections::HashSet;

use super::{Directory, certificates, timetable};
use crate::agency::Agency;
use crate::day::Day;
use crate::hash::Digest;
use crate::id::AgencyId;
use crate::time::Validity;

/// Rungs of the longest ladder of gateways.
const LADDER_MAX: usize = 64;

/// Why a directory does not hold together.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum DirectoryFault {
    /// Two agencies with one id, or one code for two agencies at one time.
    #[error("the name {name} stands for both {first} and {second}")]
    NameTaken {
        /// Id or code.
        name: String,
        /// Who has it.
        first: AgencyId,
        /// Who claims it as well.
        second: AgencyId,
    },
    /// Two systems, gateways or operators with one id.
    #[error("there are two of {kind} {id}")]
    IdTaken {
        /// `system`, `gateway` or `operator`.
        kind: &'static str,
        /// The id.
        id: String,
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
    /// A validity that ends before it begins.
    #[error("{0} ends before it begins")]
    NeverValid(String),
    /// One TLS certificate for two parties.
    #[error("the TLS certificate {certificate} is registered for both {first} and {second}")]
    CertificateTaken {
        /// Its digest.
        certificate: Digest,
        /// Who has it.
        first: String,
        /// Who claims it as well.
        second: String,
    },
    /// Office hours that are none.
    #[error("the office hours of {0} are empty, out of order, or not inside of one day")]
    OfficeHours(String),
    /// A day on which nobody works and people do.
    #[error("{calendar} has {day} as a day off and as a make-up day")]
    OffAndMadeUp {
        /// The calendar.
        calendar: String,
        /// The day.
        day: Day,
    },
    /// Two versions of one calendar or procedure of which nobody can say which is in force.
    #[error("{first} and {second} are in force on the same days")]
    VersionsOverlap {
        /// One.
        first: String,
        /// The other.
        second: String,
    },
    /// Two calendars for one agency on one day.
    #[error("{first} and {second} both hold for {holder}")]
    TwoCalendars {
        /// The agency, or `everybody`.
        holder: String,
        /// One.
        first: String,
        /// The other.
        second: String,
    },
    /// A procedure with one step twice.
    #[error("{procedure} has the step {step} twice")]
    StepTwice {
        /// The procedure.
        procedure: String,
        /// The step.
        step: String,
    },
}

/// Every fault of `directory`, which is indexed but not yet trusted to hold together.
pub(super) fn faults(directory: &Directory) -> Vec<DirectoryFault> {
    let mut faults = Vec::new();
    check_names(directory, &mut faults);
    check_ids(directory, &mut faults);
    check_certificates(directory, &mut faults);
    check_links(directory, &mut faults);
    check_circles(directory, &mut faults);
    check_validity(directory, &mut faults);
    timetable::faults(directory, &mut faults);
    faults
}

/// An id stands for one agency for ever; a code may pass on, but only from an agency that ends.
fn check_names(directory: &Directory, faults: &mut Vec<DirectoryFault>) {
    let agencies = &directory.content.agencies;
    let mut taken = |name: &str, first: &Agency, second: &Agency| {
        faults.push(DirectoryFault::NameTaken {
            name: name.to_owned(),
            first: first.id.clone(),
            second: second.id.clone(),
        });
    };
    for (index, agency) in agencies.iter().enumerate() {
        let holder = directory.agency_by_id.get(agency.id.as_str()).map_or(agency, |&i| &agencies[i]);
        if !std::ptr::eq(holder, &agencies[index]) {
            taken(agency.id.as_str(), agency, holder);
        }
        for code in &agency.codes {
            // An id wins over a code; an agency that has ended may leave behind a code that reads like a living agency's id.
            if let Some(&by_id) = directory.agency_by_id.get(code.as_str())
                && agencies[by_id].id != agency.id
                && agency.validity.until.is_none()
            {
                taken(code, &agencies[by_id], agency);
            }
        }
    }
    let mut shared: Vec<_> = directory.agencies_by_code.iter().filter(|(_, holders)| holders.len() > 1).collect();
    shared.sort();
    for (code, holders) in shared {
        for pair in holders.windows(2) {
            let (first, second) = (&agencies[pair[0]], &agencies[pair[1]]);
            if first.validity.until == second.validity.until && first.id != second.id {
                taken(code, first, second);
            }
        }
    }
}

fn check_ids(directory: &Directory, faults: &mut Vec<DirectoryFault>) {
    let content = &directory.content;
    let systems = content.systems.iter().map(|s| ("system", s.id.as_str()));
    let gateways = content.gateways.iter().map(|g| ("gateway", g.id.as_str()));
    let operators = content.operators.iter().map(|o| ("operator", o.id.as_str()));
    let mut seen = HashSet::new();
    for (kind, id) in systems.chain(gateways).chain(operators) {
        if !seen.insert((kind, id)) {
            faults.push(DirectoryFault::IdTaken { kind, id: id.to_owned() });
        }
    }
}

fn check_certificates(directory: &Directory, faults: &mut Vec<DirectoryFault>) {
    for (party, certificate) in certificates(&directory.content) {
        if let Some(first) = directory.party_by_certificate.get(&certificate)
            && *first != party
        {
            faults.push(DirectoryFault::CertificateTaken {
                certificate,
                first: first.to_string(),
                second: party.to_string(),
            });
        }
    }
}

fn check_links(directory: &Directory, faults: &mut Vec<DirectoryFault>) {
    let content = &directory.content;
    let mut need = |found: bool, from: &str, target: &str, relation: &'static str| {
        if !found {
            faults.push(DirectoryFault::Dangling { from: from.to_owned(), target: target.to_owned(), relation });
        }
    };
    for agency in &content.agencies {
        let parent = agency.parent.iter().map(|p| (p, "parent"));
        for (target, relation) in parent.chain(agency.succeeded_by.iter().map(|s| (s, "successor"))) {
            need(directory.agency(target).is_some(), agency.id.as_str(), target.as_str(), relation);
        }
        if let Some(gateway) = &agency.gateway {
            need(directory.gateway(gateway).is_some(), agency.id.as_str(), gateway.as_str(), "gateway");
        }
    }
    for system in &content.systems {
        for agency in &system.speaks_for {
            need(directory.agency(agency).is_some(), system.id.as_str(), agency.as_str(), "agency");
        }
    }
    for gateway in &content.gateways {
        let parent = gateway.parent.iter().map(|p| (p, "parent"));
        for (target, relation) in parent.chain(gateway.direct_links.iter().map(|l| (l, "direct link"))) {
            need(directory.gateway(target).is_some(), gateway.id.as_str(), target.as_str(), relation);
        }
    }
    for operator in &content.operators {
        for gateway in &operator.gateways {
            need(directory.gateway(gateway).is_some(), operator.id.as_str(), gateway.as_str(), "gateway");
        }
    }
}

fn check_circles(directory: &Directory, faults: &mut Vec<DirectoryFault>) {
    let content = &directory.content;
    let parent_of_agency = |index: usize| {
        let parent = content.agencies[index].parent.as_ref()?;
        directory.agency_by_id.get(parent.as_str()).copied()
    };
    for index in circles(content.agencies.len(), parent_of_agency) {
        faults.push(DirectoryFault::Circle(content.agencies[index].id.to_string()));
    }
    for gateway in &content.gateways {
        if directory.ladder(&gateway.id).len() > LADDER_MAX {
            faults.push(DirectoryFault::Circle(gateway.id.to_string()));
        }
    }
}

/// One member of each circle, in one walk over everything.
fn circles(count: usize, parent: impl Fn(usize) -> Option<usize>) -> Vec<usize> {
    let mut walked_in: Vec<Option<usize>> = vec![None; count];
    let mut found = Vec::new();
    for start in 0..count {
        let mut at = Some(start);
        while let Some(index) = at {
            match walked_in[index] {
                Some(walk) => {
                    if walk == start {
                        found.push(index);
                    }
                    break;
                }
                None => walked_in[index] = Some(start),
            }
            at = parent(index);
        }
    }
    found
}

fn check_validity(directory: &Directory, faults: &mut Vec<DirectoryFault>) {
    let empty = |v: &Validity| matches!((v.from, v.until), (Some(from), Some(until)) if until <= from);
    for agency in &directory.content.agencies {
        if empty(&agency.validity) {
            faults.push(DirectoryFault::NeverValid(agency.id.to_string()));
        }
        for signer in agency.signers.iter().filter(|signer| empty(&signer.validity)) {
            let what = format!("the registration of certificate {} for {}", signer.certificate, agency.id);
            faults.push(DirectoryFault::NeverValid(what));
        }
    }
}
