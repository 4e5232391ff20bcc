//! Both directions over real sockets: what other systems answer, and what callers send.

use adapters_sdk::Scope;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use certs_dev::KeyKind;
use certs_dev::pki::{Ladder, LeafProfile};
use gateway_model::{Reason, Refusal};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::*;
use crate::fixture::{MemoryDoor, OtherSystem, delivery};

const TOKEN: &str = "hai-tram-linh-mot-ma-bi-mat";
const SECRET: &str = "whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3";

fn context(base: &std::path::Path) -> PrepareContext {
    PrepareContext {
        name: "desk".into(),
        base: base.to_owned(),
        agencies: vec![gateway_model::id::AgencyId::parse("so-tnmt").unwrap()],
        system: gateway_model::id::SystemId::parse("sys").ok(),
    }
}

/// A folder with every file that a configuration may name.
fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let ladder = Ladder::new(KeyKind::P256, now().seconds() - 86_400).unwrap();
    let credential = ladder.issue_signer("Sở", KeyKind::P256, LeafProfile::agency("Sở")).unwrap();
    let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
    write("agency.pem", &credential.certificate_pem);
    write("agency.key", &credential.key_pem);
    write("token", TOKEN);
    write("secret", SECRET);
    write("old-secret", "whsec_YWJjZGVmMDEyMzQ1Njc4OWFiY2RlZjAx");
    folder
}

async fn open(folder: &tempfile::TempDir, table: &str) -> Http {
    let config = Config::read(&table.parse().unwrap(), &context(folder.path())).unwrap();
    Http::open("desk".into(), config).await.unwrap()
}

fn out(port: u16, rest: &str) -> String {
    format!(
        "state = \"state\"\n[out]\nurl = \"http://127.0.0.1:{port}/hook\"\nsecrets = [\"secret\", \"old-secret\"]\n{rest}\n\
         [outbound]\nallow = [{{ origin = \"http://127.0.0.1:{port}\", private = true }}]\ntime_max = \"2s\""
    )
}

const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";

#[tokio::test]
async fn a_webhook_is_signed_by_every_secret_and_the_same_at_every_attempt() {
    let system = OtherSystem::answering(&[OK]).await;
    let folder = folder();
    let http = open(&folder, &out(system.port, "[out.body]\n\"hoSo.ma\" = \"$file_code\"\n\"tep\" = \"$parts\"")).await;
    let delivery = delivery(&[("đơn.pdf", b"content")]);
    for _ in 0..2 {
        assert_eq!(http.deliver(&delivery).await, Outcome::Taken { receipt: None });
    }
    let calls = system.calls();
    let body: Value = serde_json::from_slice(&calls[0].body).unwrap();
    assert_eq!(body["hoSo"]["ma"], "H99.50.05.13-261008-0975");
    assert_eq!(body["tep"][0]["content"], STANDARD.encode("content"));
    assert_eq!(calls[0].body, calls[1].body, "two bodies never travel under one id");
    let (id, timestamp) = (calls[0].header("webhook-id"), calls[0].header("webhook-timestamp"));
    assert_eq!(id, delivery.ids[0].to_string());
    assert_eq!(id, calls[1].header("webhook-id"));
    let signatures = calls[0].header("webhook-signature");
    let expected =
        hook::sign::header(&[Secret::parse(SECRET).unwrap()], &id, timestamp.parse().unwrap(), &calls[0].body);
    assert!(signatures.starts_with(&format!("{expected} v1,")) && signatures.split(' ').count() == 2, "{signatures}");
}

