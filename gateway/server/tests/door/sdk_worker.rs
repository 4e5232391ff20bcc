//! The SDK's worker at the gateway's own door: an adapter that runs in the gateway runs out of process as well.

use std::time::Duration;

use adapters_folder::FolderKind;
use adapters_sdk::outbound::Origin;
use adapters_sdk::outbound::tls::Identity;
use adapters_sdk::worker::{Effect, WorkerInfo, WorkerSettings, run_kind};
use proto::v1;
use proto::v1::submit_service_client::SubmitServiceClient;
use tokio_util::sync::CancellationToken;

use crate::gateway::Site;
use crate::{LAND_OFFICE, SYSTEM, submission, upload};

const QUEUE: &str = "[[adapter]]\nname = \"land\"\nkind = \"worker\"\nagencies = [\"h99.21\"]\nsystem = \"sys-land-office\"\nlease = \"10s\"\n";

#[tokio::test(flavor = "multi_thread")]
async fn a_drop_folder_out_of_process_takes_an_envelope_with_its_parts_and_the_gateway_knows() {
    let mut site = Site::new();
    site.extra = QUEUE.to_owned();
    let running = site.start().await;
    let read = |name: &str| std::fs::read(site.path(name)).unwrap();
    let gateway = Origin::parse(&format!("https://localhost:{}", running.addresses.doors.port())).unwrap();
    let identity =
        Identity { certificate_pem: read("tls/sys-land-office.pem"), key_pem: read("tls/sys-land-office.key") };
    let state = tempfile::tempdir().unwrap();
    let settings = WorkerSettings {
        state: Some(state.path().join("state")),
        ..WorkerSettings::new(gateway, "land".to_owned(), read("tls/ca.pem"), identity)
    };
    let info = WorkerInfo {
        name: "folder".to_owned(),
        version: "1".to_owned(),
        config_schema: String::new(),
        submits: true,
        effect: Effect::Once,
    };
    let (base, ending) = (state.path().to_owned(), CancellationToken::new());
    let asked = ending.clone();
    let worker = tokio::spawn(async move {
        let table = "path = \"office\"".parse().unwrap();
        run_kind(&FolderKind, &table, base, settings, info, async move { asked.cancelled().await }).await
    });
    let part: Vec<u8> = (0..200_000_u32).map(|n| n as u8).collect();
    let mut client = SubmitServiceClient::new(site.channel(&running, SYSTEM));
    client.upload_part(upload(&part)).await.unwrap();
    let (id, envelope) = site.envelope(LAND_OFFICE, &[&part]);
    client.submit(submission(envelope)).await.unwrap();
    let delivered = async {
        loop {
            let named = v1::TrackRequest { sender: "h99.12".to_owned(), envelope_id: id.clone() };
            let deliveries = client.track(named).await.unwrap().into_inner().deliveries;
            if deliveries[0].status() == v1::DeliveryStatus::Delivered {
                return;
            }
            // Two programs: the gateway is asked again until it knows, within the time below.
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(40), delivered).await.unwrap();
    let folders: Vec<_> = std::fs::read_dir(state.path().join("office/incoming")).unwrap().collect();
    assert_eq!(folders.len(), 1);
    ending.cancel();
    worker.await.unwrap().unwrap();
    let taken = std::fs::read_to_string(state.path().join("state/taken.journal")).unwrap();
    assert_eq!(taken.lines().count(), 1, "what was taken is written down");
    running.stop().await.unwrap();
}
