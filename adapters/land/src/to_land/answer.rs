//! What a land system's answer means: done, there already, never, or not now. Told by status and code; by text only that a file is there.

use std::time::Duration;

use adapters_sdk::outbound::{OutboundError, Response};
use gateway_model::Reason;
use http::StatusCode;

use crate::config::ToLandSystem;
use crate::vocabulary::{self, Answer};

/// Bytes of an answer.
const ANSWER_BYTES_MAX: u64 = 1024 * 1024;
/// Characters of a system's own code that are told to operators.
const CODE_CHARS_MAX: usize = 40;
/// Characters of a system's own words that a clerk is told.
const WORDS_CHARS_MAX: usize = 1_000;

/// What an answer means.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Verdict {
    /// Done.
    Done,
    /// It has the file already.
    AlreadyThere,
    /// Never.
    Never {
        /// What was seen, for operators.
        detail: String,
        /// The system's own words, for the clerk whose file it is: no log has them.
        words: String,
    },
    /// Not this one, now.
    Later(String),
    /// Nothing, now.
    Down {
        /// Why.
        reason: Reason,
        /// What was seen.
        detail: String,
        /// The other side's wish.
        retry_after: Option<Duration>,
    },
}

/// Reads the answer to a call.
pub(super) async fn read(role: &ToLandSystem, called: Result<Response, OutboundError>) -> Verdict {
    let response = match called {
        Ok(response) => response,
        // Our own side of the body: the land system is not to blame.
        Err(OutboundError::Local(fault)) => return Verdict::Later(format!("a part cannot be read: {}", fault.kind())),
        Err(fault) => return down(Reason::AdapterUnavailable, fault.to_string()),
    };
    let (status, retry_after) = (response.status, response.retry_after());
    let body = match response.collect(ANSWER_BYTES_MAX).await {
        Ok(body) => body,
        Err(fault) => return down(Reason::AdapterUnavailable, fault.to_string()),
    };
    match vocabulary::read::<Answer>(&body) {
        Ok(answer) => judge(role, status, &answer, retry_after),
        Err(_) => unread(status, retry_after),
    }
}

fn judge(role: &ToLandSystem, status: StatusCode, answer: &Answer, retry_after: Option<Duration>) -> Verdict {
    let said = &answer.status;
    if vocabulary::says_already_there(&role.already_exists, &said.message) {
        return Verdict::AlreadyThere;
    }
    if said.success && status.is_success() {
        return Verdict::Done;
    }
    let code: String = said.code.chars().filter(|c| !c.is_control()).take(CODE_CHARS_MAX).collect();
    let detail = format!("the land system answers {} with its code \"{code}\"", status.as_u16());
    if role.retry_codes.contains(&said.code) || !is_about_the_call(status) {
        return Verdict::Down { reason: Reason::AdapterUnavailable, detail, retry_after };
    }
    let words = said.message.chars().take(WORDS_CHARS_MAX).collect();
    Verdict::Never { detail, words }
}

/// Any other status is about the way: an access that ran out, a path that moved, a proxy, a system that is being mended. No file is at
/// fault for that.
pub(crate) fn is_about_the_call(status: StatusCode) -> bool {
    let about_the_call = [
        StatusCode::BAD_REQUEST,
        StatusCode::CONFLICT,
        StatusCode::PAYLOAD_TOO_LARGE,
        StatusCode::UNPROCESSABLE_ENTITY,
    ];
    status.is_success() || about_the_call.contains(&status)
}

/// An answer that is none of the land system's: a page of a proxy, a login, nothing at all.
fn unread(status: StatusCode, retry_after: Option<Duration>) -> Verdict {
    let detail = format!("the answer with status {} is not the land system's", status.as_u16());
    match status {
        StatusCode::BAD_REQUEST | StatusCode::PAYLOAD_TOO_LARGE | StatusCode::UNPROCESSABLE_ENTITY => {
            Verdict::Never { detail, words: String::new() }
        }
        _ => Verdict::Down { reason: Reason::AdapterUnavailable, detail, retry_after },
    }
}

fn down(reason: Reason, detail: String) -> Verdict {
    Verdict::Down { reason, detail, retry_after: None }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::land_case::Place;

    #[test]
    fn an_answer_is_judged_by_its_kind_and_by_text_only_that_a_file_is_there() {
        let role = ToLandSystem {
            authorization: None,
            place: Place::default(),
            already_exists: vec!["already exists".into(), "đã tồn tại".into()],
            retry_codes: vec!["500".into()],
        };
        let check = |status: u16, json: &str, expected: &str| {
            let answer: Answer = vocabulary::read(json.as_bytes()).unwrap();
            let verdict = judge(&role, StatusCode::from_u16(status).unwrap(), &answer, None);
            assert!(format!("{verdict:?}").starts_with(expected), "{status} {json}: {verdict:?}");
        };
        check(200, r#"{"status":{"success":true,"code":"200"}}"#, "Done");
        check(200, r#"{"status":{"success":false,"message":"So bien nhan already exists"}}"#, "AlreadyThere");
        check(409, r#"{"status":{"success":false,"message":"Hồ sơ ĐÃ TỒN TẠI"}}"#, "AlreadyThere");
        check(200, r#"{"status":{"success":false,"code":"400","message":"try again, timeout"}}"#, "Never");
        check(200, r#"{"status":{"success":false,"code":500}}"#, "Down");
        check(503, r#"{"status":{"success":true,"code":"200"}}"#, "Down");
        check(422, r#"{"status":{"success":false}}"#, "Never");
        for status in [301, 401, 403, 404, 405, 407, 415, 429] {
            check(status, r#"{"status":{"success":false,"code":"9","message":"Token hết hạn"}}"#, "Down");
        }
    }

    #[test]
    fn a_page_instead_of_an_answer_closes_the_way_and_condemns_no_file() {
        for status in [200, 302, 401, 403, 404, 500, 502] {
            let verdict = unread(StatusCode::from_u16(status).unwrap(), None);
            assert!(matches!(verdict, Verdict::Down { .. }), "{status}: {verdict:?}");
        }
        assert!(matches!(unread(StatusCode::PAYLOAD_TOO_LARGE, None), Verdict::Never { .. }));
    }
}
