//! Several nodes on one bucket.

use std::time::Duration;

use gateway_store::parts::{Missing, PartError, PartStore as _};
use tokio::io::AsyncReadExt as _;

use crate::server::{Server, now};
use crate::{PIECE, bytes, desk, part, read, upload};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_nodes_upload_the_same_part_at_once_and_it_is_whole() {
    let server = Server::start();
    let (first, second) = (server.open().await, server.open().await);
    for round in 0..6 {
        let bytes = bytes(round, PIECE + 1000);
        let (a, b) = if round % 2 == 0 { (desk("a"), desk("a")) } else { (desk("a"), desk("b")) };
        let (one, other) = tokio::join!(upload(&*first, &a, &bytes), upload(&*second, &b, &bytes));
        one.unwrap();
        other.unwrap();
        for owner in [&a, &b] {
            assert!(second.check(owner, &[part(&bytes)]).await.unwrap().is_empty());
            assert!(first.missing(owner, &[part(&bytes).digest]).await.unwrap().is_empty());
        }
        assert_eq!(read(&*second, &part(&bytes).digest).await, bytes);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_part_that_another_owner_has_uploaded_is_stored_once() {
    let server = Server::start();
    let parts = server.open().await;
    let bytes = bytes(1, 3 * PIECE);
    upload(&*parts, &desk("a"), &bytes).await.unwrap();
    upload(&*parts, &desk("b"), &bytes).await.unwrap();
    assert_eq!(server.objects("/piece/").len(), 3);
    assert!(parts.check(&desk("b"), &[part(&bytes)]).await.unwrap().is_empty());
    assert_eq!(parts.missing(&desk("c"), &[part(&bytes).digest]).await.unwrap().len(), 1, "nobody else learns of it");
}

/// A killed node leaves what it has put; what it had in memory comes again.
#[test]
fn another_node_goes_on_where_a_killed_one_stopped() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        let server = Server::start();
        let bytes = bytes(1, 3 * PIECE + 9);
        let digest = part(&bytes).digest;
        let killed = server.open().await;
        let mut writer = killed.begin(&desk("a"), part(&bytes), 0).await.unwrap();
        writer.write(bytes[..2 * PIECE + 100].to_vec().into()).await.unwrap();
        // Nothing of a killed process runs, not even a destructor.
        std::mem::forget((writer, killed));
        let next = server.open().await;
        let received = 2 * PIECE as u64;
        assert_eq!(next.missing(&desk("a"), &[digest]).await.unwrap(), [Missing { digest, received }]);
        upload(&*next, &desk("a"), &bytes).await.unwrap();
        assert_eq!(read(&*next, &digest).await, bytes);
    });
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broken_upload_that_goes_on_is_not_swept() {
    let server = Server::start();
    let (first, second) = (server.open().await, server.open().await);
    let bytes = bytes(1, 1000);
    let digest = part(&bytes).digest;
    let mut writer = first.begin(&desk("a"), part(&bytes), 0).await.unwrap();
    writer.write(bytes[..100].to_vec().into()).await.unwrap();
    drop(writer);
    first.missing(&desk("a"), &[digest]).await.unwrap();
    let hour = Duration::from_secs(3_600);
    server.age(2 * hour);
    let mut writer = first.begin(&desk("a"), part(&bytes), 100).await.unwrap();
    assert_eq!(second.remove(&[digest], now().minus(hour)).await.unwrap(), 0);
    writer.write(bytes[100..].to_vec().into()).await.unwrap();
    writer.finish().await.unwrap();
    assert_eq!(read(&*second, &digest).await, bytes);
}

/// Whatever an owner does with one part, the others' is not touched by it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn broken_uploads_of_one_part_do_not_pile_up() {
    let server = Server::start();
    let parts = server.open().await;
    let bytes = bytes(1, 2 * PIECE);
    for _ in 0..5 {
        let mut writer = parts.begin(&desk("a"), part(&bytes), 0).await.unwrap();
        writer.write(bytes[..100].to_vec().into()).await.unwrap();
        drop(writer);
        parts.missing(&desk("a"), &[part(&bytes).digest]).await.unwrap();
    }
    assert!(server.objects("/piece/").len() <= 2, "{:?}", server.objects("/piece/"));
}

