//! Tests of the mailbox: room, hand-over, ends of leases, and who wins a race.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test that cannot go on has failed")]

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use async_trait::async_trait;
use bytes::Bytes;
use gateway_model::envelope::{ContentKind, ContentSummary, Envelope, Priority, ResolvedRecipient};
use gateway_model::id::{EnvelopeId, EnvelopeKey};
use gateway_model::state::DeliveryState;
use gateway_model::{Digest, Reason, Timestamp};
use tokio::io::AsyncRead;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::taken::DETAIL_BYTES_MAX;
use super::*;
use crate::{LeaseHold, PartSource, Scope, Settled};

/// Long enough for anything that is to happen.
const LONG: Duration = Duration::from_secs(30);
const LEASE: Duration = Duration::from_millis(150);

/// An engine's lease that does what the test says.
struct TestLease {
    lost: AtomicBool,
    /// It holds for so long from the start at most, in milliseconds.
    end: AtomicU64,
    start: Instant,
    settled: watch::Sender<Option<Settled>>,
}

impl TestLease {
    fn new() -> Arc<Self> {
        let end = AtomicU64::new(u64::from(u32::MAX));
        Arc::new(Self { lost: AtomicBool::new(false), end, start: Instant::now(), settled: watch::Sender::new(None) })
    }
}

#[async_trait]
impl LeaseHold for TestLease {
    async fn extend(&self, span: Duration) -> Result<Duration, LeaseLost> {
        let end = self.start + Duration::from_millis(self.end.load(Ordering::Relaxed));
        let left = end.saturating_duration_since(Instant::now());
        if self.lost.load(Ordering::Relaxed) || left.is_zero() { Err(LeaseLost) } else { Ok(span.min(left)) }
    }

    async fn settled(&self) -> Settled {
        let mut settled = self.settled.subscribe();
        settled.wait_for(Option::is_some).await.unwrap().clone().unwrap()
    }
}

struct NoParts;

#[async_trait]
impl PartSource for NoParts {
    async fn open(&self, _: &Digest, _: u64) -> std::io::Result<Box<dyn AsyncRead + Send + Unpin>> {
        Err(std::io::ErrorKind::NotFound.into())
    }
}

fn agency(id: &str) -> AgencyId {
    AgencyId::parse(id).unwrap()
}

fn delivery(number: u8, to: &str, lease: Arc<TestLease>) -> Delivery {
    let (id, to) = (EnvelopeId([number; 16]), agency(to));
    let key = EnvelopeKey { sender: agency("xa"), id };
    let envelope = Envelope {
        id,
        from: "xa".into(),
        to: vec![to.to_string()],
        created_at: Timestamp::from_seconds(0),
        expires_at: Timestamp::from_seconds(1),
        priority: Priority::Normal,
        in_reply_to: None,
        supersedes: None,
        case: None,
        content: ContentSummary { kind: ContentKind::Document, subject: String::new(), code: String::new() },
        parts: Vec::new(),
    };
    Delivery {
        ids: vec![DeliveryId::new(&key, &to)],
        recipients: vec![ResolvedRecipient { named: to.clone(), serving: to }],
        key,
        digest: Digest::of(&[number]),
        signed: Bytes::new(),
        envelope: Arc::new(envelope),
        receipt: Bytes::new(),
        first_accepted: Bytes::new(),
        hops: Vec::new(),
        traceparent: None,
        attempt: 1,
        deadline: Timestamp::MAX,
        lease,
        parts: Arc::new(NoParts),
    }
}

fn mailbox(lease: Duration, shelf_time: Duration) -> Arc<Mailbox> {
    Arc::new(Mailbox::new(MailboxSettings { lease, shelf_time, waits_max: 4 }))
}

/// Hands a delivery over, as an engine does.
fn push(mailbox: &Arc<Mailbox>, delivery: Delivery) -> JoinHandle<Outcome> {
    let mailbox = mailbox.clone();
    tokio::spawn(async move { mailbox.deliver(&delivery).await })
}

async fn one(mailbox: &Mailbox, taker: &str) -> Taken {
    let mut taken = mailbox.take(taker, None, 1, LONG).await.unwrap();
    assert_eq!(taken.len(), 1);
    taken.remove(0)
}