#[tokio::test]
async fn what_a_system_answers_decides_whether_it_is_taken_tried_again_or_refused() {
    let status = |line: &str| format!("HTTP/1.1 {line}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
    let folder = folder();
    let check = async |answer: String, expected: &str| {
        let system = OtherSystem::answering(&[&answer]).await;
        let http = open(&folder, &out(system.port, "also_taken = [409]")).await;
        let told = match http.deliver(&delivery(&[])).await {
            Outcome::Taken { .. } => "taken".to_owned(),
            Outcome::Deferred { retry_after, scope, reason, .. } => {
                let wait = retry_after.map(|wait| wait.as_secs()).unwrap_or_default();
                format!("{} {wait} {}", reason.code(), if scope == Scope::Destination { "all" } else { "one" })
            }
            Outcome::Refused { reason, .. } => format!("refused {}", reason.code()),
        };
        assert_eq!(told, expected, "{answer}");
    };
    check(status("204 No Content"), "taken").await;
    check(status("409 Conflict"), "taken").await;
    check(status("400 Bad Request"), "refused ADAPTER_REFUSED").await;
    check(status("422 Unprocessable Content"), "refused ADAPTER_REFUSED").await;
    // A login page, a path that moved or is away while the system is being renewed: no envelope is at fault.
    for away in
        ["302 Found\r\nlocation: http://127.0.0.1/", "401 Unauthorized", "403 Forbidden", "404 Not Found", "410 Gone"]
    {
        check(status(away), "ADAPTER_FAILED 0 all").await;
    }
    check(status("429 Too Many Requests\r\nretry-after: 17"), "ADAPTER_UNAVAILABLE 17 all").await;
    check(status("500 Internal Server Error"), "ADAPTER_FAILED 0 one").await;
    check(String::new(), "ADAPTER_UNAVAILABLE 0 all").await;
    check("SSH-2.0-x\r\n".into(), "ADAPTER_FAILED 0 one").await;
}

/// A lease that somebody else has by now.
struct LostLease;

#[async_trait]
impl adapters_sdk::LeaseHold for LostLease {
    async fn extend(&self, _: Duration) -> Result<Duration, adapters_sdk::LeaseLost> {
        Err(adapters_sdk::LeaseLost)
    }

    async fn settled(&self) -> adapters_sdk::Settled {
        adapters_sdk::Settled::Lost
    }
}

#[tokio::test]
async fn nothing_is_posted_under_a_lease_that_is_lost() {
    let system = OtherSystem::answering(&[OK]).await;
    let folder = folder();
    let http = open(&folder, &out(system.port, "")).await;
    let delivery = adapters_sdk::Delivery { lease: Arc::new(LostLease), ..delivery(&[]) };
    assert!(matches!(http.deliver(&delivery).await, Outcome::Deferred { .. }));
    assert!(system.calls().is_empty(), "whoever has the lease posts it");
}

#[tokio::test]
async fn parts_over_the_bound_are_refused_before_any_call() {
    let system = OtherSystem::answering(&[OK]).await;
    let folder = folder();
    let http = open(&folder, &out(system.port, "value_bytes_max = 6")).await;
    let told = http.deliver(&delivery(&[("a", b"1234567")])).await;
    assert!(matches!(told, Outcome::Refused { reason: Reason::PartTooLarge, .. }), "{told:?}");
    assert!(system.calls().is_empty());
}

#[tokio::test]
async fn parts_by_link_are_read_at_the_own_address_and_only_by_the_link() {
    let system = OtherSystem::answering(&[OK]).await;
    let folder = folder();
    let listen = "[listen]\naddress = \"127.0.0.1:0\"\nplain = true\npublic_url = \"http://127.0.0.1:80\"\n";
    let http = open(&folder, &(out(system.port, "parts = \"link\"") + "\n" + listen)).await;
    assert_eq!(http.deliver(&delivery(&[("a.pdf", b"content")])).await, Outcome::Taken { receipt: None });
    let body: Value = serde_json::from_slice(&system.calls()[0].body).unwrap();
    let url = body["parts"][0]["url"].as_str().unwrap().strip_prefix("http://127.0.0.1:80").unwrap().to_owned();
    let address = http.serving.as_ref().unwrap().address;
    let read = call(address, &format!("GET {url} HTTP/1.1"), &[], b"").await;
    assert_eq!((read.0, read.2.as_slice()), (200, b"content".as_slice()));
    assert!(read.1.contains("content-disposition: attachment"), "{}", read.1);
    let forged = url.replace("expires=1", "expires=2");
    assert_eq!(call(address, &format!("GET {forged} HTTP/1.1"), &[], b"").await.0, 404);
    assert_eq!(call(address, &format!("GET {} HTTP/1.1", url.split('?').next().unwrap()), &[], b"").await.0, 404);
}

#[tokio::test]
async fn health_is_whether_anything_answers_there() {
    let system = OtherSystem::answering(&["HTTP/1.1 405 Method Not Allowed\r\nconnection: close\r\n\r\n"]).await;
    let folder = folder();
    let table = out(system.port, "");
    let http = open(&folder, &table).await;
    assert_eq!(http.check().await, Health::Up);
    assert!(system.calls()[0].head.starts_with("HEAD /hook"));
    let closed = open(&folder, &out(1, "")).await;
    assert!(matches!(closed.check().await, Health::Down { .. }));
}

fn inward(rest: &str) -> String {
    format!(
        "state = \"state\"\n[in]\ntoken_file = \"token\"\n[seal]\ncertificate = \"agency.pem\"\nkey = \"agency.key\"\n\
         [listen]\naddress = \"127.0.0.1:0\"\nplain = true\n{rest}"
    )
}

/// Sends one request and gives status, head and body.
async fn call(
    address: std::net::SocketAddr,
    line: &str,
    headers: &[(&str, &str)],
    body: &[u8],
) -> (u16, String, Vec<u8>) {
    let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
    let mut head = format!("{line}\r\nhost: here\r\nconnection: close\r\ncontent-length: {}\r\n", body.len());
    for (name, value) in headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    stream.write_all(format!("{head}\r\n").as_bytes()).await.unwrap();
    // A server that refuses early closes before it has read all.
    drop(stream.write_all(body).await);
    let mut answer = Vec::new();
    drop(stream.read_to_end(&mut answer).await);
    let end = answer.windows(4).position(|window| window == b"\r\n\r\n").unwrap_or(answer.len().saturating_sub(4));
    let head = String::from_utf8_lossy(&answer[..end]).into_owned();
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0);
    (status, head, answer.get(end + 4..).unwrap_or_default().to_vec())
}

