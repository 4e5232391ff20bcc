//! One proof value for each step of a verification. Each is made by its own check and by nothing else, and a
//! `VerifiedEnvelope` takes all of them: a forgotten step does not compile.

use std::collections::HashSet;
use std::sync::Arc;

use gateway_model::agency::{Agency, Hop};
use gateway_model::directory::{Directory, Serving};
use gateway_model::envelope::{Envelope, ResolvedRecipient, SignatureRole};
use gateway_model::id::AgencyId;
use gateway_model::{Digest, Reason, Refusal, Timestamp, limits};

use crate::algorithm::{DigestAlgorithm, SignatureAlgorithm};
use crate::attribute::SigningCertificate;
use crate::certificate::Certificate;
use crate::chain::{Leaf, Verdict};
use crate::cms::CmsSignature;
use crate::key::Message;
use crate::revocation::{RevocationUsed, Stapled};
use crate::signer::find_leaf;
use crate::trust::Trust;
use crate::verify::VerifyTime;

/// The content that signatures are over, hashed once.
#[derive(Clone, Copy, Debug)]
pub struct Content<'a> {
    bytes: &'a [u8],
    sha256: Digest,
}

impl<'a> Content<'a> {
    /// Hashes `bytes`.
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, sha256: Digest::of(bytes) }
    }

    /// Their SHA-256.
    pub fn sha256(&self) -> Digest {
        self.sha256
    }

    fn has_digest(&self, algorithm: DigestAlgorithm, digest: &[u8]) -> bool {
        match algorithm {
            DigestAlgorithm::Sha256 => self.sha256.as_bytes() == digest,
            other => other.hash(self.bytes).as_ref() == digest,
        }
    }
}

/// The directory that everything is compared with has not expired.
#[derive(Debug)]
pub struct DirectoryCurrent(());

impl DirectoryCurrent {
    /// Compares with the clock.
    ///
    /// # Errors
    /// When the directory has expired.
    pub fn check(directory: &Directory, now: Timestamp) -> Result<Self, Refusal> {
        if now < directory.expires_at() {
            return Ok(Self(()));
        }
        Err(Refusal::new(Reason::DirectoryExpired).saw(format!(
            "version {} expired at {}",
            directory.version(),
            directory.expires_at()
        )))
    }
}

/// The bytes are one well-formed envelope within every bound.
#[derive(Debug)]
pub struct WellFormed {
    envelope: Arc<Envelope>,
}

impl WellFormed {
    /// Reads the envelope strictly.
    ///
    /// # Errors
    /// What is wrong with it, and in which field.
    pub fn check(bytes: &[u8]) -> Result<Self, Refusal> {
        crate::wire::read_envelope(bytes).map(|envelope| Self { envelope: Arc::new(envelope) })
    }

    /// The envelope.
    pub fn envelope(&self) -> &Arc<Envelope> {
        &self.envelope
    }
}

/// One signature is over exactly these bytes, by the key of this certificate.
#[derive(Debug)]
pub struct SignatureValid<'a> {
    leaf: Leaf<'a>,
    algorithm: SignatureAlgorithm,
    names_certificate: bool,
    has_version_one: bool,
    signing_time: Option<Timestamp>,
}

impl<'a> SignatureValid<'a> {
    /// Finds the certificate and checks digest, attributes and signature.
    ///
    /// # Errors
    /// Which of them does not hold.
    pub fn check(content: &Content<'_>, cms: &'a CmsSignature<'a>, trust: &Trust) -> Result<Self, Refusal> {
        let leaf = find_leaf(cms, trust)?;
        let attributes = &cms.attributes;
        if !content.has_digest(cms.digest, attributes.message_digest) {
            return Err(Refusal::new(Reason::SignatureContentMismatch));
        }
        if !attributes.signing_certificate.names(&leaf.certificate) {
            return Err(Refusal::new(Reason::SigningCertificateMismatch));
        }
        let verdict =
            leaf.certificate.key().verify(cms.algorithm, Message::Whole(attributes.signed_bytes()), cms.signature);
        verdict.map_err(|error| Refusal::new(error.reason(Reason::SignatureInvalid)).saw(error.to_string()))?;
        Ok(Self {
            leaf,
            algorithm: cms.algorithm,
            names_certificate: matches!(attributes.signing_certificate, SigningCertificate::Named { .. }),
            has_version_one: matches!(attributes.signing_certificate, SigningCertificate::OnlyVersionOne),
            signing_time: attributes.signing_time,
        })
    }

    /// The certificate.
    pub fn certificate(&self) -> &Arc<Certificate> {
        &self.leaf.certificate
    }

    /// How it is signed.
    pub fn algorithm(&self) -> SignatureAlgorithm {
        self.algorithm
    }

    /// When the signer says it signed.
    pub fn signing_time(&self) -> Option<Timestamp> {
        self.signing_time
    }

