//! Taking work: what is due, in order, and by one worker at a time.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt as _;
use gateway_model::Timestamp;
use gateway_model::state::DeliveryState;
use gateway_store::Conflict;
use gateway_store::claim::{Claim, Lease, Leased, Work};

use crate::suite::{LEASE, Suite, assert_conflict, at, delivery_id, lane, lease_of, settlement, waiting};

/// The longest due comes first, whenever it was accepted.
pub async fn work_is_claimed_in_the_order_in_which_it_is_due(suite: Suite) {
    for (number, due) in [(1, 30), (2, 10), (3, 20)] {
        suite.accept(number, "a", due).await;
    }
    let claimed = suite.claim("a", 30).await;
    assert_eq!(numbers(&claimed), [2, 3, 1]);
    assert!(claimed.iter().all(|leased| leased.lane == lane("a") && leased.lease_until == at(30).plus(LEASE)));
}

/// Nothing is taken before its time, nor from a lane that was not asked for.
pub async fn work_of_other_lanes_and_of_later_is_left_alone(suite: Suite) {
    suite.accept(1, "a", 10).await;
    suite.accept(2, "a", 11).await;
    suite.accept(3, "b", 0).await;
    assert_eq!(numbers(&suite.claim("a", 10).await), [1]);
    assert_eq!(numbers(&suite.claim("b", 10).await), [3]);
    assert!(suite.claim("c", 10).await.is_empty());
}

/// Each lane gives its own share and no more.
pub async fn a_claim_takes_no_more_than_each_lanes_limit(suite: Suite) {
    for number in 0..6 {
        suite.accept(number, if number % 2 == 0 { "even" } else { "odd" }, number).await;
    }
    let lanes = vec![(lane("odd"), 1), (lane("even"), 2), (lane("none"), 5)];
    let claim = Claim { lanes, now: at(100), lease_until: at(160) };
    let claimed = suite.store.claim_due(claim.clone()).await.unwrap();
    assert_eq!(sorted(&claimed), [0, 1, 2]);
    assert_eq!(sorted(&suite.store.claim_due(claim).await.unwrap()), [3, 4]);
    let nothing = Claim { lanes: vec![(lane("odd"), 0)], now: at(100), lease_until: at(160) };
    assert!(suite.store.claim_due(nothing).await.unwrap().is_empty());
}

/// A worker gets all that it needs to walk the delivery on.
pub async fn a_claim_brings_the_row_its_envelope_and_the_body(suite: Suite) {
    let accepted = suite.accept(1, "a", 0).await;
    let claimed = suite.claim("a", 5).await;
    let Work::Deliver { delivery, envelope, signed } = &claimed[0].work else { panic!("a delivery") };
    assert_eq!((envelope.seq, envelope.digest), (accepted.seq, suite.fixture.envelope(1).digest()));
    assert_eq!((delivery.id, delivery.attempts), (crate::suite::delivery_id(1), 0));
    assert_eq!(Some(signed), suite.store.body(accepted.seq).await.unwrap().as_ref());
}

/// One delivery, one worker.
pub async fn claimed_work_is_not_claimed_again_while_its_lease_holds(suite: Suite) {
    suite.leased().await;
    assert!(suite.claim("a", 0).await.is_empty());
    assert!(suite.claim("a", LEASE.as_secs() - 1).await.is_empty());
    assert!(suite.store.due_lanes(at(LEASE.as_secs() - 1), 10).await.unwrap().is_empty());
}

/// A worker that died is succeeded by another one, with a higher token.
pub async fn work_whose_lease_has_run_out_is_due_again_with_a_higher_token(suite: Suite) {
    let (_, first) = suite.leased().await;
    let mut token = first.token;
    for round in 1..4 {
        let now = round * LEASE.as_secs();
        assert_eq!(suite.store.due_lanes(at(now), 10).await.unwrap().len(), 1);
        let again = suite.claim("a", now).await;
        assert_eq!(again.len(), 1, "round {round}");
        assert!(again[0].token > token, "round {round}: {} is not above {token}", again[0].token);
        token = again[0].token;
    }
}