/// The adapter with its door open.
struct Desk {
    http: Arc<Http>,
    door: Arc<MemoryDoor>,
    _receiving: tokio::task::JoinHandle<()>,
    folder: tempfile::TempDir,
}

impl Desk {
    async fn open(rest: &str) -> Self {
        Self::open_in(folder(), MemoryDoor::new(), rest).await
    }

    async fn open_in(folder: tempfile::TempDir, door: Arc<MemoryDoor>, rest: &str) -> Self {
        let http = Arc::new(open(&folder, &inward(rest)).await);
        let (receiving, opened) = (http.clone(), door.clone());
        let receiving = tokio::spawn(async move { receiving.receive(opened).await.unwrap() });
        http.door.subscribe().wait_for(Option::is_some).await.unwrap();
        Self { http, door, _receiving: receiving, folder }
    }

    async fn post(&self, key: &str, body: &Value) -> (u16, Value) {
        self.post_bytes(key, body.to_string().as_bytes()).await
    }

    async fn post_bytes(&self, key: &str, body: &[u8]) -> (u16, Value) {
        let token = format!("Bearer {TOKEN}");
        let headers = [("authorization", token.as_str()), ("idempotency-key", key)];
        let (status, _, body) = call(self.address(), "POST /v1/envelopes HTTP/1.1", &headers, body).await;
        (status, serde_json::from_slice(&body).unwrap_or_default())
    }

