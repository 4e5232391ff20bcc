//! Between the nouns and the wire. Reading is strict: every text, count, time and certificate has its shape.

use gateway_model::agency::{Agency, Gateway, Operator, SignerRegistration, System};
use gateway_model::directory::{Anchor, DirectoryContent};
use gateway_model::hash::Digest;
use gateway_model::limits;
use gateway_model::time::{Timestamp, Validity};
use proto::v1;

use crate::shape::{self, Shape};
use crate::{DIRECTORY_SCHEMA, certificate};

mod timetable;

/// Things in one list of a directory.
const ENTRIES_MAX: usize = 1_000_000;
/// Things in one list of one entry.
const ITEMS_MAX: usize = 4_096;
/// Anchors, intermediates or revocation lists.
const TRUST_MAX: usize = 1_024;

/// What distinguishes one snapshot from the next one of the same content.
#[derive(Clone, Copy)]
pub(crate) struct Stamp {
    pub version: u64,
    pub issued_at: Timestamp,
    pub expires_at: Timestamp,
}

/// A field that does not fit.
#[derive(Debug)]
pub(crate) struct Misfit {
    /// Path of the field, such as `agencies[3].parent`.
    pub field: String,
    /// What was wanted and seen.
    pub detail: String,
}

type Read<T> = Result<T, Misfit>;

/// Puts content on the wire under a stamp.
pub(crate) fn to_wire(content: &DirectoryContent, stamp: Stamp) -> v1::Directory {
    v1::Directory {
        schema: DIRECTORY_SCHEMA.to_owned(),
        version: stamp.version,
        issued_at: Some(instant_to_wire(stamp.issued_at)),
        expires_at: Some(instant_to_wire(stamp.expires_at)),
        agencies: content.agencies.iter().map(agency_to_wire).collect(),
        systems: content.systems.iter().map(system_to_wire).collect(),
        gateways: content.gateways.iter().map(gateway_to_wire).collect(),
        anchors: content.anchors.iter().map(anchor_to_wire).collect(),
        intermediates: content.intermediates.iter().cloned().map(Into::into).collect(),
        crls: content.crls.iter().cloned().map(Into::into).collect(),
        operators: content.operators.iter().map(operator_to_wire).collect(),
        calendars: content.calendars.iter().map(timetable::calendar_to_wire).collect(),
        procedures: content.procedures.iter().map(timetable::procedure_to_wire).collect(),
    }
}

/// Takes content off the wire.
pub(crate) fn from_wire(wire: v1::Directory) -> Read<DirectoryContent> {
    if wire.schema != DIRECTORY_SCHEMA {
        return Err(Misfit {
            field: "schema".to_owned(),
            detail: format!("`{}` is not `{DIRECTORY_SCHEMA}`", cut(&wire.schema)),
        });
    }
    if wire.version == 0 {
        return Err(misfit("version", "is missing"));
    }
    let need =
        |at: Option<prost_types::Timestamp>, field| instant(at, field)?.ok_or_else(|| misfit(field, "is missing"));
    let (issued_at, expires_at) = (need(wire.issued_at, "issued_at")?, need(wire.expires_at, "expires_at")?);
    if expires_at <= issued_at {
        return Err(misfit("expires_at", "is not later than issued_at"));
    }
    Ok(DirectoryContent {
        version: wire.version,
        issued_at,
        expires_at,
        agencies: each("agencies", wire.agencies, ENTRIES_MAX, agency)?,
        systems: each("systems", wire.systems, ENTRIES_MAX, system)?,
        gateways: each("gateways", wire.gateways, ENTRIES_MAX, gateway)?,
        operators: each("operators", wire.operators, ENTRIES_MAX, operator)?,
        anchors: each("anchors", wire.anchors, TRUST_MAX, anchor)?,
        intermediates: each("intermediates", wire.intermediates, TRUST_MAX, |der| certificate_of("", &der))?,
        crls: each("crls", wire.crls, TRUST_MAX, |der| {
            let whole = certificate::is_revocation_list(&der);
            if whole { Ok(der.to_vec()) } else { Err(misfit("", "is not one certificate revocation list in DER form")) }
        })?,
        calendars: each("calendars", wire.calendars, limits::CALENDARS_MAX, timetable::calendar)?,
        procedures: each("procedures", wire.procedures, limits::PROCEDURES_MAX, timetable::procedure)?,
    })
}