/// A worker that is still at it keeps its work.
pub async fn an_extended_lease_holds_until_its_new_end_and_then_runs_out(suite: Suite) {
    let (_, lease) = suite.leased().await;
    suite.accept(2, "a", 500).await;
    let end = LEASE.as_secs() * 3;
    suite.store.extend(&[lease], at(end)).await.unwrap();
    assert_eq!(suite.store.next_due().await.unwrap(), Some(at(end)));
    assert!(suite.claim("a", end - 1).await.is_empty());
    assert!(suite.store.due_lanes(at(end - 1), 10).await.unwrap().is_empty());
    assert_eq!(numbers(&suite.claim("a", end).await), [1]);
}

/// Extending twice in the wrong order takes nothing away.
pub async fn a_lease_is_never_made_shorter(suite: Suite) {
    let (_, lease) = suite.leased().await;
    suite.store.extend(&[lease], at(5)).await.unwrap();
    assert!(suite.claim("a", LEASE.as_secs() - 1).await.is_empty());
    assert_eq!(suite.claim("a", LEASE.as_secs()).await.len(), 1);
}

/// What another worker has is not prolonged for the one that lost it; nor what nobody has, or is not there.
pub async fn a_lease_that_no_longer_holds_is_not_extended(suite: Suite) {
    let (_, old) = suite.leased().await;
    let end = LEASE.as_secs();
    let new = lease_of(&suite.claim("a", end).await[0]);
    assert_conflict(suite.store.extend(&[old], at(10 * end)).await, Conflict::Stale);
    assert_eq!(suite.store.next_due().await.unwrap(), Some(at(2 * end)), "the other's lease is as it was");
    suite.store.extend(&[new], at(3 * end)).await.unwrap();
    suite.accept(2, "b", 0).await;
    for delivery in [delivery_id(2), delivery_id(3)] {
        assert_conflict(suite.store.extend(&[Lease { delivery, token: new.token }], at(9)).await, Conflict::Stale);
    }
}

/// One that is lost leaves the others as they were.
pub async fn leases_are_extended_together_or_not_at_all(suite: Suite) {
    let (_, held) = suite.leased().await;
    suite.accept(2, "b", 0).await;
    let lost = lease_of(&suite.claim("b", 0).await[0]);
    suite.settle(settlement(lost, 1, waiting(1_000))).await;
    assert_conflict(suite.store.extend(&[held, lost], at(900)).await, Conflict::Stale);
    assert_eq!(suite.store.next_due().await.unwrap(), Some(at(0).plus(LEASE)));
    suite.store.extend(&[held], at(900)).await.unwrap();
    assert_eq!(suite.store.next_due().await.unwrap(), Some(at(900)));
}

/// The token stays the same, and ends with the settlement.
pub async fn an_extended_lease_settles_and_is_extended_no_more(suite: Suite) {
    let (seq, lease) = suite.leased().await;
    suite.store.extend(&[lease], at(900)).await.unwrap();
    suite.settle(settlement(lease, 800, DeliveryState::Delivered)).await;
    assert_eq!(suite.row(seq).await.state, DeliveryState::Delivered);
    assert_conflict(suite.store.extend(&[lease], at(2_000)).await, Conflict::Stale);
    assert_eq!(suite.store.next_due().await.unwrap(), None);
}

/// Workers that claim at the same instant share the work out.
pub async fn claims_at_once_never_take_the_same_work(suite: Suite) {
    for number in 0..40 {
        suite.accept(number, "a", number).await;
    }
    let suite = Arc::new(suite);
    let tasks: Vec<_> = (0..10)
        .map(|_| {
            let store = Arc::clone(&suite.store);
            let claim = Claim { lanes: vec![(lane("a"), 5)], now: at(100), lease_until: at(160) };
            tokio::spawn(async move { store.claim_due(claim).await.unwrap() })
        })
        .collect();
    let claims = futures::future::join_all(tasks).await.into_iter().map(Result::unwrap);
    let taken: Vec<_> = claims.flatten().map(|leased| lease_of(&leased).delivery).collect();
    assert_eq!(taken.iter().collect::<HashSet<_>>().len(), taken.len(), "no delivery twice");
    let rest = suite.claim("a", 100).await.len();
    assert_eq!(taken.len() + rest, 40);
}

