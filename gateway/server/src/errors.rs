//! One table from a refusal to what a caller sees: `google.rpc.Status` with its details, or `Refused` inside a stream.

use std::collections::HashMap;
use std::time::Duration;

use gateway_model::language::Language;
use gateway_model::reason::GrpcCode;
use gateway_model::{Reason, Refusal};
use proto::v1;
use tonic::metadata::MetadataMap;
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt as _};

/// Domain of every `ErrorInfo`.
pub const DOMAIN: &str = "lienthong.gov.vn";

/// What a retryable refusal says when it knows no better time.
const RETRY_DEFAULT: Duration = Duration::from_secs(1);

/// The answer to a whole call.
pub fn status(refusal: &Refusal, language: Language) -> Status {
    let mut details = ErrorDetails::new();
    details.set_error_info(refusal.reason.code(), DOMAIN, facts(refusal));
    details.set_localized_message(language.tag(), refusal.in_words(language));
    let code = code(refusal.reason);
    if code == Code::InvalidArgument && !refusal.field.is_empty() {
        details.add_bad_request_violation(refusal.field.clone(), refusal.reason.message(language));
    }
    if code == Code::ResourceExhausted {
        details.add_quota_failure_violation(refusal.detail.clone(), refusal.reason.message(language));
    }
    if let Some(wait) = retry_after(refusal) {
        details.set_retry_info(Some(wait));
    }
    Status::with_error_details(code, refusal.to_string(), details)
}

/// The answer to one message of a stream: the same facts.
pub fn refused(refusal: &Refusal, language: Language) -> v1::Refused {
    v1::Refused {
        reason: refusal.reason.code().to_owned(),
        code: code(refusal.reason) as i32,
        message: refusal.in_words(language),
        field: refusal.field.clone(),
        retry_after_milliseconds: retry_after(refusal)
            .map_or(0, |wait| u64::try_from(wait.as_millis()).unwrap_or(u64::MAX).max(1)),
    }
}

/// The one answer to a stranger: nothing about what is here.
pub fn stranger(language: Language) -> Status {
    status(&Refusal::new(Reason::HopUnknown), language)
}

/// The language that a caller asked for.
pub fn language(metadata: &MetadataMap, default: Language) -> Language {
    metadata.get("accept-language").and_then(|value| value.to_str().ok()).map_or(default, Language::negotiate)
}

fn retry_after(refusal: &Refusal) -> Option<Duration> {
    refusal.retry_after.or_else(|| refusal.reason.is_retryable().then_some(RETRY_DEFAULT))
}

fn facts(refusal: &Refusal) -> HashMap<String, String> {
    let facts = [("field", &refusal.field), ("detail", &refusal.detail)];
    facts
        .into_iter()
        .filter(|(_, value)| !value.is_empty())
        .map(|(key, value)| (key.to_owned(), value.clone()))
        .collect()
}

fn code(reason: Reason) -> Code {
    match reason.grpc() {
        GrpcCode::InvalidArgument => Code::InvalidArgument,
        GrpcCode::DeadlineExceeded => Code::DeadlineExceeded,
        GrpcCode::NotFound => Code::NotFound,
        GrpcCode::AlreadyExists => Code::AlreadyExists,
        GrpcCode::PermissionDenied => Code::PermissionDenied,
        GrpcCode::ResourceExhausted => Code::ResourceExhausted,
        GrpcCode::FailedPrecondition => Code::FailedPrecondition,
        GrpcCode::Internal => Code::Internal,
        GrpcCode::Unavailable => Code::Unavailable,
        GrpcCode::Unauthenticated => Code::Unauthenticated,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reason_travels_with_its_code_its_domain_and_words_in_both_languages() {
        for &reason in Reason::ALL {
            for language in [Language::Vi, Language::En] {
                let status = status(&Refusal::new(reason).at("field").saw("seen"), language);
                let info = status.get_details_error_info().unwrap();
                assert_eq!((info.reason.as_str(), info.domain.as_str()), (reason.code(), DOMAIN));
                assert_eq!(info.metadata.get("detail").map(String::as_str), Some("seen"));
                let words = status.get_details_localized_message().unwrap();
                assert_eq!(words.locale, language.tag());
                assert!(
                    words.message.contains(reason.message(language))
                        && words.message.contains(reason.next_step(language))
                );
                assert_eq!(status.code() as i32, reason.grpc() as i32);
                let inside = refused(&Refusal::new(reason), language);
                assert_eq!((inside.code, inside.reason.as_str()), (reason.grpc() as i32, reason.code()));
                assert_eq!(inside.retry_after_milliseconds > 0, reason.is_retryable());
                assert_eq!(status.get_details_retry_info().is_some(), reason.is_retryable());
            }
        }
    }

    #[test]
    fn a_bad_field_is_named_and_a_quota_says_when_to_come_again() {
        let bad = status(&Refusal::new(Reason::EnvelopeIdInvalid).at("id"), Language::En);
        assert_eq!(bad.get_details_bad_request().unwrap().field_violations[0].field, "id");
        let quota = Refusal::new(Reason::QuotaExceeded).saw("system s").retry_after(Duration::from_millis(250));
        let quota = status(&quota, Language::Vi);
        assert_eq!(quota.get_details_retry_info().unwrap().retry_delay, Some(Duration::from_millis(250)));
        assert_eq!(quota.get_details_quota_failure().unwrap().violations[0].subject, "system s");
    }

    #[test]
    fn the_caller_chooses_the_language_and_the_configuration_stands_in() {
        let mut metadata = MetadataMap::new();
        assert_eq!(language(&metadata, Language::En), Language::En);
        metadata.insert("accept-language", "vi-VN,en;q=0.5".parse().unwrap());
        assert_eq!(language(&metadata, Language::En), Language::Vi);
    }
}
