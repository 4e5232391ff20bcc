//! The server is killed between any two requests, before or after the last one has had its effect; then everything goes on.

use std::time::Duration;

use gateway_store::parts::{PartError, PartStore as _};

use crate::server::{Killed, Server, now};
use crate::{PIECE, bytes, desk, part, read, upload};

const STALE: Duration = Duration::from_secs(3_600);
/// No call here has so many requests.
const REQUESTS_MAX: usize = 40;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_upload_goes_on_after_any_kill() {
    let server = Server::start();
    let parts = server.open().await;
    let mut seed = 0;
    for killed in [Killed::Before, Killed::After] {
        let mut kills = 0;
        for requests in 0..REQUESTS_MAX {
            seed += 1;
            let bytes = bytes(seed, 2 * PIECE + 77);
            server.kill_after(requests, killed);
            let first = upload(&*parts, &desk("a"), &bytes).await;
            let was_killed = server.is_killed();
            server.restart();
            assert!(first.is_ok() || was_killed, "{first:?}");
            if let Err(error) = &first {
                assert!(matches!(error, PartError::Unavailable { .. }), "{error:?}");
            }
            // What was said to be whole is; what was not goes on, at another node as well.
            let node = if seed % 2 == 0 { server.open().await } else { parts.clone() };
            upload(&*node, &desk("a"), &bytes).await.unwrap();
            assert_eq!(read(&*node, &part(&bytes).digest).await, bytes, "{killed:?} {requests}");
            assert!(node.check(&desk("a"), &[part(&bytes)]).await.unwrap().is_empty());
            if !was_killed {
                break;
            }
            kills += 1;
        }
        assert!((6..REQUESTS_MAX).contains(&kills), "an upload has {kills} requests");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_check_after_any_kill_tells_the_truth() {
    let server = Server::start();
    let parts = server.open().await;
    let bytes = bytes(7, 100);
    upload(&*parts, &desk("a"), &bytes).await.unwrap();
    for (requests, killed) in (0..8).flat_map(|requests| [(requests, Killed::Before), (requests, Killed::After)]) {
        server.kill_after(requests, killed);
        let checked = parts.check(&desk("a"), &[part(&bytes)]).await;
        server.restart();
        assert!(matches!(&checked, Ok(faults) if faults.is_empty()) || checked.is_err(), "{checked:?}");
        assert!(parts.check(&desk("a"), &[part(&bytes)]).await.unwrap().is_empty());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sweep_after_any_kill_is_finished_or_harmless() {
    let server = Server::start();
    let (parts, sweeper) = (server.open().await, server.open().await);
    let mut seed = 100;
    for killed in [Killed::Before, Killed::After] {
        let mut kills = 0;
        for requests in 0..REQUESTS_MAX {
            seed += 1;
            let bytes = bytes(seed, PIECE + 5);
            let (owner, digest) = (desk("a"), part(&bytes).digest);
            upload(&*parts, &owner, &bytes).await.unwrap();
            server.age(2 * STALE);
            server.kill_after(requests, killed);
            let swept = sweeper.remove(&[digest], now().minus(STALE)).await;
            let was_killed = server.is_killed();
            server.restart();
            assert!(swept.is_ok() || was_killed, "{swept:?}");
            // Who relies on it now either gets it, or is told that it is missing and uploads it again.
            let faults = parts.check(&owner, &[part(&bytes)]).await.unwrap();
            if !faults.is_empty() {
                upload(&*parts, &owner, &bytes).await.unwrap();
                assert!(parts.check(&owner, &[part(&bytes)]).await.unwrap().is_empty());
            }
            // The next sweep takes nothing of it.
            let freed = sweeper.remove(&[digest], now().minus(STALE)).await.unwrap();
            assert_eq!(read(&*parts, &digest).await, bytes, "{killed:?} {requests} {freed}");
            // And once it is old, nothing stays behind, not even a tombstone.
            server.age(2 * STALE);
            assert_eq!(sweeper.stale(now().minus(STALE), None, 10).await.unwrap(), [digest]);
            sweeper.remove(&[digest], now().minus(STALE)).await.unwrap();
            assert_eq!(server.objects(&digest.to_string()), Vec::<String>::new(), "{killed:?} {requests}");
            if !was_killed {
                break;
            }
            kills += 1;
        }
        assert!((5..REQUESTS_MAX).contains(&kills), "a sweep has {kills} requests");
    }
}