fn id(taken: &Taken) -> DeliveryId {
    taken.delivery.ids[0]
}

fn why(outcome: &Outcome) -> Option<Reason> {
    match outcome {
        Outcome::Taken { .. } => None,
        Outcome::Deferred { reason, .. } | Outcome::Refused { reason, .. } => Some(*reason),
    }
}

#[tokio::test]
async fn there_is_room_for_what_takers_wait_for_and_for_nothing_else() {
    let mailbox = mailbox(LONG, LONG);
    let (a, b) = (agency("a"), agency("b"));
    assert_eq!((mailbox.room(&a), mailbox.room_together()), (Room::Of(0), Room::Of(0)));
    let only_a = [a.clone()];
    let mut taker = std::pin::pin!(mailbox.take("w", Some(&only_a), 3, LONG));
    assert!(futures::poll!(&mut taker).is_pending());
    mailbox.room_changed().await;
    assert_eq!((mailbox.room(&a), mailbox.room(&b), mailbox.room_together()), (Room::Of(3), Room::Of(0), Room::Of(3)));
    let pushed = push(&mailbox, delivery(1, "a", TestLease::new()));
    let taken = taker.await.unwrap();
    assert_eq!((mailbox.room(&a), mailbox.room_together()), (Room::Of(1), Room::Of(1)), "only what is under way");
    mailbox.complete(id(&taken[0]), taken[0].token).unwrap();
    assert_eq!(pushed.await.unwrap(), Outcome::Taken { receipt: None });
    mailbox.room_changed().await;
    assert_eq!(mailbox.room(&a), Room::Of(0));
}

#[tokio::test]
async fn what_a_dropped_taker_would_have_got_lies_ready_for_the_next_and_goes_back_in_the_end() {
    let mailbox = mailbox(LONG, LONG);
    {
        let mut taker = std::pin::pin!(mailbox.take("gone", None, 1, LONG));
        assert!(futures::poll!(&mut taker).is_pending());
    }
    assert_eq!(mailbox.room_together(), Room::Of(0), "it waits no more");
    let pushed = push(&mailbox, delivery(1, "a", TestLease::new()));
    let taken = one(&mailbox, "next").await;
    mailbox.complete(id(&taken), taken.token).unwrap();
    assert_eq!(why(&pushed.await.unwrap()), None);
    let mailbox = self::mailbox(LONG, LEASE);
    let nobody = push(&mailbox, delivery(2, "a", TestLease::new()));
    assert_eq!(why(&nobody.await.unwrap()), Some(Reason::NotPickedUp));
    assert!(mailbox.take("late", None, 1, Duration::ZERO).await.unwrap().is_empty());
}

#[tokio::test]
async fn a_lease_that_runs_out_goes_back_and_its_token_settles_nothing() {
    let mailbox = mailbox(LEASE, LONG);
    let pushed = push(&mailbox, delivery(1, "a", TestLease::new()));
    let taken = one(&mailbox, "w").await;
    assert_eq!(why(&pushed.await.unwrap()), Some(Reason::WorkerSilent));
    assert!(matches!(mailbox.complete(id(&taken), taken.token), Err(NotHeld::Lost)));
    assert!(matches!(mailbox.extend(id(&taken), taken.token).await, Err(NotHeld::Lost)));
}

#[tokio::test]
async fn an_extended_lease_outlives_its_first_end() {
    let mailbox = mailbox(LEASE, LONG);
    let mut pushed = push(&mailbox, delivery(1, "a", TestLease::new()));
    // A machine that was too slow to extend in time, by the test's own clock, has shown nothing: the next lease may.
    while !is_kept_past_its_first_end(&mailbox).await {
        assert_eq!(why(&pushed.await.unwrap()), Some(Reason::WorkerSilent));
        pushed = push(&mailbox, delivery(1, "a", TestLease::new()));
    }
    assert_eq!(why(&pushed.await.unwrap()), None);
}

