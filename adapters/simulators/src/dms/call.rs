//! Calls a document hub as its public SDK does: parameters in headers, signed with the shared secret.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use aws_lc_rs::hmac;
use bytes::Bytes;
use http::{HeaderName, HeaderValue, Request, header};
use http_body_util::{BodyExt, Full, Limited};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde_json::Value;

/// Bytes of an answer.
const ANSWER_BYTES_MAX: usize = 256 * 1024 * 1024;
/// Time for a call.
const CALL_TIME_MAX: Duration = Duration::from_secs(60);

/// Where a hub is and how one is known to it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct HubAccess {
    /// The endpoint that the paths are put behind.
    pub url: String,
    /// `systemid`.
    pub system_id: String,
    /// The shared secret.
    pub secret: String,
}

/// A call that led to no answer.
#[derive(Debug, thiserror::Error)]
pub enum CallError {
    /// The hub could not be reached, or broke off.
    #[error("no answer: {0}")]
    NoAnswer(String),
    /// Something that is no JSON of the protocol.
    #[error("the answer is not of the protocol: {status}")]
    Answer {
        /// HTTP status.
        status: u16,
    },
}

/// Calls one hub.
#[derive(Clone, Debug)]
pub struct HubCalls {
    access: HubAccess,
    client: Client<HttpConnector, Full<Bytes>>,
}

/// A call that has been signed; sending it twice is what a replay is.
#[derive(Clone, Debug)]
pub struct SignedCall {
    /// Path behind the endpoint.
    pub path: String,
    /// Signed headers.
    pub headers: Vec<(String, String)>,
    /// Body.
    pub body: Bytes,
    /// Its media type.
    pub content_type: String,
}

impl HubCalls {
    /// Calls `access`.
    pub fn new(access: HubAccess) -> Self {
        Self { access, client: Client::builder(TokioExecutor::new()).pool_max_idle_per_host(0).build_http() }
    }

    /// Signs a call made now.
    pub fn sign(&self, path: &str, parameters: &[(&str, &str)], body: Bytes) -> SignedCall {
        self.sign_at(path, parameters, body, SystemTime::now())
    }

    /// Signs a call made at `at`.
    pub fn sign_at(&self, path: &str, parameters: &[(&str, &str)], body: Bytes, at: SystemTime) -> SignedCall {
        let mut covered: BTreeMap<String, String> =
            parameters.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        covered.insert("systemid".to_owned(), self.access.system_id.clone());
        covered.insert("servicetype".to_owned(), "eDoc".to_owned());
        covered.insert("version".to_owned(), "1.0".to_owned());
        covered.insert("timestamp".to_owned(), time_text(at));
        if !body.is_empty() {
            covered.insert("hash-file".to_owned(), sha256_hex(&body));
        }
        let json =
            Value::Object(covered.iter().map(|(k, v)| (k.clone(), Value::String(v.clone()))).collect()).to_string();
        let key = hmac::Key::new(hmac::HMAC_SHA256, self.access.secret.as_bytes());
        let hash = hex::encode(hmac::sign(&key, json.as_bytes()));
        let names: Vec<&str> = covered.keys().map(String::as_str).collect();
        let mut headers: Vec<(String, String)> = vec![
            ("sign-header-key".to_owned(), names.join(";")),
            ("sign-header".to_owned(), json),
            ("hash-header".to_owned(), hash),
        ];
        headers.extend(covered);
        SignedCall { path: path.to_owned(), headers, body, content_type: "application/octet-stream".to_owned() }
    }

    /// Makes a signed call and gives the JSON of its answer.
    ///
    /// # Errors
    /// [`CallError`].
    pub async fn send(&self, call: &SignedCall) -> Result<Value, CallError> {
        let no_answer = |fault: String| CallError::NoAnswer(fault);
        let mut request = Request::post(format!("{}/{}", self.access.url, call.path))
            .header(header::CONTENT_TYPE, &call.content_type)
            .body(Full::new(call.body.clone()))
            .map_err(|fault| no_answer(fault.to_string()))?;
        for (name, value) in &call.headers {
            let name = HeaderName::try_from(format!("XroadVnpt-{name}").to_ascii_lowercase());
            let value = HeaderValue::try_from(value.as_str());
            let (Ok(name), Ok(value)) = (name, value) else { return Err(no_answer("a header cannot be".to_owned())) };
            request.headers_mut().insert(name, value);
        }
        let answered = async {
            let response = self.client.request(request).await.map_err(|fault| no_answer(fault.to_string()))?;
            let status = response.status().as_u16();
            let body = Limited::new(response.into_body(), ANSWER_BYTES_MAX);
            let bytes = body.collect().await.map_err(|fault| no_answer(fault.to_string()))?.to_bytes();
            serde_json::from_slice(&bytes).map_err(|_| CallError::Answer { status })
        };
        tokio::time::timeout(CALL_TIME_MAX, answered).await.map_err(|_| no_answer("too slow".to_owned()))?
    }

    /// Signs and makes a call.
    ///
    /// # Errors
    /// [`CallError`].
    pub async fn call(&self, path: &str, parameters: &[(&str, &str)], body: Bytes) -> Result<Value, CallError> {
        self.send(&self.sign(path, parameters, body)).await
    }
}

/// `ddMMyyyy'T'HHmmss+SSSS` in the local time of Việt Nam.
pub fn time_text(at: SystemTime) -> String {
    let local = local(at);
    format!("{}+{:04}", local.strftime("%d%m%YT%H%M%S"), local.millisecond())
}

/// `yyyy/MM/dd HH:mm:ss` in the local time of Việt Nam.
pub fn slashed(at: SystemTime) -> String {
    local(at).strftime("%Y/%m/%d %H:%M:%S").to_string()
}

fn local(at: SystemTime) -> jiff::civil::DateTime {
    let instant = jiff::Timestamp::try_from(at).unwrap_or_default();
    jiff::tz::Offset::constant(7).to_datetime(instant)
}

/// SHA-256 in hexadecimal.
pub fn sha256_hex(bytes: &[u8]) -> String {
    hex::encode(aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, bytes))
}
