//! We are the hub: a document-management system sends, polls, confirms.

use std::time::{Duration, SystemTime};

use adapters_sdk::Outcome;
use adapters_simulators::dms::call::HubAccess;
use adapters_simulators::dms::{Dms, DmsError, DmsFaults, DmsOptions, DmsWay};
use adapters_simulators::edxml::Dialect;
use adapters_simulators::edxml::writing::{Paper, paper};
use bytes::Bytes;
use gateway_model::{Reason, Refusal};
use proto::v1;
use proto::v1::envelope::Content;

use crate::stage::{Post, Running, code};

const COMMUNE: &str = "h99.30.01";
const DEPARTMENT: &str = "h99.12";

struct Pair {
    post: std::sync::Arc<Post>,
    commune: Dms,
    department: Dms,
    _adapters: [Running; 2],
}

async fn pair(dialect: Dialect) -> Pair {
    let post = Post::new();
    let (first, at_commune) = post.open_server(COMMUNE).await;
    let (second, at_department) = post.open_server(DEPARTMENT).await;
    let options = DmsOptions { dialect, ..DmsOptions::new(code(COMMUNE), DmsWay::Hub(at_commune)) };
    let mut commune = Dms::new(options);
    let mut department = Dms::new(DmsOptions::new(code(DEPARTMENT), DmsWay::Hub(at_department)));
    commune.start();
    department.start();
    Pair { post, commune, department, _adapters: [first, second] }
}

fn to_department() -> Paper {
    Paper { to: vec![code(DEPARTMENT).to_owned()], ..Paper::default() }
}

fn port(access: &HubAccess) -> u16 {
    access.url.split(':').nth(2).unwrap().split('/').next().unwrap().parse().unwrap()
}