    async fn get(&self, path: &str, token: &str) -> (u16, Value) {
        let headers = [("authorization", token)];
        let (status, _, body) = call(self.address(), &format!("GET {path} HTTP/1.1"), &headers, b"").await;
        (status, serde_json::from_slice(&body).unwrap_or_default())
    }

    fn address(&self) -> std::net::SocketAddr {
        self.http.serving.as_ref().unwrap().address
    }
}

fn letter() -> Value {
    json!({
        "to": ["H99.50"],
        "subject": "Hồ sơ đăng ký biến động đất đai",
        "kind": "dossier",
        "file_code": "H99.50.05.13-261008-0975",
        "priority": 1,
        "parts": [{ "name": "đơn.pdf", "content": STANDARD.encode("content"), "role": "Đơn đăng ký" }],
    })
}

#[tokio::test]
async fn what_is_posted_is_sealed_submitted_and_answered_with_the_receipt_once() {
    let desk = Desk::open("").await;
    let (status, first) = desk.post("k-1", &letter()).await;
    assert_eq!((status, first["receipt"]["kind"].as_str()), (201, Some("ACCEPTED")), "{first}");
    let envelope = desk.door.envelope(0);
    assert_eq!((envelope.id.as_str(), envelope.from.as_str()), (first["id"].as_str().unwrap(), "so-tnmt"));
    assert_eq!(desk.door.uploaded.lock().unwrap()[&Digest::of(b"content")], "content");
    let (status, again) = desk.post("k-1", &letter()).await;
    assert_eq!((status, &again), (200, &first));
    assert_eq!(desk.door.submitted.lock().unwrap().len(), 1, "the repeat is answered from what is kept");
    let path = format!("/v1/envelopes/{}", envelope.id);
    assert_eq!(desk.get(&path, &format!("Bearer {TOKEN}")).await, (200, first));
    let mut other = letter();
    other["subject"] = "Khác".into();
    let (status, told) = desk.post("k-1", &other).await;
    assert_eq!((status, told["code"].as_str()), (409, Some("ENVELOPE_ID_REUSED")));
}

#[tokio::test]
async fn a_repeat_after_a_busy_gateway_and_a_restart_submits_the_same_bytes() {
    let desk = Desk::open("").await;
    desk.door.refusals.lock().unwrap().push(Refusal::new(Reason::StoreFull).retry_after(Duration::from_millis(1_500)));
    let (status, told) = desk.post("k-1", &letter()).await;
    assert_eq!((status, told["code"].as_str(), told["retryable"].as_bool()), (429, Some("STORE_FULL"), Some(true)));
    let kept = |folder: &tempfile::TempDir| {
        let file = std::fs::read_dir(folder.path().join("state/accepted")).unwrap().next().unwrap().unwrap();
        let entry: Value = serde_json::from_slice(&std::fs::read(file.path()).unwrap()).unwrap();
        STANDARD.decode(entry["signed"].as_str().unwrap()).unwrap()
    };
    let sealed = kept(&desk.folder);
    let Desk { http, door, _receiving, folder } = desk;
    _receiving.abort();
    drop(http);
    let desk = Desk::open_in(folder, door, "").await;
    assert_eq!(desk.post("k-1", &letter()).await.0, 201);
    assert_eq!(desk.door.submitted.lock().unwrap()[0], sealed);
    desk.door.refusals.lock().unwrap().push(Refusal::new(Reason::RecipientUnknown));
    let (status, told) = desk.post("k-2", &letter()).await;
    assert_eq!(told["code"].as_str(), Some("RECIPIENT_UNKNOWN"), "{status}");
    let mut corrected = letter();
    corrected["to"] = json!(["H99.51"]);
    assert_eq!(desk.post("k-2", &corrected).await.0, 201, "a corrected request may take the key");
}