/// Each time that an upload is gone on with leaves the piece that was not full: not more of them than the bound.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_upload_that_breaks_off_again_and_again_does_not_fill_the_store() {
    let server = Server::start();
    let parts = server.open().await;
    let bytes = bytes(1, PIECE);
    let digest = part(&bytes).digest;
    let (mut again, mut most) = (0, 0);
    for _ in 0..24 {
        let received = parts.missing(&desk("a"), &[digest]).await.unwrap()[0].received;
        again += usize::from(received == 0);
        let mut writer = parts.begin(&desk("a"), part(&bytes), received).await.unwrap();
        let received = usize::try_from(received).unwrap();
        let until = (received + 1000).clamp(PIECE - 100_000, PIECE - 1);
        writer.write(bytes[received..until].to_vec().into()).await.unwrap();
        drop(writer);
        parts.missing(&desk("a"), &[digest]).await.unwrap();
        most = most.max(server.objects("/piece/").len());
    }
    assert!(again > 1, "it was begun anew");
    assert!(most <= 16, "{most} pieces of 2 MiB");
    upload(&*parts, &desk("a"), &bytes).await.unwrap();
    assert_eq!(read(&*parts, &digest).await, bytes);
}

/// A connection that breaks while a piece is under way leaves nothing in hand, and no heap of beginnings.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn uploads_that_break_off_within_a_write_do_not_pile_up() {
    let server = Server::start();
    let parts = server.open().await;
    let bytes = bytes(1, 2 * PIECE);
    for _ in 0..5 {
        let mut writer = parts.begin(&desk("a"), part(&bytes), 0).await.unwrap();
        writer.write(bytes[..PIECE].to_vec().into()).await.unwrap();
        let cut = writer.write(bytes[PIECE..].to_vec().into());
        assert!(futures::FutureExt::now_or_never(cut).is_none(), "a piece takes a moment");
        drop(writer);
    }
    parts.close().await;
    let firsts = server.objects("/piece/00000.");
    assert!((1..=2).contains(&firsts.len()), "{firsts:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_damaged_part_ends_in_an_error_and_not_in_an_end() {
    let server = Server::start();
    let parts = server.open().await;
    let bytes = bytes(1, PIECE + 1000);
    let digest = part(&bytes).digest;
    upload(&*parts, &desk("a"), &bytes).await.unwrap();
    let piece = server.folder.path().join(crate::server::BUCKET).join(&server.objects("/piece/")[1]);
    let mut kept = std::fs::read(&piece).unwrap();
    kept[500] ^= 1;
    std::fs::write(&piece, kept).unwrap();
    for offset in [0, PIECE as u64 + 700] {
        let mut read = Vec::new();
        let error = parts.open(&digest, offset).await.unwrap().read_to_end(&mut read).await.unwrap_err();
        assert!(error.to_string().contains(&digest.to_string()), "{error}");
    }
}

/// A client that says another digest than it sends harms no one who has the real part, or will have.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn wrong_bytes_do_not_get_into_anybodys_part() {
    let server = Server::start();
    let (first, second) = (server.open().await, server.open().await);
    let right = bytes(1, PIECE + 1000);
    let mut wrong = right.clone();
    wrong[5] ^= 1;
    let mut bad = first.begin(&desk("a"), part(&right), 0).await.unwrap();
    bad.write(wrong[..PIECE].to_vec().into()).await.unwrap();
    // The same owner goes on at another node, with right bytes behind the wrong ones.
    let mut worse = second.begin(&desk("a"), part(&right), PIECE as u64).await.unwrap();
    worse.write(right[PIECE..].to_vec().into()).await.unwrap();
    let refused = worse.finish().await.err();
    assert!(matches!(refused, Some(PartError::DigestMismatch)), "{refused:?}");
    bad.write(wrong[PIECE..].to_vec().into()).await.unwrap();
    assert!(bad.finish().await.is_err());
    upload(&*second, &desk("b"), &right).await.unwrap();
    upload(&*second, &desk("a"), &right).await.unwrap();
    assert_eq!(read(&*first, &part(&right).digest).await, right);
}