/// Takes what comes, extends its lease past the first end and completes it; `false` when an extension came too late to be one.
async fn is_kept_past_its_first_end(mailbox: &Mailbox) -> bool {
    let mut before = Instant::now();
    let taken = one(mailbox, "w").await;
    let first_end = Instant::now() + LEASE;
    while Instant::now() < first_end + LEASE {
        tokio::time::sleep(LEASE / 10).await;
        let extended = Instant::now();
        match mailbox.extend(id(&taken), taken.token).await {
            Ok(left) => assert!(left <= LEASE),
            Err(_) => {
                assert!(before.elapsed() >= LEASE, "it was extended in time, and is lost");
                return false;
            }
        }
        before = extended;
    }
    let completed = mailbox.complete(id(&taken), taken.token).is_ok();
    assert!(completed || before.elapsed() >= LEASE, "it was extended in time, and is lost");
    completed
}

#[tokio::test]
async fn a_lease_ends_with_that_of_the_engine() {
    let mailbox = mailbox(LONG * 4, LONG);
    let lease = TestLease::new();
    let pushed = push(&mailbox, delivery(2, "a", lease.clone()));
    let taken = one(&mailbox, "w").await;
    // From here on the engine gives a moment more than what it takes to settle.
    let end = lease.start.elapsed() + SETTLE_TIME + LEASE;
    lease.end.store(end.as_millis() as u64, Ordering::Relaxed);
    let outcome = tokio::time::timeout(LONG, pushed).await.expect("it ends with the engine's lease, not with its own");
    assert_ne!(why(&outcome.unwrap()), None);
    assert!(mailbox.complete(id(&taken), taken.token).is_err());
}

#[test]
fn a_lease_that_is_extended_after_all_holds_although_the_store_could_not_write_for_a_moment() {
    let (mut shelf, start) = (Shelf::default(), Instant::now());
    let at = |seconds| start + Duration::from_secs(seconds);
    let (number, _) = shelf.enter(&delivery(1, "a", TestLease::new()), start, LONG).unwrap();
    let taken = shelf.hand_out("w", None, 1, start, Duration::from_secs(60)).remove(0);
    // The engine could not be asked for more than it had given.
    shelf.cut(number, at(20));
    let left = shelf.renew(id(&taken), taken.token, at(10), at(70)).unwrap();
    assert_eq!(left, Duration::from_secs(60));
    assert!(matches!(shelf.look(number, at(30)), Look::Waits { until } if until == at(70)));
    assert!(shelf.held(id(&taken), taken.token, at(69)).is_ok(), "as long as its taker was told");
    assert!(matches!(shelf.look(number, at(70)), Look::Ended(_)));
}

#[test]
fn nobody_is_told_of_a_lease_that_is_longer_than_the_engines() {
    let (mut shelf, start) = (Shelf::default(), Instant::now());
    let at = |seconds| start + Duration::from_secs(seconds);
    let (number, _) = shelf.enter(&delivery(1, "a", TestLease::new()), start, LONG).unwrap();
    shelf.cut(number, at(20));
    let taken = shelf.hand_out("w", None, 1, at(5), Duration::from_secs(60)).remove(0);
    assert_eq!(taken.lease_left, Duration::from_secs(15));
    let again = shelf.pick("w", id(&taken), at(10), Duration::from_secs(60)).unwrap();
    assert_eq!(again.lease_left, Duration::from_secs(10));
}

#[tokio::test]
async fn a_lease_that_the_engine_lost_is_lost() {
    let mailbox = mailbox(LONG, LONG);
    let lease = TestLease::new();
    let pushed = push(&mailbox, delivery(1, "a", lease.clone()));
    let taken = one(&mailbox, "w").await;
    lease.lost.store(true, Ordering::Relaxed);
    assert!(matches!(mailbox.extend(id(&taken), taken.token).await, Err(NotHeld::Lost)));
    pushed.abort();
}