fn agency_to_wire(agency: &Agency) -> v1::Agency {
    v1::Agency {
        id: agency.id.to_string(),
        name: agency.name.clone(),
        codes: agency.codes.clone(),
        parent: agency.parent.as_ref().map(ToString::to_string).unwrap_or_default(),
        level: agency.level.clone(),
        valid_from: agency.validity.from.map(instant_to_wire),
        valid_until: agency.validity.until.map(instant_to_wire),
        succeeded_by: names(&agency.succeeded_by),
        signers: agency.signers.iter().map(signer_to_wire).collect(),
        gateway: agency.gateway.as_ref().map(ToString::to_string).unwrap_or_default(),
        name_en: agency.name_en.clone(),
    }
}

fn agency(wire: v1::Agency) -> Read<Agency> {
    Ok(Agency {
        id: text("id", &wire.id, &shape::AGENCY)?,
        name: text("name", &wire.name, &shape::NAME)?,
        name_en: text("name_en", &wire.name_en, &shape::LABEL)?,
        codes: texts("codes", &wire.codes, &shape::CODE)?,
        parent: text_or_none("parent", &wire.parent, &shape::AGENCY)?,
        level: text("level", &wire.level, &shape::LABEL)?,
        validity: validity(wire.valid_from, wire.valid_until)?,
        succeeded_by: texts("succeeded_by", &wire.succeeded_by, &shape::AGENCY)?,
        signers: each("signers", wire.signers, ITEMS_MAX, signer)?,
        gateway: text_or_none("gateway", &wire.gateway, &shape::GATEWAY)?,
    })
}

fn signer_to_wire(signer: &SignerRegistration) -> v1::SignerCertificate {
    v1::SignerCertificate {
        sha256: digest_to_wire(&signer.certificate),
        valid_from: signer.validity.from.map(instant_to_wire),
        valid_until: signer.validity.until.map(instant_to_wire),
        roles: signer.roles.iter().map(|role| role.as_str().to_owned()).collect(),
        legacy_without_signing_certificate: signer.legacy_without_signing_certificate,
    }
}

fn signer(wire: v1::SignerCertificate) -> Read<SignerRegistration> {
    Ok(SignerRegistration {
        certificate: digest("sha256", &wire.sha256)?,
        validity: validity(wire.valid_from, wire.valid_until)?,
        roles: texts("roles", &wire.roles, &shape::SIGNATURE_ROLE)?,
        legacy_without_signing_certificate: wire.legacy_without_signing_certificate,
    })
}

fn system_to_wire(system: &System) -> v1::System {
    v1::System {
        id: system.id.to_string(),
        tls_certificates: system.tls_certificates.iter().map(digest_to_wire).collect(),
        speaks_for: names(&system.speaks_for),
    }
}

fn system(wire: v1::System) -> Read<System> {
    Ok(System {
        id: text("id", &wire.id, &shape::SYSTEM)?,
        tls_certificates: digests(wire.tls_certificates)?,
        // A hub's system speaks for every agency behind it.
        speaks_for: each("speaks_for", wire.speaks_for, ENTRIES_MAX, |name| text("", &name, &shape::AGENCY))?,
    })
}

fn gateway_to_wire(gateway: &Gateway) -> v1::Gateway {
    v1::Gateway {
        id: gateway.id.to_string(),
        address: gateway.address.clone(),
        parent: gateway.parent.as_ref().map(ToString::to_string).unwrap_or_default(),
        tls_certificates: gateway.tls_certificates.iter().map(digest_to_wire).collect(),
        log_keys: names(&gateway.log_keys),
        direct_links: names(&gateway.direct_links),
    }
}

fn gateway(wire: v1::Gateway) -> Read<Gateway> {
    Ok(Gateway {
        id: text("id", &wire.id, &shape::GATEWAY)?,
        address: text("address", &wire.address, &shape::ADDRESS)?,
        parent: text_or_none("parent", &wire.parent, &shape::GATEWAY)?,
        tls_certificates: digests(wire.tls_certificates)?,
        log_keys: texts("log_keys", &wire.log_keys, &shape::LOG_KEY)?,
        direct_links: texts("direct_links", &wire.direct_links, &shape::GATEWAY)?,
    })
}

fn operator_to_wire(operator: &Operator) -> v1::Operator {
    v1::Operator {
        id: operator.id.to_string(),
        tls_certificates: operator.tls_certificates.iter().map(digest_to_wire).collect(),
        role: operator.role.as_str().to_owned(),
        gateways: names(&operator.gateways),
    }
}

