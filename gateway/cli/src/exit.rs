//! Exit codes, so that scripts and cron can rely on them.

use gateway_model::Refusal;

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
    match failure.chain().find_map(|cause| cause.downcast_ref::<tonic::Status>()).map(tonic::Status::code) {
        Some(tonic::Code::NotFound) => Exit::NotFound,
        Some(tonic::Code::Unavailable) => Exit::Unreachable,
        Some(_) => Exit::Refused,
        None => Exit::Failure,
    }
}
