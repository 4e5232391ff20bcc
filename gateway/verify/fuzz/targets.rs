//! What the fuzzers run, and what the test suite runs for seconds with a seed: each takes a stranger's bytes and must not panic.

use std::sync::LazyLock;

use gateway_model::{Timestamp, limits};
use gateway_verify::certificate::Certificate;
use gateway_verify::cms::CmsSignature;
use gateway_verify::der::Reader;
use gateway_verify::revocation::{OcspAnswer, RevocationList};
use gateway_verify::wire::read_envelope;
use gateway_verify::{DetachedOptions, Trust, TrustSource, verify_detached};

static NOBODY: LazyLock<Option<Trust>> = LazyLock::new(|| Trust::new(TrustSource::default()).ok());

/// The readers of DER: elements, certificates, revocation lists, answers of OCSP and CMS. What an element says of itself is within what was given.
pub fn der(bytes: &[u8]) {
    let mut reader = Reader::new(bytes);
    let mut total = 0;
    while let Ok(element) = reader.any() {
        assert!(element.content.len() < element.raw.len());
        total += element.raw.len();
    }
    assert!(total <= bytes.len());
    Certificate::read(bytes).ok();
    RevocationList::read(bytes).ok();
    OcspAnswer::read(bytes).ok();
    CmsSignature::read(bytes).ok();
}

/// The reader of envelopes, and the promise that what it reads is within bounds.
pub fn wire(bytes: &[u8]) {
    if let Ok(envelope) = read_envelope(bytes) {
        assert!((1..=limits::RECIPIENTS_MAX).contains(&envelope.to.len()));
        assert!(envelope.parts.len() <= limits::PARTS_MAX);
        assert!(envelope.created_at < envelope.expires_at);
    }
}

/// A whole verification under empty trust: nothing is ever accepted.
pub fn detached(bytes: &[u8]) {
    let Some(trust) = &*NOBODY else { return };
    let options = DetachedOptions {
        at: Timestamp::from_seconds(1_790_000_000),
        require_signing_certificate: false,
        check_revocation: false,
    };
    assert!(verify_detached(b"content", bytes, trust, options).is_err());
}