fn operator(wire: v1::Operator) -> Read<Operator> {
    Ok(Operator {
        id: text("id", &wire.id, &shape::OPERATOR)?,
        tls_certificates: digests(wire.tls_certificates)?,
        role: text("role", &wire.role, &shape::OPERATOR_ROLE)?,
        gateways: texts("gateways", &wire.gateways, &shape::GATEWAY)?,
    })
}

fn anchor_to_wire(anchor: &Anchor) -> v1::Anchor {
    v1::Anchor {
        certificate: anchor.certificate.clone().into(),
        purpose: shape::purpose_name(anchor.purpose).to_owned(),
        algorithms: anchor.algorithms.clone(),
        policies: anchor.policies.clone(),
        revocation_grace_seconds: anchor.revocation_grace.as_secs(),
    }
}

fn anchor(wire: v1::Anchor) -> Read<Anchor> {
    Ok(Anchor {
        certificate: certificate_of("certificate", &wire.certificate)?,
        purpose: text("purpose", &wire.purpose, &shape::PURPOSE)?,
        algorithms: texts("algorithms", &wire.algorithms, &shape::ALGORITHM)?,
        policies: texts("policies", &wire.policies, &shape::POLICY)?,
        revocation_grace: std::time::Duration::from_secs(wire.revocation_grace_seconds),
    })
}

fn each<W, T>(field: &str, items: Vec<W>, max: usize, read: impl Fn(W) -> Read<T>) -> Read<Vec<T>> {
    if items.len() > max {
        return Err(Misfit { field: field.to_owned(), detail: format!("{} entries, more than {max}", items.len()) });
    }
    let mut out = Vec::with_capacity(items.len());
    for (index, item) in items.into_iter().enumerate() {
        out.push(read(item).map_err(|inner| {
            let dot = if inner.field.is_empty() { "" } else { "." };
            Misfit { field: format!("{field}[{index}]{dot}{}", inner.field), ..inner }
        })?);
    }
    Ok(out)
}

fn text<T>(field: &str, value: &str, shape: &Shape<T>) -> Read<T> {
    (shape.parse)(value)
        .ok_or_else(|| Misfit { field: field.to_owned(), detail: format!("`{}` is not {}", cut(value), shape.wanted) })
}

fn text_or_none<T>(field: &str, value: &str, shape: &Shape<T>) -> Read<Option<T>> {
    if value.is_empty() { Ok(None) } else { text(field, value, shape).map(Some) }
}

fn texts<T>(field: &str, values: &[String], shape: &Shape<T>) -> Read<Vec<T>> {
    each(field, values.iter().collect(), ITEMS_MAX, |value| text("", value, shape))
}

fn digest(field: &str, bytes: &[u8]) -> Read<Digest> {
    Digest::from_slice(bytes).ok_or_else(|| misfit(field, "is not the 32 bytes of a SHA-256"))
}

fn digests(values: Vec<bytes::Bytes>) -> Read<Vec<Digest>> {
    each("tls_certificates", values, ITEMS_MAX, |value| digest("", &value))
}

fn certificate_of(field: &str, der: &[u8]) -> Read<Vec<u8>> {
    let whole = certificate::is_certificate(der);
    if whole { Ok(der.to_vec()) } else { Err(misfit(field, "is not one certificate in DER form")) }
}

fn validity(from: Option<prost_types::Timestamp>, until: Option<prost_types::Timestamp>) -> Read<Validity> {
    Ok(Validity { from: instant(from, "valid_from")?, until: instant(until, "valid_until")? })
}

fn instant(wire: Option<prost_types::Timestamp>, field: &str) -> Read<Option<Timestamp>> {
    let Some(wire) = wire else { return Ok(None) };
    Timestamp::from_parts(wire.seconds, wire.nanos)
        .map(Some)
        .ok_or_else(|| misfit(field, "is outside of the years 1 to 9999"))
}

fn instant_to_wire(at: Timestamp) -> prost_types::Timestamp {
    let (seconds, nanos) = at.to_parts();
    prost_types::Timestamp { seconds, nanos }
}

fn digest_to_wire(digest: &Digest) -> bytes::Bytes {
    bytes::Bytes::copy_from_slice(digest.as_bytes())
}

fn names(items: &[impl ToString]) -> Vec<String> {
    items.iter().map(ToString::to_string).collect()
}

fn misfit(field: &str, detail: &str) -> Misfit {
    Misfit { field: field.to_owned(), detail: detail.to_owned() }
}

fn cut(value: &str) -> String {
    value.chars().take(80).flat_map(char::escape_debug).collect()
}
