//! Why something did not go on: one stable code a cause, with a page each under `gateway/model/refusals/`.
//!
//! The code is language-neutral and never changes its meaning. The page gives, in Vietnamese and English, what it means and what to do
//! next; it is compiled in, so that every answer can say both.

use std::fmt;
use std::time::Duration;

use crate::language::Language;

/// The status codes of gRPC that refusals map to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[allow(missing_docs)]
pub enum GrpcCode {
    InvalidArgument = 3,
    DeadlineExceeded = 4,
    NotFound = 5,
    AlreadyExists = 6,
    PermissionDenied = 7,
    ResourceExhausted = 8,
    FailedPrecondition = 9,
    Internal = 13,
    Unavailable = 14,
    Unauthenticated = 16,
}

macro_rules! reasons {
    ($($(#[$doc:meta])* $name:ident = ($code:literal, $page:literal, $grpc:ident),)*) => {
        /// A stable reason code.
        #[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum Reason {
            $($(#[$doc])* $name,)*
        }

        impl Reason {
            /// Every reason.
            pub const ALL: &'static [Self] = &[$(Self::$name),*];

            /// The code as it stands in answers, logs and receipts.
            pub fn code(self) -> &'static str {
                match self { $(Self::$name => $code,)* }
            }

            /// The gRPC status code that it maps to.
            pub fn grpc(self) -> GrpcCode {
                match self { $(Self::$name => GrpcCode::$grpc,)* }
            }

            /// Its page, in Markdown.
            pub fn page(self) -> &'static str {
                match self { $(Self::$name => include_str!(concat!("../refusals/", $page, ".md")),)* }
            }
        }
    };
}

reasons! {
    // What the envelope is.
    /// The serialized envelope is larger than the bound.
    EnvelopeTooLarge = ("ENVELOPE_TOO_LARGE", "envelope_too_large", InvalidArgument),
    /// The envelope bytes are not one well-formed protobuf message.
    EnvelopeMalformed = ("ENVELOPE_MALFORMED", "envelope_malformed", InvalidArgument),
    /// The envelope carries a field that its schema does not know.
    EnvelopeFieldUnknown = ("ENVELOPE_FIELD_UNKNOWN", "envelope_field_unknown", InvalidArgument),
    /// A field that may stand once stands twice.
    EnvelopeFieldRepeated = ("ENVELOPE_FIELD_REPEATED", "envelope_field_repeated", InvalidArgument),
    /// The schema is not lienthong.envelope.v1.
    EnvelopeSchemaUnknown = ("ENVELOPE_SCHEMA_UNKNOWN", "envelope_schema_unknown", InvalidArgument),
    /// The id is not a lower-case UUID.
    EnvelopeIdInvalid = ("ENVELOPE_ID_INVALID", "envelope_id_invalid", InvalidArgument),
    /// Created_at or expires_at is missing, reversed, or too far away.
    EnvelopeTimeInvalid = ("ENVELOPE_TIME_INVALID", "envelope_time_invalid", InvalidArgument),
    /// Expires_at has passed.
    EnvelopeExpired = ("ENVELOPE_EXPIRED", "envelope_expired", FailedPrecondition),
    /// No content is set.
    EnvelopeContentMissing = ("ENVELOPE_CONTENT_MISSING", "envelope_content_missing", InvalidArgument),
    /// A text is too long, not NFC, or has control or bidirectional characters.
    EnvelopeTextInvalid = ("ENVELOPE_TEXT_INVALID", "envelope_text_invalid", InvalidArgument),
    /// A reference does not name a sender and an id.
    EnvelopeReferenceInvalid = ("ENVELOPE_REFERENCE_INVALID", "envelope_reference_invalid", InvalidArgument),
    /// There is no recipient.
    RecipientMissing = ("RECIPIENT_MISSING", "recipient_missing", InvalidArgument),
    /// There are more recipients than the bound.
    RecipientsTooMany = ("RECIPIENTS_TOO_MANY", "recipients_too_many", InvalidArgument),
    /// One agency is named twice.
    RecipientRepeated = ("RECIPIENT_REPEATED", "recipient_repeated", InvalidArgument),
    /// The directory does not know the recipient.
    RecipientUnknown = ("RECIPIENT_UNKNOWN", "recipient_unknown", NotFound),
    /// The recipient has ceased to exist and has no successor.
    RecipientEnded = ("RECIPIENT_ENDED", "recipient_ended", FailedPrecondition),
    /// The directory does not know the sender.
    SenderUnknown = ("SENDER_UNKNOWN", "sender_unknown", NotFound),
    /// The sender has ceased to exist.
    SenderEnded = ("SENDER_ENDED", "sender_ended", FailedPrecondition),
    /// There are more parts than the bound.
    PartsTooMany = ("PARTS_TOO_MANY", "parts_too_many", InvalidArgument),
    /// A part's name has a path, control or bidirectional characters, or is too long.
    PartNameInvalid = ("PART_NAME_INVALID", "part_name_invalid", InvalidArgument),
    /// A part's digest is not 32 bytes, or stands twice.
    PartDigestInvalid = ("PART_DIGEST_INVALID", "part_digest_invalid", InvalidArgument),
    /// A part is larger than the bound.
    PartTooLarge = ("PART_TOO_LARGE", "part_too_large", InvalidArgument),
    /// A part that the envelope names has not been uploaded by this caller.
    PartMissing = ("PART_MISSING", "part_missing", FailedPrecondition),
    /// A part is longer or shorter than said.
    PartSizeMismatch = ("PART_SIZE_MISMATCH", "part_size_mismatch", InvalidArgument),
    /// A part's bytes do not have the digest that was said.
    PartDigestMismatch = ("PART_DIGEST_MISMATCH", "part_digest_mismatch", InvalidArgument),
    // How it is signed.
    /// The envelope carries no signature.
    SignatureMissing = ("SIGNATURE_MISSING", "signature_missing", Unauthenticated),
    /// There are more signatures than the bound.
    SignaturesTooMany = ("SIGNATURES_TOO_MANY", "signatures_too_many", InvalidArgument),
    /// A signature is larger than the bound.
    SignatureTooLarge = ("SIGNATURE_TOO_LARGE", "signature_too_large", InvalidArgument),
    /// A signature has no role, or none is the agency's.
    SignatureRoleInvalid = ("SIGNATURE_ROLE_INVALID", "signature_role_invalid", InvalidArgument),
    /// The signature is not a CMS SignedData of our profile in DER.
    SignatureMalformed = ("SIGNATURE_MALFORMED", "signature_malformed", InvalidArgument),
    /// Bytes follow the signature.
    SignatureTrailingBytes = ("SIGNATURE_TRAILING_BYTES", "signature_trailing_bytes", InvalidArgument),
    /// The signature carries content of its own.
    SignatureNotDetached = ("SIGNATURE_NOT_DETACHED", "signature_not_detached", InvalidArgument),
    /// Signed attributes are missing or stand twice.
    SignatureAttributesInvalid = ("SIGNATURE_ATTRIBUTES_INVALID", "signature_attributes_invalid", InvalidArgument),
    /// The signature is over other bytes than these.
    SignatureContentMismatch = ("SIGNATURE_CONTENT_MISMATCH", "signature_content_mismatch", Unauthenticated),
    /// The signature does not verify with the signer's key.
    SignatureInvalid = ("SIGNATURE_INVALID", "signature_invalid", Unauthenticated),
    /// The signing-certificate attribute is missing.
    SigningCertificateMissing = ("SIGNING_CERTIFICATE_MISSING", "signing_certificate_missing", Unauthenticated),
    /// The signing-certificate attribute names another certificate.
    SigningCertificateMismatch = ("SIGNING_CERTIFICATE_MISMATCH", "signing_certificate_mismatch", Unauthenticated),
    /// The signature or digest algorithm is not on the list.
    AlgorithmNotAllowed = ("ALGORITHM_NOT_ALLOWED", "algorithm_not_allowed", Unauthenticated),
    /// A key is shorter than the bound or on an unsupported curve.
    KeyTooWeak = ("KEY_TOO_WEAK", "key_too_weak", Unauthenticated),
    // Who signed.
    /// The signer's certificate is neither in the message nor known.
    CertificateMissing = ("CERTIFICATE_MISSING", "certificate_missing", Unauthenticated),
    /// A certificate cannot be read.
    CertificateMalformed = ("CERTIFICATE_MALFORMED", "certificate_malformed", Unauthenticated),
    /// No chain leads to an anchor of the directory.
    CertificateUntrusted = ("CERTIFICATE_UNTRUSTED", "certificate_untrusted", Unauthenticated),
    /// A certificate of the chain is not signed by its issuer.
    CertificateSignatureInvalid = ("CERTIFICATE_SIGNATURE_INVALID", "certificate_signature_invalid", Unauthenticated),
    /// A certificate of the chain has expired.
    CertificateExpired = ("CERTIFICATE_EXPIRED", "certificate_expired", Unauthenticated),
    /// A certificate of the chain is not yet valid.
    CertificateNotYetValid = ("CERTIFICATE_NOT_YET_VALID", "certificate_not_yet_valid", Unauthenticated),
    /// A certificate of the chain has been revoked.
    CertificateRevoked = ("CERTIFICATE_REVOKED", "certificate_revoked", Unauthenticated),
    /// A certificate has a critical extension that is not understood.
    CertificateCriticalExtension = ("CERTIFICATE_CRITICAL_EXTENSION", "certificate_critical_extension", Unauthenticated),
    /// The signer's certificate is a CA's.
    CertificateIsCa = ("CERTIFICATE_IS_CA", "certificate_is_ca", Unauthenticated),
    /// The signer's certificate is not for signatures.
    CertificateKeyUsage = ("CERTIFICATE_KEY_USAGE", "certificate_key_usage", Unauthenticated),
    /// The extended key usage does not allow document signatures.
    CertificateExtendedKeyUsage = ("CERTIFICATE_EXTENDED_KEY_USAGE", "certificate_extended_key_usage", Unauthenticated),
    /// An issuer in the chain is not a CA.
    IssuerNotCa = ("ISSUER_NOT_CA", "issuer_not_ca", Unauthenticated),
    /// An issuer in the chain may not sign certificates.
    IssuerKeyUsage = ("ISSUER_KEY_USAGE", "issuer_key_usage", Unauthenticated),
    /// The chain is longer than a CA in it allows.
    PathLengthExceeded = ("PATH_LENGTH_EXCEEDED", "path_length_exceeded", Unauthenticated),
    /// A name violates a CA's name constraints, or a constraint is of an unknown type.
    NameConstraint = ("NAME_CONSTRAINT", "name_constraint", Unauthenticated),
    /// The certificate carries none of the allowed policies, or maps policies.
    PolicyNotAllowed = ("POLICY_NOT_ALLOWED", "policy_not_allowed", Unauthenticated),
    /// Building the chain went over its budget.
    ChainTooLong = ("CHAIN_TOO_LONG", "chain_too_long", Unauthenticated),
    /// There is no revocation list for an issuer in the chain.
    RevocationUnavailable = ("REVOCATION_UNAVAILABLE", "revocation_unavailable", FailedPrecondition),
    /// A revocation list is past its nextUpdate.
    RevocationStale = ("REVOCATION_STALE", "revocation_stale", FailedPrecondition),
    /// A revocation list is not signed by its issuer or cannot be read.
    RevocationInvalid = ("REVOCATION_INVALID", "revocation_invalid", FailedPrecondition),
    /// A revocation list is a delta or indirect list.
    RevocationUnsupported = ("REVOCATION_UNSUPPORTED", "revocation_unsupported", FailedPrecondition),
    // For whom.
    /// The signer's certificate is not registered for the sending agency.
    SignerNotRegistered = ("SIGNER_NOT_REGISTERED", "signer_not_registered", PermissionDenied),
    /// The certificate's registration for the agency does not hold at this time.
    SignerRegistrationEnded = ("SIGNER_REGISTRATION_ENDED", "signer_registration_ended", PermissionDenied),
    /// The certificate is not registered for this role.
    SignerRoleNotAllowed = ("SIGNER_ROLE_NOT_ALLOWED", "signer_role_not_allowed", PermissionDenied),
    /// The TLS certificate of the caller is not registered.
    HopUnknown = ("HOP_UNKNOWN", "hop_unknown", Unauthenticated),
    /// The caller may not use this door.
    HopNotAllowed = ("HOP_NOT_ALLOWED", "hop_not_allowed", PermissionDenied),
    /// The system does not speak for the sending agency.
    SystemNotAuthorized = ("SYSTEM_NOT_AUTHORIZED", "system_not_authorized", PermissionDenied),
    /// The operator's role does not allow this action here.
    OperatorNotAuthorized = ("OPERATOR_NOT_AUTHORIZED", "operator_not_authorized", PermissionDenied),
    // Replay and way.
    /// The same sender and id stand for other bytes.
    EnvelopeIdReused = ("ENVELOPE_ID_REUSED", "envelope_id_reused", AlreadyExists),
    /// No gateway serves the recipient, or none is reachable from here.
    RouteMissing = ("ROUTE_MISSING", "route_missing", FailedPrecondition),
    /// The envelope has passed this gateway already.
    RouteLoop = ("ROUTE_LOOP", "route_loop", FailedPrecondition),
    /// The envelope has passed too many gateways.
    HopsTooMany = ("HOPS_TOO_MANY", "hops_too_many", FailedPrecondition),
    /// A gateway asked for recipients that the envelope does not name.
    RelayedTooFar = ("RELAYED_TOO_FAR", "relayed_too_far", FailedPrecondition),
    // Not now.
    /// The caller sends more than its quota.
    QuotaExceeded = ("QUOTA_EXCEEDED", "quota_exceeded", ResourceExhausted),
    /// Too much is in flight.
    Overloaded = ("OVERLOADED", "overloaded", ResourceExhausted),
    /// The disk of the store is full.
    StoreFull = ("STORE_FULL", "store_full", ResourceExhausted),
    /// The store cannot keep it.
    StoreUnavailable = ("STORE_UNAVAILABLE", "store_unavailable", Unavailable),
    /// The gateway is shutting down.
    Draining = ("DRAINING", "draining", Unavailable),
    /// The directory has expired.
    DirectoryExpired = ("DIRECTORY_EXPIRED", "directory_expired", Unavailable),
    /// The gateway has no directory yet.
    DirectoryMissing = ("DIRECTORY_MISSING", "directory_missing", Unavailable),
    /// The caller's deadline passed.
    DeadlineExceeded = ("DEADLINE_EXCEEDED", "deadline_exceeded", DeadlineExceeded),
    // Directories.
    /// The directory cannot be read.
    DirectoryMalformed = ("DIRECTORY_MALFORMED", "directory_malformed", InvalidArgument),
    /// The directory is not signed by the authority.
    DirectorySignatureInvalid = ("DIRECTORY_SIGNATURE_INVALID", "directory_signature_invalid", Unauthenticated),
    /// The directory is older than the one in force.
    DirectoryOlder = ("DIRECTORY_OLDER", "directory_older", FailedPrecondition),
    /// The directory does not hold together.
    DirectoryInconsistent = ("DIRECTORY_INCONSISTENT", "directory_inconsistent", InvalidArgument),
    /// A second person has to approve it.
    SecondPersonNeeded = ("SECOND_PERSON_NEEDED", "second_person_needed", FailedPrecondition),
    // Requests.
    /// A field of the request cannot be read.
    RequestMalformed = ("REQUEST_MALFORMED", "request_malformed", InvalidArgument),
    /// There is no such thing, or it is not the caller's.
    NotFound = ("NOT_FOUND", "not_found", NotFound),
    /// The upload does not go on where it stopped.
    UploadOffset = ("UPLOAD_OFFSET", "upload_offset", FailedPrecondition),
    /// The delivery is not in a state that allows this.
    StateNotAllowed = ("STATE_NOT_ALLOWED", "state_not_allowed", FailedPrecondition),
    /// The gateway does not know this worker: it registers again.
    WorkerUnknown = ("WORKER_UNKNOWN", "worker_unknown", NotFound),
    /// There is no such queue, or it is not the caller's.
    QueueUnknown = ("QUEUE_UNKNOWN", "queue_unknown", NotFound),
    /// The worker no longer holds the delivery.
    LeaseLost = ("LEASE_LOST", "lease_lost", FailedPrecondition),
    /// Worker and gateway speak no version of the protocol in common.
    WorkerProtocolUnsupported = ("WORKER_PROTOCOL_UNSUPPORTED", "worker_protocol_unsupported", FailedPrecondition),
    /// The worker's own configuration has faults.
    WorkerMisconfigured = ("WORKER_MISCONFIGURED", "worker_misconfigured", FailedPrecondition),
    // Why a delivery does not go on.
    /// The next gateway does not answer.
    PeerUnreachable = ("PEER_UNREACHABLE", "peer_unreachable", Unavailable),
    /// The next gateway asked to wait.
    PeerBusy = ("PEER_BUSY", "peer_busy", Unavailable),
    /// The next gateway's TLS identity is not the registered one.
    PeerNotTrusted = ("PEER_NOT_TRUSTED", "peer_not_trusted", Unauthenticated),
    /// The next gateway refused it.
    PeerRefused = ("PEER_REFUSED", "peer_refused", FailedPrecondition),
    /// No adapter serves the recipient here.
    AdapterMissing = ("ADAPTER_MISSING", "adapter_missing", FailedPrecondition),
    /// The recipient's system does not answer.
    AdapterUnavailable = ("ADAPTER_UNAVAILABLE", "adapter_unavailable", Unavailable),
    /// The adapter could not hand it over.
    AdapterFailed = ("ADAPTER_FAILED", "adapter_failed", Unavailable),
    /// The recipient's system refused it.
    AdapterRefused = ("ADAPTER_REFUSED", "adapter_refused", FailedPrecondition),
    /// The adapter broke down.
    AdapterPanicked = ("ADAPTER_PANICKED", "adapter_panicked", Internal),
    /// No worker takes from the recipient's queue.
    WorkerMissing = ("WORKER_MISSING", "worker_missing", Unavailable),
    /// The recipient has not picked it up in time.
    NotPickedUp = ("NOT_PICKED_UP", "not_picked_up", Unavailable),
    /// The worker did not answer before its lease ended.
    WorkerSilent = ("WORKER_SILENT", "worker_silent", Unavailable),
    /// A receipt does not verify.
    ReceiptInvalid = ("RECEIPT_INVALID", "receipt_invalid", FailedPrecondition),
    /// The final receipt has not come back in time.
    ReceiptOverdue = ("RECEIPT_OVERDUE", "receipt_overdue", FailedPrecondition),
    /// The signer's certificate was revoked after acceptance.
    TrustChanged = ("TRUST_CHANGED", "trust_changed", FailedPrecondition),
    /// An operator paused the destination.
    DestinationPaused = ("DESTINATION_PAUSED", "destination_paused", Unavailable),
    /// An operator holds it.
    HeldByOperator = ("HELD_BY_OPERATOR", "held_by_operator", FailedPrecondition),
    /// It was not delivered before expires_at.
    DeliveryExpired = ("DELIVERY_EXPIRED", "delivery_expired", FailedPrecondition),
    /// An operator returned it.
    ReturnedByOperator = ("RETURNED_BY_OPERATOR", "returned_by_operator", FailedPrecondition),
}

impl Reason {
    /// Finds a reason by its code.
    pub fn parse(code: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|reason| reason.code() == code)
    }

    /// What is wrong, in one sentence.
    pub fn message(self, language: Language) -> &'static str {
        self.line(language.pick("- vi: ", "- en: "))
    }

    /// What to do next, in one sentence.
    pub fn next_step(self, language: Language) -> &'static str {
        self.line(language.pick("- vi-next: ", "- en-next: "))
    }

    /// Whether the same request may succeed later without a change by the caller.
    pub fn is_retryable(self) -> bool {
        matches!(self.grpc(), GrpcCode::Unavailable | GrpcCode::ResourceExhausted | GrpcCode::DeadlineExceeded)
    }

    fn line(self, mark: &str) -> &'static str {
        self.page().lines().find_map(|line| line.strip_prefix(mark)).unwrap_or_default()
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code())
    }
}

