//! The main job: commune → district → province and back, as the demo shows it, and what it leaves behind.

use std::process::Command;

use prost::Message as _;
use proto::v1;
use tests_harness::gateways::{self, Federation};
use tests_harness::reconcile;
use tests_harness::sender::Sender;
use tokio_stream::StreamExt as _;

async fn watch_to_the_end(sender: &mut Sender, id: &str) -> Vec<v1::Event> {
    let request = v1::WatchRequest { sender: sender.agency.to_string(), envelope_id: id.to_owned() };
    let mut stream = sender.client.watch(request).await.unwrap().into_inner();
    let mut events = Vec::new();
    while let Some(event) = stream.next().await {
        events.push(v1::Event::decode(event.unwrap().receipt.unwrap().event).unwrap());
    }
    events
}

#[tokio::test(flavor = "multi_thread")]
async fn the_demo_ends_well_only_when_everything_was_verified() {
    let folder = tempfile::tempdir().unwrap();
    for language in ["vi", "en"] {
        let demo = Command::new(gateways::binary().unwrap())
            .args(["demo", "--once", "--lang", language, "--folder"])
            .arg(folder.path().join(language))
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&demo.stdout);
        assert!(demo.status.success(), "{said}\n{}", String::from_utf8_lossy(&demo.stderr));
        assert!(said.matches('✓').count() >= 5, "{said}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_envelope_to_three_levels_reaches_each_once_and_every_receipt_comes_home() {
    let federation = Federation::running().await.unwrap();
    let cast = &federation.local.province.cast;
    let mut sender = Sender::connect(&federation.local, &cast.commune).await.unwrap();
    let envelope = sender.envelope(&[&cast.other_commune, &cast.district, &cast.land_office]);
    let request = sender.sign(&envelope).unwrap();
    sender.client.submit(request).await.unwrap();
    let events = watch_to_the_end(&mut sender, &envelope.id).await;
    for (recipient, gateway) in
        [(&cast.other_commune, "gw-commune"), (&cast.district, "gw-district"), (&cast.land_office, "gw-province")]
    {
        let delivered = events.iter().filter(|event| {
            event.kind() == v1::EventKind::Delivered
                && event.gateway == gateway
                && event.recipients.contains(&recipient.to_string())
        });
        assert_eq!(delivered.count(), 1, "{recipient} at {gateway}: {events:#?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_for_a_merged_commune_reaches_its_successor() {
    let federation = Federation::running().await.unwrap();
    let local = &federation.local;
    let cast = &local.province.cast;
    let mut sender = Sender::connect(local, &cast.district).await.unwrap();
    let envelope = sender.envelope(&[&cast.merged]);
    let request = sender.sign(&envelope).unwrap();
    sender.client.submit(request).await.unwrap();
    let events = watch_to_the_end(&mut sender, &envelope.id).await;
    assert!(events.iter().any(|event| event.kind() == v1::EventKind::Delivered), "{events:#?}");
    let home = local.system_folder(&local.province.agency(&cast.successor).unwrap().gateway, &cast.successor);
    assert!(reconcile::delivered_ids(&home).unwrap().contains(&envelope.id));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_district_that_is_away_delays_only_what_goes_through_it_and_the_rest_follows_by_itself() {
    let mut federation = Federation::running().await.unwrap();
    federation.local.kill(1).unwrap();
    let cast = federation.local.province.cast.clone();
    let mut sender = Sender::connect(&federation.local, &cast.commune).await.unwrap();
    let far = sender.envelope(&[&cast.land_office]);
    let near = sender.envelope(&[&cast.other_commune]);
    for envelope in [&far, &near] {
        let request = sender.sign(envelope).unwrap();
        sender.client.submit(request).await.unwrap();
    }
    let events = watch_to_the_end(&mut sender, &near.id).await;
    assert!(events.iter().any(|event| event.kind() == v1::EventKind::Delivered), "{events:#?}");
    let request = v1::TrackRequest { sender: cast.commune.to_string(), envelope_id: far.id.clone() };
    let state = sender.client.track(request).await.unwrap().into_inner().deliveries.remove(0);
    assert_eq!(state.status(), v1::DeliveryStatus::Waiting);

    federation.local.spawn(1).unwrap();
    federation.local.wait_until_ready(1).await.unwrap();
    let events = watch_to_the_end(&mut sender, &far.id).await;
    assert!(
        events.iter().any(|event| event.kind() == v1::EventKind::Delivered && event.gateway == "gw-province"),
        "{events:#?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repeat_after_a_restart_gets_the_first_receipt() {
    let mut federation = Federation::running().await.unwrap();
    let cast = federation.local.province.cast.clone();
    let mut sender = Sender::connect(&federation.local, &cast.commune).await.unwrap();
    let request = sender.sign(&sender.envelope(&[&cast.land_office])).unwrap();
    let first = sender.client.submit(request.clone()).await.unwrap().into_inner();
    federation.local.kill(0).unwrap();
    federation.local.spawn(0).unwrap();
    federation.local.wait_until_ready(0).await.unwrap();
    let mut again = Sender::connect(&federation.local, &cast.commune).await.unwrap();
    let repeat = again.client.submit(request).await.unwrap().into_inner();
    assert!(repeat.duplicate);
    assert_eq!(repeat.receipt, first.receipt);
}
