//! A verified envelope: only this crate makes one, and only from a proof of every step.

use std::sync::Arc;

use bytes::Bytes;
use gateway_model::Digest;
use gateway_model::envelope::{Envelope, ResolvedRecipient, SignatureRole};
use gateway_model::id::EnvelopeKey;

use crate::proof::{Addressed, Content, InTime, Signer, SignerBound, WellFormed};
use crate::revocation::RevocationUsed;
use crate::snapshot::Snapshot;
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
    /// Takes the proofs: every parameter is one step.
    #[allow(
        clippy::too_many_arguments,
        reason = "each proof is a step; a struct of them would only be another name for this list"
    )]
    pub(crate) fn new(
        raw: &RawEnvelope,
        content: &Content<'_>,
        snapshot: &Snapshot,
        signers: Vec<Signer<'_>>,
        well_formed: WellFormed,
        _in_time: InTime,
        bound: SignerBound,
        addressed: Addressed,
    ) -> Self {
        let envelope = Arc::clone(well_formed.envelope());
        Self {
            key: EnvelopeKey { sender: bound.sender().clone(), id: envelope.id },
            digest: content.sha256(),
            envelope,
            signed: raw.signed.clone(),
            recipients: addressed.into_recipients(),
            facts: VerificationFacts::of(snapshot.directory().version(), &signers),
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
        let verified = |signer: &Signer<'_>| VerifiedSigner {
            certificate: signer.signature.certificate().digest(),
            role: signer.role,
        };
        let mut revocation: Vec<RevocationUsed> = Vec::new();
        for used in signers.iter().flat_map(|signer| signer.revocation.used()) {
            if !revocation.contains(used) {
                revocation.push(*used);
            }
        }
        Self {
            directory_version,
            signer_certificates: signers.iter().map(|signer| signer.signature.certificate().digest()).collect(),
            signers: signers.iter().map(verified).collect(),
            revocation,
        }
    }
}