impl fmt::Debug for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code())
    }
}

/// An answer that something is not accepted: the reason, where, and what was seen.
#[derive(Clone, PartialEq, Debug, thiserror::Error)]
#[error("{reason}{}{}", at_field(.field), with_detail(.detail))]
pub struct Refusal {
    /// Why.
    pub reason: Reason,
    /// The field it is about, such as `to[3].agency` or `signatures[0]`; empty when it is about the whole.
    pub field: String,
    /// What was seen: a value, a limit, a name. At most 256 bytes; no payload, no personal data.
    pub detail: String,
    /// When trying again may help.
    pub retry_after: Option<Duration>,
}

impl Refusal {
    /// A refusal about the whole.
    pub fn new(reason: Reason) -> Self {
        Self { reason, field: String::new(), detail: String::new(), retry_after: None }
    }

    /// Names the field.
    #[must_use]
    pub fn at(mut self, field: impl Into<String>) -> Self {
        self.field = field.into();
        self
    }

    /// Says what was seen; cut at 256 bytes.
    #[must_use]
    pub fn saw(mut self, detail: impl Into<String>) -> Self {
        let mut detail = detail.into();
        if detail.len() > 256 {
            let cut = (0..=256).rev().find(|&at| detail.is_char_boundary(at)).unwrap_or(0);
            detail.truncate(cut);
        }
        self.detail = detail;
        self
    }

