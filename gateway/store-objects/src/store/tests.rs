//! Every way in which the requests of two nodes can follow each other: whoever was told that a part is here reads it.

#![allow(clippy::unwrap_used, clippy::panic)] // Whatever does not go as it has to fails the test there and then.

mod turns;

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use futures::future::BoxFuture;
use gateway_model::id::SystemId;
use object_store::memory::InMemory;
use tokio::io::AsyncReadExt as _;

use super::*;
use crate::names::Prefix;
use turns::{Shelf, Stepped, Turns, explore, walk};

const BYTES: &[u8] = b"Trich luc ban do dia chinh thua dat so 7";
const STALE: Duration = Duration::from_secs(3_600);

/// A place for parts, whose clock stands until it is moved.
struct Stage {
    shelf: Arc<Shelf>,
    turns: Arc<Turns>,
}

impl Stage {
    fn new() -> Self {
        let shelf =
            Shelf { objects: InMemory::new(), clock: Arc::new(AtomicI64::new(1_000_000)), put: Mutex::default() };
        Self { shelf: Arc::new(shelf), turns: Arc::default() }
    }

    /// A node; with an `actor`, each of its requests waits for its turn.
    fn node(&self, actor: Option<usize>) -> ObjectParts {
        let store = Arc::new(Stepped { shelf: self.shelf.clone(), turns: self.turns.clone(), actor });
        let clock = self.shelf.clock.clone();
        let now = Box::new(move || Timestamp::from_seconds(clock.load(Ordering::SeqCst)));
        let objects = Objects { store, prefix: Prefix::new("parts"), now };
        ObjectParts::new(objects, 1 << 30, 1 << 30, Duration::ZERO)
    }

    fn pass(&self, span: Duration) {
        self.shelf.clock.fetch_add(i64::try_from(span.as_secs()).unwrap(), Ordering::SeqCst);
    }

    fn long_ago(&self) -> Timestamp {
        Timestamp::from_seconds(self.shelf.clock.load(Ordering::SeqCst)).minus(STALE)
    }
}

fn desk() -> Hop {
    Hop::System(SystemId::parse("desk").unwrap())
}

fn part() -> PartRef {
    PartRef { digest: Digest::of(BYTES), size: BYTES.len() as u64 }
}

async fn upload(parts: &ObjectParts) {
    let mut writer = parts.begin(&desk(), part(), 0).await.unwrap();
    writer.write(BYTES.into()).await.unwrap();
    writer.finish().await.unwrap();
}

/// Whether the part can be read, and is what it was.
async fn is_readable(parts: &ObjectParts) -> bool {
    let Ok(mut reader) = parts.open(&part().digest, 0).await else { return false };
    let mut bytes = Vec::new();
    reader.read_to_end(&mut bytes).await.is_ok_and(|_| bytes == BYTES)
}

/// Whether it was told to be here.
fn check(parts: ObjectParts) -> BoxFuture<'static, bool> {
    Box::pin(async move { parts.check(&desk(), &[part()]).await.unwrap().is_empty() })
}

fn sweep_at(parts: ObjectParts, before: Timestamp) -> BoxFuture<'static, bool> {
    Box::pin(async move { parts.remove(&[part().digest], before).await.unwrap() > 0 })
}

/// A stale part, or the beginning of one.
async fn stale(stage: &Stage, is_whole: bool) {
    let parts = stage.node(None);
    if is_whole {
        upload(&parts).await;
    } else {
        let mut writer = parts.begin(&desk(), part(), 0).await.unwrap();
        writer.write(BYTES[..10].into()).await.unwrap();
        drop(writer);
        parts.close().await;
    }
    stage.pass(2 * STALE);
}

#[tokio::test]
async fn however_a_check_and_a_sweep_meet_what_was_checked_is_there() {
    let (mut kept, mut gone) = (0, 0);
    let mut schedules = explore();
    while let Some(mut choices) = schedules.next() {
        let stage = Stage::new();
        stale(&stage, true).await;
        let actors = vec![check(stage.node(Some(0))), sweep_at(stage.node(Some(1)), stage.long_ago())];
        let told = walk(&stage.turns, actors, &mut choices);
        let is_there = is_readable(&stage.node(None)).await;
        assert!(is_there || !told[0], "a part that was checked is gone: {choices:?}");
        assert!(!(is_there && told[1]), "{choices:?}");
        *(if told[0] { &mut kept } else { &mut gone }) += 1;
        schedules.done(choices);
    }
    assert!(kept > 10 && gone > 10, "{kept} kept, {gone} gone");
}

/// A sweeper dies at each of its requests; then another one meets a check.
#[tokio::test]
async fn a_tombstone_of_a_dead_sweeper_is_believed_by_everybody() {
    for steps in 0..10 {
        let mut schedules = explore();
        while let Some(mut choices) = schedules.next() {
            let stage = Stage::new();
            stale(&stage, true).await;
            turns::die(&stage.turns, sweep_at(stage.node(Some(0)), stage.long_ago()), steps);
            let actors = vec![check(stage.node(Some(0))), sweep_at(stage.node(Some(1)), stage.long_ago())];
            let told = walk(&stage.turns, actors, &mut choices);
            let parts = stage.node(None);
            assert!(is_readable(&parts).await || !told[0], "a part that was checked is gone: {steps} {choices:?}");
            if !told[0] {
                upload(&parts).await;
                assert!(parts.check(&desk(), &[part()]).await.unwrap().is_empty(), "{steps} {choices:?}");
            }
            schedules.done(choices);
        }
    }
}

