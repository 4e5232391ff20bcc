//! Search at the command line, by everything that a person has in hand: of two envelopes each filter finds the right one and no other, and a trace
//! starts from a document number.

use std::time::Duration;

use gateway_model::Digest;
use gateway_model::agency::OperatorRole;
use gateway_model::id::AgencyId;
use proto::v1;
use serde_json::Value;
use tests_harness::gateways::Federation;
use tests_harness::operator::{Operator, looked_until};
use tests_harness::sender::Sender;

use super::by_hand::part;

/// After repair everything that waits has to go through first.
const DELIVERED_WITHIN: Duration = Duration::from_secs(30);

const COMMUNE: &str = "gw-commune";

/// An envelope, and all that somebody may know of it.
struct Known {
    id: String,
    envelope_sha256: String,
    part_sha256: String,
    file_code: String,
    document_code: String,
    sender: Vec<String>,
    recipient: Vec<String>,
}

/// Every name of an agency: its id and its codes.
fn names(federation: &Federation, agency: &AgencyId) -> Vec<String> {
    let codes = federation.local.province.agency(agency).unwrap().codes.iter().cloned();
    let names: Vec<String> = std::iter::once(agency.to_string()).chain(codes).collect();
    assert!(names.len() >= 3, "{names:?}");
    names
}

/// Submits document number `number` with an attachment.
async fn submit(federation: &Federation, number: u32, from: &AgencyId, to: &AgencyId) -> Known {
    let mut sender = Sender::connect(&federation.local, from).await.unwrap();
    let attachment = format!("Phụ lục số {number}").into_bytes();
    let document_code = format!("{number}/QĐ-UBND");
    let file_code = format!("H99.30.01-261120-{number:04}");
    let envelope = sender.envelope(&[to]);
    let envelope = v1::Envelope {
        case: Some(v1::Case { file_code: file_code.clone(), ..v1::Case::default() }),
        parts: vec![part("phụ lục.pdf", &attachment)],
        content: Some(v1::envelope::Content::Document(v1::Document {
            code: document_code.clone(),
            type_name: "Quyết định".to_owned(),
            subject: format!("Về việc số {number}"),
            promulgated_on: "2026-11-20".to_owned(),
        })),
        ..envelope
    };
    let mut request = sender.sign(&envelope).unwrap();
    request.inline_parts = vec![v1::InlinePart { content: attachment.clone().into() }];
    let envelope_sha256 = Digest::of(&request.envelope.as_ref().unwrap().envelope).to_string();
    sender.client.submit(request).await.unwrap();
    Known {
        id: envelope.id,
        envelope_sha256,
        part_sha256: Digest::of(&attachment).to_string(),
        file_code,
        document_code,
        sender: names(federation, from),
        recipient: names(federation, to),
    }
}

/// The ids of the envelopes that a list with these filters shows.
fn found(operator: &Operator, filters: &[&str]) -> anyhow::Result<Vec<String>> {
    let rows = operator.json(&[&["msg", "ls"][..], filters].concat())?;
    Ok(rows.iter().map(|row| row["envelope_id"].as_str().unwrap().to_owned()).collect())
}

/// The filters that fit one of two envelopes only, whatever has become of it.
fn own_filters(known: &Known) -> Vec<[&str; 2]> {
    let mut filters = vec![
        ["--envelope-id", known.id.as_str()],
        ["--file-code", &known.file_code],
        ["--document-code", &known.document_code],
        ["--sha256", &known.envelope_sha256],
        ["--sha256", &known.part_sha256],
    ];
    filters.extend(known.sender.iter().map(|name| ["--sender", name.as_str()]));
    filters.extend(known.recipient.iter().map(|name| ["--recipient", name.as_str()]));
    filters
}

