//! What is trusted: anchors with their profiles, intermediates held locally, revocation lists as an index, and what has
//! been checked.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use gateway_model::directory::{Anchor, AnchorPurpose};
use gateway_model::{Digest, Timestamp};
use openssl::x509::X509;

use crate::algorithm::SignatureAlgorithm;
use crate::cache::Cache;
use crate::certificate::{Certificate, Serial};
use crate::chain::Verdict;
use crate::cms::SignerIdentifier;
use crate::der::DerError;
use crate::name::CanonicalName;
use crate::revocation::RevocationIndex;

/// Verdicts remembered: about 6 KiB each at most.
const VERDICTS_MAX: usize = 32_768;

/// What trust is made of.
#[derive(Clone, Default, Debug)]
pub struct TrustSource {
    /// Anchors; those for TLS are left aside.
    pub anchors: Vec<Anchor>,
    /// Certificates held locally, DER: intermediates, and signers that do not send theirs.
    pub intermediates: Vec<Vec<u8>>,
    /// Revocation lists, DER.
    pub crls: Vec<Vec<u8>>,
}

/// Why trust does not hold together.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum TrustFault {
    /// An anchor cannot be read.
    #[error("anchor {digest:?} cannot be read: {error}")]
    Anchor {
        /// Of its bytes.
        digest: Digest,
        /// Why.
        error: DerError,
    },
    /// An anchor allows an algorithm that does not exist.
    #[error("anchor {digest:?} allows {name}, which is none of rsa-pkcs1, rsa-pss, ecdsa, ed25519")]
    Algorithm {
        /// Of its bytes.
        digest: Digest,
        /// What it allows.
        name: String,
    },
    /// An intermediate certificate cannot be read.
    #[error("intermediate certificate {digest:?} cannot be read: {error}")]
    Intermediate {
        /// Of its bytes.
        digest: Digest,
        /// Why.
        error: DerError,
    },
}

/// Trust, parsed. Immutable but for a bounded memory of verdicts; shared between threads.
#[derive(Debug)]
pub struct Trust {
    anchors: Vec<TrustedAnchor>,
    pool: Vec<Issuer>,
    anchors_by_subject: HashMap<CanonicalName, Vec<usize>>,
    pool_by_subject: HashMap<CanonicalName, Vec<usize>>,
    pool_by_serial: HashMap<(CanonicalName, Serial), usize>,
    pool_by_key_id: HashMap<Box<[u8]>, usize>,
    revocation: RevocationIndex,
    pub(crate) verdicts: Cache<Arc<Verdict>>,
}

/// A certificate in both forms: read by us, and by OpenSSL for the cold path.
#[derive(Clone, Debug)]
pub(crate) struct Issuer {
    pub(crate) certificate: Arc<Certificate>,
    pub(crate) x509: X509,
}

/// An anchor with its profile.
#[derive(Debug)]
pub(crate) struct TrustedAnchor {
    pub(crate) issuer: Issuer,
    algorithms: Vec<String>,
    pub(crate) policies: Vec<String>,
    pub(crate) revocation_grace: Duration,
}

impl Trust {
    /// Reads everything.
    ///
    /// # Errors
    /// Every fault found. Revocation lists that cannot be read are no fault here: they make the checks that need them
    /// refuse.
    pub fn new(source: TrustSource) -> Result<Self, Vec<TrustFault>> {
        Self::read(&source.anchors, &source.intermediates, &source.crls)
    }

    pub(crate) fn read(
        anchors: &[Anchor],
        intermediates: &[Vec<u8>],
        crls: &[Vec<u8>],
    ) -> Result<Self, Vec<TrustFault>> {
        let mut faults = Vec::new();
        let mut trust = Self {
            anchors: Vec::new(),
            pool: Vec::new(),
            anchors_by_subject: HashMap::new(),
            pool_by_subject: HashMap::new(),
            pool_by_serial: HashMap::new(),
            pool_by_key_id: HashMap::new(),
            revocation: RevocationIndex::new(crls.iter().map(Vec::as_slice)),
            verdicts: Cache::new(VERDICTS_MAX),
        };
        for anchor in anchors.iter().filter(|anchor| anchor.purpose == AnchorPurpose::Sign) {
            match TrustedAnchor::read(anchor, &mut faults) {
                Ok(anchor) => trust.anchors.push(anchor),
                Err(fault) => faults.push(fault),
            }
        }
        for der in intermediates {
            match Issuer::read(der) {
                Ok(issuer) => trust.pool.push(issuer),
                Err(error) => faults.push(TrustFault::Intermediate { digest: Digest::of(der), error }),
            }
        }
        trust.anchors_by_subject = by_subject(trust.anchors.iter().map(|anchor| &anchor.issuer));
        trust.pool_by_subject = by_subject(trust.pool.iter());
        for (position, issuer) in trust.pool.iter().enumerate() {
            let certificate = &issuer.certificate;
            trust.pool_by_serial.insert((certificate.issuer().clone(), certificate.serial()), position);
            if let Some(id) = &certificate.extensions().subject_key_id {
                trust.pool_by_key_id.insert(id.clone(), position);
            }
        }
        if faults.is_empty() { Ok(trust) } else { Err(faults) }
    }