    /// Says when to try again.
    #[must_use]
    pub fn retry_after(mut self, wait: Duration) -> Self {
        self.retry_after = Some(wait);
        self
    }

    /// What is wrong and what to do, in words.
    pub fn in_words(&self, language: Language) -> String {
        let mut text = self.reason.message(language).to_owned();
        let seen = [self.field.as_str(), self.detail.as_str()].into_iter().filter(|part| !part.is_empty());
        let seen = seen.collect::<Vec<_>>().join(": ");
        if !seen.is_empty() {
            text.push_str(&format!(" ({seen})"));
        }
        text.push(' ');
        text.push_str(self.reason.next_step(language));
        text
    }
}

impl From<Reason> for Refusal {
    fn from(reason: Reason) -> Self {
        Self::new(reason)
    }
}

fn at_field(field: &str) -> String {
    if field.is_empty() { String::new() } else { format!(" at {field}") }
}

fn with_detail(detail: &str) -> String {
    if detail.is_empty() { String::new() } else { format!(": {detail}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reason_has_a_page_in_both_languages() {
        for &reason in Reason::ALL {
            assert!(
                reason.page().starts_with(&format!("# {}\n", reason.code())),
                "{reason}: the page starts with the code"
            );
            for language in [Language::Vi, Language::En] {
                assert!(!reason.message(language).is_empty(), "{reason}: message in {language:?}");
                assert!(!reason.next_step(language).is_empty(), "{reason}: next step in {language:?}");
            }
            assert_eq!(Reason::parse(reason.code()), Some(reason));
        }
    }

    #[test]
    fn what_was_seen_stands_in_brackets_with_the_field_before_it() {
        let check = |refusal: Refusal, expected: &str| {
            let words = refusal.in_words(Language::En);
            let seen = words.split_once(" (").and_then(|(_, rest)| rest.split_once(") ")).map_or("", |(seen, _)| seen);
            assert_eq!(seen, expected, "{words}");
        };
        let refusal = || Refusal::new(Reason::EnvelopeMalformed);
        check(refusal(), "");
        check(refusal().at("envelope.id"), "envelope.id");
        check(refusal().saw("too short"), "too short");
        check(refusal().at("envelope.id").saw("too short"), "envelope.id: too short");
    }
}