#[tokio::test]
async fn who_does_not_show_the_token_is_told_nothing() {
    let desk = Desk::open("").await;
    for shown in ["", "Bearer", "Bearer wrong-wrong-wrong-wrong", "Basic aGFpOm1vdA==", TOKEN] {
        let (status, told) = desk.get("/v1/envelopes/0197a2b4-3c5d-7e6f-8a9b-0c1d2e3f4a5b", shown).await;
        assert_eq!((status, told["code"].as_str()), (401, Some("HOP_UNKNOWN")), "{shown}");
    }
    assert_eq!(call(desk.address(), "POST /v1/envelopes HTTP/1.1", &[], b"{}").await.0, 401);
    assert!(desk.door.submitted.lock().unwrap().is_empty());
}

#[tokio::test]
async fn bad_requests_are_told_what_is_wrong_without_their_own_words() {
    let desk = Desk::open("").await;
    let check = async |key: &str, body: &str, status: u16, field: &str| {
        let (found, told) = desk.post_bytes(key, body.as_bytes()).await;
        assert_eq!((found, told["field"].as_str().unwrap_or_default()), (status, field), "{body}: {told}");
        assert!(!told.to_string().contains("012345678901"), "{told}");
    };
    check("k", "{", 400, "body").await;
    check("k", "{\"to\": [\"H99.50\"], \"subject\": \"x\", \"cccd\": \"012345678901\"}", 400, "body").await;
    check("k", "[]", 400, "body").await;
    check("", "{\"to\": [\"H99.50\"], \"subject\": \"x\"}", 400, "idempotency-key").await;
    check(&"k".repeat(256), "{\"to\": [\"H99.50\"], \"subject\": \"x\"}", 400, "idempotency-key").await;
    check("k", "{\"to\": [\"H99.50\"], \"subject\": \"x\", \"id\": \"X\"}", 400, "id").await;
    check("k", "{\"to\": [\"H99.50\"], \"subject\": \"x\", \"priority\": 5}", 400, "priority").await;
    check("k", "{\"to\": [\"H99.50\"], \"subject\": \"x\", \"expires_in\": \"9\"}", 400, "expires_in").await;
    let part = |part: &str| format!("{{\"to\": [\"H99.50\"], \"subject\": \"x\", \"parts\": [{part}]}}");
    check("k", &part("{\"name\": \"a\"}"), 400, "parts[0]").await;
    check("k", &part("{\"name\": \"a\", \"content\": \"*\"}"), 400, "parts[0].content").await;
    let digest = Digest::of(b"other");
    check(
        "k",
        &part(&format!("{{\"name\": \"a\", \"content\": \"YQ==\", \"sha256\": \"{digest}\"}}")),
        400,
        "parts[0].sha256",
    )
    .await;
    check("k", &format!("\"{}\"", "x".repeat(routes::BODY_BYTES_MAX)), 413, "body").await;
    assert_eq!(desk.get("/nowhere", "").await.0, 404);
    assert_eq!(call(desk.address(), "DELETE /v1/envelopes HTTP/1.1", &[], b"").await.0, 405);
    assert!(desk.door.submitted.lock().unwrap().is_empty());
}

#[tokio::test]
async fn with_a_certificate_the_own_address_speaks_tls_and_nothing_else() {
    use adapters_sdk::outbound::{Origin, Outbound, OutboundSettings, Request};
    let folder = folder();
    let ladder = certs_dev::tls::TlsLadder::new(now().seconds() - 86_400).unwrap();
    let credential = ladder.issue("desk", &[]).unwrap();
    std::fs::write(folder.path().join("tls.pem"), credential.certificate_pem).unwrap();
    std::fs::write(folder.path().join("tls.key"), credential.key_pem).unwrap();
    let table = inward("").replace("plain = true", "certificate = \"tls.pem\"\nkey = \"tls.key\"");
    let http = open(&folder, &table).await;
    let address = http.serving.as_ref().unwrap().address;
    let origin = Origin::parse(&format!("https://localhost:{}", address.port())).unwrap();
    let outbound = Outbound::new(OutboundSettings {
        roots_pem: Some(ladder.authority().certificate_pem().into()),
        ..OutboundSettings::only(origin.clone(), true)
    })
    .unwrap();
    let request = Request::new(http::Method::GET, format!("{origin}/openapi.json").parse().unwrap());
    assert_eq!(outbound.send(request).await.unwrap().status.as_u16(), 200);
    assert_eq!(call(address, "GET /openapi.json HTTP/1.1", &[], b"").await.0, 0, "no plain HTTP");
}

