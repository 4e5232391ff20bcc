//! Redis dies, stands still, is away and comes back; nodes share it.

// Whatever does not go as it has to fails the test there and then.
#![allow(clippy::unwrap_used, clippy::panic)]

mod server;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use gateway_evidence::Receipt;
use gateway_model::Reason;
use gateway_store::accept::Accept;
use gateway_store::claim::Claim;
use gateway_store::nodes::Use;
use gateway_store::{Pressure, Store, StoreError};
use gateway_store_conformance::Fixture;
use gateway_store_conformance::fixture::{OURS, log_signer};
use gateway_store_conformance::suite::{LEASE, acceptance, at, key, lane, lease_of, settlement, verified};
use gateway_store_redis::{OpenError, OpenOptions, RedisStore, Server};
use server::{Cluster, Redis};

/// Far longer than anything here takes; only what hangs runs into it.
const DEADLINE: Duration = Duration::from_secs(60);
/// What sixty answers may take while Redis is away: each by itself would wait for a second.
const SIXTY_FAST: Duration = Duration::from_secs(20);

async fn open(server: Server, node: &str) -> Result<RedisStore, OpenError> {
    let options = server::options(server, "test", log_signer(OURS));
    RedisStore::open(OpenOptions {
        node: node.to_owned(),
        answer_timeout: Duration::from_secs(1),
        return_timeout: Duration::from_secs(2),
        ..options
    })
    .await
}

