//! What workers ask, read within bounds.

use std::time::Duration;

use adapters_sdk::mailbox::{Failure, Token};
use adapters_worker::WorkerInfo;
use gateway_model::id::DeliveryId;
use gateway_model::{Reason, Refusal};
use proto::v1;

/// Bytes of a system's own number.
pub(super) const REFERENCE_BYTES_MAX: usize = 128;
/// Leases of one heartbeat, and deliveries of one answer.
const LEASES_MAX: usize = 64;
const NAME_BYTES_MAX: usize = 64;
const INSTANCE_BYTES_MAX: usize = 128;
const KEY_BYTES_MAX: usize = 128;
const DETAIL_BYTES_MAX: usize = 512;
const PROBLEMS_MAX: usize = 64;
const SCHEMA_BYTES_MAX: usize = 64 * 1024;
const VERSIONS_MAX: usize = 16;
const CODE_BYTES_MAX: usize = 64;
/// Beyond this nobody asks to be left alone.
const RETRY_AFTER_MAX: Duration = Duration::from_secs(24 * 3_600);

/// A lease as a worker names it. A token that is none holds nothing.
#[derive(Clone, Copy)]
pub(super) struct Held {
    pub(super) id: DeliveryId,
    pub(super) token: Option<Token>,
}

/// What a worker says about itself.
pub(super) fn worker(asked: v1::RegisterRequest, version: u32) -> Result<WorkerInfo, Refusal> {
    let info = asked.info.ok_or_else(|| malformed("info", "is missing"))?;
    if info.protocol_versions.len() > VERSIONS_MAX {
        return Err(malformed("info.protocol_versions", "at most 16"));
    }
    if !info.protocol_versions.contains(&version) {
        let seen = format!("the worker speaks {:?}, the gateway {version}", info.protocol_versions);
        return Err(Refusal::new(Reason::WorkerProtocolUnsupported).at("info.protocol_versions").saw(seen));
    }
    if info.config_schema.len() > SCHEMA_BYTES_MAX {
        return Err(malformed("info.config_schema", "at most 64 KiB"));
    }
    if asked.problems.len() > PROBLEMS_MAX {
        return Err(malformed("problems", "at most 64"));
    }
    let mut problems = Vec::with_capacity(asked.problems.len());
    for problem in &asked.problems {
        let key = text("problems.key", &problem.key, KEY_BYTES_MAX)?;
        let what = text("problems.problem", &problem.problem, DETAIL_BYTES_MAX)?;
        problems.push(format!("{key}: {what}"));
    }
    Ok(WorkerInfo {
        name: text("info.name", &info.name, NAME_BYTES_MAX)?.to_owned(),
        version: text("info.version", &info.version, NAME_BYTES_MAX)?.to_owned(),
        instance: text("instance", &asked.instance, INSTANCE_BYTES_MAX)?.to_owned(),
        problems,
    })
}

/// How many deliveries at most, and how long to wait for the first.
pub(super) fn credit(asked: &v1::LeaseRequest, wait_max: Duration) -> Result<(usize, Duration), Refusal> {
    let max = usize::try_from(asked.deliveries_max).unwrap_or(usize::MAX);
    if max == 0 || max > LEASES_MAX {
        return Err(malformed("deliveries_max", "1 to 64"));
    }
    let wait = asked.wait.as_ref().map(|wait| span("wait", wait)).transpose()?.unwrap_or_default();
    if wait > wait_max {
        return Err(malformed("wait", "at most 50 s"));
    }
    Ok((max, wait))
}

/// One lease.
pub(super) fn lease(asked: Option<&v1::LeaseReference>) -> Result<Held, Refusal> {
    let asked = asked.ok_or_else(|| malformed("lease", "is missing"))?;
    let id = DeliveryId::parse(&asked.delivery_id)
        .ok_or_else(|| malformed("lease.delivery_id", "32 lower-case hexadecimal digits"))?;
    Ok(Held { id, token: Token::from_slice(&asked.lease_token) })
}

/// The leases of a heartbeat.
pub(super) fn leases(asked: &[v1::LeaseReference]) -> Result<Vec<Held>, Refusal> {
    if asked.len() > LEASES_MAX {
        return Err(malformed("leases", "at most 64"));
    }
    asked.iter().map(|asked| lease(Some(asked))).collect()
}

/// How a worker failed.
pub(super) fn failure(asked: &v1::FailRequest) -> Result<Failure, Refusal> {
    let fits = |byte: u8| byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b'_';
    if asked.code.is_empty() || asked.code.len() > CODE_BYTES_MAX || !asked.code.bytes().all(fits) {
        return Err(malformed("code", "1 to 64 of A-Z, 0-9 and _"));
    }
    let retry_after = asked.retry_after.as_ref().map(|after| span("retry_after", after)).transpose()?;
    Ok(Failure {
        code: asked.code.clone(),
        detail: text("detail", &asked.detail, DETAIL_BYTES_MAX)?.to_owned(),
        retryable: asked.retryable,
        retry_after: retry_after.map(|after| after.min(RETRY_AFTER_MAX)),
        system_down: asked.system_down,
    })
}

