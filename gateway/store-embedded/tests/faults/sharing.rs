//! Several processes on one folder of parts: one writes an upload at a time, a sweep sees every touch, and a killed process keeps nothing locked.

use std::fs::File;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use gateway_model::agency::Hop;
use gateway_model::id::SystemId;
use gateway_model::{Digest, Timestamp};
use gateway_store::accept::PartRef;
use gateway_store::parts::{Missing, PartError, PartStore as _};
use gateway_store_conformance::fixture::START;
use gateway_store_embedded::{FileParts, PartLimits};

const FOLDER: &str = "PARTS_UNDER_TEST_FOLDER";
const BYTES: &[u8] = b"Ban ve hien trang, ban chinh";
const STALE: Duration = Duration::from_secs(3_600);

fn desk() -> Hop {
    Hop::System(SystemId::parse("desk").unwrap())
}

fn part() -> PartRef {
    PartRef { digest: Digest::of(BYTES), size: BYTES.len() as u64 }
}

/// As another process opens it: locks belong to the open file, and each opening has files of its own.
fn opened(folder: &Path, clock: &Arc<AtomicI64>) -> Arc<FileParts> {
    let limits = PartLimits { free_bytes_min: 0, ..PartLimits::default() };
    let clock = clock.clone();
    let now = move || Timestamp::from_seconds(clock.load(Ordering::SeqCst));
    Arc::new(FileParts::open(folder, limits, now).unwrap())
}

fn clock() -> Arc<AtomicI64> {
    Arc::new(AtomicI64::new(START.seconds()))
}

async fn upload(parts: &FileParts) {
    let mut writer = parts.begin(&desk(), part(), 0).await.unwrap();
    writer.write(BYTES.into()).await.unwrap();
    writer.finish().await.unwrap();
}

#[tokio::test]
async fn one_process_writes_an_upload_and_the_other_goes_on_after_it() {
    let (folder, clock) = (tempfile::tempdir().unwrap(), clock());
    let (first, second) = (opened(folder.path(), &clock), opened(folder.path(), &clock));
    let mut writer = first.begin(&desk(), part(), 0).await.unwrap();
    writer.write(BYTES[..10].into()).await.unwrap();
    for offset in [0, 10] {
        let refused = second.begin(&desk(), part(), offset).await.err();
        assert!(matches!(refused, Some(PartError::Busy)), "{refused:?}");
    }
    clock.fetch_add(2 * 3_600, Ordering::SeqCst);
    let before = Timestamp::from_seconds(clock.load(Ordering::SeqCst)).minus(STALE);
    assert_eq!(second.remove(&[part().digest], before).await.unwrap(), 0, "what is being written stays");
    drop(writer);
    let mut writer = second.begin(&desk(), part(), 10).await.unwrap();
    writer.write(BYTES[10..].into()).await.unwrap();
    writer.finish().await.unwrap();
    assert!(first.missing(&desk(), &[part().digest]).await.unwrap().is_empty());
    assert!(first.check(&desk(), &[part()]).await.unwrap().is_empty());
}

#[tokio::test]
async fn who_removes_waits_for_who_touches_and_not_for_ever() {
    let (folder, clock) = (tempfile::tempdir().unwrap(), clock());
    let parts = opened(folder.path(), &clock);
    upload(&parts).await;
    let other = File::open(folder.path().join("lock")).unwrap();
    other.lock_shared().unwrap();
    assert!(parts.check(&desk(), &[part()]).await.unwrap().is_empty(), "two may touch");
    let refused = parts.remove(&[part().digest], START.plus(STALE)).await.err();
    assert!(matches!(refused, Some(PartError::Busy)), "{refused:?}");
    other.unlock().unwrap();
    assert_eq!(parts.remove(&[part().digest], START.plus(STALE)).await.unwrap(), part().size);
}

#[test]
fn two_gateways_do_not_sweep_each_others_parts() {
    let (folder, clock) = (tempfile::tempdir().unwrap(), clock());
    let gateway = |id: &str| gateway_model::id::GatewayId::parse(id).unwrap();
    opened(folder.path(), &clock).claim(&gateway("gw-hub")).unwrap();
    opened(folder.path(), &clock).claim(&gateway("gw-hub")).unwrap();
    let told = opened(folder.path(), &clock).claim(&gateway("gw-other")).unwrap_err().to_string();
    assert!(told.contains("gw-hub") && told.contains("parts.path"), "{told}");
}

/// Each round a check of one process meets a sweep of the other.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_process_takes_what_another_has_just_checked() {
    let (folder, clock) = (tempfile::tempdir().unwrap(), clock());
    let (first, second) = (opened(folder.path(), &clock), opened(folder.path(), &clock));
    let (mut kept, mut taken) = (0, 0);
    for _ in 0..400 {
        if !first.missing(&desk(), &[part().digest]).await.unwrap().is_empty() {
            upload(&first).await;
        }
        clock.fetch_add(2 * 3_600, Ordering::SeqCst);
        let before = Timestamp::from_seconds(clock.load(Ordering::SeqCst)).minus(STALE);
        let (one, other) = (first.clone(), second.clone());
        let checked = tokio::spawn(async move { one.check(&desk(), &[part()]).await.unwrap() });
        let swept = tokio::spawn(async move { other.remove(&[part().digest], before).await.unwrap() });
        let (faults, freed) = (checked.await.unwrap(), swept.await.unwrap());
        let found = second.open(&part().digest, 0).await.map(drop);
        match faults.is_empty() {
            true => assert!(freed == 0 && found.is_ok(), "a part that was checked is gone: {freed} {found:?}"),
            false => assert!(matches!(found, Err(PartError::Unknown)), "{found:?}"),
        }
        if faults.is_empty() {
            kept += 1;
        } else {
            taken += 1;
        }
    }
    assert_eq!(kept + taken, 400);
}

/// Without an environment it writes into a folder of its own, and so shows that what the other test starts does work.
#[test]
fn a_process_that_uploads_keeps_what_it_wrote() {
    let own = tempfile::tempdir().unwrap();
    let named = std::env::var_os(FOLDER).map(PathBuf::from);
    let folder = named.clone().unwrap_or_else(|| own.path().to_owned());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let parts = opened(&folder, &clock());
        let mut writer = parts.begin(&desk(), part(), 0).await.unwrap();
        writer.write(BYTES[..10].into()).await.unwrap();
        if named.is_some() {
            std::io::stdout().write_all(b"uploading\n").unwrap();
            // Until it is killed.
            assert_eq!(std::io::stdin().read(&mut [0]).unwrap(), 0);
        }
        drop(writer);
        let digest = part().digest;
        assert_eq!(parts.missing(&desk(), &[digest]).await.unwrap(), [Missing { digest, received: 10 }]);
    });
}

#[tokio::test]
async fn a_killed_process_leaves_its_upload_for_the_next() {
    let folder = tempfile::tempdir().unwrap();
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", "sharing::a_process_that_uploads_keeps_what_it_wrote", "--nocapture"]);
    let mut child = command.env(FOLDER, folder.path()).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    assert!(lines.any(|line| line.unwrap().ends_with("uploading")), "the child uploads");
    let parts = opened(folder.path(), &clock());
    let refused = parts.begin(&desk(), part(), 10).await.err();
    assert!(matches!(refused, Some(PartError::Busy)), "{refused:?}");
    child.kill().unwrap();
    child.wait().unwrap();
    let mut writer = parts.begin(&desk(), part(), 10).await.unwrap();
    writer.write(BYTES[10..].into()).await.unwrap();
    writer.finish().await.unwrap();
}