#[tokio::test]
async fn only_the_first_answer_settles_and_a_repeated_one_waits_for_it() {
    let mailbox = mailbox(LONG, LONG);
    let lease = TestLease::new();
    let pushed = push(&mailbox, delivery(1, "a", lease.clone()));
    let taken = one(&mailbox, "w").await;
    let settling = mailbox.complete(id(&taken), taken.token).unwrap();
    let Err(NotHeld::Ended(repeated)) = mailbox.complete(id(&taken), taken.token) else { panic!("answered before") };
    let failure =
        Failure { code: "X".into(), detail: String::new(), retryable: false, retry_after: None, system_down: false };
    assert!(matches!(mailbox.fail(id(&taken), taken.token, failure), Err(NotHeld::Ended(_))));
    assert_eq!(pushed.await.unwrap(), Outcome::Taken { receipt: None }, "the first answer stands");
    let mut waits = std::pin::pin!(repeated.settled());
    assert!(futures::poll!(&mut waits).is_pending(), "nothing is told before it is durable");
    lease.settled.send_replace(Some(Settled::Committed(DeliveryState::Delivered)));
    assert_eq!(settling.settled().await, Settled::Committed(DeliveryState::Delivered));
    assert_eq!(waits.await, Settled::Committed(DeliveryState::Delivered));
}

#[tokio::test]
async fn what_a_taker_gives_back_goes_to_the_next_under_another_token() {
    let mailbox = mailbox(LONG, LONG);
    let pushed = push(&mailbox, delivery(1, "a", TestLease::new()));
    let first = one(&mailbox, "leaving").await;
    assert_eq!(mailbox.give_back("somebody else"), 0);
    assert_eq!(mailbox.give_back("leaving"), 1);
    let second = one(&mailbox, "next").await;
    assert_eq!(id(&second), id(&first));
    assert!(second.token != first.token && mailbox.complete(id(&first), first.token).is_err());
    mailbox.put_back(id(&second), second.token);
    assert!(mailbox.held(id(&second), second.token).is_err());
    let third = one(&mailbox, "next").await;
    mailbox.complete(id(&third), third.token).unwrap();
    assert_eq!(why(&pushed.await.unwrap()), None);
}

#[tokio::test]
async fn a_later_hand_over_of_the_same_delivery_takes_the_place_of_the_first() {
    let mailbox = mailbox(LONG, LONG);
    let first = push(&mailbox, delivery(1, "a", TestLease::new()));
    let old = one(&mailbox, "w").await;
    let second = push(&mailbox, delivery(1, "a", TestLease::new()));
    assert_eq!(why(&first.await.unwrap()), Some(Reason::NotPickedUp));
    assert!(mailbox.complete(id(&old), old.token).is_err());
    let new = one(&mailbox, "w").await;
    mailbox.complete(id(&new), new.token).unwrap();
    assert_eq!(why(&second.await.unwrap()), None);
}

#[tokio::test]
async fn a_poller_finds_what_lies_ready_takes_it_by_its_id_and_keeps_its_lease() {
    let mailbox = mailbox(LONG, Duration::ZERO);
    let a = agency("a");
    mailbox.attend(&a, 2, LONG);
    assert_eq!((mailbox.room(&a), mailbox.room(&agency("b"))), (Room::Of(2), Room::Of(0)));
    let taken = push(&mailbox, delivery(1, "a", TestLease::new()));
    let left = push(&mailbox, delivery(2, "a", TestLease::new()));
    while mailbox.offered(&a, LONG).await.len() < 2 {
        tokio::task::yield_now().await;
    }
    assert_eq!(mailbox.room(&a), Room::Of(2), "as many as were asked for lie ready");
    let offered = mailbox.offered(&a, Duration::ZERO).await;
    let wanted = offered.iter().find(|offered| offered.delivery.digest == Digest::of(&[1])).unwrap();
    let picked = mailbox.pick("poller", wanted.delivery.ids[0]).unwrap();
    assert!(mailbox.pick("another", id(&picked)).is_none(), "it is in other hands");
    let again = mailbox.pick("poller", id(&picked)).unwrap();
    assert!(again.token == picked.token && mailbox.offered(&a, Duration::ZERO).await.len() == 1);
    mailbox.complete(id(&picked), picked.token).unwrap();
    assert_eq!(why(&taken.await.unwrap()), None);
    mailbox.close();
    assert_eq!(why(&left.await.unwrap()), Some(Reason::NotPickedUp));
    let mailbox = self::mailbox(LONG, Duration::ZERO);
    mailbox.attend(&a, 2, LEASE);
    let left = push(&mailbox, delivery(2, "a", TestLease::new()));
    assert_eq!(why(&left.await.unwrap()), Some(Reason::NotPickedUp), "nobody came again");
}