#[tokio::test]
async fn however_an_upload_that_goes_on_and_a_sweep_meet_what_is_finished_is_whole() {
    let (mut finished, mut lost) = (0, 0);
    let mut schedules = explore();
    while let Some(mut choices) = schedules.next() {
        let stage = Stage::new();
        stale(&stage, false).await;
        let (parts, before) = (stage.node(Some(0)), stage.long_ago());
        let going_on: BoxFuture<'static, bool> = Box::pin(async move {
            let mut writer = match parts.begin(&desk(), part(), 10).await {
                Ok(writer) => writer,
                Err(PartError::Offset { .. }) => return false,
                Err(error) => panic!("{error}"),
            };
            writer.write(BYTES[10..].into()).await.unwrap();
            match writer.finish().await {
                Ok(()) => true,
                Err(PartError::Offset { .. }) => false,
                Err(error) => panic!("{error}"),
            }
        });
        let told = walk(&stage.turns, vec![going_on, sweep_at(stage.node(Some(1)), before)], &mut choices);
        let parts = stage.node(None);
        if told[0] {
            assert!(is_readable(&parts).await, "{choices:?}");
            assert!(parts.check(&desk(), &[part()]).await.unwrap().is_empty(), "{choices:?}");
        } else {
            upload(&parts).await;
            assert!(is_readable(&parts).await, "{choices:?}");
        }
        *(if told[0] { &mut finished } else { &mut lost }) += 1;
        schedules.done(choices);
    }
    assert!(finished > 10 && lost > 10, "{finished} finished, {lost} lost");
}

/// Two nodes go on with one upload; one of them is given wrong bytes and removes it.
#[tokio::test]
async fn however_wrong_bytes_are_removed_a_part_that_was_finished_from_the_same_beginning_is_whole() {
    let (mut finished, mut lost) = (0, 0);
    let mut schedules = explore();
    while let Some(mut choices) = schedules.next() {
        let stage = Stage::new();
        stale(&stage, false).await;
        let (wrong, right) = (stage.node(Some(0)), stage.node(Some(1)));
        let mut bad = wrong.begin(&desk(), part(), 10).await.unwrap();
        let mut good = right.begin(&desk(), part(), 10).await.unwrap();
        bad.write(vec![b'x'; BYTES.len() - 10].into()).await.unwrap();
        good.write(BYTES[10..].into()).await.unwrap();
        let end = |writer: Box<dyn PartWriter>| -> BoxFuture<'static, bool> {
            Box::pin(async move {
                match writer.finish().await {
                    Ok(()) => true,
                    Err(PartError::DigestMismatch | PartError::Offset { .. }) => false,
                    Err(error) => panic!("{error}"),
                }
            })
        };
        let told = walk(&stage.turns, vec![end(bad), end(good)], &mut choices);
        assert!(!told[0], "{choices:?}");
        assert!(is_readable(&stage.node(None)).await || !told[1], "what was finished is gone: {choices:?}");
        *(if told[1] { &mut finished } else { &mut lost }) += 1;
        schedules.done(choices);
    }
    assert!(finished > 10 && lost > 10, "{finished} finished, {lost} lost");
}

/// Three at once are too many ways: some thousands of them, always the same.
#[tokio::test]
async fn a_check_and_two_sweeps_meet_without_loss() {
    for seed in 1..=5_000_u64 {
        let stage = Stage::new();
        stale(&stage, true).await;
        let mut choices = turns::Choices::drawn(seed);
        let (one, other) =
            (sweep_at(stage.node(Some(1)), stage.long_ago()), sweep_at(stage.node(Some(2)), stage.long_ago()));
        let told = walk(&stage.turns, vec![check(stage.node(Some(0))), one, other], &mut choices);
        assert!(is_readable(&stage.node(None)).await || !told[0], "a part that was checked is gone: seed {seed}");
    }
}

/// Two nodes bring the same part: both are told that it is here, and it is, for both.
#[tokio::test]
async fn however_two_uploads_of_one_part_meet_it_is_whole() {
    let mut schedules = explore();
    while let Some(mut choices) = schedules.next() {
        let stage = Stage::new();
        let bring = |parts: ObjectParts| -> BoxFuture<'static, bool> {
            Box::pin(async move {
                upload(&parts).await;
                true
            })
        };
        walk(&stage.turns, vec![bring(stage.node(Some(0))), bring(stage.node(Some(1)))], &mut choices);
        let parts = stage.node(None);
        assert!(parts.check(&desk(), &[part()]).await.unwrap().is_empty(), "{choices:?}");
        assert!(is_readable(&parts).await, "{choices:?}");
        schedules.done(choices);
    }
}
