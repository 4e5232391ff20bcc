//! The way to the gateway: one mTLS connection that is dialled again when it breaks, and what its answers mean.

use std::sync::Arc;
use std::time::Duration;

use gateway_model::{Reason, Refusal};
use http::Uri;
use hyper_util::rt::TokioIo;
use proto::v1;
use proto::v1::adapter_service_client::AdapterServiceClient;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio_rustls::TlsConnector;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Status};
use tonic_types::StatusExt as _;

use super::WorkerSettings;
use crate::outbound::connect::open_tcp;
use crate::outbound::tls::{TlsSetupError, client_config};
use crate::outbound::{Allowed, Origin};

/// Bytes of one answer: 64 deliveries with envelopes and signatures fit.
const ANSWER_BYTES_MAX: usize = 64 * 1024 * 1024;
const CONNECT_TIME_MAX: Duration = Duration::from_secs(10);
/// A connection without traffic is tried by a ping.
const PING_AFTER: Duration = Duration::from_secs(20);
const PING_TIME_MAX: Duration = Duration::from_secs(10);

/// A client of the gateway's door for workers.
pub(super) type Client = AdapterServiceClient<Channel>;

/// Makes the client. Opens no connection: the first call does.
pub(super) fn client(settings: &WorkerSettings) -> Result<Client, TlsSetupError> {
    let tls = Arc::new(client_config(&settings.roots_pem, Some(&settings.identity), b"h2")?);
    let (gateway, proxy) = (settings.gateway.clone(), settings.proxy.clone());
    let connector = tower::service_fn(move |_: Uri| dial(gateway.clone(), proxy.clone(), tls.clone()));
    let origin = settings.gateway.to_string().parse().unwrap_or_default();
    // The scheme of the endpoint itself stays http: TLS is done by the connector.
    let channel = Endpoint::from_static("http://gateway")
        .origin(origin)
        .connect_timeout(CONNECT_TIME_MAX)
        .http2_keep_alive_interval(PING_AFTER)
        .keep_alive_timeout(PING_TIME_MAX)
        .keep_alive_while_idle(true)
        .connect_with_connector_lazy(connector);
    Ok(AdapterServiceClient::new(channel).max_decoding_message_size(ANSWER_BYTES_MAX))
}

async fn dial(
    gateway: Origin,
    proxy: Option<Origin>,
    tls: Arc<ClientConfig>,
) -> Result<TokioIo<tokio_rustls::client::TlsStream<tokio::net::TcpStream>>, Box<dyn std::error::Error + Send + Sync>> {
    let name = ServerName::try_from(gateway.host.clone())?;
    // The gateway stands where the operator says, in the agency's own network as well.
    let place = Allowed { origin: gateway, is_private: true };
    let tcp = open_tcp(&place, proxy.as_ref(), CONNECT_TIME_MAX).await?;
    Ok(TokioIo::new(TlsConnector::from(tls).connect(name, tcp).await?))
}

/// What the gateway answered instead of a success.
pub(super) fn refusal(status: &Status) -> Refusal {
    let details = status.get_error_details();
    let info = details.error_info();
    let reason = info.and_then(|info| Reason::parse(&info.reason)).unwrap_or_else(|| without_reason(status.code()));
    let fact = |key: &str| info.and_then(|info| info.metadata.get(key)).cloned().unwrap_or_default();
    let detail = if info.is_some() { fact("detail") } else { status.message().to_owned() };
    let mut refusal = Refusal::new(reason).at(fact("field")).saw(detail);
    refusal.retry_after = details.retry_info().and_then(|retry| retry.retry_delay);
    refusal
}

/// An answer that is not the gateway's own: a line that broke, a proxy, another version.
fn without_reason(code: Code) -> Reason {
    match code {
        Code::InvalidArgument | Code::OutOfRange | Code::Unimplemented => Reason::RequestMalformed,
        Code::PermissionDenied => Reason::HopNotAllowed,
        Code::Unauthenticated => Reason::HopUnknown,
        Code::NotFound => Reason::NotFound,
        Code::ResourceExhausted => Reason::Overloaded,
        Code::DeadlineExceeded => Reason::DeadlineExceeded,
        Code::Ok
        | Code::Cancelled
        | Code::Unknown
        | Code::AlreadyExists
        | Code::FailedPrecondition
        | Code::Aborted
        | Code::Internal
        | Code::Unavailable
        | Code::DataLoss => Reason::PeerUnreachable,
    }
}