fn refused(result: Result<impl std::fmt::Debug, DmsError>) -> String {
    match result.unwrap_err() {
        DmsError::Refused { code, .. } => code,
        other => panic!("{other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_paper_arrives_byte_for_byte_in_every_dialect_with_our_trace_behind_it_and_its_statuses_come_home() {
    for dialect in Dialect::ALL {
        let pair = pair(dialect).await;
        let sent = pair.commune.send(&to_department()).await.unwrap();
        assert!(!sent.doc_id.is_empty(), "the hub answers with the id of the envelope");
        let arrived = pair.department.wait_for_paper(&sent.document_id, "0").await.unwrap();
        assert_eq!(arrived.seen.trace, [code(COMMUNE), "W99"]);
        let before = &pair.commune.journal()[0].package;
        let without_ours = remove_last_trace(&arrived.package);
        assert_eq!(without_ours, String::from_utf8(before.to_vec()).unwrap(), "{dialect:?}");
        pair.commune.wait_for_status(&sent.document_id, "01").await.unwrap();
        for status in ["03", "05", "03", "06"] {
            pair.department.say(&arrived, status, "Ghi chú").await.unwrap();
            pair.commune.wait_for_status(&sent.document_id, status).await.unwrap();
        }
        let envelopes = pair.post.envelopes();
        for envelope in envelopes.iter().skip(1) {
            assert_eq!(envelope.in_reply_to.as_ref().unwrap().id, envelopes[0].id, "a status answers the paper");
            assert!(!envelope.in_reply_to.as_ref().unwrap().sha256.is_empty());
        }
    }
}

fn remove_last_trace(package: &[u8]) -> String {
    let text = String::from_utf8(package.to_vec()).unwrap();
    let end = text.rfind("TraceHeader>").unwrap() + "TraceHeader>".len();
    let start = text[..end].rfind("TraceHeader><").map(|at| text[..at].rfind('<').unwrap()).unwrap();
    format!("{}{}", &text[..start], &text[end..])
}

#[tokio::test(flavor = "multi_thread")]
async fn a_recall_is_a_request_with_an_answer() {
    let pair = pair(Dialect::Standard).await;
    for (verdict, status) in [(v1::ChangeVerdict::Agreed, "15"), (v1::ChangeVerdict::Declined, "16")] {
        let sent = pair.commune.send(&to_department()).await.unwrap();
        pair.department.wait_for_paper(&sent.document_id, "0").await.unwrap();
        pair.commune.recall(&sent, "Sai số liệu").await.unwrap();
        let asked = pair.department.wait_for_paper(&sent.document_id, "1").await.unwrap();
        assert_eq!(asked.seen.note, "Sai số liệu");
        pair.department.say(&asked, status, "Trả lời").await.unwrap();
        pair.commune.wait_for_status(&sent.document_id, status).await.unwrap();
        let envelopes = pair.post.envelopes();
        let asked = envelopes.iter().rev().find(|e| matches!(e.content, Some(Content::ChangeRequest(_)))).unwrap();
        let answer = envelopes.iter().rev().find(|e| matches!(e.content, Some(Content::ChangeAnswer(_)))).unwrap();
        let Some(Content::ChangeAnswer(said)) = &answer.content else { panic!("no answer") };
        assert_eq!(said.verdict(), verdict);
        assert_eq!(answer.in_reply_to.as_ref().unwrap().id, asked.id);
        let paper = envelopes.iter().find(|e| e.id == asked.supersedes.as_ref().unwrap().id).unwrap();
        assert!(matches!(paper.content, Some(Content::Document(_))));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_package_again_is_the_same_envelope_even_when_the_gateways_answer_was_lost() {
    let pair = pair(Dialect::Zipped).await;
    *pair.post.lost_answers.lock().unwrap() = 1;
    let package =
        Bytes::from(paper(&to_department(), code(COMMUNE), "một,hai/ba", "2026/11/20 08:00:00", Dialect::Zipped));
    assert_eq!(refused(pair.commune.hand_over(package.clone()).await), "STORE_UNAVAILABLE");
    let first = pair.commune.hand_over(package.clone()).await.unwrap();
    let second = pair.commune.hand_over(package).await.unwrap();
    assert_eq!(first, second);
    pair.department.wait_for_paper("một,hai/ba", "0").await.unwrap();
    pair.commune.wait_for_status("một,hai/ba", "01").await.unwrap();
    assert_eq!(pair.post.envelopes().len(), 2, "the paper and its 01");
    assert_eq!(pair.department.journal().iter().filter(|entry| !entry.is_sent).count(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_package_counts_as_delivered_only_when_it_is_confirmed() {
    let pair = pair(Dialect::Standard).await;
    pair.department.fault(DmsFaults { forget_fetched: 1, fail: 1, ..DmsFaults::default() });
    let sent = pair.commune.send(&to_department()).await.unwrap();
    pair.department.wait_for_paper(&sent.document_id, "0").await.unwrap();
    assert_eq!(pair.post.settled(1).await[0], Outcome::Taken { receipt: None });
    assert!(pair.department.journal().iter().all(|entry| !entry.is_repeat));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_confirmation_that_comes_after_the_lease_still_counts_once() {
    let post = Post::new();
    let (_first, at_commune) = post.open_server(COMMUNE).await;
    let (_second, at_department) = post.open_server(DEPARTMENT).await;
    let commune = Dms::new(DmsOptions::new(code(COMMUNE), DmsWay::Hub(at_commune)));
    let mut department = Dms::new(DmsOptions::new(code(DEPARTMENT), DmsWay::Hub(at_department)));
    department.fault(DmsFaults { slow: Duration::from_secs(3), ..DmsFaults::default() });
    department.start();
    let sent = commune.send(&to_department()).await.unwrap();
    department.wait_for_paper(&sent.document_id, "0").await.unwrap();
    assert_eq!(post.settled(1).await[0], Outcome::Taken { receipt: None });
    assert_eq!(department.journal().iter().filter(|entry| !entry.is_sent).count(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rejection_is_a_refusal_for_good() {
    let post = Post::new();
    let (_first, at_commune) = post.open_server(COMMUNE).await;
    let (_second, at_department) = post.open_server(DEPARTMENT).await;
    let commune = Dms::new(DmsOptions::new(code(COMMUNE), DmsWay::Hub(at_commune)));
    let options = DmsOptions {
        confirm_as: "rejection".to_owned(),
        ..DmsOptions::new(code(DEPARTMENT), DmsWay::Hub(at_department))
    };
    let mut department = Dms::new(options);
    department.start();
    let sent = commune.send(&to_department()).await.unwrap();
    let outcome = post.settled(1).await.remove(0);
    assert!(matches!(outcome, Outcome::Refused { reason: Reason::AdapterRefused, .. }), "{outcome:?}");
    let mut commune = commune;
    commune.start();
    let told = commune.wait_for_status(&sent.document_id, "02").await.unwrap();
    assert_eq!((told.seen.from.as_str(), told.seen.answered.as_str()), (code(DEPARTMENT), code(COMMUNE)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_in_the_middle_loses_nothing_and_doubles_nothing() {
    let post = Post::new();
    let (first, at_commune) = post.open_server(COMMUNE).await;
    let port = port(&at_commune);
    let (_second, at_department) = post.open_server(DEPARTMENT).await;
    let commune = Dms::new(DmsOptions::new(code(COMMUNE), DmsWay::Hub(at_commune)));
    let mut department = Dms::new(DmsOptions::new(code(DEPARTMENT), DmsWay::Hub(at_department)));
    department.start();
    let package = Bytes::from(paper(&to_department(), code(COMMUNE), "a/1", "2026/11/20 08:00:00", Dialect::Bare));
    *post.lost_answers.lock().unwrap() = 1;
    assert_eq!(refused(commune.hand_over(package.clone()).await), "STORE_UNAVAILABLE");
    first.crash(&post, COMMUNE).await;
    let (_again, _) = post.open_server_at(COMMUNE, port).await;
    commune.hand_over(package).await.unwrap();
    let arrived = department.wait_for_paper("a/1", "0").await.unwrap();
    department.say(&arrived, "03", "Đã tiếp nhận").await.unwrap();
    let mut commune = commune;
    commune.start();
    commune.wait_for_status("a/1", "03").await.unwrap();
    assert_eq!(post.envelopes().iter().filter(|e| matches!(e.content, Some(Content::Document(_)))).count(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn every_defect_is_answered_with_its_code_and_nothing_is_submitted() {
    let pair = pair(Dialect::Standard).await;
    let good = paper(&to_department(), code(COMMUNE), "x", "2026/11/20 08:00:00", Dialect::Standard);
    let good = String::from_utf8(good).unwrap();
    let check = async |package: String, expected: &str| {
        assert_eq!(refused(pair.commune.hand_over(package.into()).await), expected);
    };
    check(format!("<!DOCTYPE a>{good}"), "EDXML_DOCTYPE").await;
    check(good.replace("?>\n", "?>\n<!DOCTYPE a SYSTEM \"file:///etc/passwd\">"), "EDXML_DOCTYPE").await;
    check(good.replace("2026/11/20</", "2026/02/30</"), "EDXML_DATE_IMPOSSIBLE").await;
    check(good.replace("Về việc", "MẬT: Về việc"), "EDXML_SECRECY_MARK").await;
    check(good.replace(code(COMMUNE), code(DEPARTMENT)), "EDXML_SENDER_FOREIGN").await;
    check(good.replace(code(COMMUNE), "vxp.saas.03"), "EDXML_SENDER_FOREIGN").await;
    check("no xml".to_owned(), "EDXML_STRAY_BYTES").await;
    pair.post.refuses(Refusal::new(Reason::RecipientUnknown));
    check(good.clone(), "RECIPIENT_UNKNOWN").await;
    assert_eq!(pair.post.envelopes().len(), 0);
    pair.commune.hand_over(good.into()).await.unwrap();
    assert_eq!(pair.post.envelopes().len(), 1, "what was refused once may come again");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_refused_for_good_is_kept_once_for_the_operator_and_what_may_come_again_is_not() {
    let pair = pair(Dialect::Standard).await;
    let good = paper(&to_department(), code(COMMUNE), "x", "2026/11/20 08:00:00", Dialect::Standard);
    let bad = String::from_utf8(good.clone()).unwrap().replace("2026/11/20</", "2026/02/30</");
    for _ in 0..2 {
        let told = refused(pair.commune.hand_over(bad.clone().into()).await);
        assert_eq!(told, "EDXML_DATE_IMPOSSIBLE");
    }
    pair.post.refuses(Refusal::new(Reason::RecipientUnknown));
    assert_eq!(refused(pair.commune.hand_over(good.clone().into()).await), "RECIPIENT_UNKNOWN");
    pair.post.refuses(Refusal::new(Reason::Overloaded));
    assert_eq!(refused(pair.commune.hand_over(good.clone().into()).await), "OVERLOADED");
    let quarantine = pair.post.path(COMMUNE).join("quarantine");
    let (count, kept) = adapters_sdk::quarantine::look(quarantine.clone(), 10).await.unwrap();
    let mut seen: Vec<(&str, Vec<u8>)> = Vec::new();
    for one in &kept {
        assert!(one.name.starts_with(code(COMMUNE)), "it is called by the agency that sent it: {}", one.name);
        seen.push((&one.reason, std::fs::read(quarantine.join(format!("{}.edxml", one.name))).unwrap()));
    }
    seen.sort();
    assert_eq!(count, 2);
    assert_eq!(seen, [("EDXML_DATE_IMPOSSIBLE", bad.into_bytes()), ("RECIPIENT_UNKNOWN", good)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_that_was_overheard_is_refused_after_a_restart_too() {
    let post = Post::new();
    let (first, at_commune) = post.open_server(COMMUNE).await;
    let port = port(&at_commune);
    let commune = Dms::new(DmsOptions::new(code(COMMUNE), DmsWay::Hub(at_commune)));
    let hub = commune.hub().unwrap();
    let sign = || hub.sign("getEdoc", &[("from", code(COMMUNE)), ("docId", &"0".repeat(32))], Bytes::new());
    let fetch = sign();
    assert_eq!(hub.send(&fetch).await.unwrap()["ErrorCode"], "NOT_HERE");
    first.crash(&post, COMMUNE).await;
    let (_again, _) = post.open_server_at(COMMUNE, port).await;
    assert_eq!(hub.send(&fetch).await.unwrap()["ErrorCode"], "REPLAYED");
    assert_eq!(hub.send(&sign()).await.unwrap()["ErrorCode"], "NOT_HERE", "signed anew it is another call");
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_are_let_in_only_signed_in_time_for_an_own_agency_and_changing_ones_once() {
    let pair = pair(Dialect::Standard).await;
    let hub = pair.commune.hub().unwrap();
    let own = code(COMMUNE);
    let failed = async |call| {
        let answer = hub.send(&call).await.unwrap();
        answer["ErrorCode"].as_str().unwrap().to_owned()
    };
    let list = |from: &str| hub.sign("getReceivedEdocList", &[("from", from)], Bytes::new());
    assert_eq!(failed(list(own)).await, "0");
    assert_eq!(failed(list(code(DEPARTMENT))).await, "FROM_FOREIGN");
    assert_eq!(failed(hub.sign("nothing", &[("from", own)], Bytes::new())).await, "UNKNOWN_PATH");
    assert_eq!(failed(hub.sign("registerAgency", &[("from", own)], Bytes::new())).await, "DIRECTORY_SIGNED");
    let late = SystemTime::now() - Duration::from_secs(3_600);
    assert_eq!(failed(hub.sign_at("getReceivedEdocList", &[("from", own)], Bytes::new(), late)).await, "TIMESTAMP");
    let mut forged = list(own);
    forged.headers.iter_mut().find(|(name, _)| name == "from").unwrap().1 = code(DEPARTMENT).to_owned();
    assert_eq!(failed(forged).await, "UNAUTHORIZED");
    let mut forged = list(own);
    forged.headers.retain(|(name, _)| name != "hash-header");
    assert_eq!(failed(forged).await, "UNAUTHORIZED");
    let update =
        hub.sign("updateStatus", &[("from", own), ("docId", &"0".repeat(32)), ("status", "done")], Bytes::new());
    assert_eq!(failed(update.clone()).await, "NOT_HERE");
    assert_eq!(failed(update).await, "REPLAYED");
    let fetch = hub.sign("getEdoc", &[("from", own), ("docId", &"0".repeat(32))], Bytes::new());
    assert_eq!(failed(fetch.clone()).await, "NOT_HERE");
    assert_eq!(failed(fetch).await, "REPLAYED", "what is overheard fetches no paper");
    let mut send = hub.sign("sendEdoc", &[("from", own)], Bytes::from_static(b"<a/>"));
    send.body = Bytes::from_static(b"<b/>");
    assert_eq!(failed(send).await, "HASH_FILE");
    for path in ["getAgenciesList", "getAgenciesListQD20", "getSynchronizeUnit"] {
        let answer = hub.call(path, &[("from", own)], Bytes::new()).await.unwrap();
        assert_eq!(answer["data"][0]["code"], own);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn lists_and_counters_say_what_lies_ready_and_what_was_sent() {
    let post = Post::new();
    let (_first, at_commune) = post.open_server(COMMUNE).await;
    let (_second, at_department) = post.open_server(DEPARTMENT).await;
    let commune = Dms::new(DmsOptions::new(code(COMMUNE), DmsWay::Hub(at_commune)));
    let department = Dms::new(DmsOptions::new(code(DEPARTMENT), DmsWay::Hub(at_department)));
    let hub = department.hub().unwrap();
    let own = [("from", code(DEPARTMENT))];
    hub.call("countReceiveEdoc", &own, Bytes::new()).await.unwrap();
    let sent = commune.send(&to_department()).await.unwrap();
    let listed = hub.call("getReceivedEdocList", &[own[0], ("messagetype", "edoc")], Bytes::new()).await.unwrap();
    let item = &listed["data"][0];
    assert_eq!((item["from"].as_str(), item["to"].as_str()), (Some(code(COMMUNE)), Some(code(DEPARTMENT))));
    assert_eq!(item["messageType"], "edoc");
    assert_eq!(hub.call("countReceiveEdoc", &own, Bytes::new()).await.unwrap()["data"], 1);
    assert_eq!(hub.call("countReceiveStatus", &own, Bytes::new()).await.unwrap()["data"], 0);
    let fetched = hub.call("getEdoc", &[own[0], ("docId", item["id"].as_str().unwrap())], Bytes::new()).await.unwrap();
    assert_eq!(fetched["status"], "OK");
    let stranger = commune.hub().unwrap();
    let taken = [("from", code(COMMUNE)), ("docId", item["id"].as_str().unwrap()), ("status", "done")];
    let foreign = stranger.call("updateStatus", &taken, Bytes::new()).await.unwrap();
    assert_eq!(foreign["ErrorCode"], "NOT_HERE", "another system cannot confirm");
    let list = commune.hub().unwrap().call("getSentEdocList", &[("from", code(COMMUNE))], Bytes::new()).await.unwrap();
    assert_eq!(list["data"][0]["senderDocId"], sent.document_id);
    assert_eq!(list["data"][0]["receiverDocId"], sent.doc_id);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_package_in_a_form_is_the_same_package() {
    let pair = pair(Dialect::Standard).await;
    let hub = pair.commune.hub().unwrap();
    let own = code(COMMUNE);
    let package = Bytes::from(paper(&to_department(), own, "form/1", "2026/11/20 08:00:00", Dialect::Standard));
    let plain = hub.sign("sendEdoc", &[("from", own), ("messagetype", "edoc")], package.clone());
    let mut form = plain.clone();
    form.content_type = "multipart/form-data; boundary=\"----ranh gioi\"".to_owned();
    let head = "------ranh gioi\r\nContent-Disposition: form-data; name=\"note\"\r\n\r\nx\r\n------ranh gioi\r\n\
                Content-Disposition: form-data; name=\"file\"; filename=\"vb.edxml\"\r\n\
                Content-Type: application/octet-stream\r\n\r\n";
    form.body = [head.as_bytes(), &package, b"\r\n------ranh gioi--\r\n"].concat().into();
    let first = hub.send(&form).await.unwrap();
    assert_eq!(first["status"], "OK", "{first}");
    assert_eq!(hub.send(&plain).await.unwrap()["DocId"], first["DocId"]);
    let mut cut = form.clone();
    cut.body = form.body.slice(..form.body.len() - 30);
    assert_eq!(hub.send(&cut).await.unwrap()["ErrorCode"], "MULTIPART");
    pair.department.wait_for_paper("form/1", "0").await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn with_a_certificate_the_hub_speaks_tls() {
    use adapters_sdk::outbound::{Origin, Outbound, OutboundSettings, Request};
    let post = Post::new();
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs();
    let ladder = certs_dev::tls::TlsLadder::new(since as i64 - 86_400).unwrap();
    let credential = ladder.issue("hub", &[]).unwrap();
    std::fs::write(post.path("tls.pem"), credential.certificate_pem).unwrap();
    std::fs::write(post.path("tls.key"), credential.key_pem).unwrap();
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let hub = format!(
        "address = \"127.0.0.1:{port}\"\nsecret_file = \"secret\"\ncertificate = \"tls.pem\"\nkey = \"tls.key\""
    );
    let _adapter = post.open(COMMUNE, &format!("door = \"hub-server\"\n[hub]\n{hub}")).await;
    let origin = Origin::parse(&format!("https://localhost:{port}")).unwrap();
    let outbound = Outbound::new(OutboundSettings {
        roots_pem: Some(ladder.authority().certificate_pem().into()),
        ..OutboundSettings::only(origin.clone(), true)
    })
    .unwrap();
    let request = Request::new(http::Method::POST, format!("{origin}/edoc/getSentEdocList").parse().unwrap());
    let answer = outbound.send(request).await.unwrap().collect(10_000).await.unwrap();
    assert!(String::from_utf8_lossy(&answer).contains("UNAUTHORIZED"), "{answer:?}");
}
