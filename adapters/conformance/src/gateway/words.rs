//! What a worker says in words: every gateway refuses what is too long, breaks a line, or is no code.

use proto::v1;

/// One text of a call, with its bound.
pub struct Words<'a> {
    call: &'static str,
    field: &'static str,
    text: &'a str,
    bound: Bound,
}

/// What a text has to be.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Bound {
    /// At most so many bytes, and no control characters.
    Text(usize),
    /// `[A-Z0-9_]`, 1 to 64 bytes.
    Code,
}

/// Faults of a configuration in one call.
const PROBLEMS_MAX: usize = 64;

impl<'a> Words<'a> {
    /// A text of at most `bytes_max` bytes.
    pub fn text(call: &'static str, field: &'static str, text: &'a str, bytes_max: usize) -> Self {
        Self { call, field, text, bound: Bound::Text(bytes_max) }
    }

    /// A stable code.
    pub fn code(call: &'static str, field: &'static str, text: &'a str) -> Self {
        Self { call, field, text, bound: Bound::Code }
    }

    /// All that Register says.
    pub fn of_registration(request: &'a v1::RegisterRequest) -> Vec<Self> {
        let text = |field, text, bytes_max| Self::text("Register", field, text, bytes_max);
        let mut words = vec![text("instance", &request.instance, 128)];
        if let Some(info) = &request.info {
            words.extend([text("info.name", &info.name, 64), text("info.version", &info.version, 64)]);
        }
        for problem in request.problems.iter().take(PROBLEMS_MAX) {
            words.extend([text("problems.key", &problem.key, 128), text("problems.problem", &problem.problem, 512)]);
        }
        words
    }

    /// What is said of the system behind the worker.
    pub fn of_health(call: &'static str, health: Option<&'a v1::SystemHealth>) -> Vec<Self> {
        health.map(|health| Self::text(call, "health.detail", &health.detail, 512)).into_iter().collect()
    }

    /// What a gateway would say against it.
    pub fn fault(&self) -> Option<String> {
        let Self { call, field, text, bound } = self;
        let says = |what: String| Some(format!("{call}: {field} {what}; a gateway refuses the call"));
        match bound {
            Bound::Text(bytes_max) if text.len() > *bytes_max => {
                says(format!("has {} bytes, {bytes_max} are allowed", text.len()))
            }
            Bound::Text(_) if text.chars().any(char::is_control) => {
                says("has a control character, such as the end of a line".to_owned())
            }
            Bound::Code if !is_code(text) => says(format!("is {text:?}; [A-Z0-9_], 1 to 64 bytes, is wanted")),
            Bound::Text(_) | Bound::Code => None,
        }
    }
}

fn is_code(text: &str) -> bool {
    let fits = |byte: u8| byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b'_';
    (1..=64).contains(&text.len()) && text.bytes().all(fits)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_gateway_refuses_is_told_with_its_call_and_its_field() {
        let check = |words: Words<'_>, expected: &str| {
            let said = words.fault().unwrap_or_default();
            assert!(said.starts_with(expected) && said.is_empty() == expected.is_empty(), "{said:?}");
        };
        check(Words::text("Fail", "detail", "hệ thống bận", 512), "");
        check(Words::text("Fail", "detail", "hai\ndòng", 512), "Fail: detail has a control character");
        check(Words::text("Complete", "reference", &"ữ".repeat(43), 128), "Complete: reference has 129 bytes");
        check(Words::code("Fail", "code", "DMS_DOWN_2"), "");
        check(Words::code("Fail", "code", "dms down"), "Fail: code is");
        check(Words::code("Fail", "code", ""), "Fail: code is");
    }
}