/// A wait that grows from one attempt to the next, with jitter so that many workers do not come at once.
pub(super) struct BackOff {
    next: Duration,
    longest: Duration,
}

impl BackOff {
    pub(super) fn new(first: Duration, longest: Duration) -> Self {
        Self { next: first, longest }
    }

    /// The next wait: at least what the other side asked for, within the bound.
    pub(super) fn wait(&mut self, asked: Option<Duration>) -> Duration {
        let wait = self.next;
        self.next = (self.next * 2).min(self.longest);
        // Between half of it and all of it; a fresh UUID is the randomness at hand.
        let share = f64::from(uuid::Uuid::new_v4().as_bytes()[0]) / 255.0;
        wait.mul_f64(0.5 + share / 2.0).max(asked.unwrap_or_default().min(self.longest))
    }
}

/// A span as the wire has it.
pub(super) fn wire_span(span: Duration) -> prost_types::Duration {
    prost_types::Duration {
        seconds: i64::try_from(span.as_secs()).unwrap_or(i64::MAX),
        nanos: i32::try_from(span.subsec_nanos()).unwrap_or_default(),
    }
}

/// A span from the wire; none when it is absent or negative.
pub(super) fn span(wire: Option<prost_types::Duration>) -> Option<Duration> {
    Duration::try_from(wire?).ok()
}

/// How the system behind the worker is, on the wire.
pub(super) fn wire_health(health: &crate::Health) -> v1::SystemHealth {
    match health {
        crate::Health::Up => v1::SystemHealth { state: v1::SystemState::Up.into(), detail: String::new() },
        crate::Health::Down { cause } => {
            v1::SystemHealth { state: v1::SystemState::Down.into(), detail: cut(cause, 512) }
        }
    }
}

/// The first `bytes_max` bytes of a text, whole characters only, on one line: a gateway takes nothing longer, and no control character.
pub(super) fn cut(text: &str, bytes_max: usize) -> String {
    let end = (0..=bytes_max.min(text.len())).rev().find(|&at| text.is_char_boundary(at)).unwrap_or(0);
    // A control character of two bytes becomes a space of one: it never gets longer.
    text[..end].chars().map(|character| if character.is_control() { ' ' } else { character }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wait_doubles_up_to_its_bound_and_hears_what_the_gateway_asks_for() {
        let mut back_off = BackOff::new(Duration::from_millis(100), Duration::from_secs(1));
        let mut check = |asked: Option<u64>, shortest: u64, longest: u64| {
            let wait = back_off.wait(asked.map(Duration::from_millis)).as_millis() as u64;
            assert!((shortest..=longest).contains(&wait), "{wait} is outside of {shortest} to {longest}");
        };
        check(None, 50, 100);
        check(None, 100, 200);
        check(Some(900), 900, 900);
        check(Some(60_000), 1_000, 1_000);
        check(None, 500, 1_000);
    }

    #[test]
    fn a_line_that_broke_may_be_tried_again_and_the_gateways_own_reason_is_kept() {
        assert_eq!(refusal(&Status::unavailable("tcp connect error")).reason, Reason::PeerUnreachable);
        assert!(refusal(&Status::unknown("transport error")).reason.is_retryable());
        let mut details = tonic_types::ErrorDetails::new();
        details.set_error_info("WORKER_UNKNOWN", "lienthong.gov.vn", [("detail".to_owned(), "w1".to_owned())]);
        details.set_retry_info(Some(Duration::from_secs(3)));
        let told = refusal(&Status::with_error_details(Code::NotFound, "x", details));
        assert_eq!((told.reason, told.detail.as_str()), (Reason::WorkerUnknown, "w1"));
        assert_eq!(told.retry_after, Some(Duration::from_secs(3)));
    }

    #[test]
    fn a_text_is_cut_between_characters_and_stands_on_one_line() {
        assert_eq!(cut("đường", 3), "đ");
        assert_eq!(cut("abc", 512), "abc");
        assert_eq!(cut("dòng một\r\ndòng hai\u{85}\u{1b}[31m", 512), "dòng một  dòng hai  [31m");
    }
}
