//! Two nodes of one gateway: what is decided at one holds at the other, alarms are given once, quotas are shared, parts are found, and each node
//! may be restarted while the other serves.

use std::time::Duration;

use certs_dev::province::Plan;
use gateway_cli::local::Local;
use gateway_cli::local::redis::Redis;
use gateway_model::Digest;
use gateway_model::agency::OperatorRole;
use gateway_model::id::AgencyId;
use proto::v1;
use proto::v1::submit_service_client::SubmitServiceClient;
use tests_harness::gateways::{self, FAST, Federation};
use tests_harness::load::Load;
use tests_harness::nodes::Nodes;
use tests_harness::operator::{Operator, looked_until};
use tests_harness::sender::Sender;
use tests_harness::{reconcile, refusal};

/// The gateway with two nodes.
const PROVINCE: usize = 2;
/// Long enough for a machine that has other things to do.
const SEEN_WITHIN: Duration = Duration::from_secs(60);

/// What a quota of one a second lets in at once after a quiet time.
const BURST: usize = 10;

/// The province on two nodes, running.
async fn running(extra: &str) -> (Federation, Nodes, Redis) {
    let extra = format!("{FAST}{extra}");
    let mut federation = Federation::lay_out(Plan::province(), &extra, gateways::binary().unwrap()).unwrap();
    let redis = Redis::start(&federation.local.folder.join("redis")).await.unwrap();
    let nodes = Nodes::lay_out(&mut federation.local, PROVINCE, &redis).await.unwrap();
    federation.local.start().await.unwrap();
    (federation, nodes, redis)
}

/// A sender of `agency` at one node, past the balancer.
async fn sender_at(local: &Local, agency: &AgencyId, number: usize) -> Sender {
    let mut sender = Sender::connect(local, agency).await.unwrap();
    let mut profile = local.system_profile(agency).unwrap();
    profile.gateway = format!("https://127.0.0.1:{}", local.gateways[number].port);
    sender.client = SubmitServiceClient::new(profile.open().await.unwrap());
    sender
}

