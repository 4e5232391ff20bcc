//! F5: the disk of a gateway is really full. It refuses before it accepts, delivers what it has, restarts, and opens its door by itself.
//!
//! The test starts itself again in a mount namespace, where the store of the lowest gateway lies on a small tmpfs.

use std::fs::{self, File};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use certs_dev::province::Plan;
use gateway_model::id::AgencyId;
use proto::v1;
use tests_harness::gateways::{self, FAST, Federation};
use tests_harness::refusal;
use tests_harness::sender::Sender;
use tokio_stream::StreamExt as _;

const INSIDE: &str = "LIENTHONG_TEST_HAS_ITS_OWN_MOUNTS";
const DISK: &str = "size=96m,mode=0700";
const WAITING: usize = 20;

#[test]
fn a_gateway_on_a_full_disk_refuses_delivers_restarts_and_opens_by_itself() {
    let test = "walks::full_disk::a_gateway_on_a_full_disk_refuses_delivers_restarts_and_opens_by_itself";
    if std::env::var_os(INSIDE).is_some() {
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
        runtime.block_on(walk());
        println!("the walk is done");
        return;
    }
    let mut command = Command::new("unshare");
    command.args(namespace()).arg(std::env::current_exe().unwrap()).args(["--exact", test, "--nocapture"]);
    let output = command.env(INSIDE, "1").output().unwrap();
    let (printed, said) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success() && printed.contains("the walk is done"), "{printed}\n{said}");
}

async fn walk() {
    let mut federation = Federation::lay_out(Plan::province(), FAST, gateways::binary().unwrap()).unwrap();
    let disk = federation.local.gateways[0].store.clone();
    fs::create_dir_all(&disk).unwrap();
    let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", DISK, "tmpfs"]).arg(&disk).status().unwrap();
    assert!(mounted.success());
    let config = &federation.local.gateways[0].config;
    let text = fs::read_to_string(config).unwrap().replace("[store]\n", "[store]\nfree_bytes_min = \"16MiB\"\n");
    fs::write(config, text).unwrap();
    federation.local.start().await.unwrap();
    let cast = federation.local.province.cast.clone();
    let mut sender = Sender::connect(&federation.local, &cast.commune).await.unwrap();

    // The next gateway is away: everything waits here.
    federation.local.kill(1).unwrap();
    let mut waiting = Vec::new();
    for _ in 0..WAITING {
        let envelope = sender.envelope(&[&cast.land_office]);
        sender.client.submit(sender.sign(&envelope).unwrap()).await.unwrap();
        waiting.push(envelope.id);
    }
    fill(&disk);
    let refused = sender.envelope(&[&cast.land_office]);
    is_refused(&mut sender, &refused).await;

    // The next gateway is back: deliveries and receipts go on, without any room but that of the ballast.
    federation.local.spawn(1).unwrap();
    federation.local.wait_until_ready(1).await.unwrap();
    for id in &waiting {
        is_delivered(&mut sender, id).await;
    }
    is_refused(&mut sender, &refused).await;

    // It dies and starts again on the full disk, and still knows everything.
    federation.local.kill(0).unwrap();
    federation.local.spawn(0).unwrap();
    let mut sender = connect(&federation, &cast.commune).await;
    for id in &waiting {
        is_delivered(&mut sender, id).await;
    }

    // Somebody makes room, and nothing else: what was refused is accepted now, for the first time.
    fs::remove_file(disk.join("filler")).unwrap();
    let accepted = sender.client.submit(sender.sign(&refused).unwrap()).await.unwrap().into_inner();
    assert!(!accepted.duplicate);
    is_delivered(&mut sender, &refused.id).await;
    assert!(disk.join("ballast").exists());
}

/// A gateway that takes nothing is alive and not ready: that it answers is what is waited for.
async fn connect(federation: &Federation, agency: &AgencyId) -> Sender {
    loop {
        if let Ok(sender) = Sender::connect(&federation.local, agency).await {
            return sender;
        }
        tokio::task::yield_now().await;
    }
}

/// The answer comes before anything is taken: nobody knows the envelope.
async fn is_refused(sender: &mut Sender, envelope: &v1::Envelope) {
    let status = sender.client.submit(sender.sign(envelope).unwrap()).await.unwrap_err();
    let seen = refusal::read(&status).unwrap();
    assert_eq!((seen.reason.as_str(), seen.code), ("STORE_FULL", tonic::Code::ResourceExhausted));
    let request = v1::TrackRequest { sender: sender.agency.to_string(), envelope_id: envelope.id.clone() };
    assert_eq!(sender.client.track(request).await.unwrap_err().code(), tonic::Code::NotFound);
}

async fn is_delivered(sender: &mut Sender, id: &str) {
    let watched = v1::WatchRequest { sender: sender.agency.to_string(), envelope_id: id.to_owned() };
    let mut stream = sender.client.watch(watched).await.unwrap().into_inner();
    while let Some(event) = stream.next().await {
        event.unwrap();
    }
    let request = v1::TrackRequest { sender: sender.agency.to_string(), envelope_id: id.to_owned() };
    let delivery = sender.client.track(request).await.unwrap().into_inner().deliveries.remove(0);
    assert_eq!(delivery.status(), v1::DeliveryStatus::Delivered);
}

/// Takes every byte that is left.
fn fill(disk: &Path) {
    let mut filler = File::create(disk.join("filler")).unwrap();
    let page = [7; 4096];
    while filler.write_all(&page).is_ok() {}
}

/// How a mount of one's own is made here: as an ordinary user in a user namespace, as root also without one.
fn namespace() -> &'static [&'static str] {
    const WAYS: [&[&str]; 2] = [&["--user", "--map-root-user", "--mount"], &["--mount"]];
    let folder: PathBuf = tempfile::tempdir().unwrap().keep();
    let works = |way: &&&[&str]| {
        let mut command = Command::new("unshare");
        command.args(**way).args(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs"]).arg(&folder);
        command.stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok_and(|status| status.success())
    };
    let way = WAYS.iter().find(works);
    fs::remove_dir(&folder).unwrap();
    way.expect(
        "a small disk cannot be mounted: this test needs `unshare` and `mount` of util-linux, and either user namespaces \
         (sysctl kernel.unprivileged_userns_clone=1, kernel.apparmor_restrict_unprivileged_userns=0) or CAP_SYS_ADMIN (docker run --cap-add SYS_ADMIN)",
    )
}
