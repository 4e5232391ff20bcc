//! A disk that is really full: a small tmpfs of its own, filled to the last byte.
//!
//! The test starts itself again in a mount namespace, twice: the first process fills the disk while the store works and dies without
//! closing it; the second starts on the full disk.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use gateway_model::Reason;
use gateway_model::state::{DeliveryState, DeliveryStatus};
use gateway_store::claim::{Claim, Leased};
use gateway_store::{Pressure, Store as _, StoreError};
use gateway_store_conformance::fixture::{Fixture, OURS, log_signer};
use gateway_store_conformance::suite::{acceptance, at, key, lane, lease_of, settlement};
use gateway_store_embedded::{EmbeddedStore, OpenOptions, check};

const PHASE: &str = "STORE_ON_A_FULL_DISK_PHASE";
const DISK: &str = "STORE_ON_A_FULL_DISK_AT";
const DISK_BYTES: u64 = 64 * MIB;
const BALLAST_BYTES: u64 = 2 * MIB;
const RESERVE_BYTES: u64 = 6 * MIB;
const MIB: u64 = 1024 * 1024;
/// Envelopes that wait when the disk fills up; a quarter is settled in each phase.
const ENVELOPES: u64 = 200;

#[test]
fn a_full_disk_is_left_by_itself_with_everything_settled_and_nothing_lost() {
    let test = "full::a_full_disk_is_left_by_itself_with_everything_settled_and_nothing_lost";
    let Ok(phase) = std::env::var(PHASE) else { return on_a_small_disk(test, &["fill", "start"]) };
    let disk = PathBuf::from(std::env::var_os(DISK).unwrap());
    let runtime = tokio::runtime::Runtime::new().unwrap();
    match phase.as_str() {
        "fill" => runtime.block_on(fill_while_it_works(&disk)),
        _ => runtime.block_on(start_and_drain(&disk)),
    }
    println!("{phase} is done");
}

#[test]
fn without_a_ballast_the_same_disk_stops_the_deliveries() {
    let test = "full::without_a_ballast_the_same_disk_stops_the_deliveries";
    let Ok(phase) = std::env::var(PHASE) else { return on_a_small_disk(test, &["stop"]) };
    let disk = PathBuf::from(std::env::var_os(DISK).unwrap());
    tokio::runtime::Runtime::new().unwrap().block_on(async {
        let store = EmbeddedStore::open(OpenOptions { ballast_bytes: 0, ..options(&disk) }).unwrap();
        accept_all(&store, &Fixture::new()).await;
        fill(&disk, 0);
        let leased = claim(&store, ENVELOPES).await;
        let mut settled = Ok(());
        for leased in &leased {
            settled = settled.and(settle(&store, leased).await);
        }
        assert!(matches!(settled, Err(StoreError::Full)), "{settled:?}");
        store.close().await;
    });
    println!("{phase} is done");
}

#[test]
fn a_write_that_finds_no_room_is_tried_again_in_the_room_of_the_ballast() {
    let test = "full::a_write_that_finds_no_room_is_tried_again_in_the_room_of_the_ballast";
    let Ok(phase) = std::env::var(PHASE) else { return on_a_small_disk(test, &["try"]) };
    let disk = PathBuf::from(std::env::var_os(DISK).unwrap());
    tokio::runtime::Runtime::new().unwrap().block_on(async {
        let store = EmbeddedStore::open(options(&disk)).unwrap();
        accept_all(&store, &Fixture::new()).await;
        let leased = claim(&store, 1).await;
        // The look before the batch sees enough; only the write itself finds out.
        let mut settle = settlement(lease_of(&leased[0]), 2, DeliveryState::Delivered);
        settle.leaf = Some(vec![7; usize::try_from(BALLAST_BYTES + MIB).unwrap()].into());
        fill(&disk, BALLAST_BYTES + MIB / 8);
        store.settle(settle).await.unwrap();
        assert!(!disk.join("ballast").exists());
        all_is_there(&store, 1).await;
        store.close().await;
    });
    println!("{phase} is done");
}

