//! The directory source, `lienthong.directory-source.v1`, as it is written.

use std::path::Path;

use gateway_model::time::Timestamp;
use serde::Serialize;

use super::{
    AgencyPlan, CalendarPlan, Plan, ProcedurePlan, Province, ProvinceAgency, ProvinceGateway, ProvinceOperator,
    ProvinceSystem,
};
use crate::Error;

/// Writes the source; paths are relative to the folder.
pub(super) fn text(province: &Province, plan: &Plan, now: i64) -> Result<String, Error> {
    let relative = |path: &Path| path.strip_prefix(&province.folder).unwrap_or(path).to_string_lossy().into_owned();
    let anchor = |path, purpose| Anchor { certificate: relative(path), purpose };
    let gateway = |gateway: &ProvinceGateway| Gateway {
        id: gateway.id.to_string(),
        address: gateway.address.clone(),
        parent: gateway.parent.as_ref().map(ToString::to_string),
        tls: vec![relative(&gateway.tls.certificate)],
        log_keys: vec![gateway.log_verifier.to_string()],
    };
    let agency = |(made, plan): (&ProvinceAgency, &AgencyPlan)| Agency {
        id: made.id.to_string(),
        name: made.name.clone(),
        name_en: plan.name_en.clone(),
        codes: made.codes.clone(),
        parent: plan.parent.clone(),
        level: plan.level.clone(),
        gateway: made.gateway.to_string(),
        valid_until: plan.ended_seconds_ago.map(|ago| Timestamp::from_seconds(now.saturating_sub(ago)).to_string()),
        succeeded_by: plan.succeeded_by.clone(),
        signer: std::iter::once((&made.seal, Vec::new()))
            .chain(made.person.iter().map(|person| (person, vec!["person"])))
            .map(|(files, roles)| Signer { certificate: relative(&files.certificate), roles })
            .collect(),
    };
    let system = |system: &ProvinceSystem| System {
        id: system.id.to_string(),
        tls: vec![relative(&system.tls.certificate)],
        speaks_for: system.speaks_for.iter().map(ToString::to_string).collect(),
    };
    let operator = |operator: &ProvinceOperator| Operator {
        id: operator.id.to_string(),
        role: operator.role.as_str(),
        tls: vec![relative(&operator.tls.certificate)],
    };
    let source = Source {
        schema: "lienthong.directory-source.v1",
        version: 1,
        valid_for: format!("{}d", plan.days_valid),
        intermediates: vec![relative(&province.issuing)],
        crls: vec![relative(&province.issuing_crl), relative(&province.root_crl)],
        anchor: vec![anchor(&province.root, "sign"), anchor(&province.tls_ca, "tls")],
        gateway: province.gateways.iter().map(gateway).collect(),
        agency: province.agencies.iter().zip(&plan.agencies).map(agency).collect(),
        system: province.systems.iter().map(system).collect(),
        operator: province.operators.iter().map(operator).collect(),
        calendar: &plan.calendars,
        procedure: &plan.procedures,
    };
    let text = toml::to_string(&source)?;
    Ok(format!("# An invented province for tests and demo: people, names and keys are not real.\n{text}"))
}

/// The whole file.
#[derive(Serialize)]
struct Source<'p> {
    schema: &'static str,
    version: u64,
    valid_for: String,
    intermediates: Vec<String>,
    crls: Vec<String>,
    anchor: Vec<Anchor>,
    gateway: Vec<Gateway>,
    agency: Vec<Agency>,
    system: Vec<System>,
    operator: Vec<Operator>,
    calendar: &'p [CalendarPlan],
    procedure: &'p [ProcedurePlan],
}

#[derive(Serialize)]
struct Anchor {
    certificate: String,
    purpose: &'static str,
}

#[derive(Serialize)]
struct Gateway {
    id: String,
    address: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    parent: Option<String>,
    tls: Vec<String>,
    log_keys: Vec<String>,
}

#[derive(Serialize)]
struct Agency {
    id: String,
    name: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    name_en: String,
    codes: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    parent: Option<String>,
    level: String,
    gateway: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    valid_until: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    succeeded_by: Vec<String>,
    signer: Vec<Signer>,
}

#[derive(Serialize)]
struct Signer {
    certificate: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    roles: Vec<&'static str>,
}

#[derive(Serialize)]
struct System {
    id: String,
    tls: Vec<String>,
    speaks_for: Vec<String>,
}

#[derive(Serialize)]
struct Operator {
    id: String,
    role: &'static str,
    tls: Vec<String>,
}