#[tokio::test]
async fn a_part_by_link_is_fetched_from_listed_origins_alone() {
    let files =
        OtherSystem::answering(&["HTTP/1.1 200 OK\r\ncontent-length: 7\r\nconnection: close\r\n\r\ncontent"]).await;
    let origin = format!("http://127.0.0.1:{}", files.port);
    let linked = |url: &str| json!({ "to": ["H99.50"], "subject": "x", "parts": [{ "name": "a.pdf", "url": url }] });
    let desk = Desk::open(&format!("[outbound]\nallow = [{{ origin = \"{origin}\", private = true }}]")).await;
    let (status, told) = desk.post("k-1", &linked(&format!("{origin}/a"))).await;
    assert_eq!(status, 201, "{told}");
    assert_eq!(desk.door.uploaded.lock().unwrap()[&Digest::of(b"content")], "content");
    let left = std::fs::read_dir(desk.folder.path().join("state/working")).unwrap().count();
    assert_eq!(left, 0, "nothing of the download is left");
    for url in ["http://127.0.0.1:1/a", "http://169.254.169.254/latest", "file:///etc/passwd", "http://localhost/"] {
        let (status, told) = desk.post("k-2", &linked(url)).await;
        assert_eq!((status, told["field"].as_str()), (400, Some("parts[0].url")), "{url}: {told}");
    }
    // Listed, but not as private.
    let desk = Desk::open(&format!("[outbound]\nallow = [\"{origin}\"]")).await;
    assert_eq!(desk.post("k-3", &linked(&format!("{origin}/a"))).await.0, 400);
    assert_eq!(files.calls().len(), 1);
}

#[tokio::test]
async fn the_description_names_exactly_the_routes_that_there_are() {
    let desk = Desk::open("").await;
    let (status, document) = desk.get("/openapi.json", "").await;
    assert_eq!((status, document["openapi"].as_str()), (200, Some("3.1.0")));
    let paths: Vec<&String> = document["paths"].as_object().unwrap().keys().collect();
    assert_eq!(paths.len(), 4);
    for (path, methods) in document["paths"].as_object().unwrap() {
        for method in ["get", "post", "put", "delete"] {
            let place = path.replace("{id}", "x").replace("{delivery}", "x").replace("{sha256}", "x");
            let line = format!("{} {place} HTTP/1.1", method.to_uppercase());
            let is_there = call(desk.address(), &line, &[], b"").await.0 != 405;
            assert_eq!(methods.get(method).is_some(), is_there, "{method} {path}");
        }
    }
}

#[test]
fn checking_tells_every_file_that_cannot_be_used_and_touches_nothing() {
    let base = tempfile::tempdir().unwrap();
    let table = inward("")
        + "[out]\nurl = \"http://dms.example/\"\nsecrets = [\"secret\"]\n[outbound]\nallow = [\"http://dms.example\"]";
    let prepared = HttpKind.prepare(&table.parse().unwrap(), &context(base.path())).map_err(drop).unwrap();
    let keys: Vec<String> = prepared.check().into_iter().map(|fault| fault.key).collect();
    assert_eq!(keys, ["out.secrets", "in.token_file", "seal.certificate", "seal.key"]);
    assert_eq!(std::fs::read_dir(base.path()).unwrap().count(), 0);
    let whole = folder();
    let prepared = HttpKind.prepare(&table.parse().unwrap(), &context(whole.path())).map_err(drop).unwrap();
    assert!(prepared.check().is_empty());
}

mod mapped;
mod refused;