/// The first process: the disk fills up while deliveries are under way.
async fn fill_while_it_works(disk: &Path) {
    let fixture = Fixture::new();
    let store = EmbeddedStore::open(options(disk)).unwrap();
    let ballast = fs::metadata(disk.join("ballast")).unwrap();
    assert!(ballast.len() == BALLAST_BYTES && ballast.blocks() * 512 >= BALLAST_BYTES, "{ballast:?}");
    accept_all(&store, &fixture).await;
    let leased = claim(&store, ENVELOPES / 2).await;

    // Below the reserve: refused before it is taken.
    fill(disk, RESERVE_BYTES / 2);
    nothing_is_accepted(&store, &fixture).await;
    assert!(disk.join("ballast").exists(), "there is still room without it");

    // To the last byte, and once more after the ballast has gone; the few bytes that were free before do not explain what works.
    fill(disk, 0);
    assert_eq!(free_bytes(disk), 0);
    let (first, second) = leased.split_at(leased.len() / 2);
    for leased in first {
        settle(&store, leased).await.unwrap();
    }
    assert!(!disk.join("ballast").exists());
    nothing_is_accepted(&store, &fixture).await;
    for leased in second {
        settle(&store, leased).await.unwrap();
    }
    all_is_there(&store, ENVELOPES / 2).await;
    assert_eq!(store.failure(), None);
    // No orderly end: the write-ahead log stays as it is.
    println!("fill is done");
    io::stdout().flush().unwrap();
    std::process::exit(0);
}

/// The second process: it starts on the disk as it was left, then on a disk without any byte left, then there is room again.
async fn start_and_drain(disk: &Path) {
    let fixture = Fixture::new();
    assert!(fs::metadata(disk.join("store.db-wal")).unwrap().len() > 0, "the first process closed the store");
    fill(disk, MIB);
    let store = EmbeddedStore::open(options(disk)).unwrap();
    settle_a_quarter(&store, ENVELOPES * 3 / 4).await;
    store.close().await;

    // Room for the ballast, then none at all while the gateway is down.
    fs::remove_file(disk.join("filler-0")).unwrap();
    EmbeddedStore::open(options(disk)).unwrap().close().await;
    assert!(disk.join("ballast").exists(), "it is put back as soon as there is room");
    fill(disk, 0);
    assert_eq!(free_bytes(disk), 0);
    let store = EmbeddedStore::open(options(disk)).unwrap();
    assert!(!disk.join("ballast").exists(), "the start needs what it holds");
    nothing_is_accepted(&store, &fixture).await;
    settle_a_quarter(&store, ENVELOPES).await;

    // Nobody restarts anything: there is room, and the next envelope is accepted.
    free(disk);
    assert_eq!(store.pressure(), Pressure::Free);
    store.accept(acceptance(&fixture.envelope(ENVELOPES))).await.unwrap();
    assert_eq!(fs::metadata(disk.join("ballast")).unwrap().len(), BALLAST_BYTES);
    all_is_there(&store, ENVELOPES).await;
    store.close().await;
    assert_eq!(check(disk, log_signer(OURS).verifier()).unwrap().findings, []);
}

fn options(disk: &Path) -> OpenOptions {
    let options = OpenOptions::new(disk, log_signer(OURS));
    OpenOptions { free_bytes_min: RESERVE_BYTES, ballast_bytes: BALLAST_BYTES, ..options }
}

async fn accept_all(store: &EmbeddedStore, fixture: &Fixture) {
    for number in 0..ENVELOPES {
        store.accept(acceptance(&fixture.envelope(number))).await.unwrap();
    }
    assert_eq!(store.pressure(), Pressure::Free);
}

async fn nothing_is_accepted(store: &EmbeddedStore, fixture: &Fixture) {
    let pressure = store.pressure();
    assert!(matches!(pressure, Pressure::Busy { reason: Reason::StoreFull, .. }), "{pressure:?}");
    let before = store.counts().await.unwrap();
    let refused = store.accept(acceptance(&fixture.envelope(ENVELOPES))).await;
    assert!(matches!(refused, Err(StoreError::Full)), "{refused:?}");
    assert!(store.find(&key(ENVELOPES)).await.unwrap().is_none());
    let after = store.counts().await.unwrap();
    assert_eq!((before.envelopes, before.log_size), (after.envelopes, after.log_size));
}

async fn settle_a_quarter(store: &EmbeddedStore, settled: u64) {
    for leased in claim(store, ENVELOPES / 4).await {
        settle(store, &leased).await.unwrap();
    }
    all_is_there(store, settled).await;
}

