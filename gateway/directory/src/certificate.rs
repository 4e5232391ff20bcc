//! Certificates and revocation lists in files, PEM or DER.

use std::path::Path;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use gateway_model::hash::Digest;
use gateway_model::time::Timestamp;
use openssl::asn1::{Asn1Time, Asn1TimeRef};
use openssl::x509::{X509, X509Crl, X509NameRef};

use crate::fault::FaultKind;

/// Bytes of a file with certificates or a revocation list.
const FILE_BYTES_MAX: u64 = 32 * 1024 * 1024;

/// The digest of the first certificate of a file: in a chain file that is the party's own.
pub(crate) fn first_digest(path: &Path) -> Result<Digest, FaultKind> {
    first(path).map(|der| Digest::of(&der))
}

/// The same, and the first instant at which the certificate itself is valid no more.
pub(crate) fn first_with_end(path: &Path) -> Result<(Digest, Option<Timestamp>), FaultKind> {
    let der = first(path)?;
    let last = X509::from_der(&der).ok().and_then(|certificate| moment(certificate.not_after()));
    // Valid through that second (RFC 5280, section 4.1.2.5).
    Ok((Digest::of(&der), last.map(|last| last.plus(Duration::from_secs(1)))))
}

/// A time inside a certificate or a revocation list; `None` when it says none.
pub fn moment(at: &Asn1TimeRef) -> Option<Timestamp> {
    let since = Asn1Time::from_unix(0).ok()?.diff(at).ok()?;
    Some(Timestamp::from_seconds(i64::from(since.days) * 86_400 + i64::from(since.secs)))
}

fn first(path: &Path) -> Result<Vec<u8>, FaultKind> {
    certificates(path)?.into_iter().next().ok_or_else(|| no_certificate(path))
}

/// The one certificate of a file.
pub(crate) fn single(path: &Path) -> Result<Vec<u8>, FaultKind> {
    let [der]: [Vec<u8>; 1] = certificates(path)?
        .try_into()
        .map_err(|_| FaultKind::FileContent { path: path.to_owned(), wanted: "single certificate" })?;
    Ok(der)
}

/// Every certificate of a file, DER; at least one.
pub(crate) fn certificates(path: &Path) -> Result<Vec<Vec<u8>>, FaultKind> {
    let found = blocks(&read(path)?, "CERTIFICATE");
    if found.is_empty() || !found.iter().all(|der| is_certificate(der)) {
        return Err(no_certificate(path));
    }
    Ok(found)
}

/// Every revocation list of a file, DER; at least one.
pub(crate) fn revocation_lists(path: &Path) -> Result<Vec<Vec<u8>>, FaultKind> {
    let found = blocks(&read(path)?, "X509 CRL");
    if found.is_empty() || !found.iter().all(|der| is_revocation_list(der)) {
        return Err(FaultKind::FileContent { path: path.to_owned(), wanted: "certificate revocation list" });
    }
    Ok(found)
}

/// Whether `der` is one certificate and nothing more.
pub(crate) fn is_certificate(der: &[u8]) -> bool {
    X509::from_der(der).and_then(|certificate| certificate.to_der()).is_ok_and(|whole| whole == der)
}

/// Whether `der` is one revocation list and nothing more.
pub(crate) fn is_revocation_list(der: &[u8]) -> bool {
    X509Crl::from_der(der).and_then(|list| list.to_der()).is_ok_and(|whole| whole == der)
}

/// The subject of a certificate and its end, for a person.
pub(crate) fn describe_certificate(der: &[u8]) -> String {
    X509::from_der(der).map_or_else(
        |_| Digest::of(der).to_string(),
        |certificate| format!("{} (… {})", name(certificate.subject_name()), certificate.not_after()),
    )
}

/// The issuer of a revocation list and its next update, for a person.
pub(crate) fn describe_revocation_list(der: &[u8]) -> String {
    X509Crl::from_der(der).map_or_else(
        |_| Digest::of(der).to_string(),
        |list| {
            let next = list.next_update().map_or_else(|| "?".to_owned(), ToString::to_string);
            format!("{} ({} … {next})", name(list.issuer_name()), list.last_update())
        },
    )
}

fn name(name: &X509NameRef) -> String {
    let pieces: Vec<String> = name
        .entries()
        .filter_map(|entry| {
            let key = entry.object().nid().short_name().ok()?;
            Some(format!("{key}={}", entry.data().to_string().ok()?.escape_debug()))
        })
        .collect();
    pieces.join(", ")
}

fn read(path: &Path) -> Result<Vec<u8>, FaultKind> {
    let file = |cause| FaultKind::File { path: path.to_owned(), cause };
    let size = std::fs::metadata(path).map_err(file)?.len();
    if size > FILE_BYTES_MAX {
        return Err(file(std::io::Error::other(format!("{size} bytes, more than {FILE_BYTES_MAX}"))));
    }
    std::fs::read(path).map_err(file)
}

/// The DER inside: every PEM block with `label`, or the whole when there is no PEM armour.
fn blocks(bytes: &[u8], label: &str) -> Vec<Vec<u8>> {
    let (begin, end) = (format!("-----BEGIN {label}-----"), format!("-----END {label}-----"));
    let Some(mut rest) = std::str::from_utf8(bytes).ok().filter(|text| text.contains("-----BEGIN ")) else {
        return vec![bytes.to_vec()];
    };
    let mut found = Vec::new();
    while let Some((body, after)) = rest.split_once(&begin).and_then(|(_, inside)| inside.split_once(&end)) {
        let encoded: String = body.split_whitespace().collect();
        // What is not base64 is kept as nothing, so that the caller refuses the file instead of reading half of it.
        found.push(BASE64.decode(encoded).unwrap_or_default());
        rest = after;
    }
    found
}

fn no_certificate(path: &Path) -> FaultKind {
    FaultKind::FileContent { path: path.to_owned(), wanted: "certificate" }
}
