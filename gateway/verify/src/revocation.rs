//! Certificate revocation lists, read once and held as an index by issuer and serial number: a check costs the same for
//! 10 and for 100,000 entries.

use std::collections::HashMap;
use std::time::Duration;

use gateway_model::{Digest, Reason, Refusal, Timestamp};

use crate::algorithm::SignatureAlgorithm;
use crate::certificate::{Certificate, Serial};
use crate::extension::CRL_SIGN;
use crate::key::KeyError;
use crate::name::CanonicalName;

mod answer;
mod list;

pub use answer::OcspAnswer;
pub use list::RevocationList;

/// One revocation list that a verdict relied on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct RevocationUsed {
    /// SHA-256 of the list.
    pub digest: Digest,
    /// When it was issued.
    pub this_update: Timestamp,
    /// When the next one is due.
    pub next_update: Timestamp,
}

/// What a list says about one certificate.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct RevocationFinding {
    /// The list.
    pub used: RevocationUsed,
    /// Since when the certificate is revoked, if it is.
    pub revoked_at: Option<Timestamp>,
}

/// What a message brings about revocation, each piece whole. Nothing but their own signatures speaks for them.
#[derive(Clone, Default, Debug)]
pub struct Stapled<'a> {
    /// Revocation lists.
    pub lists: Vec<&'a [u8]>,
    /// Answers of OCSP.
    pub answers: Vec<&'a [u8]>,
}

impl Stapled<'_> {
    /// Whether it brings nothing.
    pub fn is_empty(&self) -> bool {
        self.lists.is_empty() && self.answers.is_empty()
    }
}

/// All lists of one trust.
#[derive(Debug)]
pub struct RevocationIndex {
    lists: Vec<RevocationList>,
    by_issuer: HashMap<CanonicalName, Vec<usize>>,
    unreadable: usize,
}

impl RevocationIndex {
    /// Reads every list. One that cannot be read leaves the issuers without another list refused as invalid, not as
    /// absent.
    pub fn new<'a>(ders: impl IntoIterator<Item = &'a [u8]>) -> Self {
        let mut index = Self { lists: Vec::new(), by_issuer: HashMap::new(), unreadable: 0 };
        for der in ders {
            match RevocationList::read(der) {
                Ok(list) => index.lists.push(list),
                Err(_) => index.unreadable = index.unreadable.saturating_add(1),
            }
        }
        // The newest first: it decides.
        index.lists.sort_by_key(|list| std::cmp::Reverse(list.used().this_update));
        for (position, list) in index.lists.iter().enumerate() {
            index.by_issuer.entry(list.issuer().clone()).or_default().push(position);
        }
        index
    }

    /// How many lists could not be read.
    pub fn unreadable(&self) -> usize {
        self.unreadable
    }

    /// The lists that could be read.
    pub fn lists(&self) -> &[RevocationList] {
        &self.lists
    }

    /// Asks the newest list that `issuer` signed, by an algorithm that is allowed, for certificates like this one.
    ///
    /// # Errors
    /// When there is none, or it is of a kind that is not supported.
    pub fn find(
        &self,
        certificate: &Certificate,
        issuer: &Certificate,
        is_allowed: impl Fn(SignatureAlgorithm) -> bool,
    ) -> Result<RevocationFinding, Refusal> {
        let positions = self.by_issuer.get(certificate.issuer()).map(Vec::as_slice).unwrap_or_default();
        let mut refusal = self.none_found(certificate);
        for list in positions.iter().filter_map(|&position| self.lists.get(position)) {
            if let Err(error) = check_signature(list, issuer, &is_allowed) {
                refusal = error;
                continue;
            }
            list.check_kind()?;
            if !list.covers(certificate) {
                refusal = Refusal::new(Reason::RevocationUnsupported)
                    .saw("the issuer's list is for other certificates of it");
                continue;
            }
            return Ok(RevocationFinding { used: list.used(), revoked_at: list.revoked_at(&certificate.serial()) });
        }
        Err(refusal)
    }

    fn none_found(&self, certificate: &Certificate) -> Refusal {
        if self.unreadable > 0 {
            return Refusal::new(Reason::RevocationInvalid).saw(format!("{} lists cannot be read", self.unreadable));
        }
        Refusal::new(Reason::RevocationUnavailable)
            .saw(format!("no list for the issuer of serial {}", certificate.serial()))
    }
}

fn check_signature(
    list: &RevocationList,
    issuer: &Certificate,
    is_allowed: &impl Fn(SignatureAlgorithm) -> bool,
) -> Result<(), Refusal> {
    let invalid = |what: &str| Err(Refusal::new(Reason::RevocationInvalid).saw(what));
    if !issuer.extensions().allows(CRL_SIGN) {
        return invalid("the issuer's key usage lacks cRLSign");
    }
    if list.algorithm().is_some_and(|algorithm| !is_allowed(algorithm)) {
        return Err(Refusal::new(Reason::AlgorithmNotAllowed).saw("the anchor does not allow the list's algorithm"));
    }
    match list.verify(issuer.key()) {
        Ok(()) => Ok(()),
        Err(KeyError::Invalid) => invalid("the list is not signed by its issuer"),
        Err(other) => Err(Refusal::new(other.reason(Reason::RevocationInvalid)).saw(other.to_string())),
    }
}

/// Whether a list still counts at `now`.
///
/// # Errors
/// When it is past its nextUpdate and the grace of the anchor.
pub fn check_fresh(used: &RevocationUsed, grace: Duration, now: Timestamp) -> Result<(), Refusal> {
    if now <= used.next_update.plus(grace) {
        return Ok(());
    }
    Err(Refusal::new(Reason::RevocationStale).saw(format!("the list was due for renewal at {}", used.next_update)))
}

/// The serial numbers of one list.
pub(crate) type Revoked = HashMap<Serial, Timestamp>;
