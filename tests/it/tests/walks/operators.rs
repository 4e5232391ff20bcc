//! What operators see and do: senders that are turned away, pauses, plans of many, what was set aside, and the trace of a file over three levels.

use std::time::{Duration, Instant};

use anyhow::Context as _;
use gateway_model::agency::OperatorRole;
use serde_json::Value;
use tests_harness::gateways::Federation;
use tests_harness::operator::{Operator, causes, looked_until};
use tests_harness::sender::Sender;

/// What `stuck` promises.
const SEEN_WITHIN: Duration = Duration::from_secs(10);
/// After repair everything that waits has to go through first.
const CLOSED_WITHIN: Duration = Duration::from_secs(30);
/// Between two tries.
const LOOK: Duration = Duration::from_millis(250);

const COMMUNE: &str = "gw-commune";

/// Replaces a line of the directory's source and issues it anew.
fn reissue(federation: &Federation, version: u64, change: impl Fn(&str) -> String) {
    let path = &federation.local.province.agencies_toml;
    let text = std::fs::read_to_string(path).unwrap();
    std::fs::write(path, change(&text)).unwrap();
    federation.local.issue_directory(version).unwrap();
    std::fs::write(path, text).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sender_whose_registration_has_ended_is_named_until_it_is_accepted_again() {
    let federation = Federation::running().await.unwrap();
    let cast = &federation.local.province.cast;
    let operator = Operator::at(&federation, COMMUNE, OperatorRole::Viewer).unwrap();
    let mut sender = Sender::connect(&federation.local, &cast.commune).await.unwrap();
    let submit = async |sender: &mut Sender| {
        let request = sender.sign(&sender.envelope(&[&cast.other_commune])).unwrap();
        sender.client.submit(request).await
    };
    submit(&mut sender).await.unwrap();
    let line = format!("certificate = \"signers/{}.pem\"", cast.commune);
    reissue(&federation, 2, |text| {
        assert!(text.contains(&line), "{line} is not in\n{text}");
        text.replace(&line, &format!("{line}\nvalid_until = \"2026-01-01T00:00:00Z\""))
    });
    let begun = Instant::now();
    while submit(&mut sender).await.is_ok() {
        assert!(begun.elapsed() < SEEN_WITHIN, "the new directory is not in force");
        // The gateway looks for a new directory every second.
        tokio::time::sleep(LOOK).await;
    }
    let expected = [("certificate".to_owned(), cast.commune.to_string())];
    operator.stuck_until(SEEN_WITHIN, |groups| causes(groups) == expected).await.unwrap();
    reissue(&federation, 3, str::to_owned);
    let begun = Instant::now();
    while submit(&mut sender).await.is_err() {
        assert!(begun.elapsed() < SEEN_WITHIN, "the new directory is not in force");
        // As above.
        tokio::time::sleep(LOOK).await;
    }
    operator.stuck_until(CLOSED_WITHIN, |groups| groups.is_empty()).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_paused_gateway_gets_nothing_until_it_is_resumed_even_after_a_restart() {
    let mut federation = Federation::running().await.unwrap();
    let cast = federation.local.province.cast.clone();
    let operator = Operator::at(&federation, COMMUNE, OperatorRole::Operator).unwrap();
    let viewer = Operator::at(&federation, COMMUNE, OperatorRole::Viewer).unwrap();
    let pause = ["peer", "pause", "gw-district", "--reason", "bảo trì"];
    let refused = viewer.run(&pause).unwrap();
    assert_eq!(refused.code, Some(5), "a viewer does not act: {refused:?}");
    assert_eq!(operator.run(&pause).unwrap().code, Some(0));
    let mut sender = Sender::connect(&federation.local, &cast.commune).await.unwrap();
    let envelope = sender.envelope(&[&cast.land_office]);
    let request = sender.sign(&envelope).unwrap();
    sender.client.submit(request).await.unwrap();
    let is_paused = |groups: &[Value]| groups.len() == 1 && groups[0]["cause"] == "paused" && groups[0]["count"] == 1;
    operator.stuck_until(SEEN_WITHIN, is_paused).await.unwrap();
    federation.local.stop(0).unwrap();
    federation.local.spawn(0).unwrap();
    federation.local.wait_until_ready(0).await.unwrap();
    operator.stuck_until(SEEN_WITHIN, is_paused).await.unwrap();
    let peers = operator.json(&["peer", "ls"]).unwrap();
    assert_eq!(peers[0]["flow"]["paused"]["reason"], "bảo trì", "{peers:#?}");
    assert_eq!(operator.run(&["peer", "resume", "gw-district", "--reason", "xong"]).unwrap().code, Some(0));
    operator.stuck_until(CLOSED_WITHIN, |groups| groups.is_empty()).await.unwrap();
    let audit = operator.json(&["audit"]).unwrap();
    let acts: Vec<_> = audit.iter().map(|entry| (entry["action"].clone(), entry["subject"].clone())).collect();
    let act = |action: &str| (Value::from(action), Value::from("gateway:gw-district"));
    assert_eq!(acts, [act("resumed"), act("paused")]);
    assert_eq!(operator.run(&["peer", "ping", "gw-district"]).unwrap().code, Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_trace_tells_of_every_level_and_says_who_did_not_answer() {
    let mut federation = Federation::running().await.unwrap();
    let cast = federation.local.province.cast.clone();
    let operator = Operator::at(&federation, COMMUNE, OperatorRole::Viewer).unwrap();
    let mut sender = Sender::connect(&federation.local, &cast.commune).await.unwrap();
    let mut envelope = sender.envelope(&[&cast.land_office]);
    let file_code = "H99.30.01-261120-0007";
    envelope.case = Some(proto::v1::Case {
        file_code: file_code.to_owned(),
        procedure_code: "1.012783".to_owned(),
        ..Default::default()
    });
    envelope.content = Some(proto::v1::envelope::Content::Dossier(proto::v1::Dossier {
        subject: "Cấp lại giấy chứng nhận".to_owned(),
        ..Default::default()
    }));
    let request = sender.sign(&envelope).unwrap();
    sender.client.submit(request).await.unwrap();
    let begun = Instant::now();
    let whole = loop {
        let trace = operator.json(&["trace", file_code]).unwrap().remove(0);
        let delivered = trace["events"].as_array().unwrap().iter().any(|event| event["event"] == "delivered");
        if delivered && trace["custody"]["holdings"].as_array().is_some_and(|lines| lines.len() == 2) {
            break trace;
        }
        assert!(begun.elapsed() < CLOSED_WITHIN, "{trace:#?}");
        // It is on its way through three processes.
        tokio::time::sleep(LOOK).await;
    };
    let gateways = |key: &str| {
        let mut names: Vec<_> =
            whole[key].as_array().unwrap().iter().map(|one| one["gateway"].as_str().unwrap()).collect();
        names.sort_unstable();
        names.dedup();
        names.into_iter().map(str::to_owned).collect::<Vec<_>>()
    };
    let all = ["gw-commune", "gw-district", "gw-province"];
    assert_eq!(
        (gateways("envelopes"), gateways("sources")),
        (all.map(str::to_owned).to_vec(), all.map(str::to_owned).to_vec())
    );
    assert!(whole["sources"].as_array().unwrap().iter().all(|source| source["answered"] == true), "{whole:#?}");
    let holder = &whole["custody"]["holdings"][1];
    assert_eq!((&holder["agency"], holder["until"].is_null()), (&Value::from(cast.land_office.to_string()), true));

    federation.local.kill(1).unwrap();
    let partial = operator.json(&["trace", &envelope.id]).unwrap().remove(0);
    let silent: Vec<_> =
        partial["sources"].as_array().unwrap().iter().filter(|source| source["answered"] == false).collect();
    assert_eq!(silent.len(), 1, "{partial:#?}");
    assert_eq!(
        (&silent[0]["gateway"], &silent[0]["reason"]),
        (&Value::from("gw-district"), &Value::from("PEER_UNREACHABLE"))
    );
    assert!(
        partial["events"].as_array().unwrap().iter().any(|event| event["event"] == "delivered"),
        "receipts came home before"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_an_adapter_could_not_take_in_is_listed_with_its_reason() {
    let federation = Federation::running().await.unwrap();
    let operator = Operator::at(&federation, "gw-province", OperatorRole::Viewer).unwrap();
    let drop = federation.local.folder.join("systems/land-office/outgoing/hs-0042.toml");
    std::fs::write(drop, "subject = \"Trả kết quả\"\nto = [\"no-such-agency\"]\n").unwrap();
    let office = || {
        let adapters = operator.json(&["adapter", "ls"])?;
        adapters.into_iter().find(|adapter| adapter["name"] == "land-office").context("no such adapter")
    };
    let office = looked_until(CLOSED_WITHIN, office, |office| office["quarantined_count"] == 1).await.unwrap();
    let aside = &office["quarantined"][0];
    assert!(aside["reason"] == "RECIPIENT_UNKNOWN" && aside["since"].is_string(), "{aside:#}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plan_of_many_is_frozen_run_and_written_into_the_audit() {
    let mut federation = Federation::running().await.unwrap();
    let cast = federation.local.province.cast.clone();
    let operator = Operator::at(&federation, COMMUNE, OperatorRole::Operator).unwrap();
    federation.local.kill(1).unwrap();
    let mut sender = Sender::connect(&federation.local, &cast.commune).await.unwrap();
    let submit = async |sender: &mut Sender| {
        let request = sender.sign(&sender.envelope(&[&cast.land_office])).unwrap();
        sender.client.submit(request).await.unwrap();
    };
    for _ in 0..5 {
        submit(&mut sender).await;
    }
    let plan = ["bulk", "plan", "return", "--status", "waiting", "--reason", "gửi nhầm nơi"];
    let plan = operator.json(&plan).unwrap().remove(0);
    assert_eq!((&plan["count"], &plan["status"]), (&Value::from(5), &Value::from("planned")));
    // What comes later is not in the plan.
    submit(&mut sender).await;
    let id = plan["bulk_id"].as_str().unwrap();
    let ran = operator.json(&["bulk", "run", id]).unwrap().remove(0);
    assert_eq!((&ran["status"], &ran["moved"]), (&Value::from("done"), &Value::from(5)));
    assert_eq!(operator.json(&["msg", "ls", "--status", "returned"]).unwrap().len(), 5);
    assert_eq!(operator.json(&["msg", "ls", "--status", "waiting"]).unwrap().len(), 1);
    assert_eq!(operator.run(&["bulk", "run", id]).unwrap().code, Some(5), "a plan runs once");
    let audit = operator.json(&["audit"]).unwrap();
    let count = |action: &str| audit.iter().filter(|entry| entry["action"] == action).count();
    assert_eq!((count("returned"), count("bulk-started"), count("bulk-planned")), (5, 1, 1));
    assert!(audit.iter().all(|entry| entry["note"] == "gửi nhầm nơi"));
}
