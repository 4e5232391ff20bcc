//! A verified envelope: only this crate makes one, and only from a proof of every step.

use std::sync::Arc;

use bytes::Bytes;
use gateway_model::Digest;
use gateway_model::directory::Directory;
use gateway_model::envelope::{Envelope, ResolvedRecipient, SignatureRole};
use gateway_model::id::EnvelopeKey;

use crate::proof::{Addressed, Content, DirectoryCurrent, InTime, Signer, SignerBound, WellFormed};
use crate::revocation::RevocationUsed;
use crate::verify::RawEnvelope;

/// An envelope that may be stored.
#[derive(Clone, Debug)]
pub struct VerifiedEnvelope {
    key: EnvelopeKey,
    digest: Digest,
    envelope: Arc<Envelope>,
    signed: Bytes,
    recipients: Vec<ResolvedRecipient>,
    facts: VerificationFacts,
}

/// One proof of every step; each is made by its own check and by nothing else, so a step that was left out leaves a
/// field empty.
#[derive(Debug)]
pub(crate) struct Proofs<'a> {
    pub(crate) current: DirectoryCurrent,
    pub(crate) well_formed: WellFormed,
    pub(crate) signers: Vec<Signer<'a>>,
    pub(crate) in_time: InTime,
    pub(crate) bound: SignerBound,
    pub(crate) addressed: Addressed,
}

/// On what the verdict rests.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct VerificationFacts {
    /// Version of the directory in force.
    pub directory_version: u64,
    /// SHA-256 of each signer's certificate, in the order of the signatures.
    pub signer_certificates: Vec<Digest>,
    /// The same certificates with their roles.
    pub signers: Vec<VerifiedSigner>,
    /// The revocation lists relied on, each once.
    pub revocation: Vec<RevocationUsed>,
}

/// One signer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct VerifiedSigner {
    /// SHA-256 of the certificate.
    pub certificate: Digest,
    /// In which role it signed.
    pub role: SignatureRole,
}

impl VerifiedEnvelope {
    pub(crate) fn new(raw: &RawEnvelope, content: &Content<'_>, directory: &Directory, proofs: Proofs<'_>) -> Self {
        // Taken apart in full: a step that is added has to be looked at here.
        let Proofs { current: DirectoryCurrent { .. }, well_formed, signers, in_time: InTime { .. }, bound, addressed } =
            proofs;
        let envelope = Arc::clone(well_formed.envelope());
        Self {
            key: EnvelopeKey { sender: bound.sender().clone(), id: envelope.id },
            digest: content.sha256(),
            envelope,
            signed: raw.signed.clone(),
            recipients: addressed.into_recipients(),
            facts: VerificationFacts::of(directory.version(), &signers),
        }
    }

    /// What makes it the same envelope everywhere.
    pub fn key(&self) -> &EnvelopeKey {
        &self.key
    }

    /// SHA-256 of the envelope bytes.
    pub fn digest(&self) -> Digest {
        self.digest
    }

    /// The envelope.
    pub fn envelope(&self) -> &Arc<Envelope> {
        &self.envelope
    }

    /// The serialized `SignedEnvelope`, exactly as received: to be kept and forwarded.
    pub fn signed(&self) -> &Bytes {
        &self.signed
    }

    /// Who was named and who gets it, in the envelope's order.
    pub fn recipients(&self) -> &[ResolvedRecipient] {
        &self.recipients
    }

    /// On what the verdict rests.
    pub fn facts(&self) -> &VerificationFacts {
        &self.facts
    }
}

impl VerificationFacts {
    fn of(directory_version: u64, signers: &[Signer<'_>]) -> Self {
        let verified =
            |signer: &Signer<'_>| VerifiedSigner { certificate: signer.certificate().digest(), role: signer.role() };
        let mut revocation: Vec<RevocationUsed> = Vec::new();
        for used in signers.iter().flat_map(|signer| signer.revocation()) {
            if !revocation.contains(used) {
                revocation.push(*used);
            }
        }
        Self {
            directory_version,
            signer_certificates: signers.iter().map(|signer| signer.certificate().digest()).collect(),
            signers: signers.iter().map(verified).collect(),
            revocation,
        }
    }
}
