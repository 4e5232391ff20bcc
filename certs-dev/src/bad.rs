//! One bad signature, certificate or revocation list for every reason to refuse one, and good ones that come close.
//!
//! Each case has exactly one fault: but for it the case would be accepted. Bad and good cases are made by the same stage.

mod certificates;
mod chains;
mod good;
mod revocation;
mod signatures;
mod stage;

use crate::Error;
use stage::Stage;

/// A signature with everything that a verifier needs to judge it.
#[derive(Clone, Debug)]
pub struct BadCase {
    /// What the case is, as a name for files and reports.
    pub name: &'static str,
    /// The reason code to expect, such as `CERTIFICATE_EXPIRED`; [`ACCEPTED`] for good cases.
    pub reason: &'static str,
    /// The content that the signature is said to be over.
    pub content: Vec<u8>,
    /// The CMS SignedData in DER, or what stands in its place.
    pub cms: Vec<u8>,
    /// The certificate that is registered for the sender, in DER.
    pub signer_certificate: Vec<u8>,
    /// Trusted roots, in DER.
    pub anchors: Vec<Vec<u8>>,
    /// CA certificates of the local pool, in DER.
    pub intermediates: Vec<Vec<u8>>,
    /// Revocation lists of the local pool, in DER.
    pub crls: Vec<Vec<u8>>,
    /// Policy identifiers that the anchor allows; empty means any.
    pub policies: Vec<String>,
    /// When the signature is received, Unix seconds.
    pub at: i64,
}

/// What stands as reason in good cases.
pub const ACCEPTED: &str = "";

/// Reasons that only an envelope can give, because they are about its list of signatures: there is no case for them here.
pub const OF_ENVELOPES: [&str; 3] = ["SIGNATURE_MISSING", "SIGNATURES_TOO_MANY", "SIGNATURE_ROLE_INVALID"];

/// Makes the bad cases around `now` (Unix seconds).
///
/// # Errors
/// When OpenSSL refuses to make one.
pub fn cases(now: i64) -> Result<Vec<BadCase>, Error> {
    let stage = Stage::new(now)?;
    let mut cases = signatures::cases(&stage)?;
    cases.extend(certificates::cases(&stage)?);
    cases.extend(chains::cases(&stage)?);
    cases.extend(revocation::cases(&stage)?);
    Ok(cases)
}

/// Makes the good cases around `now` (Unix seconds): every kind of key, and what must not be refused though it looks odd.
///
/// # Errors
/// When OpenSSL refuses to make one.
pub fn good_cases(now: i64) -> Result<Vec<BadCase>, Error> {
    good::cases(&Stage::new(now)?)
}