async fn claim(store: &EmbeddedStore, count: u64) -> Vec<Leased> {
    let lanes = vec![(lane("a"), usize::try_from(count).unwrap())];
    let leased = store.claim_due(Claim { lanes, now: at(1), lease_until: at(600) }).await.unwrap();
    assert_eq!(leased.len() as u64, count);
    leased
}

async fn settle(store: &EmbeddedStore, leased: &Leased) -> Result<(), StoreError> {
    store.settle(settlement(lease_of(leased), 2, DeliveryState::Delivered)).await.map(|_| ())
}

/// Every envelope can be read whole, and so many of them are delivered.
async fn all_is_there(store: &EmbeddedStore, delivered: u64) {
    let mut found = 0;
    for number in 0..ENVELOPES {
        let row = store.find(&key(number)).await.unwrap().unwrap();
        assert!(store.body(row.seq).await.unwrap().is_some());
        assert!(!store.events(row.seq, None, 10).await.unwrap().is_empty());
        let deliveries = store.deliveries(row.seq).await.unwrap();
        found += deliveries.iter().filter(|row| row.state.status() == DeliveryStatus::Delivered).count() as u64;
    }
    assert_eq!(found, delivered);
}

/// Takes room until only so much is left.
fn fill(disk: &Path, left_bytes: u64) {
    let fillers =
        fs::read_dir(disk).unwrap().filter(|entry| name(entry.as_ref().unwrap()).starts_with("filler")).count();
    let mut filler = File::create(disk.join(format!("filler-{fillers}"))).unwrap();
    let page = [7; 4096];
    while free_bytes(disk) > left_bytes {
        match filler.write_all(&page) {
            Err(error) if error.kind() == io::ErrorKind::StorageFull => return,
            written => written.unwrap(),
        }
    }
}

fn free(disk: &Path) {
    for entry in fs::read_dir(disk).unwrap().map(Result::unwrap) {
        if name(&entry).starts_with("filler") {
            fs::remove_file(entry.path()).unwrap();
        }
    }
}

fn name(entry: &fs::DirEntry) -> String {
    entry.file_name().into_string().unwrap()
}

fn free_bytes(disk: &Path) -> u64 {
    let disk = rustix::fs::statvfs(disk).unwrap();
    disk.f_bavail * disk.f_frsize
}

/// Runs one test of this binary once for each phase, all on the same small disk.
fn on_a_small_disk(test: &str, phases: &[&str]) {
    let folder = tempfile::tempdir().unwrap();
    let binary = std::env::current_exe().unwrap();
    let mut script = format!("mount -t tmpfs -o size={DISK_BYTES},mode=0700 tmpfs \"${DISK}\" || exit 70\n");
    for phase in phases {
        script += &format!("{PHASE}={phase} \"$1\" --exact {test} --nocapture || exit 71\n");
    }
    let mut command = Command::new("unshare");
    command.args(namespace()).args(["sh", "-c", &script, "sh"]).arg(binary).env(DISK, folder.path());
    let output = command.output().unwrap();
    let printed = String::from_utf8_lossy(&output.stdout);
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{}: {printed}\n{said}", output.status);
    for phase in phases {
        assert!(printed.contains(&format!("{phase} is done")), "{printed}\n{said}");
    }
}

/// How a mount of one's own is made here: as an ordinary user in a user namespace, as root also without one.
fn namespace() -> &'static [&'static str] {
    const WAYS: [&[&str]; 2] = [&["--user", "--map-root-user", "--mount"], &["--mount"]];
    let folder = tempfile::tempdir().unwrap();
    let works = |way: &&&[&str]| {
        let mut command = Command::new("unshare");
        command.args(**way).args(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs"]).arg(folder.path());
        command.stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok_and(|status| status.success())
    };
    WAYS.iter().find(works).expect(
        "a small disk cannot be mounted: this test needs `unshare` and `mount` of util-linux, and either user namespaces \
         (sysctl kernel.unprivileged_userns_clone=1, kernel.apparmor_restrict_unprivileged_userns=0) or CAP_SYS_ADMIN (docker run --cap-add SYS_ADMIN)",
    )
}