    /// Whether the signature itself names its certificate.
    pub fn names_certificate(&self) -> bool {
        self.names_certificate
    }

    /// Insists on the signing-certificate attribute.
    ///
    /// # Errors
    /// When it is missing.
    pub fn require_signing_certificate(&self) -> Result<(), Refusal> {
        match (self.names_certificate, self.has_version_one) {
            (true, _) => Ok(()),
            (false, true) => {
                Err(Refusal::new(Reason::SigningCertificateMissing).saw("version 1 (SHA-1) does not count"))
            }
            (false, false) => Err(Refusal::new(Reason::SigningCertificateMissing)),
        }
    }
}

/// The certificate leads to an anchor by the rules, as of the time asked about.
#[derive(Debug)]
pub struct ChainTrusted {
    verdict: Arc<Verdict>,
}

impl ChainTrusted {
    /// Finds the chain, or what has been found before.
    ///
    /// # Errors
    /// Why no good chain leads to an anchor that allows this.
    pub fn check(signature: &SignatureValid<'_>, trust: &Trust, at: Timestamp) -> Result<Self, Refusal> {
        let verdict = Verdict::find(trust, &signature.leaf, at)?;
        verdict.check_algorithm(trust, signature.algorithm)?;
        Ok(Self { verdict })
    }

    /// The certificates, the signer's first, the anchor last.
    pub fn certificates(&self) -> &[Arc<Certificate>] {
        self.verdict.certificates()
    }

    pub(crate) fn verdict(&self) -> &Arc<Verdict> {
        &self.verdict
    }
}

/// No certificate of the chain was revoked at the time asked about, by lists that are fresh.
#[derive(Debug)]
pub struct NotRevoked {
    used: Vec<RevocationUsed>,
}

impl NotRevoked {
    /// Judges every certificate of the chain but the anchor; `stapled` is what the message carries about it.
    ///
    /// # Errors
    /// What is revoked, or which list is missing, stale or unusable.
    pub fn check(
        chain: &ChainTrusted,
        trust: &Trust,
        stapled: &Stapled<'_>,
        at: Timestamp,
        now: Timestamp,
    ) -> Result<Self, Refusal> {
        chain.verdict.check_revocation(trust, stapled, at, now).map(|used| Self { used })
    }

    /// The lists that were relied on.
    pub fn used(&self) -> &[RevocationUsed] {
        &self.used
    }
}

/// One signature of an envelope with its three proofs, all about the same certificate.
#[derive(Debug)]
pub struct Signer<'a> {
    role: SignatureRole,
    signature: SignatureValid<'a>,
    chain: ChainTrusted,
    revocation: NotRevoked,
}

impl<'a> Signer<'a> {
    /// Proves one signature from its bytes to its revocation.
    ///
    /// # Errors
    /// The first step that does not hold.
    pub fn check(
        content: &Content<'_>,
        cms: &'a CmsSignature<'a>,
        role: SignatureRole,
        trust: &Trust,
        time: VerifyTime,
    ) -> Result<Self, Refusal> {
        let signature = SignatureValid::check(content, cms, trust)?;
        let chain = ChainTrusted::check(&signature, trust, time.at)?;
        let revocation = NotRevoked::check(&chain, trust, &cms.stapled, time.at, time.now)?;
        Ok(Self { role, signature, chain, revocation })
    }

    /// In which role it stands.
    pub fn role(&self) -> SignatureRole {
        self.role
    }

    /// The signer's certificate.
    pub fn certificate(&self) -> &Arc<Certificate> {
        self.signature.certificate()
    }

    /// The certificates, the signer's first, the anchor last.
    pub fn chain(&self) -> &[Arc<Certificate>] {
        self.chain.certificates()
    }

    /// The revocation lists relied on.
    pub fn revocation(&self) -> &[RevocationUsed] {
        self.revocation.used()
    }
}

/// The signers may sign for the sender in their roles, and the hop may bring what the sender signed.
#[derive(Debug)]
pub struct SignerBound {
    sender: AgencyId,
}

