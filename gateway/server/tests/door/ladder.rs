//! Three gateways in this process: commune → district → province, and the receipts come back.

use std::time::Duration;

use certs_dev::province::Plan;
use gateway_engine::operate::Action;
use gateway_evidence::EventKind;
use gateway_model::id::{DeliveryId, OperatorId};
use gateway_model::note::NoteSigner;
use prost::Message as _;
use proto::v1;
use proto::v1::operate_service_client::OperateServiceClient;
use proto::v1::submit_service_client::SubmitServiceClient;

use crate::gateway::{Running, Site, free_ports, get};
use crate::{submission, upload};

struct Ladder {
    site: Site,
    ports: [u16; 3],
    gateways: Vec<Running>,
}

impl Ladder {
    async fn start() -> Self {
        let ports = free_ports::<3>();
        let site = Site::planned(&Plan::sized(1, 2).with_ports(&ports));
        let mut ladder = Self { site, ports, gateways: Vec::new() };
        for (gateway, port) in ["gw-commune", "gw-district"].into_iter().zip(ports) {
            // The lower gateways begin with a copy and fetch every newer one from above.
            let first = format!("first-{gateway}.bin");
            std::fs::copy(ladder.site.path("directory.bin"), ladder.site.path(&first)).unwrap();
            let directory = format!("file = \"{first}\"\nfrom_parent = true");
            ladder.gateways.push(ladder.site.start_at(gateway, port, &directory, "").await);
        }
        let top =
            ladder.site.start_at("gw-province", ladder.ports[2], "file = \"directory.bin\"", &ladder.site.extra).await;
        ladder.gateways.push(top);
        ladder
    }

