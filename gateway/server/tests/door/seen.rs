//! What operators see of one another and of the gateways beside theirs: from where somebody acted, and what a neighbour showed of itself.

use std::time::Duration;

use certs_dev::province::Plan;
use gateway_directory::moment;
use gateway_evidence::merkle::leaf_hash;
use gateway_evidence::{Act, ActKind};
use openssl::x509::X509;
use proto::v1;
use proto::v1::operate_service_client::OperateServiceClient;
use proto::v1::submit_service_client::SubmitServiceClient;
use tonic::transport::Channel;

use crate::gateway::{Site, free_ports};
use crate::{SYSTEM, submission};

const OPERATOR: &str = "operator-an";
const VIEWER: &str = "operator-viewer";

async fn audit(
    client: &mut OperateServiceClient<Channel>,
    page_size: u32,
    page_token: String,
) -> v1::ListAuditResponse {
    let request = v1::ListAuditRequest { page_size, page_token, ..v1::ListAuditRequest::default() };
    client.list_audit(request).await.unwrap().into_inner()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_audit_says_from_where_an_operator_acted_and_the_receipt_that_goes_out_does_not() {
    let site = Site::new();
    let running = site.start().await;
    let mut system = SubmitServiceClient::new(site.channel(&running, SYSTEM));
    // Nobody serves this agency here: the delivery is held.
    system.submit(submission(site.envelope("h99", &[]).1)).await.unwrap();
    let mut operator = OperateServiceClient::new(site.channel(&running, OPERATOR));
    let held = operator.list(v1::ListRequest::default()).await.unwrap().into_inner().deliveries.remove(0);
    let reason = "gửi nhầm nơi".to_owned();
    let named = v1::ReturnToSenderRequest { delivery_id: held.delivery_id, reason: reason.clone() };
    operator.return_to_sender(named).await.unwrap();
    let named = v1::PauseRequest { destination: "agency:h99.21".to_owned(), reason };
    operator.pause(named).await.unwrap();

    let entries = audit(&mut operator, 0, String::new()).await.entries;
    let acts: Vec<_> = entries.iter().map(|entry| entry.action.as_str()).collect();
    assert_eq!(acts, ["paused", "returned"], "a move is told once");
    assert!(entries.iter().all(|entry| entry.address.starts_with("127.0.0.1:")), "{entries:#?}");
    assert_eq!(entries[0].address, entries[1].address, "the same connection");

    let receipt = entries[1].receipt.clone().unwrap();
    assert!(!String::from_utf8_lossy(&receipt.event).contains("127.0.0.1"), "{receipt:?}");
    let rests_on = site.verify(receipt).rests_on.unwrap();
    let leaves = running.engine.store().leaves(0, 100).await.unwrap();
    let act = leaves.iter().find(|leaf| leaf_hash(&leaf.bytes) == rests_on).unwrap();
    let act = Act::decode(&act.bytes).unwrap();
    assert_eq!((act.kind, act.operator.as_str(), &act.address), (ActKind::Moved, OPERATOR, &entries[1].address));

    let first = audit(&mut operator, 1, String::new()).await;
    let second = audit(&mut operator, 1, first.next_page_token).await;
    assert_eq!([&first.entries[..], &second.entries[..]].concat(), entries, "also page by page");
    running.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_neighbour_is_told_of_with_its_version_the_end_of_its_certificate_and_what_it_takes_once_it_was_met() {
    let ports = free_ports::<3>();
    let site = Site::planned(&Plan::sized(1, 2).with_ports(&ports));
    let district = site.start_at("gw-district", ports[1], "file = \"directory.bin\"", "").await;
    let province = site.start_at("gw-province", ports[2], "file = \"directory.bin\"", &site.extra).await;
    let mut viewer = OperateServiceClient::new(site.channel(&district, VIEWER));
    let peers = async |viewer: &mut OperateServiceClient<Channel>| {
        viewer.list_peers(v1::ListPeersRequest {}).await.unwrap().into_inner().peers
    };
    let unknown = |peer: &v1::PeerState| peer.version.is_empty() && peer.certificate_expires_at.is_none();
    let before = peers(&mut viewer).await;
    assert!(before.len() == 2 && before.iter().all(unknown), "{before:#?}");

    let mut system = SubmitServiceClient::new(site.channel(&district, "sys-district-onestop"));
    let (_, envelope) = site.envelope_from(&site.province.cast.district, "000.00.21.H99", &[]);
    system.submit(submission(envelope)).await.unwrap();
    let met = async {
        loop {
            let peers = peers(&mut viewer).await;
            let above = &peers[0];
            if !above.version.is_empty() && above.flow.as_ref().is_some_and(|flow| flow.taken_per_minute > 0) {
                return peers;
            }
            // The envelope is on its way to another gateway; nothing of that comes here.
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    let [above, below] = <[_; 2]>::try_from(tokio::time::timeout(Duration::from_secs(30), met).await.unwrap()).unwrap();
    assert_eq!((above.gateway.as_str(), above.version.as_str()), ("gw-province", env!("CARGO_PKG_VERSION")));
    let gateway = site.province.gateways.iter().find(|gateway| gateway.id.as_str() == "gw-province").unwrap();
    let certificate = X509::from_der(&gateway.tls.credential.certificate_der).unwrap();
    let end = moment(certificate.not_after()).unwrap();
    assert_eq!(above.certificate_expires_at.map(|at| at.seconds), Some(end.seconds()));
    assert_eq!(above.flow.unwrap().taken_per_minute, 1);
    assert!(below.gateway == "gw-commune" && unknown(&below), "nobody has spoken with it: {below:#?}");
    for gateway in [district, province] {
        gateway.stop().await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_status_names_a_directory_that_can_be_opened_with_the_key_beside_it() {
    let site = Site::new();
    let running = site.start().await;
    let mut viewer = OperateServiceClient::new(site.channel(&running, VIEWER));
    let status = viewer.get_status(v1::GetStatusRequest {}).await.unwrap().into_inner();
    assert!(std::path::Path::new(&status.directory_file).is_absolute(), "{}", status.directory_file);
    let key = gateway_model::note::VerifierKey::parse(&status.directory_authority).unwrap();
    let bytes = std::fs::read(&status.directory_file).unwrap();
    let now = gateway_model::Timestamp::from_seconds(crate::gateway::now());
    let opened = gateway_directory::open_with(&bytes, &[key], now, gateway_directory::Expiry::Refuse).unwrap();
    assert_eq!(opened.directory.version(), status.directory_version);
    running.stop().await.unwrap();
}