impl SignerBound {
    /// Resolves the sender and compares hop and signers with the directory.
    ///
    /// # Errors
    /// Who is unknown, or not registered for what.
    pub fn check(
        envelope: &Envelope,
        signers: &[Signer<'_>],
        directory: &Directory,
        hop: &Hop,
        at: Timestamp,
    ) -> Result<Self, Refusal> {
        let sender = directory
            .agency_named_at(&envelope.from, at)
            .ok_or_else(|| Refusal::new(Reason::SenderUnknown).at("from").saw(&envelope.from))?;
        if !sender.is_alive(at) {
            return Err(Refusal::new(Reason::SenderEnded).at("from").saw(&envelope.from));
        }
        check_hop(sender, directory, hop)?;
        let speaks = |role| matches!(role, SignatureRole::Agency | SignatureRole::SealedByAdapter);
        if !signers.iter().any(|signer| speaks(signer.role)) {
            return Err(Refusal::new(Reason::SignatureRoleInvalid).at("signatures").saw("none is the agency's"));
        }
        for (position, signer) in signers.iter().enumerate() {
            check_registration(sender, signer, at).map_err(|refusal| refusal.at(format!("signatures[{position}]")))?;
        }
        Ok(Self { sender: sender.id.clone() })
    }

    /// The sender's internal id.
    pub fn sender(&self) -> &AgencyId {
        &self.sender
    }
}

/// The hop is never the originator: the pair is authorised.
fn check_hop(sender: &Agency, directory: &Directory, hop: &Hop) -> Result<(), Refusal> {
    let Hop::System(id) = hop else { return Ok(()) };
    let system = directory.system(id).ok_or_else(|| Refusal::new(Reason::HopUnknown).saw(id.as_str()))?;
    if system.speaks_for.contains(&sender.id) {
        return Ok(());
    }
    Err(Refusal::new(Reason::SystemNotAuthorized).at("from").saw(format!("{id} does not speak for {}", sender.id)))
}

fn check_registration(sender: &Agency, signer: &Signer<'_>, at: Timestamp) -> Result<(), Refusal> {
    let digest = signer.certificate().digest();
    let mut registrations = sender.signers.iter().filter(|registration| registration.certificate == digest).peekable();
    if registrations.peek().is_none() {
        return Err(Refusal::new(Reason::SignerNotRegistered).saw(format!("{digest:?} for {}", sender.id)));
    }
    let mut current = registrations.filter(|registration| registration.validity.contains(at)).peekable();
    if current.peek().is_none() {
        return Err(Refusal::new(Reason::SignerRegistrationEnded).saw(format!("{digest:?} for {}", sender.id)));
    }
    let fitting =
        current.find(|registration| registration.roles.is_empty() || registration.roles.contains(&signer.role));
    let Some(registration) = fitting else {
        return Err(Refusal::new(Reason::SignerRoleNotAllowed).saw(signer.role.as_str()));
    };
    if registration.legacy_without_signing_certificate {
        Ok(())
    } else {
        signer.signature.require_signing_certificate()
    }
}

/// Every recipient is known and somebody serves for it.
#[derive(Debug)]
pub struct Addressed {
    recipients: Vec<ResolvedRecipient>,
}

impl Addressed {
    /// Resolves names as of `at`, the time of the first acceptance, and who serves as of `now`.
    ///
    /// # Errors
    /// Which recipient is unknown, has ended, or stands twice.
    pub fn check(envelope: &Envelope, directory: &Directory, at: Timestamp, now: Timestamp) -> Result<Self, Refusal> {
        let mut named = HashSet::with_capacity(envelope.to.len());
        let mut recipients = Vec::with_capacity(envelope.to.len());
        for (position, name) in envelope.to.iter().enumerate() {
            let refuse = |reason| Err(Refusal::new(reason).at(format!("to[{position}].agency")).saw(name));
            let Some(agency) = directory.agency_named_at(name, at) else { return refuse(Reason::RecipientUnknown) };
            if !named.insert(&agency.id) {
                return refuse(Reason::RecipientRepeated);
            }
            let serving = match directory.serving(&agency.id, now) {
                Serving::Itself => agency.id.clone(),
                Serving::Successor(successor) => successor,
                Serving::Ended => return refuse(Reason::RecipientEnded),
                Serving::Unknown => return refuse(Reason::RecipientUnknown),
            };
            recipients.push(ResolvedRecipient { named: agency.id.clone(), serving });
        }
        Ok(Self { recipients })
    }

    /// The recipients, in the envelope's order.
    pub fn recipients(&self) -> &[ResolvedRecipient] {
        &self.recipients
    }

    pub(crate) fn into_recipients(self) -> Vec<ResolvedRecipient> {
        self.recipients
    }
}

/// The envelope's own times hold now.
#[derive(Debug)]
pub struct InTime(());

impl InTime {
    /// Compares with the clock.
    ///
    /// # Errors
    /// When it was made in the future, lives too long, or has expired.
    pub fn check(envelope: &Envelope, now: Timestamp) -> Result<Self, Refusal> {
        let invalid = |field: &str, what: String| Err(Refusal::new(Reason::EnvelopeTimeInvalid).at(field).saw(what));
        if envelope.created_at > now.plus(limits::CLOCK_SKEW_MAX) {
            return invalid("created_at", format!("{} lies after {now}", envelope.created_at));
        }
        if envelope.expires_at <= now {
            return Err(Refusal::new(Reason::EnvelopeExpired).at("expires_at").saw(envelope.expires_at.to_string()));
        }
        if envelope.expires_at > now.plus(limits::ENVELOPE_LIFE_MAX) {
            return invalid("expires_at", format!("{} lies too far ahead", envelope.expires_at));
        }
        Ok(Self(()))
    }
}
