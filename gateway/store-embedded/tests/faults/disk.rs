//! A full disk, and a disk that fails to sync.

use gateway_model::Reason;
use gateway_model::state::DeliveryState;
use gateway_store::claim::Claim;
use gateway_store::{Pressure, Store as _, StoreError};
use gateway_store_conformance::fixture::{Fixture, OURS, log_signer};
use gateway_store_conformance::suite::{acceptance, at, lane, lease_of, settlement};
use gateway_store_embedded::{EmbeddedStore, OpenOptions, Synchronous, check};

use crate::child::{self, Work, printed, strace};
use crate::{open, options};

#[tokio::test]
async fn below_the_reserve_nothing_is_accepted_and_deliveries_go_on() {
    let folder = tempfile::tempdir().unwrap();
    let fixture = Fixture::new();
    let store = open(folder.path()).unwrap();
    store.accept(acceptance(&fixture.envelope(1))).await.unwrap();
    store.close().await;

    let full = EmbeddedStore::open(OpenOptions { free_bytes_min: u64::MAX, ..options(folder.path()) }).unwrap();
    assert!(matches!(full.pressure(), Pressure::Busy { reason: Reason::StoreFull, .. }));
    let refused = full.accept(acceptance(&fixture.envelope(2))).await;
    assert!(matches!(refused, Err(StoreError::Full)), "{refused:?}");
    let claim = Claim { lanes: vec![(lane("a"), 10)], now: at(1), lease_until: at(60) };
    let leased = full.claim_due(claim).await.unwrap();
    full.settle(settlement(lease_of(&leased[0]), 2, DeliveryState::Delivered)).await.unwrap();
    full.close().await;

    let store = open(folder.path()).unwrap();
    assert_eq!(store.pressure(), Pressure::Free);
    store.accept(acceptance(&fixture.envelope(2))).await.unwrap();
    store.close().await;
}

#[test]
fn a_full_disk_refuses_steps_and_recovers_by_itself() {
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("store.db-wal");
    let inject = ["-e", "inject=write,pwrite64:error=ENOSPC:when=150..156", "-P"].map(str::to_owned);
    let mut through = vec![strace(), "-f".to_owned(), "-o".to_owned(), "/dev/null".to_owned()];
    through.extend(inject);
    through.push(log.to_str().unwrap().to_owned());
    let work = Work { synchronous: Synchronous::Full, envelopes: 100, per_start: child::FEW };
    let output = child::command(folder.path(), work, &through).output().unwrap();
    let printed = printed(&output);
    assert!(printed.errors.iter().any(|error| error.contains("full")), "{:?}", printed.errors);
    assert!(printed.acknowledged_after_an_error, "it goes on when there is room again");
    all_there(folder.path(), &printed.acknowledged);
}

#[test]
fn after_a_failed_sync_nothing_is_acknowledged_and_a_restart_recovers() {
    for when in [7, 8] {
        let folder = tempfile::tempdir().unwrap();
        let inject = format!("inject=fsync,fdatasync:error=EIO:when={when}");
        let mut through = vec![strace(), "-f".to_owned(), "-o".to_owned(), "/dev/null".to_owned()];
        through.extend(["-P", folder.path().join("store.db-wal").to_str().unwrap(), "-e", &inject].map(str::to_owned));
        let work = Work { synchronous: Synchronous::Full, envelopes: 32, per_start: child::FEW };
        let output = child::command(folder.path(), work, &through).output().unwrap();
        let printed = printed(&output);
        assert!(
            !printed.errors.is_empty() && !printed.acknowledged.is_empty(),
            "sync {when}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        assert!(!printed.acknowledged_after_an_error, "sync {when}: acknowledged after a failed sync");
        assert!(printed.errors.iter().all(|error| error.contains("store.db")), "{:?}", printed.errors);
        all_there(folder.path(), &printed.acknowledged);
    }
}

/// Each thread's syncs are counted apart: three are those of the opening, later ones are the mover's and the writer's.
#[test]
fn whichever_sync_of_the_database_fails_nothing_is_acknowledged_after_it_and_nothing_is_lost() {
    let mut told = 0;
    for when in [1, 4, 5] {
        let folder = tempfile::tempdir().unwrap();
        let inject = format!("inject=fsync,fdatasync:error=EIO:when={when}");
        let mut through = vec![strace(), "-f".to_owned(), "-o".to_owned(), "/dev/null".to_owned()];
        through.extend(["-P", folder.path().join("store.db").to_str().unwrap(), "-e", &inject].map(str::to_owned));
        let work = Work { synchronous: Synchronous::Full, envelopes: 256, per_start: 256 };
        let output = child::command(folder.path(), work, &through).output().unwrap();
        let printed = printed(&output);
        assert!(!printed.acknowledged_after_an_error, "sync {when}: acknowledged after a failed sync");
        if printed.acknowledged.is_empty() {
            assert!(!output.status.success(), "sync {when}: it neither opened nor failed");
            continue;
        }
        told += usize::from(!printed.errors.is_empty());
        all_there(folder.path(), &printed.acknowledged);
    }
    assert!(told > 0, "no failed sync met a store that was at work");
}

fn all_there(folder: &std::path::Path, acknowledged: &[u64]) {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let store = open(folder).unwrap();
        assert_eq!(child::lost(&store, acknowledged).await.unwrap(), []);
        store.close().await;
    });
    assert_eq!(check(folder, log_signer(OURS).verifier()).unwrap().findings, []);
}
