//! Certificates, revocation lists and the directory, by when they end.

use gateway_directory::moment;
use gateway_model::Timestamp;
use gateway_model::directory::{AnchorPurpose, Directory};
use gateway_model::id::AgencyId;
use gateway_model::language::Language;
use openssl::nid::Nid;
use openssl::x509::{X509, X509Crl, X509NameRef};
use proto::v1;

use super::super::{Doors, wire};
use super::stuck::name;

const DAY_SECONDS: u64 = 86_400;

/// Everything that ends, the nearest end first; what has no known end comes last.
pub(super) fn list(
    doors: &Doors,
    directory: &Directory,
    agency: Option<&AgencyId>,
    within_days: u32,
    limit: usize,
    language: Language,
) -> v1::ListTrustResponse {
    let now = doors.engine.clock().now();
    let mut entries = match agency {
        Some(agency) => signers(directory, language, |id| id == agency),
        None => {
            let mut all = signers(directory, language, |_| true);
            all.extend(shared(directory));
            all.extend(
                doors
                    .tls_expires_at
                    .map(|end| entry(v1::TrustKind::Tls, doors.engine.gateway().to_string(), Some(end))),
            );
            all
        }
    };
    if within_days > 0 {
        let until = now.plus(std::time::Duration::from_secs(u64::from(within_days) * DAY_SECONDS));
        let until = until.to_parts();
        entries.retain(|entry| end(entry).is_some_and(|end| end <= until));
    }
    entries.sort_by(|a, b| {
        (end(a).is_none(), end(a), &a.agency, &a.sha256).cmp(&(end(b).is_none(), end(b), &b.agency, &b.sha256))
    });
    let cut = entries.len() > limit;
    entries.truncate(limit);
    v1::ListTrustResponse { entries, cut }
}

fn signers(directory: &Directory, language: Language, of: impl Fn(&AgencyId) -> bool) -> Vec<v1::TrustEntry> {
    let agencies = directory.content().agencies.iter().filter(|agency| of(&agency.id));
    let entries = agencies.flat_map(|agency| {
        agency.signers.iter().map(|signer| v1::TrustEntry {
            kind: v1::TrustKind::Signer.into(),
            agency: agency.id.to_string(),
            agency_name: name(directory, &agency.id, language),
            sha256: signer.certificate.as_bytes().to_vec().into(),
            valid_from: signer.validity.from.map(wire::timestamp),
            valid_until: signer.validity.until.map(wire::timestamp),
            roles: signer.roles.iter().map(|role| role.as_str().to_owned()).collect(),
            ..v1::TrustEntry::default()
        })
    });
    entries.collect()
}

/// What everybody's trust stands on.
fn shared(directory: &Directory) -> Vec<v1::TrustEntry> {
    let content = directory.content();
    let mut entries = vec![entry(v1::TrustKind::Directory, format!("{}", content.version), Some(content.expires_at))];
    let anchors = content.anchors.iter().map(|anchor| {
        let purpose = match anchor.purpose {
            AnchorPurpose::Sign => "sign",
            AnchorPurpose::Tls => "tls",
        };
        v1::TrustEntry { roles: vec![purpose.to_owned()], ..certificate(v1::TrustKind::Anchor, &anchor.certificate) }
    });
    entries.extend(anchors);
    entries.extend(content.intermediates.iter().map(|der| certificate(v1::TrustKind::Intermediate, der)));
    entries.extend(content.crls.iter().map(|der| revocation_list(der)));
    entries
}

fn certificate(kind: v1::TrustKind, der: &[u8]) -> v1::TrustEntry {
    let sha256 = gateway_model::Digest::of(der).as_bytes().to_vec().into();
    let Ok(certificate) = X509::from_der(der) else {
        return v1::TrustEntry { sha256, ..entry(kind, String::new(), None) };
    };
    v1::TrustEntry {
        sha256,
        valid_from: moment(certificate.not_before()).map(wire::timestamp),
        ..entry(kind, common_name(certificate.subject_name()), moment(certificate.not_after()))
    }
}

fn revocation_list(der: &[u8]) -> v1::TrustEntry {
    let (kind, sha256) = (v1::TrustKind::RevocationList, gateway_model::Digest::of(der).as_bytes().to_vec().into());
    let Ok(list) = X509Crl::from_der(der) else { return v1::TrustEntry { sha256, ..entry(kind, String::new(), None) } };
    let end = list.next_update().and_then(moment);
    v1::TrustEntry {
        sha256,
        valid_from: moment(list.last_update()).map(wire::timestamp),
        ..entry(kind, common_name(list.issuer_name()), end)
    }
}

fn entry(kind: v1::TrustKind, name: String, until: Option<Timestamp>) -> v1::TrustEntry {
    v1::TrustEntry { kind: kind.into(), name, valid_until: until.map(wire::timestamp), ..v1::TrustEntry::default() }
}

fn end(entry: &v1::TrustEntry) -> Option<(i64, i32)> {
    entry.valid_until.as_ref().map(|at| (at.seconds, at.nanos))
}

pub(crate) fn common_name(name: &X509NameRef) -> String {
    let common = name.entries_by_nid(Nid::COMMONNAME).next().or_else(|| name.entries().next());
    common.and_then(|entry| entry.data().to_string().ok()).unwrap_or_default()
}
