//! Another organisation's document hub: takes packages over its REST door, queues them by recipient, hands them out to whoever polls.
//!
//! It behaves as hubs do: it routes by `To` (a status by `ResponseFor/OrganId`), knows nothing of duplicates, and its secret speaks for all of
//! its agencies. Faults can be set; its journal is the judge.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use aws_lc_rs::hmac;
use axum::Router;
use axum::body::Body;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::{Request, Response, StatusCode};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::dms::call::{HubAccess, sha256_hex, slashed};
use crate::edxml::reading::read;

/// Bytes of a package.
const PACKAGE_BYTES_MAX: usize = 128 * 1024 * 1024;

/// Faults to come; each number counts down.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct HubFaults {
    /// So many calls are answered with 500 and do nothing.
    pub internal_errors: usize,
    /// So many sendEdoc are done, and their answers lost.
    pub lost_answers: usize,
    /// So many updateStatus are done, and their answers lost.
    pub lost_confirmations: usize,
    /// So many sendEdoc are answered FAIL.
    pub refusals: usize,
    /// So many getSentEdocList are answered with 500.
    pub lists_fail: usize,
    /// So many getSentEdocList are whole before the others have `list_bytes_more`.
    pub lists_short: usize,
    /// Bytes that a getSentEdocList has more than it needs: a hub that has seen many papers.
    pub list_bytes_more: usize,
    /// Every call takes so long.
    pub slow: Duration,
}

/// One package in the hub.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Held {
    /// The hub's id.
    pub id: String,
    /// Whom it is for.
    pub to: String,
    /// From whom, as its package says.
    pub from: String,
    /// Its DocumentId.
    pub document_id: String,
    /// Its status code; empty for papers.
    pub status_code: String,
    /// The package.
    pub package: Bytes,
    /// Confirmations, in their order.
    pub confirmations: Vec<String>,
    /// How often it was fetched.
    pub fetches: usize,
    is_broken: bool,
    sent_time: String,
}

/// A running hub.
pub struct Hub {
    address: SocketAddr,
    shared: Arc<Shared>,
    serving: JoinHandle<()>,
}

struct Shared {
    secret: hmac::Key,
    secret_text: String,
    system_id: String,
    held: Mutex<Vec<Held>>,
    faults: Mutex<HubFaults>,
    changed: watch::Sender<usize>,
}

impl Hub {
    /// Starts one on a free port of this machine.
    ///
    /// # Errors
    /// When no port is free.
    pub async fn start(system_id: &str, secret: &str) -> std::io::Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let address = listener.local_addr()?;
        let shared = Arc::new(Shared {
            secret: hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes()),
            secret_text: secret.to_owned(),
            system_id: system_id.to_owned(),
            held: Mutex::default(),
            faults: Mutex::default(),
            changed: watch::Sender::new(0),
        });
        let serving = shared.clone();
        let router = Router::new().fallback(move |request| {
            let shared = serving.clone();
            async move { shared.call(request).await }
        });
        let serving = tokio::spawn(async move {
            if let Err(fault) = axum::serve(listener, router).await {
                tracing::warn!(%fault, "the hub stopped");
            }
        });
        Ok(Self { address, shared, serving })
    }

    /// How a system reaches it.
    pub fn access(&self) -> HubAccess {
        HubAccess {
            url: format!("http://{}/api", self.address),
            system_id: self.shared.system_id.clone(),
            secret: self.shared.secret_text.clone(),
        }
    }

    /// Sets faults.
    pub fn fault(&self, faults: HubFaults) {
        *self.shared.faults.lock().unwrap_or_else(PoisonError::into_inner) = faults;
    }

    /// Every package it ever held.
    pub fn journal(&self) -> Vec<Held> {
        self.shared.held().clone()
    }

    /// Puts a package in, as one of its systems would.
    pub fn put(&self, to: &str, package: Bytes) {
        self.shared.put(vec![to.to_owned()], &package);
    }

    /// The same, but what it gives of it is not base64.
    pub fn put_broken(&self, to: &str, package: Bytes) {
        self.shared.put_as(vec![to.to_owned()], &package, true);
    }

    /// Waits until what it holds fits. `false` when that did not happen in a minute.
    pub async fn wait_until(&self, fits: impl Fn(&[Held]) -> bool) -> bool {
        let mut changed = self.shared.changed.subscribe();
        let until = async {
            while !fits(&self.journal()) {
                if changed.changed().await.is_err() {
                    std::future::pending::<()>().await;
                }
            }
        };
        tokio::time::timeout(Duration::from_secs(60), until).await.is_ok()
    }
}

