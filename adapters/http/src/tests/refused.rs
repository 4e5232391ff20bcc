//! What is refused for good at the REST door is recorded for the operator, and nothing of what it said.

use adapters_sdk::quarantine::look;

use super::*;

const CITIZEN: &str = "099000000001";

/// The reason codes of what is recorded.
async fn recorded(desk: &Desk) -> Vec<String> {
    let (count, seen) = look(desk.http.quarantine().unwrap(), 100).await.unwrap();
    assert_eq!(count, seen.len());
    let mut reasons: Vec<String> = seen.into_iter().map(|one| one.reason).collect();
    reasons.sort();
    reasons
}

fn texts(desk: &Desk) -> Vec<String> {
    let entries = std::fs::read_dir(desk.http.quarantine().unwrap()).unwrap();
    entries.map(|entry| std::fs::read_to_string(entry.unwrap().path()).unwrap()).collect()
}

#[tokio::test]
async fn a_refusal_is_recorded_once_with_its_digest_and_without_the_citizen() {
    let desk = Desk::open("").await;
    let mut wrong = letter();
    wrong["cccd"] = CITIZEN.into();
    for _ in 0..2 {
        assert_eq!(desk.post("k-1", &wrong).await.0, 400);
    }
    let mut about = letter();
    about["subject"] = format!("Hồ sơ của {CITIZEN}").into();
    desk.door.refusals.lock().unwrap().push(Refusal::new(Reason::RecipientUnknown));
    assert_eq!(desk.post("k-2", &about).await.1["code"], "RECIPIENT_UNKNOWN");
    assert_eq!(recorded(&desk).await, ["RECIPIENT_UNKNOWN", "REQUEST_MALFORMED"]);
    for text in texts(&desk) {
        assert!(!text.contains(CITIZEN), "{text}");
        let record: Value = serde_json::from_str(&text).unwrap();
        let body = if record["reason"] == "RECIPIENT_UNKNOWN" { &about } else { &wrong };
        assert_eq!(record["sha256"], Digest::of(body.to_string().as_bytes()).to_string());
        let words = [&record["vi"], &record["en"], &record["received_at"]].map(|text| text.as_str().unwrap().len());
        assert!(words.iter().all(|length| *length > 10), "{record}");
    }
    let Desk { http, door, _receiving, folder } = desk;
    _receiving.abort();
    drop(http);
    let desk = Desk::open_in(folder, door, "").await;
    assert_eq!(recorded(&desk).await.len(), 2, "a restart forgets nothing");
}

#[tokio::test]
async fn what_may_be_repeated_and_who_is_a_stranger_leaves_no_record() {
    let desk = Desk::open("").await;
    desk.door.refusals.lock().unwrap().push(Refusal::new(Reason::StoreFull));
    assert_eq!(desk.post("k-1", &letter()).await.0, 429);
    assert_eq!(desk.get("/v1/envelopes/x", "Bearer wrong-wrong-wrong-wrong").await.0, 401);
    assert_eq!(call(desk.address(), "POST /v1/envelopes HTTP/1.1", &[], b"{}").await.0, 401);
    assert_eq!(desk.post("k-1", &letter()).await.0, 201);
    assert!(recorded(&desk).await.is_empty());
    let large = format!("\"{}\"", "x".repeat(routes::BODY_BYTES_MAX));
    assert_eq!(desk.post_bytes("k-2", large.as_bytes()).await.0, 413);
    assert_eq!(recorded(&desk).await, ["REQUEST_MALFORMED"], "what is too large is never taken");
}

#[tokio::test]
async fn an_adapter_that_takes_nothing_in_has_nothing_to_record() {
    let folder = folder();
    assert_eq!(open(&folder, &out(1, "")).await.quarantine(), None);
}
