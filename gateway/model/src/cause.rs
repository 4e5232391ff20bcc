//! Why something needs a person: few causes, each with its own sentence on every screen.

use crate::reason::Reason;

/// A cause. What waits for one and the same cause is one incident, however many deliveries it holds up.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Cause {
    /// Another gateway does not answer.
    PeerDown,
    /// An adapter, or the system behind it, fails.
    AdapterError,
    /// Nobody picks up what waits for an agency.
    NotPickedUp,
    /// A certificate has expired, is revoked or is not registered.
    Certificate,
    /// A revocation list is stale or missing.
    Revocation,
    /// Held: there is no way, the trust changed, or a person held it.
    Held,
    /// Refused by the recipient's system or by a gateway further on.
    Refused,
    /// Forwarded, and the receipt of the end is overdue.
    ReceiptOverdue,
    /// A person paused the destination.
    Paused,
    /// The gateway itself: its disk, its directory.
    Gateway,
}

impl Cause {
    /// Every cause.
    pub const ALL: [Self; 10] = [
        Self::PeerDown,
        Self::AdapterError,
        Self::NotPickedUp,
        Self::Certificate,
        Self::Revocation,
        Self::Held,
        Self::Refused,
        Self::ReceiptOverdue,
        Self::Paused,
        Self::Gateway,
    ];

    /// Name in logs, metrics, marks and JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::PeerDown => "peer-down",
            Self::AdapterError => "adapter-error",
            Self::NotPickedUp => "not-picked-up",
            Self::Certificate => "certificate",
            Self::Revocation => "revocation",
            Self::Held => "held",
            Self::Refused => "refused",
            Self::ReceiptOverdue => "receipt-overdue",
            Self::Paused => "paused",
            Self::Gateway => "gateway",
        }
    }

    /// Reads the name.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|cause| cause.as_str() == text)
    }

    /// The cause behind a reason that is about somebody's trust; `None` when the reason is about something else.
    pub fn of_trust(reason: Reason) -> Option<Self> {
        match reason {
            Reason::RevocationUnavailable
            | Reason::RevocationStale
            | Reason::RevocationInvalid
            | Reason::RevocationUnsupported => Some(Self::Revocation),
            Reason::CertificateMissing
            | Reason::CertificateUntrusted
            | Reason::CertificateExpired
            | Reason::CertificateNotYetValid
            | Reason::CertificateRevoked
            | Reason::SignerNotRegistered
            | Reason::SignerRegistrationEnded
            | Reason::SignerRoleNotAllowed
            | Reason::TrustChanged => Some(Self::Certificate),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_cause_is_read_as_it_is_written() {
        for cause in Cause::ALL {
            assert_eq!(Cause::parse(cause.as_str()), Some(cause));
        }
        assert_eq!(Cause::parse("other"), None);
    }

    #[test]
    fn only_what_is_about_trust_has_a_cause_of_trust() {
        assert_eq!(Cause::of_trust(Reason::CertificateExpired), Some(Cause::Certificate));
        assert_eq!(Cause::of_trust(Reason::RevocationStale), Some(Cause::Revocation));
        for reason in [Reason::RouteMissing, Reason::StoreFull, Reason::AdapterRefused, Reason::SignatureInvalid] {
            assert_eq!(Cause::of_trust(reason), None, "{reason}");
        }
    }
}