/// A scheduler sees where work waits the longest, without reading rows.
pub async fn lanes_are_told_by_their_longest_due_work(suite: Suite) {
    for (number, name, due) in [(1, "a", 30), (2, "b", 10), (3, "b", 40), (4, "c", 20), (5, "d", 99)] {
        suite.accept(number, name, due).await;
    }
    let heads = suite.store.due_lanes(at(50), 10).await.unwrap();
    let told: Vec<(&str, Timestamp)> = heads.iter().map(|head| (head.lane.as_str(), head.due)).collect();
    assert_eq!(told, [("b", at(10)), ("c", at(20)), ("a", at(30))]);
    assert_eq!(suite.store.due_lanes(at(50), 2).await.unwrap(), heads[..2]);
    assert!(suite.store.due_lanes(at(9), 10).await.unwrap().is_empty());
    suite.claim("b", 10).await;
    let heads = suite.store.due_lanes(at(50), 10).await.unwrap();
    assert_eq!(heads.iter().map(|head| head.lane.as_str()).collect::<Vec<_>>(), ["c", "a", "b"]);
}

/// A scheduler can sleep until exactly then.
pub async fn the_next_wake_up_is_the_earliest_of_all_lanes(suite: Suite) {
    assert_eq!(suite.store.next_due().await.unwrap(), None);
    suite.accept(1, "a", 90).await;
    assert_eq!(suite.store.next_due().await.unwrap(), Some(at(90)));
    suite.accept(2, "b", 10).await;
    assert_eq!(suite.store.next_due().await.unwrap(), Some(at(10)));
    suite.claim("b", 10).await;
    assert_eq!(
        suite.store.next_due().await.unwrap(),
        Some(at(10).plus(LEASE)),
        "the lease runs out before the other is due"
    );
}

/// A wake-up set while nobody listened is heard by the next listener.
pub async fn a_wake_up_between_two_calls_is_not_lost(suite: Suite) {
    for number in 0..3 {
        quiet(&suite).await;
        suite.accept(number, "a", 0).await;
        heard(&suite).await;
    }
}

/// A listener hears a wake-up that is set while it waits.
pub async fn a_wake_up_reaches_a_caller_that_waits(suite: Suite) {
    quiet(&suite).await;
    let store = Arc::clone(&suite.store);
    let listener = tokio::spawn(async move { store.woken().await });
    tokio::task::yield_now().await;
    suite.accept(1, "a", 0).await;
    tokio::time::timeout(DEADLINE, listener).await.expect("the wake-up is heard").unwrap();
}

/// A settlement and a change wake as well: they set wake-ups too.
pub async fn a_deferral_and_a_change_are_heard(suite: Suite) {
    let (_, lease) = suite.leased().await;
    quiet(&suite).await;
    suite.settle(crate::suite::settlement(lease, 1, crate::suite::waiting(5))).await;
    heard(&suite).await;
    quiet(&suite).await;
    let waiting = gateway_model::state::DeliveryStatus::Waiting;
    suite.store.change(crate::suite::change(lease.delivery, waiting, 2, crate::suite::waiting(3))).await.unwrap();
    heard(&suite).await;
}

/// Far longer than any commit; only a wake-up that was lost runs into it.
const DEADLINE: Duration = Duration::from_secs(30);

/// Uses up the wake-ups of before: opening a store is one, and a store may tell more of them than it has to.
async fn quiet(suite: &Suite) {
    for _ in 0..100 {
        if suite.store.woken().now_or_never().is_none() {
            return;
        }
    }
    panic!("the store wakes without end");
}

async fn heard(suite: &Suite) {
    tokio::time::timeout(DEADLINE, suite.store.woken()).await.expect("the wake-up is heard");
}

/// The numbers of the envelopes of claimed work.
fn numbers(claimed: &[Leased]) -> Vec<u64> {
    let number = |leased: &Leased| match &leased.work {
        Work::Deliver { envelope, .. } => {
            (0..100).find(|number| crate::fixture::envelope_id(*number) == envelope.key.id).unwrap()
        }
        Work::Return(_) => panic!("a return in the lane of deliveries"),
    };
    claimed.iter().map(number).collect()
}

fn sorted(claimed: &[Leased]) -> Vec<u64> {
    let mut numbers = numbers(claimed);
    numbers.sort_unstable();
    numbers
}