/// How the system behind a worker is, with what was seen; `None` when that is not said.
pub(super) fn health(asked: Option<&v1::SystemHealth>) -> Result<Option<(bool, &str)>, Refusal> {
    let Some(asked) = asked else { return Ok(None) };
    let detail = text("health.detail", &asked.detail, DETAIL_BYTES_MAX)?;
    Ok(match asked.state() {
        v1::SystemState::Unspecified => None,
        v1::SystemState::Up => Some((true, detail)),
        v1::SystemState::Down => Some((false, detail)),
    })
}

/// A text that may stand in a log: bounded, without control characters.
pub(super) fn text<'a>(field: &'static str, text: &'a str, bytes_max: usize) -> Result<&'a str, Refusal> {
    if text.len() > bytes_max {
        return Err(malformed(field, &format!("at most {bytes_max} bytes")));
    }
    if text.chars().any(char::is_control) {
        return Err(malformed(field, "no control characters"));
    }
    Ok(text)
}

fn span(field: &'static str, asked: &prost_types::Duration) -> Result<Duration, Refusal> {
    Duration::try_from(*asked).map_err(|_| malformed(field, "a span that is not negative"))
}

fn malformed(field: &str, what: &str) -> Refusal {
    Refusal::new(Reason::RequestMalformed).at(field).saw(what)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn field<T>(result: Result<T, Refusal>) -> String {
        result.map_or_else(|refusal| format!("{} {}", refusal.reason, refusal.field), |_| "taken".to_owned())
    }

    #[test]
    fn a_worker_asks_for_one_to_sixty_four_deliveries_and_waits_no_longer_than_the_bound() {
        let check = |deliveries_max, seconds, expected: &str| {
            let wait = Some(prost_types::Duration { seconds, nanos: 0 });
            let asked = v1::LeaseRequest { worker_id: String::new(), deliveries_max, wait };
            assert_eq!(field(credit(&asked, Duration::from_secs(50))), expected, "{deliveries_max} {seconds}");
        };
        check(1, 0, "taken");
        check(64, 50, "taken");
        check(0, 0, "REQUEST_MALFORMED deliveries_max");
        check(65, 0, "REQUEST_MALFORMED deliveries_max");
        check(1, 51, "REQUEST_MALFORMED wait");
        check(1, -1, "REQUEST_MALFORMED wait");
    }

    #[test]
    fn a_failure_has_a_stable_code_and_nothing_that_breaks_a_log() {
        let check = |code: &str, detail: &str, expected: &str| {
            let asked =
                v1::FailRequest { code: code.to_owned(), detail: detail.to_owned(), ..v1::FailRequest::default() };
            assert_eq!(field(failure(&asked)), expected, "{code} {detail}");
        };
        check("DMS_DOWN_2", "hệ thống tắt", "taken");
        check("", "", "REQUEST_MALFORMED code");
        check("dms down", "", "REQUEST_MALFORMED code");
        check(&"A".repeat(65), "", "REQUEST_MALFORMED code");
        check("A", "hai\ndòng", "REQUEST_MALFORMED detail");
        check("A", &"x".repeat(513), "REQUEST_MALFORMED detail");
    }

    #[test]
    fn what_a_worker_says_about_itself_is_bounded() {
        let good = v1::RegisterRequest {
            info: Some(v1::AdapterInfo { protocol_versions: vec![1], ..v1::AdapterInfo::default() }),
            ..v1::RegisterRequest::default()
        };
        let changed = |change: &dyn Fn(&mut v1::AdapterInfo)| {
            let mut asked = good.clone();
            asked.info.iter_mut().for_each(change);
            field(worker(asked, 1))
        };
        assert_eq!(field(worker(good.clone(), 1)), "taken");
        assert_eq!(field(worker(v1::RegisterRequest::default(), 1)), "REQUEST_MALFORMED info");
        assert_eq!(
            changed(&|info| info.protocol_versions = vec![2]),
            "WORKER_PROTOCOL_UNSUPPORTED info.protocol_versions"
        );
        assert_eq!(changed(&|info| info.protocol_versions = vec![1; 17]), "REQUEST_MALFORMED info.protocol_versions");
        assert_eq!(changed(&|info| info.name = "x".repeat(65)), "REQUEST_MALFORMED info.name");
        assert_eq!(changed(&|info| info.config_schema = "x".repeat(65_537)), "REQUEST_MALFORMED info.config_schema");
        let problems = vec![v1::ConfigProblem::default(); 65];
        assert_eq!(field(worker(v1::RegisterRequest { problems, ..good.clone() }, 1)), "REQUEST_MALFORMED problems");
        let instance = "x".repeat(129);
        assert_eq!(field(worker(v1::RegisterRequest { instance, ..good }, 1)), "REQUEST_MALFORMED instance");
    }
}