#[tokio::test(flavor = "multi_thread")]
async fn each_thing_that_a_person_knows_of_an_envelope_finds_it_and_no_other() {
    let mut federation = Federation::running().await.unwrap();
    let cast = federation.local.province.cast.clone();
    federation.local.kill(1).unwrap();
    let operator = Operator::at(&federation, COMMUNE, OperatorRole::Operator).unwrap();
    let first = submit(&federation, 15, &cast.commune, &cast.district).await;
    // The first one has been tried before the second one comes.
    let unreachable = ["--reason-code", "PEER_UNREACHABLE"];
    looked_until(DELIVERED_WITHIN, || found(&operator, &unreachable), |ids| *ids == [first.id.clone()]).await.unwrap();
    let second = submit(&federation, 16, &cast.other_commune, &cast.land_office).await;
    let rows = operator.json(&["msg", "ls"]).unwrap();
    let listed: Vec<_> = rows.iter().map(|row| &row["envelope_id"]).collect();
    assert_eq!(listed, [&second.id, &first.id], "the newest first");
    let hold = ["msg", "hold", rows[0]["delivery_id"].as_str().unwrap(), "--reason", "chờ ý kiến"];
    assert_eq!(operator.run(&hold).unwrap().code, Some(0));

    let between = rows[0]["accepted_at"].as_str().unwrap();
    let mut checks: Vec<(&Known, Vec<&str>)> = Vec::new();
    for known in [&first, &second] {
        checks.extend(own_filters(known).into_iter().map(|filter| (known, filter.to_vec())));
    }
    checks.extend([
        (&first, unreachable.to_vec()),
        (&second, vec!["--reason-code", "HELD_BY_OPERATOR"]),
        (&first, vec!["--until", between]),
        (&second, vec!["--since", between]),
        (&first, vec!["--status", "waiting,refused"]),
        (&second, vec!["--status", "held"]),
        (&second, vec!["--sender", &second.sender[1], "--document-code", &second.document_code, "--status", "held"]),
    ]);
    for (known, filters) in &checks {
        assert_eq!(found(&operator, filters).unwrap(), std::slice::from_ref(&known.id), "{filters:?}");
    }
    for filters in [
        ["--sender", &first.sender[1], "--document-code", &second.document_code],
        ["--until", between, "--sha256", &second.part_sha256],
        ["--document-code", "/QĐ-UBND", "--status", "held"],
        ["--reason-code", "ROUTE_MISSING", "--sha256", &first.envelope_sha256],
    ] {
        assert_eq!(found(&operator, &filters).unwrap(), [""; 0], "{filters:?}");
    }
    for (filters, code, says) in [
        (["--sender", "H98"], 5, "SENDER_UNKNOWN"),
        (["--recipient", "H98"], 5, "RECIPIENT_UNKNOWN"),
        (["--reason-code", "NO_SUCH_REASON"], 5, "REQUEST_MALFORMED"),
        (["--sha256", &first.part_sha256[2..]], 5, "REQUEST_MALFORMED"),
        (["--sha256", "xyz"], 2, "64 hexadecimal digits"),
        (["--since", "hôm qua"], 2, "is not an instant"),
    ] {
        let ran = operator.run(&[&["msg", "ls"][..], &filters].concat()).unwrap();
        assert!(ran.code == Some(code) && ran.err.contains(says), "{filters:?}: {ran:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_trace_starts_from_a_document_number_and_each_gateway_finds_what_passed_through_it() {
    let federation = Federation::running().await.unwrap();
    let cast = &federation.local.province.cast;
    let [commune, province] =
        [COMMUNE, "gw-province"].map(|gateway| Operator::at(&federation, gateway, OperatorRole::Viewer).unwrap());
    let near = submit(&federation, 17, &cast.commune, &cast.district).await;
    let far = submit(&federation, 18, &cast.other_commune, &cast.land_office).await;
    for (known, way) in
        [(&near, &["gw-commune", "gw-district"][..]), (&far, &["gw-commune", "gw-district", "gw-province"])]
    {
        let trace = || commune.json(&["trace", &known.document_code]).map(|mut told| told.remove(0));
        let last = way[way.len() - 1];
        let is_delivered = |event: &Value| event["event"] == "delivered" && event["gateway"] == last;
        let arrived = |trace: &Value| trace["events"].as_array().unwrap().iter().any(is_delivered);
        let trace = looked_until(DELIVERED_WITHIN, trace, arrived).await.unwrap();
        let told = |key: &str, field: &str| {
            let list = trace[key].as_array().unwrap().iter();
            let mut told: Vec<_> = list.map(|one| one[field].as_str().unwrap().to_owned()).collect();
            told.sort_unstable();
            told.dedup();
            told
        };
        assert_eq!(told("envelopes", "gateway"), way, "{trace:#}");
        assert_eq!(told("envelopes", "envelope_id"), std::slice::from_ref(&known.id));
        assert_eq!(told("envelopes", "code"), std::slice::from_ref(&known.document_code));
    }
    // What ends at the district never came up to the province.
    for filter in own_filters(&far) {
        assert_eq!(found(&province, &filter).unwrap(), std::slice::from_ref(&far.id), "{filter:?}");
    }
    for filter in [["--document-code", near.document_code.as_str()], ["--sha256", &near.part_sha256]] {
        assert_eq!(found(&province, &filter).unwrap(), [""; 0], "{filter:?}");
    }
    let unknown = commune.run(&["trace", "19/QĐ-UBND"]).unwrap();
    assert!(unknown.code == Some(3) && unknown.err.contains("NOT_FOUND"), "{unknown:?}");
}