impl Drop for Hub {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

impl Shared {
    async fn call(&self, request: Request<Body>) -> Response<Body> {
        let slow = self.faults.lock().unwrap_or_else(PoisonError::into_inner).slow;
        tokio::time::sleep(slow).await;
        if self.counts(|faults| &mut faults.internal_errors) {
            return respond(StatusCode::INTERNAL_SERVER_ERROR, &json!({ "error": "trouble" }));
        }
        let Some(parameters) = self.check(&request) else {
            return respond(StatusCode::OK, &fail("401", "hash-header"));
        };
        let path = request.uri().path().rsplit('/').next().unwrap_or_default().to_owned();
        let parameter = |name: &str| parameters.get(name).cloned().unwrap_or_default();
        let answer = match path.as_str() {
            "sendEdoc" => {
                let Ok(body) = axum::body::to_bytes(request.into_body(), PACKAGE_BYTES_MAX).await else {
                    return respond(StatusCode::PAYLOAD_TOO_LARGE, &fail("413", "too large"));
                };
                return self.send(&parameter("hash-file"), &body);
            }
            "getReceivedEdocList" => self.list(&parameter("from"), &parameter("messagetype")),
            "getSentEdocList" if self.counts(|faults| &mut faults.lists_fail) => {
                return respond(StatusCode::INTERNAL_SERVER_ERROR, &json!({ "error": "trouble" }));
            }
            "getSentEdocList" => self.sent(&parameter("from")),
            "getEdoc" => self.fetch(&parameter("docid")),
            "updateStatus" => {
                let answer = self.confirm(&parameter("docid"), &parameter("status"));
                if self.counts(|faults| &mut faults.lost_confirmations) {
                    return lost();
                }
                answer
            }
            _ => fail("404", "no such path"),
        };
        respond(StatusCode::OK, &answer)
    }

    /// The signed parameters; `None` when the hash is not ours or a header differs.
    fn check(&self, request: &Request<Body>) -> Option<BTreeMap<String, String>> {
        let header =
            |name: &str| request.headers().get(format!("xroadvnpt-{name}")).and_then(|value| value.to_str().ok());
        let signed = header("sign-header")?;
        let hash = hex::decode(header("hash-header")?).ok()?;
        hmac::verify(&self.secret, signed.as_bytes(), &hash).ok()?;
        let covered: BTreeMap<String, String> = serde_json::from_str(signed).ok()?;
        let covered: BTreeMap<String, String> =
            covered.into_iter().map(|(name, value)| (name.to_ascii_lowercase(), value)).collect();
        covered.iter().all(|(name, value)| header(name) == Some(value)).then_some(covered)
    }

    fn send(&self, hash: &str, package: &Bytes) -> Response<Body> {
        if !hash.eq_ignore_ascii_case(&sha256_hex(package)) {
            return respond(StatusCode::OK, &fail("HASH", "hash-file"));
        }
        if self.counts(|faults| &mut faults.refusals) {
            return respond(StatusCode::OK, &fail("E42", "the package is not wanted"));
        }
        let Ok(seen) = read(package) else { return respond(StatusCode::OK, &fail("XML", "no package")) };
        let to = if seen.status.is_empty() { seen.to } else { vec![seen.answered] };
        let id = self.put(to, package);
        if self.counts(|faults| &mut faults.lost_answers) {
            return lost();
        }
        respond(StatusCode::OK, &json!({ "status": "OK", "ErrorCode": 0, "ErrorDesc": null, "DocId": id }))
    }

    fn put(&self, to: Vec<String>, package: &Bytes) -> String {
        self.put_as(to, package, false)
    }