#[tokio::test]
async fn a_mailbox_that_is_shut_hands_nothing_out_and_one_that_is_closed_gives_everything_back() {
    let mailbox = mailbox(LONG, LONG);
    let held = push(&mailbox, delivery(1, "a", TestLease::new()));
    let taken = one(&mailbox, "w").await;
    mailbox.shut(true);
    let waiting = push(&mailbox, delivery(2, "a", TestLease::new()));
    while mailbox.room_together() != Room::Of(2) {
        tokio::task::yield_now().await;
    }
    assert!(mailbox.take("w", None, 1, Duration::ZERO).await.unwrap().is_empty());
    assert!(mailbox.held(id(&taken), taken.token).is_ok(), "what is held stays held");
    let taker = tokio::spawn({
        let mailbox = mailbox.clone();
        async move { mailbox.take("w", None, 1, LONG).await.map(|_| ()) }
    });
    mailbox.close();
    mailbox.idle().await;
    assert_eq!(taker.await.unwrap(), Err(TakeError::Closed));
    assert_eq!(why(&held.await.unwrap()), Some(Reason::Draining));
    assert_eq!(why(&waiting.await.unwrap()), Some(Reason::NotPickedUp));
    let late = mailbox.deliver(&delivery(3, "a", TestLease::new())).await;
    assert_eq!(why(&late), Some(Reason::NotPickedUp));
}

#[tokio::test]
async fn no_more_takers_wait_than_may() {
    let mailbox = mailbox(LONG, LONG);
    let mut takers: Vec<_> = (0..4).map(|_| Box::pin(mailbox.take("w", None, 1, LONG))).collect();
    for taker in &mut takers {
        assert!(futures::poll!(taker).is_pending());
    }
    assert_eq!(mailbox.take("w", None, 1, LONG).await.map(|_| ()), Err(TakeError::Crowded));
}

#[tokio::test(flavor = "multi_thread")]
async fn of_an_answer_and_the_end_of_a_lease_at_the_same_moment_exactly_one_counts() {
    let mut won = [0, 0];
    let begun = Instant::now();
    for round in 0_u32.. {
        // A slow machine needs more rounds until each side has won once.
        if round >= 60 && (won[0] > 0 && won[1] > 0 || begun.elapsed() > LONG) {
            break;
        }
        let mailbox = mailbox(Duration::from_millis(4), LONG);
        let pushed = push(&mailbox, delivery(1, "a", TestLease::new()));
        let taken = one(&mailbox, "w").await;
        tokio::time::sleep(Duration::from_micros(u64::from(round % 60) * 100)).await;
        let answered = mailbox.complete(id(&taken), taken.token).is_ok();
        let outcome = pushed.await.unwrap();
        assert_eq!(why(&outcome).is_none(), answered, "round {round}: {outcome:?}");
        won[usize::from(answered)] += 1;
    }
    assert!(won[0] > 0 && won[1] > 0, "both happened: {won:?}");
}

#[test]
fn a_failure_says_what_the_engine_does_next() {
    let failure = |retryable, system_down| Failure {
        code: "DMS_DOWN".into(),
        detail: "ă".repeat(600),
        retryable,
        retry_after: Some(LEASE),
        system_down,
    };
    let Outcome::Deferred { reason, scope, detail, retry_after } = failure(true, false).outcome() else { panic!() };
    assert_eq!((reason, scope, retry_after), (Reason::AdapterFailed, Scope::Delivery, Some(LEASE)));
    assert!(detail.starts_with("DMS_DOWN: ") && detail.len() <= DETAIL_BYTES_MAX);
    let Outcome::Deferred { reason, scope, .. } = failure(true, true).outcome() else { panic!() };
    assert_eq!((reason, scope), (Reason::AdapterUnavailable, Scope::Destination));
    assert_eq!(why(&failure(false, true).outcome()), Some(Reason::AdapterRefused));
}