    async fn stop(self) {
        for gateway in self.gateways {
            gateway.stop().await.unwrap();
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_goes_from_the_commune_to_the_land_office_and_its_receipts_come_back() {
    let ladder = Ladder::start().await;
    let (site, commune) = (&ladder.site, &ladder.gateways[0]);
    let mut client = SubmitServiceClient::new(site.channel(commune, "sys-commune-onestop"));
    let map = vec![9_u8; 2 << 20];
    client.upload_part(upload(&map)).await.unwrap();
    let sender = site.province.cast.commune.clone();
    let (id, envelope) = site.envelope_from(&sender, "000.00.21.H99", &[&map]);
    client.submit(submission(envelope)).await.unwrap();
    let watched = v1::WatchRequest { sender: sender.to_string(), envelope_id: id };
    let mut events = client.watch(watched).await.unwrap().into_inner();
    let follow = async {
        let mut seen = Vec::new();
        while let Some(event) = events.message().await.unwrap() {
            let event = site.verify(event.receipt.unwrap());
            seen.push((event.gateway.to_string(), event.kind));
        }
        seen
    };
    let seen = tokio::time::timeout(Duration::from_secs(60), follow).await.unwrap();
    for step in [
        ("gw-commune", EventKind::Accepted),
        ("gw-commune", EventKind::Forwarded),
        ("gw-district", EventKind::Accepted),
        ("gw-province", EventKind::Delivered),
    ] {
        assert!(
            seen.iter().any(|(gateway, kind)| (gateway.as_str(), *kind) == step),
            "{step:?} is missing in {seen:#?}"
        );
    }
    assert_eq!(std::fs::read_dir(site.path("land-office/incoming")).unwrap().count(), 1);
    ladder.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_directory_climbs_down_from_the_top_to_every_gateway() {
    let ladder = Ladder::start().await;
    let mut changes: Vec<_> = ladder.gateways.iter().map(|gateway| gateway.engine.trust().changes()).collect();
    ladder.site.issue(2);
    for change in &mut changes {
        let newer = change.wait_for(|snapshot| snapshot.as_ref().is_some_and(|s| s.directory().version() == 2));
        tokio::time::timeout(Duration::from_secs(60), newer).await.unwrap().unwrap();
    }
    ladder.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bad_or_older_file_of_its_own_does_not_keep_a_gateway_from_the_directory_above() {
    let ladder = Ladder::start().await;
    let mut changes: Vec<_> = ladder.gateways.iter().map(|gateway| gateway.engine.trust().changes()).collect();
    let older = std::fs::read(ladder.site.path("directory.bin")).unwrap();
    for (version, content) in [(2, b"not a directory".to_vec()), (3, older)] {
        std::fs::write(ladder.site.path("first-gw-commune.bin"), &content).unwrap();
        ladder.site.issue(version);
        for change in &mut changes {
            let newer =
                change.wait_for(|snapshot| snapshot.as_ref().is_some_and(|s| s.directory().version() == version));
            tokio::time::timeout(Duration::from_secs(30), newer).await.unwrap().unwrap();
        }
    }
    ladder.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn where_two_persons_are_asked_for_a_directory_stays_out_until_the_second_has_signed() {
    let ports = free_ports::<3>();
    let site = Site::planned(&Plan::sized(1, 2).with_ports(&ports));
    let key = certs_dev::Key::generate(certs_dev::KeyKind::Ed25519).unwrap();
    let second = NoteSigner::from_pkcs8("trust-officer-binh", &key.to_pkcs8().unwrap()).unwrap();
    let cosign = || {
        let bytes = std::fs::read(site.path("directory.bin")).unwrap();
        std::fs::write(site.path("cosigned"), gateway_directory::cosign(&bytes, &second).unwrap()).unwrap();
        std::fs::rename(site.path("cosigned"), site.path("directory.bin")).unwrap();
    };
    cosign();
    let directory = format!("file = \"directory.bin\"\ncosigners = [\"{}\"]", second.verifier());
    let running = site.start_at("gw-province", ports[2], &directory, &site.extra).await;
    let until = async |line: &str| {
        let there = async {
            while !get(&running, "/metrics").await.1.contains(line) {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(Duration::from_secs(30), there).await.unwrap();
    };
    let version = || running.engine.trust().current().unwrap().directory().version();
    site.issue(2);
    until("lienthong_directory_refresh_failing 1\n").await;
    assert_eq!(version(), 1, "the authority alone changes nothing");
    cosign();
    until("lienthong_directory_refresh_failing 0\n").await;
    until("lienthong_directory_version 2\n").await;
    assert_eq!(version(), 2);
    running.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_cannot_hold_every_event_says_so_and_stays_below_four_mebibytes() {
    let ports = free_ports::<3>();
    let site = Site::planned(&Plan::sized(1, 2).with_ports(&ports));
    // The gateway above is not there: the delivery waits, and can be held and released again and again.
    let patient = "[retry]\nfirst = \"10m\"\n";
    let commune = site.start_at("gw-commune", ports[0], "file = \"directory.bin\"", patient).await;
    let mut client = SubmitServiceClient::new(site.channel(&commune, "sys-commune-onestop"));
    let sender = site.province.cast.commune.clone();
    let (envelope_id, envelope) = site.envelope_from(&sender, "000.00.21.H99", &[]);
    client.submit(submission(envelope)).await.unwrap();
    let operate = commune.engine.operate();
    let closed = async {
        while operate.gates().is_empty() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), closed).await.unwrap();
    let mut viewer = OperateServiceClient::new(site.channel(&commune, "operator-viewer"));
    let listed = viewer.list(v1::ListRequest::default()).await.unwrap().into_inner();
    let action = Action {
        operator: OperatorId::parse("operator-an").unwrap(),
        delivery: DeliveryId::parse(&listed.deliveries[0].delivery_id).unwrap(),
        note: "x".repeat(8_000),
    };
    let named = v1::GetReceiptRequest { sender: sender.to_string(), envelope_id: envelope_id.clone() };
    let whole = client.get_receipt(named.clone()).await.unwrap().into_inner();
    assert!(!whole.cut);
    for _ in 0..300 {
        operate.hold(&action).await.unwrap();
        operate.release(&action).await.unwrap();
    }
    let receipts = client.get_receipt(named).await.unwrap().into_inner();
    assert!(receipts.cut && receipts.encoded_len() < 4 << 20, "{}", receipts.encoded_len());
    let kinds: Vec<_> = receipts.receipts.into_iter().map(|receipt| site.verify(receipt).kind).collect();
    assert_eq!(
        (kinds[0], kinds[kinds.len() - 1]),
        (EventKind::Accepted, EventKind::Released),
        "the first and the newest"
    );
    let about = v1::TimelineRequest {
        sender: sender.to_string(),
        envelope_id,
        only_here: true,
        ..v1::TimelineRequest::default()
    };
    let timeline = viewer.timeline(about).await.unwrap().into_inner();
    assert!(timeline.cut && timeline.encoded_len() < 4 << 20, "{}", timeline.encoded_len());
    commune.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_waits_behind_a_closed_gate_tells_why_and_when_it_is_tried_next() {
    let ports = free_ports::<3>();
    let site = Site::planned(&Plan::sized(1, 2).with_ports(&ports));
    // The gateway above is not there.
    let commune = site.start_at("gw-commune", ports[0], "file = \"directory.bin\"", "[retry]\nfirst = \"10m\"\n").await;
    let mut client = SubmitServiceClient::new(site.channel(&commune, "sys-commune-onestop"));
    let sender = site.province.cast.commune.clone();
    let mut ids = Vec::new();
    for _ in 0..2 {
        let (id, envelope) = site.envelope_from(&sender, "000.00.21.H99", &[]);
        client.submit(submission(envelope)).await.unwrap();
        let closed = async {
            while commune.engine.operate().gates().is_empty() {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(Duration::from_secs(30), closed).await.unwrap();
        ids.push(id);
    }
    for envelope_id in &ids {
        let named = v1::TrackRequest { sender: sender.to_string(), envelope_id: envelope_id.clone() };
        let state = client.track(named).await.unwrap().into_inner().deliveries.remove(0);
        assert_eq!((state.status(), state.reason.as_str()), (v1::DeliveryStatus::Waiting, "PEER_UNREACHABLE"));
        assert!(!state.message.is_empty());
        assert!(state.next_attempt_at.unwrap().seconds > crate::gateway::now(), "it is tried later, not in the past");
    }
    let mut viewer = OperateServiceClient::new(site.channel(&commune, "operator-viewer"));
    let listed = viewer.list(v1::ListRequest::default()).await.unwrap().into_inner();
    assert!(listed.deliveries.iter().all(|row| row.state.as_ref().unwrap().reason == "PEER_UNREACHABLE"));
    let gates = viewer.get_status(v1::GetStatusRequest {}).await.unwrap().into_inner().gates;
    assert_eq!((gates[0].destination.as_str(), gates[0].reason.as_str()), ("gateway:gw-district", "PEER_UNREACHABLE"));
    assert!(gates[0].next_probe_at.as_ref().unwrap().seconds > crate::gateway::now());
    commune.stop().await.unwrap();
}