/// How often the logs of both nodes have a line with these words.
fn said(local: &Local, nodes: &Nodes, words: &str) -> usize {
    let lines = |number: usize| {
        let log = std::fs::read_to_string(&local.gateways[number].log).unwrap();
        log.lines().filter(|line| line.contains(words)).count()
    };
    nodes.numbers.map(lines).iter().sum()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_operators_decide_at_one_node_holds_at_the_other_and_each_alarm_is_given_once() {
    let (federation, nodes, _redis) = running("").await;
    let local = &federation.local;
    let [one, other] =
        nodes.numbers.map(|number| Operator::at_node(&federation, number, OperatorRole::Operator).unwrap());
    let pause = ["peer", "pause", "gw-district", "--reason", "bảo trì"];
    assert_eq!(one.run(&pause).unwrap().code, Some(0));
    let reason = |peers: &Vec<serde_json::Value>| {
        let district = peers.iter().find(|peer| peer["gateway"] == "gw-district");
        district.is_some_and(|peer| peer["flow"]["paused"]["reason"] == "bảo trì")
    };
    looked_until(SEEN_WITHIN, || other.json(&["peer", "ls"]), reason).await.unwrap();
    let cast = &local.province.cast;
    let mut sender = sender_at(local, &cast.department, nodes.numbers[1]).await;
    let request = sender.sign(&sender.envelope(&[&cast.commune])).unwrap();
    sender.client.submit(request).await.unwrap();
    for node in [&one, &other] {
        let paused = |groups: &[serde_json::Value]| groups.len() == 1 && groups[0]["cause"] == "paused";
        node.stuck_until(SEEN_WITHIN, paused).await.unwrap();
    }
    let began = looked_until(SEEN_WITHIN, || Ok(said(local, &nodes, "an incident began")), |began| *began > 0);
    began.await.unwrap();
    // A plan that is made at one node is carried out by the other.
    let plan = one.json(&["bulk", "plan", "hold", "--reason", "xem lại", "--status", "waiting"]).unwrap().remove(0);
    let name = plan["bulk_id"].as_str().unwrap_or_else(|| panic!("{plan:#?}")).to_owned();
    let ran = other.run(&["bulk", "run", &name]).unwrap();
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert_eq!(one.json(&["bulk", "status", &name]).unwrap()[0]["status"], "done");
    assert_eq!(one.run(&["bulk", "run", &name]).unwrap().code, Some(5), "it runs once");
    assert_eq!(other.run(&["peer", "resume", "gw-district", "--reason", "xong"]).unwrap().code, Some(0));
    let plan = other.json(&["bulk", "plan", "release", "--reason", "đã xem", "--status", "held"]).unwrap().remove(0);
    let ran = one.run(&["bulk", "run", plan["bulk_id"].as_str().unwrap()]).unwrap();
    assert_eq!(ran.code, Some(0), "{ran:?}");
    for node in [&one, &other] {
        node.stuck_until(SEEN_WITHIN, <[_]>::is_empty).await.unwrap();
    }
    let ended = |count: &usize| *count == said(local, &nodes, "an incident began");
    looked_until(SEEN_WITHIN, || Ok(said(local, &nodes, "an incident ended")), ended).await.unwrap();
    assert_eq!(said(local, &nodes, "an incident began incident="), said(local, &nodes, "an incident ended incident="));
    assert_eq!(said(local, &nodes, "cause=\"paused\""), 2, "the beginning and the end, each by one node");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_directory_that_one_node_has_comes_to_the_other() {
    let (mut federation, nodes, _redis) = running("").await;
    let [one, other] = nodes.numbers;
    // The other node reads another file, in which nothing ever changes.
    federation.local.stop(other).unwrap();
    let file = federation.local.folder.join("first.bin");
    std::fs::copy(federation.local.directory_file(), &file).unwrap();
    let name = "LIENTHONG_DIRECTORY__FILE".to_owned();
    federation.local.gateways[other].environment.push((name, file.display().to_string()));
    federation.local.spawn(other).unwrap();
    federation.local.wait_until_ready(other).await.unwrap();
    federation.local.issue_directory(2).unwrap();
    for number in [one, other] {
        let operator = Operator::at_node(&federation, number, OperatorRole::Viewer).unwrap();
        let status = || operator.run(&["status", "-o", "json"]).map(|ran| ran.out);
        let has_two = |text: &String| {
            let status: serde_json::Value = serde_json::from_str(text).unwrap_or_default();
            status[0]["directory_version"] == 2
        };
        looked_until(SEEN_WITHIN, status, has_two).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_part_that_one_node_took_is_named_at_the_other_and_delivered_by_either() {
    let (federation, nodes, _redis) = running("").await;
    let local = &federation.local;
    let cast = &local.province.cast;
    let [mut one, mut other] = [
        sender_at(local, &cast.department, nodes.numbers[0]).await,
        sender_at(local, &cast.department, nodes.numbers[1]).await,
    ];
    let bytes = vec![7u8; 300_000];
    let part = v1::Part {
        name: "don.pdf".to_owned(),
        media_type: "application/pdf".to_owned(),
        size: bytes.len() as u64,
        sha256: Digest::of(&bytes).0.to_vec().into(),
        ..v1::Part::default()
    };
    let header = v1::PartHeader { sha256: part.sha256.clone(), size: part.size, ..v1::PartHeader::default() };
    let frame = |frame| v1::UploadPartRequest { frame: Some(frame) };
    let mut messages = vec![frame(v1::upload_part_request::Frame::Header(header))];
    let chunks = bytes.chunks(60_000).map(|chunk| chunk.to_vec().into());
    messages.extend(chunks.map(|chunk| frame(v1::upload_part_request::Frame::Chunk(chunk))));
    one.client.upload_part(tokio_stream::iter(messages)).await.unwrap();
    let mut envelope = other.envelope(&[&cast.land_office]);
    envelope.parts = vec![part];
    other.client.submit(other.sign(&envelope).unwrap()).await.unwrap();
    let office = local.system_folder(&local.gateways[PROVINCE].id, &cast.land_office);
    let delivered = || reconcile::delivered_ids(&office);
    looked_until(SEEN_WITHIN, delivered, |ids| ids.contains(&envelope.id)).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_one_node_lets_in_counts_at_the_other() {
    let (federation, nodes, _redis) = running("\n[quota]\nrequests_per_second = 1\n").await;
    let local = &federation.local;
    let cast = &local.province.cast;
    let mut used = 0;
    let mut one = sender_at(local, &cast.department, nodes.numbers[0]).await;
    let refused = loop {
        let request = one.sign(&one.envelope(&[&cast.land_office])).unwrap();
        match one.client.submit(request).await {
            Ok(_) => used += 1,
            Err(status) => break refusal::read(&status).unwrap(),
        }
    };
    assert_eq!(refused.reason, "QUOTA_EXCEEDED");
    // reason: nodes tell each other twice a second and nobody outside sees it; a longer wait only lets a little more in.
    tokio::time::sleep(Duration::from_secs(2)).await;
    let mut other = sender_at(local, &cast.department, nodes.numbers[1]).await;
    let mut more = 0;
    for _ in 0..BURST {
        let request = other.sign(&other.envelope(&[&cast.land_office])).unwrap();
        more += usize::from(other.client.submit(request).await.is_ok());
    }
    // A bucket of its own would be full.
    assert!(used >= BURST && more < BURST, "{used} at one node, then {more} at the other");
}

#[tokio::test(flavor = "multi_thread")]
async fn nodes_are_restarted_in_turn_under_load_and_every_envelope_gets_through_once() {
    let (mut federation, nodes, _redis) = running("").await;
    let cast = federation.local.province.cast.clone();
    let load = Load::start(&federation.local, &cast.department, &cast.land_office, 2).await.unwrap();
    for number in nodes.numbers.into_iter().chain(nodes.numbers) {
        federation.local.stop(number).unwrap();
        federation.local.spawn(number).unwrap();
        federation.local.wait_until_ready(number).await.unwrap();
        // reason: the load goes on for a while before the next one.
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    // A refusal for good would end the load with an error.
    let journal = load.finish().await.unwrap();
    let local = &federation.local;
    let office = local.system_folder(&local.gateways[PROVINCE].id, &cast.land_office);
    let delivered = reconcile::settle(&office, &journal, SEEN_WITHIN).await.unwrap();
    let difference = reconcile::reconcile(local, &cast.department, &journal, &delivered).await.unwrap();
    assert!(journal.len() > 4 && difference.is_nothing(), "{} sent: {difference:#?}", journal.len());
}
