//! Exit codes, so that scripts and cron can rely on them.

use gateway_model::{Reason, Refusal};
use tonic::{Code, Status};
use tonic_types::StatusExt as _;

/// How a verb ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Exit {
    /// Done.
    Success = 0,
    /// It failed; stderr says why.
    Failure = 1,
    /// The command line is wrong (also clap's own code).
    Usage = 2,
    /// There is no such thing.
    NotFound = 3,
    /// The gateway does not answer.
    Unreachable = 4,
    /// The gateway or the verifier refused; the reason code is in the output.
    Refused = 5,
    /// Something needs a person: `stuck` and `trust expiring` found it. For cron.
    Stuck = 10,
    /// A worker's configuration will not do (EX_CONFIG of sysexits): starting it again does not help.
    Misconfigured = 78,
}

impl From<Exit> for std::process::ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

/// The gateway does not answer.
#[derive(Debug, thiserror::Error)]
#[error("{gateway} does not answer: {cause}; is it running, and is the address in the profile right?")]
pub struct Unreachable {
    /// Its address.
    pub gateway: String,
    /// Why.
    pub cause: String,
}

/// A command line that clap cannot judge.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct Usage(pub String);

/// Finds the exit code of a failure by its type, never by its text.
pub fn of_failure(failure: &anyhow::Error) -> Exit {
    if failure.chain().any(|cause| cause.is::<Usage>()) {
        return Exit::Usage;
    }
    if failure.chain().any(|cause| cause.is::<Unreachable>()) {
        return Exit::Unreachable;
    }
    if failure.chain().any(|cause| cause.is::<Refusal>()) {
        return Exit::Refused;
    }
    match failure.chain().find_map(|cause| cause.downcast_ref::<Status>()) {
        Some(status) => of_status(status),
        None => Exit::Failure,
    }
}

/// A refusal of ours carries its reason; anything else that has no reason is the transport's, or a stranger's.
fn of_status(status: &Status) -> Exit {
    match status.get_details_error_info() {
        Some(info) if info.reason == Reason::NotFound.code() => Exit::NotFound,
        Some(_) => Exit::Refused,
        None if is_transport(status) => Exit::Unreachable,
        None => Exit::Failure,
    }
}

/// Whether the call did not end with an answer: the connection broke, or something on the way says that nobody is there.
pub fn is_transport(status: &Status) -> bool {
    std::error::Error::source(status).is_some() || status.code() == Code::Unavailable
}

#[cfg(test)]
mod tests {
    use tonic_types::ErrorDetails;

    use super::*;

    fn refused(reason: Reason) -> anyhow::Error {
        let mut details = ErrorDetails::new();
        details.set_error_info(reason.code(), "lienthong.gov.vn", std::collections::HashMap::new());
        // The code does not matter, only the reason does.
        anyhow::Error::new(Status::with_error_details(Code::NotFound, "words", details)).context("while asking")
    }

    #[test]
    fn a_refusal_ends_with_five_and_what_is_not_there_with_three() {
        assert_eq!(of_failure(&refused(Reason::NotFound)), Exit::NotFound);
        assert_eq!(of_failure(&refused(Reason::RecipientUnknown)), Exit::Refused);
        assert_eq!(of_failure(&refused(Reason::OperatorNotAuthorized)), Exit::Refused);
        assert_eq!(of_failure(&Refusal::new(Reason::CertificateExpired).into()), Exit::Refused);
    }

    #[test]
    fn an_answer_without_a_reason_is_the_transport_or_a_failure() {
        assert_eq!(of_failure(&Status::unavailable("draining").into()), Exit::Unreachable);
        let broken = Status::from_error(Box::new(std::io::Error::from(std::io::ErrorKind::ConnectionReset)));
        assert_eq!(of_failure(&broken.into()), Exit::Unreachable);
        assert_eq!(of_failure(&Status::unimplemented("no such method").into()), Exit::Failure);
        assert_eq!(of_failure(&Usage("say more".to_owned()).into()), Exit::Usage);
        assert_eq!(of_failure(&anyhow::anyhow!("no such file")), Exit::Failure);
    }
}