    fn put_as(&self, to: Vec<String>, package: &Bytes, is_broken: bool) -> String {
        let seen = read(package).unwrap_or_default();
        let mut last = String::new();
        let mut held = self.held();
        for to in to {
            last = uuid::Uuid::new_v4().to_string();
            held.push(Held {
                id: last.clone(),
                to,
                from: seen.from.clone(),
                document_id: seen.document_id.clone(),
                status_code: seen.status.clone(),
                package: package.clone(),
                confirmations: Vec::new(),
                fetches: 0,
                is_broken,
                sent_time: slashed(SystemTime::now()),
            });
        }
        self.changed.send_replace(held.len());
        last
    }

    fn list(&self, code: &str, kind: &str) -> Value {
        let held = self.held();
        let waits = held.iter().filter(|one| {
            one.to == code && one.confirmations.is_empty() && (kind == "status") != one.status_code.is_empty()
        });
        let items: Vec<Value> = waits
            .map(|one| {
                json!({
                    "id": one.id, "status": "initial", "createdTime": one.sent_time, "updatedTime": one.sent_time,
                    "messageType": kind, "serviceType": "eDoc", "from": one.from, "to": one.to,
                    "contentSha256": sha256_hex(&one.package), "contentLength": one.package.len(),
                })
            })
            .collect();
        json!({ "status": "OK", "ErrorCode": 0, "data": items })
    }

    fn sent(&self, code: &str) -> Value {
        let held = self.held();
        let own = held.iter().filter(|one| one.from == code && one.status_code.is_empty());
        let faults = *self.faults.lock().unwrap_or_else(PoisonError::into_inner);
        let bytes_more = if self.counts(|faults| &mut faults.lists_short) { 0 } else { faults.list_bytes_more };
        let more = (bytes_more > 0).then(|| json!({ "senderDocId": "", "title": "x".repeat(bytes_more) }));
        let items: Vec<Value> = own
            .map(|one| {
                json!({
                    "senderDocId": one.document_id, "receiverDocId": one.id, "fromCode": one.from, "toCode": one.to,
                    "sentTime": one.sent_time, "sendStatus": "done",
                })
            })
            .chain(more)
            .collect();
        json!({ "status": "OK", "ErrorCode": 0, "data": items })
    }

    fn fetch(&self, id: &str) -> Value {
        let mut held = self.held();
        let Some(one) = held.iter_mut().find(|one| one.id == id) else { return fail("404", "no such package") };
        one.fetches += 1;
        let data = if one.is_broken { "không phải base64".to_owned() } else { STANDARD.encode(&one.package) };
        json!({ "status": "OK", "ErrorCode": 0, "data": data })
    }

    fn confirm(&self, id: &str, status: &str) -> Value {
        let mut held = self.held();
        let count = held.len();
        let Some(one) = held.iter_mut().find(|one| one.id == id) else { return fail("404", "no such package") };
        one.confirmations.push(status.to_owned());
        self.changed.send_replace(count);
        json!({ "status": "OK", "ErrorCode": 0, "DocId": id })
    }

    /// Whether a fault is due; it then counts down.
    fn counts(&self, fault: impl Fn(&mut HubFaults) -> &mut usize) -> bool {
        let mut faults = self.faults.lock().unwrap_or_else(PoisonError::into_inner);
        let left = fault(&mut faults);
        let is_due = *left > 0;
        *left = left.saturating_sub(1);
        is_due
    }

    fn held(&self) -> std::sync::MutexGuard<'_, Vec<Held>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn fail(code: &str, words: &str) -> Value {
    json!({ "status": "FAIL", "ErrorCode": code, "ErrorDesc": words })
}

fn respond(status: StatusCode, answer: &Value) -> Response<Body> {
    let mut response = Response::new(Body::from(answer.to_string()));
    *response.status_mut() = status;
    response
}

/// An answer that breaks off in its body: the caller never learns what it was.
fn lost() -> Response<Body> {
    let broken = futures::stream::iter([
        Ok(Bytes::from_static(b"{\"status\":")),
        Err(std::io::Error::new(std::io::ErrorKind::ConnectionReset, "the answer is lost")),
    ]);
    Response::new(Body::from_stream(broken))
}