async fn accepted(store: &RedisStore, accept: &Accept) -> Receipt {
    let begun = Instant::now();
    loop {
        match store.accept(accept.clone()).await {
            Ok(accepted) => return accepted.receipt,
            Err(StoreError::Unavailable { .. } | StoreError::Unknown { .. }) => {
                assert!(begun.elapsed() < DEADLINE, "Redis does not come back");
                // reason: a sender that was told to try again does so after a while, as ours do.
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            Err(other) => panic!("{other}"),
        }
    }
}

/// Accepts without end, and writes down what was answered.
async fn load(
    store: Arc<RedisStore>,
    fixture: Arc<Fixture>,
    numbers: Arc<AtomicU64>,
    enough: Arc<AtomicBool>,
) -> Vec<(u64, Receipt)> {
    let mut journal = Vec::new();
    while !enough.load(Ordering::SeqCst) {
        let number = numbers.fetch_add(1, Ordering::SeqCst);
        let accept = acceptance(&fixture.envelope(number));
        journal.push((number, accepted(&store, &accept).await));
    }
    journal
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn kills_of_redis_under_load_of_two_nodes_lose_nothing_that_was_answered() {
    let mut redis = Redis::durable();
    let mut stores = Vec::new();
    for node in ["one", "two"] {
        stores.push(Arc::new(open(Server::single(redis.address()), node).await.unwrap()));
    }
    let (fixture, numbers, enough) =
        (Arc::new(Fixture::new()), Arc::new(AtomicU64::new(0)), Arc::new(AtomicBool::new(false)));
    let senders: Vec<_> = (0..8)
        .map(|sender| tokio::spawn(load(stores[sender % 2].clone(), fixture.clone(), numbers.clone(), enough.clone())))
        .collect();
    for kill in 0..5 {
        let answered = numbers.load(Ordering::SeqCst);
        while numbers.load(Ordering::SeqCst) < answered + 50 + 17 * kill {
            // reason: the load itself goes on for a while before the next kill.
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        redis.kill();
        redis.restart();
    }
    enough.store(true, Ordering::SeqCst);
    let mut journal = Vec::new();
    for sender in senders {
        journal.extend(tokio::time::timeout(DEADLINE, sender).await.unwrap().unwrap());
    }
    let store = &stores[0];
    for (number, receipt) in &journal {
        verified(receipt);
        assert_eq!(store.receipt(receipt.leaf_index).await.unwrap().as_ref(), Some(receipt), "envelope {number}");
        let row = store.find(&key(*number)).await.unwrap().unwrap();
        assert!(store.body(row.seq).await.unwrap().is_some());
        let again = store.accept(acceptance(&fixture.envelope(*number))).await.unwrap();
        assert!(again.duplicate, "envelope {number} was kept once");
    }
    let counts = store.counts().await.unwrap();
    assert_eq!(counts.envelopes, journal.len() as u64, "nothing that nobody sent");
    assert_eq!(counts.log_size, counts.envelopes, "one leaf for each");
    assert_eq!(store.leaf_hashes(0, usize::MAX).await.unwrap().len() as u64, counts.log_size);
    for store in stores {
        store.close().await;
        assert_eq!(store.failure(), None);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn while_redis_is_away_everything_fails_at_once_and_then_goes_on_by_itself() {
    let mut redis = Redis::durable();
    let store = open(Server::single(redis.address()), "one").await.unwrap();
    let fixture = Fixture::new();
    let first = store.accept(acceptance(&fixture.envelope(1))).await.unwrap();
    redis.kill();
    // The first one to notice may have been on its way; its end is found out or told as unknown, within the bound.
    let begun = Instant::now();
    assert!(store.accept(acceptance(&fixture.envelope(2))).await.is_err());
    assert!(begun.elapsed() < DEADLINE / 4, "{:?}", begun.elapsed());
    let begun = Instant::now();
    for _ in 0..20 {
        let refused = store.accept(acceptance(&fixture.envelope(2))).await;
        assert!(matches!(refused, Err(StoreError::Unavailable { .. })), "{refused:?}");
        assert!(store.find(&key(1)).await.is_err() && store.next_due().await.is_err());
    }
    assert!(begun.elapsed() < SIXTY_FAST, "{:?}", begun.elapsed());
    match store.pressure() {
        Pressure::Busy { reason: Reason::StoreUnavailable, retry_after } => assert!(!retry_after.is_zero()),
        other => panic!("{other:?}"),
    }
    redis.restart();
    let second = accepted(&store, &acceptance(&fixture.envelope(2))).await;
    assert_eq!(second.leaf_index, first.receipt.leaf_index + 1);
    assert_eq!(store.pressure(), Pressure::Free);
    store.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redis_that_is_away_is_asked_with_pauses() {
    let mut redis = Redis::durable();
    let store = open(Server::single(redis.address()), "one").await.unwrap();
    redis.kill();
    // Somebody else at its address, who hangs up on everyone.
    let listener = tokio::net::TcpListener::bind(redis.address()).await.unwrap();
    let (mut asked, span) = (0, Duration::from_secs(4));
    let counting = async {
        loop {
            drop(listener.accept().await.unwrap());
            asked += 1;
        }
    };
    assert!(tokio::time::timeout(span, counting).await.is_err());
    // 50 ms, then twice as long each time up to 2 s: seven pauses at most, each behind one connection.
    assert!((1..=16).contains(&asked), "{asked} connections in {span:?}");
    store.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redis_that_takes_no_writes_is_read_on_and_not_stormed() {
    let redis = Redis::durable();
    let (fixture, store) = (Fixture::new(), open(Server::single(redis.address()), "node-1").await.unwrap());
    accepted(&store, &acceptance(&fixture.envelope(1))).await;
    let connections = || {
        let told: String = redis::from_redis_value(redis.ask(&["INFO", "stats"])).unwrap();
        let line = told.lines().find_map(|line| line.strip_prefix("total_connections_received:")).unwrap();
        line.trim().parse::<u64>().unwrap()
    };
    // There is no replica.
    redis.ask(&["CONFIG", "SET", "min-replicas-to-write", "1"]);
    let before = connections();
    // reason: a node says every second that it runs; several times have to have failed.
    tokio::time::sleep(Duration::from_secs(4)).await;
    assert!(store.find(&key(1)).await.unwrap().is_some());
    let made = connections() - before;
    assert!(made < 50, "{made} connections");
    redis.ask(&["CONFIG", "SET", "min-replicas-to-write", "0"]);
    accepted(&store, &acceptance(&fixture.envelope(2))).await;
    store.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redis_that_stands_still_is_given_up_within_the_bound() {
    let redis = Redis::durable();
    let store = open(Server::single(redis.address()), "one").await.unwrap();
    let fixture = Fixture::new();
    store.accept(acceptance(&fixture.envelope(1))).await.unwrap();
    redis.signal("STOP");
    let begun = Instant::now();
    assert!(store.accept(acceptance(&fixture.envelope(2))).await.is_err());
    assert!(begun.elapsed() < DEADLINE / 4, "{:?}", begun.elapsed());
    redis.signal("CONT");
    // What was sent to it may be done now; the same envelope gets one receipt either way.
    let receipt = accepted(&store, &acceptance(&fixture.envelope(2))).await;
    assert_eq!((receipt.leaf_index, store.counts().await.unwrap().log_size), (1, 2));
    store.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redis_that_comes_back_without_what_was_acknowledged_ends_the_store() {
    let mut redis = Redis::durable();
    let store = open(Server::single(redis.address()), "one").await.unwrap();
    let fixture = Fixture::new();
    store.accept(acceptance(&fixture.envelope(1))).await.unwrap();
    redis.kill();
    std::fs::remove_dir_all(redis.folder().join("appendonlydir")).unwrap();
    redis.restart();
    let what = tokio::time::timeout(DEADLINE, store.failed()).await.unwrap();
    assert!(what.contains("lost"), "{what}");
    let refused = store.accept(acceptance(&fixture.envelope(2))).await;
    assert!(matches!(refused, Err(StoreError::Unavailable { .. })), "{refused:?}");
    store.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redis_that_has_forgotten_its_scripts_gets_them_again() {
    let redis = Redis::durable();
    let store = open(Server::single(redis.address()), "one").await.unwrap();
    redis.ask(&["SCRIPT", "FLUSH"]);
    store.accept(acceptance(&Fixture::new().envelope(1))).await.unwrap();
    store.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_redis_refuses_what_is_new_and_lets_what_was_accepted_leave() {
    let redis = Redis::durable();
    let store = open(Server::single(redis.address()), "one").await.unwrap();
    let fixture = Fixture::new();
    store.accept(acceptance(&fixture.envelope(1))).await.unwrap();
    redis.ask(&["CONFIG", "SET", "maxmemory", "1"]);
    let refused = store.accept(acceptance(&fixture.envelope(2))).await;
    assert!(matches!(refused, Err(StoreError::Full)), "{refused:?}");
    let claim = Claim { lanes: vec![(lane("a"), 10)], now: at(0), lease_until: at(0).plus(LEASE) };
    let leased = store.claim_due(claim).await.unwrap();
    let delivered = settlement(lease_of(&leased[0]), 1, gateway_model::state::DeliveryState::Delivered);
    store.settle(delivered).await.unwrap();
    redis.ask(&["CONFIG", "SET", "maxmemory", "0"]);
    store.accept(acceptance(&fixture.envelope(2))).await.unwrap();
    store.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wake_up_that_one_node_sets_is_heard_at_the_other() {
    let redis = Redis::durable();
    let one = open(Server::single(redis.address()), "one").await.unwrap();
    let two = open(Server::single(redis.address()), "two").await.unwrap();
    two.woken().await; // Opening is one.
    one.accept(acceptance(&Fixture::new().envelope(1))).await.unwrap();
    tokio::time::timeout(Duration::from_secs(10), two.woken()).await.unwrap();
    assert_eq!(two.next_due().await.unwrap(), Some(at(0)));
    for store in [one, two] {
        store.close().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nodes_that_start_together_on_an_empty_redis_all_start() {
    for _ in 0..10 {
        let redis = Redis::durable();
        let names = ["a", "b", "c", "d"];
        let opened = futures::future::join_all(names.map(|node| open(Server::single(redis.address()), node))).await;
        for store in opened {
            store.unwrap().close().await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_duty_is_one_nodes_until_it_does_not_ask_again_and_uses_are_heard_by_the_others_once() {
    let redis = Redis::durable();
    let (one, other) = (
        open(Server::single(redis.address()), "a").await.unwrap(),
        open(Server::single(redis.address()), "b").await.unwrap(),
    );
    let long = Duration::from_secs(3_600);
    assert!(one.duty("x", long).await.unwrap() && !other.duty("x", long).await.unwrap());
    assert!(other.duty("y", long).await.unwrap(), "another duty");
    assert!(one.duty("x", Duration::from_millis(1)).await.unwrap(), "kept, for a moment");
    let begun = Instant::now();
    while !other.duty("x", long).await.unwrap() {
        assert!(begun.elapsed() < Duration::from_secs(60), "it passes on");
    }
    assert!(!one.duty("x", long).await.unwrap());
    let used = |envelopes| Use { name: "agency/x".to_owned(), envelopes, bytes: 7 };
    assert_eq!(one.share_use(vec![used(1)]).await.unwrap(), []);
    assert_eq!(other.share_use(vec![]).await.unwrap(), [], "told before it listened");
    one.share_use(vec![used(2)]).await.unwrap();
    one.share_use(vec![used(3)]).await.unwrap();
    assert_eq!(other.share_use(vec![used(4)]).await.unwrap(), [used(2), used(3)]);
    assert_eq!(other.share_use(vec![]).await.unwrap(), []);
    assert_eq!(one.share_use(vec![]).await.unwrap(), [used(4)]);
    one.close().await;
    other.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_starts_again_gives_its_own_leases_back_and_nobody_elses() {
    let redis = Redis::durable();
    let one = open(Server::single(redis.address()), "one").await.unwrap();
    let two = open(Server::single(redis.address()), "two").await.unwrap();
    let fixture = Fixture::new();
    let claim = async |store: &RedisStore| {
        let lanes = vec![(lane("a"), 1)];
        store.claim_due(Claim { lanes, now: at(0), lease_until: at(0).plus(LEASE) }).await
    };
    one.accept(acceptance(&fixture.envelope(1))).await.unwrap();
    one.accept(acceptance(&fixture.envelope(2))).await.unwrap();
    let held = (claim(&one).await.unwrap(), claim(&two).await.unwrap());
    assert_eq!((held.0.len(), held.1.len()), (1, 1));
    drop(one);
    let one = open(Server::single(redis.address()), "one").await.unwrap();
    let again = claim(&one).await.unwrap();
    assert_eq!(again.len(), 1, "only its own");
    assert_eq!(lease_of(&again[0]).delivery, lease_of(&held.0[0]).delivery);
    assert!(again[0].token > held.0[0].token);
    for store in [one, two] {
        store.close().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_process_whose_name_another_one_has_taken_writes_no_more_and_ends() {
    let redis = Redis::durable();
    let first = open(Server::single(redis.address()), "one").await.unwrap();
    let fixture = Fixture::new();
    accepted(&first, &acceptance(&fixture.envelope(1))).await;
    let second = open(Server::single(redis.address()), "one").await.unwrap();
    let refused = first.accept(acceptance(&fixture.envelope(2))).await;
    assert!(matches!(refused, Err(StoreError::Unavailable { .. })), "{refused:?}");
    let what = tokio::time::timeout(DEADLINE, first.failed()).await.unwrap();
    assert!(what.contains("\"one\"") && what.contains("redis.node"), "{what}");
    accepted(&second, &acceptance(&fixture.envelope(3))).await;
    assert_eq!(second.counts().await.unwrap().log_size, 2, "what was refused is not there");
    first.close().await;
    let alive = redis.ask(&["ZSCORE", &format!("test:{{{OURS}}}:alive"), "one"]);
    assert!(
        !matches!(alive, redis::Value::Nil),
        "the newer process runs, and no verb of the command line may take the store"
    );
    second.close().await;
    let alive = redis.ask(&["ZSCORE", &format!("test:{{{OURS}}}:alive"), "one"]);
    assert!(matches!(alive, redis::Value::Nil), "{alive:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn bodies_spread_over_the_masters_of_a_cluster() {
    let cluster = Cluster::start();
    let store = open(cluster.server(), "one").await.unwrap();
    let fixture = Fixture::new();
    for number in 0..60 {
        store.accept(acceptance(&fixture.envelope(number))).await.unwrap();
    }
    let keys = cluster.keys();
    assert!(keys.iter().all(|count| *count > 5), "{keys:?}");
    store.close().await;
}
