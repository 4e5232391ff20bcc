//! What went wrong, in the user's words: a gateway's refusal with its reason code, a line that broke, or any other failure.

use gateway_model::language::Language;
use gateway_model::{Reason, Refusal};
use tonic::Status;
use tonic_types::StatusExt as _;

use crate::{errln, exit};

/// A refusal, by a gateway or by the same rules on this machine.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Refused {
    /// Stable reason code.
    pub code: String,
    /// The field it is about; may be empty.
    pub field: String,
    /// What is wrong and what to do.
    pub message: String,
}

impl Refused {
    /// Finds the refusal in a failure.
    pub fn find(failure: &anyhow::Error, language: Language) -> Option<Self> {
        failure.chain().find_map(|cause| {
            if let Some(refusal) = cause.downcast_ref::<Refusal>() {
                let (code, field) = (refusal.reason.code().to_owned(), refusal.field.clone());
                return Some(Self { code, field, message: refusal.in_words(language) });
            }
            Self::of_status(cause.downcast_ref::<Status>()?, language)
        })
    }

    fn of_status(status: &Status, language: Language) -> Option<Self> {
        let info = status.get_details_error_info()?;
        let field = info.metadata.get("field").cloned().unwrap_or_default();
        let message = match status.get_details_localized_message() {
            Some(words) => words.message,
            None => Reason::parse(&info.reason)
                .map_or_else(|| status.message().to_owned(), |reason| reason.message(language).to_owned()),
        };
        Some(Self { code: info.reason, field, message })
    }

    /// Whether the same request may succeed later without a change.
    pub fn is_retryable(&self) -> bool {
        Reason::parse(&self.code).is_some_and(Reason::is_retryable)
    }

    /// The refusal in lines: what, and where to read more.
    pub fn lines(&self, language: Language) -> [String; 2] {
        let verb = language.pick("TỪ CHỐI", "refused");
        let field = if self.field.is_empty() { String::new() } else { format!(" ({})", self.field) };
        let more = language.pick("đọc thêm:", "read more:");
        [
            format!("{verb} {}{field}: {}", self.code, self.message),
            format!("{more} lienthong explain {}", self.code.to_lowercase()),
        ]
    }
}

/// Whether the same request may succeed later: the gateway is not there, or says itself that it is a matter of time.
pub fn may_succeed_later(failure: &anyhow::Error) -> bool {
    match Refused::find(failure, Language::En) {
        Some(refused) => refused.is_retryable(),
        // An answer that is not ours leaves open whether the gateway has accepted: a repeat finds out.
        None => failure.chain().any(|cause| cause.is::<Status>() || cause.is::<exit::Unreachable>()),
    }
}

/// Prints a failure to standard error.
pub fn print(failure: &anyhow::Error, language: Language) {
    if let Some(refused) = Refused::find(failure, language) {
        for line in refused.lines(language) {
            errln!("lienthong: {line}");
        }
        return;
    }
    if let Some(status) = failure.chain().find_map(|cause| cause.downcast_ref::<Status>()) {
        if exit::is_transport(status) {
            errln!("lienthong: {}", broken(status, language));
        } else {
            errln!("lienthong: {}: {}", language.pick("máy chủ trả lỗi", "the server failed"), status.message());
        }
        return;
    }
    errln!("lienthong: {}", crate::output::causes(failure));
}

fn broken(status: &Status, language: Language) -> String {
    // The innermost cause says it in the fewest words.
    let mut cause: &dyn std::error::Error = status;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    let cause = cause.to_string();
    if std::error::Error::source(status).is_none() {
        return format!(
            "{}: {}",
            language.pick("trục liên thông chưa phục vụ được", "the gateway cannot serve now"),
            status.message()
        );
    }
    let said = language.pick(
        "trục liên thông đã đóng kết nối: chứng thư số này có do CA của trục cấp và đã đăng ký trong danh bạ chưa?",
        "the gateway closed the connection: is this certificate issued by its CA and registered?",
    );
    format!("{said} ({cause})")
}

#[cfg(test)]
mod tests {
    use tonic::Code;
    use tonic_types::ErrorDetails;

    use super::*;

    fn status(reason: Reason, language: Language) -> anyhow::Error {
        let mut details = ErrorDetails::new();
        let facts = std::collections::HashMap::from([("field".to_owned(), "to[0].agency".to_owned())]);
        details.set_error_info(reason.code(), "lienthong.gov.vn", facts);
        details.set_localized_message(language.tag(), reason.message(language));
        anyhow::Error::new(Status::with_error_details(Code::NotFound, "raw text of the transport", details))
    }

    #[test]
    fn a_refusal_is_told_with_its_code_its_field_and_the_words_that_the_gateway_sent() {
        for (language, verb) in [(Language::Vi, "TỪ CHỐI"), (Language::En, "refused")] {
            let failure = status(Reason::RecipientUnknown, language).context("while submitting");
            let [what, more] = Refused::find(&failure, language).unwrap().lines(language);
            let words = Reason::RecipientUnknown.message(language);
            assert_eq!(what, format!("{verb} RECIPIENT_UNKNOWN (to[0].agency): {words}"));
            assert!(more.ends_with("lienthong explain recipient_unknown"), "{more}");
        }
    }

    #[test]
    fn only_a_matter_of_time_is_worth_a_repeat() {
        assert!(may_succeed_later(&status(Reason::QuotaExceeded, Language::En)));
        assert!(!may_succeed_later(&status(Reason::RecipientUnknown, Language::En)));
        assert!(may_succeed_later(&Status::unavailable("away").into()));
        assert!(!may_succeed_later(&anyhow::anyhow!("no such file")));
    }
}
