//! Reads the refusal that a gateway answered, with all that it promises to say.

use tonic::Status;
use tonic_types::StatusExt as _;

/// A refusal as a client sees it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Seen {
    /// Stable reason code.
    pub reason: String,
    /// What is wrong and what to do, in the language asked for.
    pub message: String,
    /// Whether the answer says when to try again.
    pub retry: bool,
    /// gRPC code.
    pub code: tonic::Code,
}

/// Reads the details of a status.
///
/// # Errors
/// When the status lacks what every refusal must say.
pub fn read(status: &Status) -> anyhow::Result<Seen> {
    let details = status.get_error_details();
    let info = details.error_info().ok_or_else(|| anyhow::anyhow!("no ErrorInfo in {status:?}"))?;
    anyhow::ensure!(info.domain == "lienthong.gov.vn", "the domain is {}", info.domain);
    let message = details.localized_message().ok_or_else(|| anyhow::anyhow!("no LocalizedMessage in {status:?}"))?;
    Ok(Seen {
        reason: info.reason.clone(),
        message: message.message.clone(),
        retry: details.retry_info().is_some(),
        code: status.code(),
    })
}