    /// The revocation lists.
    pub fn revocation(&self) -> &RevocationIndex {
        &self.revocation
    }

    /// When the first of the revocation lists is due for renewal: what an alarm in time watches.
    pub fn revocation_fresh_until(&self) -> Option<Timestamp> {
        self.revocation.lists().iter().map(|list| list.used().next_update).min()
    }

    pub(crate) fn anchor(&self, digest: &Digest) -> Option<&TrustedAnchor> {
        self.anchors.iter().find(|anchor| anchor.issuer.certificate.digest() == *digest)
    }

    pub(crate) fn anchors_named<'a>(&'a self, name: &CanonicalName) -> impl Iterator<Item = &'a Issuer> + use<'a> {
        let positions = self.anchors_by_subject.get(name).map(Vec::as_slice).unwrap_or_default();
        positions.iter().filter_map(|&position| self.anchors.get(position)).map(|anchor| &anchor.issuer)
    }

    pub(crate) fn pool_named<'a>(&'a self, name: &CanonicalName) -> impl Iterator<Item = &'a Issuer> + use<'a> {
        let positions = self.pool_by_subject.get(name).map(Vec::as_slice).unwrap_or_default();
        positions.iter().filter_map(|&position| self.pool.get(position))
    }

    /// The certificate of a signer that did not send it.
    pub(crate) fn pool_signer(&self, signer: &SignerIdentifier<'_>) -> Option<Arc<Certificate>> {
        let position = match signer {
            SignerIdentifier::IssuerAndSerial(issuer, serial) => {
                self.pool_by_serial.get(&(CanonicalName::read(issuer).ok()?, Serial::read(serial).ok()?))
            }
            SignerIdentifier::SubjectKeyId(id) => self.pool_by_key_id.get(*id),
        };
        self.pool.get(*position?).map(|issuer| Arc::clone(&issuer.certificate))
    }
}

impl TrustedAnchor {
    fn read(anchor: &Anchor, faults: &mut Vec<TrustFault>) -> Result<Self, TrustFault> {
        let digest = Digest::of(&anchor.certificate);
        let issuer = Issuer::read(&anchor.certificate).map_err(|error| TrustFault::Anchor { digest, error })?;
        for name in &anchor.algorithms {
            if !SignatureAlgorithm::FAMILIES.contains(&name.as_str()) {
                faults.push(TrustFault::Algorithm { digest, name: name.clone() });
            }
        }
        Ok(Self {
            issuer,
            algorithms: anchor.algorithms.clone(),
            policies: anchor.policies.clone(),
            revocation_grace: anchor.revocation_grace,
        })
    }

    /// Whether signatures below it may be made so.
    pub(crate) fn allows(&self, algorithm: SignatureAlgorithm) -> bool {
        self.algorithms.is_empty() || self.algorithms.iter().any(|family| family == algorithm.family())
    }
}

impl Issuer {
    pub(crate) fn read(der: &[u8]) -> Result<Self, DerError> {
        Self::of(Arc::new(Certificate::read(der)?))
    }

    pub(crate) fn of(certificate: Arc<Certificate>) -> Result<Self, DerError> {
        let x509 = X509::from_der(certificate.der()).map_err(|_| DerError::Value("certificate"))?;
        Ok(Self { certificate, x509 })
    }
}

fn by_subject<'a>(issuers: impl Iterator<Item = &'a Issuer>) -> HashMap<CanonicalName, Vec<usize>> {
    let mut map: HashMap<CanonicalName, Vec<usize>> = HashMap::new();
    for (position, issuer) in issuers.enumerate() {
        map.entry(issuer.certificate.subject().clone()).or_default().push(position);
    }
    map
}
