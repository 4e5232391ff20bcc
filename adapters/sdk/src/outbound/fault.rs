//! What can go wrong with a call, by meaning.

use std::io;

use super::Origin;

/// Why a call did not lead to an answer that can be used.
#[derive(Debug, thiserror::Error)]
pub enum OutboundError {
    /// The configuration does not list the origin.
    #[error("{origin} is not among the origins that may be called")]
    NotAllowed {
        /// Which.
        origin: String,
    },
    /// The name leads into a private network, or to an address that is never called.
    #[error("{origin} leads to an address that may not be called")]
    PrivateAddress {
        /// Which.
        origin: Origin,
    },
    /// It cannot be reached, or broke off.
    #[error("{origin} cannot be reached: {cause}")]
    Unreachable {
        /// Which.
        origin: Origin,
        /// What was seen.
        cause: String,
    },
    /// Its certificate, or ours, did not do.
    #[error("{origin} is not trusted: {cause}")]
    NotTrusted {
        /// Which.
        origin: Origin,
        /// What was seen.
        cause: String,
    },
    /// It did not answer, or went silent.
    #[error("{origin} did not answer in time")]
    TimedOut {
        /// Which.
        origin: Origin,
    },
    /// It answered more than the bound.
    #[error("{origin} answers with more than {bytes_max} bytes")]
    TooLarge {
        /// Which.
        origin: Origin,
        /// The bound.
        bytes_max: u64,
    },
    /// It answered with a status other than success.
    #[error("the answer has the status {0}")]
    Status(u16),
    /// What it answered is no HTTP, or the request is none.
    #[error("{origin}: {cause}")]
    Malformed {
        /// Which.
        origin: Origin,
        /// What was seen.
        cause: String,
    },
    /// Our own side of the body could not be read or written.
    #[error("the body cannot be read or kept here")]
    Local(#[source] io::Error),
}

impl OutboundError {
    /// Whether the same call may succeed later although nobody changes it. What depends on trust or on our own disk heals without a change
    /// of the call; what the configuration forbids does not.
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Unreachable { .. } | Self::NotTrusted { .. } | Self::TimedOut { .. } | Self::Local(_) => true,
            Self::Status(status) => matches!(status, 408 | 425 | 429 | 500..=599),
            Self::NotAllowed { .. } | Self::PrivateAddress { .. } | Self::TooLarge { .. } | Self::Malformed { .. } => {
                false
            }
        }
    }

    /// What hyper saw, by meaning. Faults of our own body and connector travel inside of hyper's.
    pub(super) fn of_call(origin: &Origin, bytes_max: u64, fault: &(dyn std::error::Error + 'static)) -> Self {
        let mut cause = Some(fault);
        while let Some(seen) = cause {
            if let Some(refused) = seen.downcast_ref::<ConnectRefused>() {
                return refused.told(origin);
            }
            if let Some(LocalFault(local)) = seen.downcast_ref::<LocalFault>() {
                return Self::Local(io::Error::new(local.kind(), local.to_string()));
            }
            if let Some(seen) = seen.downcast_ref::<hyper::Error>() {
                if seen.is_parse_too_large() {
                    return Self::TooLarge { origin: origin.clone(), bytes_max };
                }
                if seen.is_parse() {
                    return Self::Malformed { origin: origin.clone(), cause: bounded(&seen.to_string()) };
                }
            }
            cause = seen.source();
        }
        Self::Unreachable { origin: origin.clone(), cause: bounded(&innermost(fault)) }
    }
}

/// Why there is no connection. Travels through hyper and comes out as an [`OutboundError`].
#[derive(Debug, thiserror::Error)]
pub(crate) enum ConnectRefused {
    #[error("the address may not be called")]
    PrivateAddress,
    #[error("{0}")]
    Unreachable(String),
    #[error("{0}")]
    NotTrusted(String),
    #[error("no connection in time")]
    TimedOut,
}

impl ConnectRefused {
    pub(super) fn told(&self, origin: &Origin) -> OutboundError {
        let origin = origin.clone();
        match self {
            Self::PrivateAddress => OutboundError::PrivateAddress { origin },
            Self::Unreachable(cause) => OutboundError::Unreachable { origin, cause: cause.clone() },
            Self::NotTrusted(cause) => OutboundError::NotTrusted { origin, cause: cause.clone() },
            Self::TimedOut => OutboundError::TimedOut { origin },
        }
    }
}

/// The body that we send could not be read.
#[derive(Debug, thiserror::Error)]
#[error("the body to send cannot be read")]
pub(super) struct LocalFault(pub(super) io::Error);

/// At most 120 characters of what another side said.
pub(super) fn bounded(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(120).collect()
}

fn innermost(fault: &(dyn std::error::Error + 'static)) -> String {
    let mut deepest = fault;
    while let Some(cause) = deepest.source() {
        deepest = cause;
    }
    deepest.to_string()
}
