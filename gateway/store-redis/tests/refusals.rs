//! A Redis that would lose what it acknowledges is refused, and the refusal names the setting.

// Whatever does not go as it has to fails the test there and then.
#![allow(clippy::unwrap_used, clippy::panic)]

mod server;

use gateway_store::Store as _;
use gateway_store_conformance::fixture::{OTHER, OURS, log_signer};
use gateway_store_redis::{Durability, OpenError, OpenOptions, RedisStore, Server, Unfit};
use server::{DURABLE, Redis};

async fn open(redis: &Redis, change: impl FnOnce(&mut OpenOptions)) -> Result<RedisStore, OpenError> {
    let mut options = server::options(Server::single(redis.address()), "test", log_signer(OURS));
    change(&mut options);
    RedisStore::open(options).await
}

async fn refusal(settings: &[&str], change: impl FnOnce(&mut OpenOptions)) -> (Unfit, String) {
    match open(&Redis::start(settings), change).await {
        Err(error) => {
            let told = error.to_string();
            let OpenError::Unfit { refusal, .. } = error else { panic!("{told}") };
            (refusal, told)
        }
        Ok(_) => panic!("it was taken with {settings:?}"),
    }
}

fn with<'a>(more: &[&'a str]) -> Vec<&'a str> {
    DURABLE.iter().chain(more).copied().collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redis_that_keeps_nothing_is_refused() {
    let (refusal, told) = refusal(&["--appendonly", "no"], |_| {}).await;
    assert_eq!(refusal, Unfit::AppendOnly { found: "no".to_owned() });
    assert!(told.contains("`appendonly yes`"), "{told}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redis_that_syncs_every_second_is_refused() {
    let (refusal, told) = refusal(&["--appendonly", "yes", "--appendfsync", "everysec"], |_| {}).await;
    assert_eq!(refusal, Unfit::AppendFsync { found: "everysec".to_owned() });
    assert!(told.contains("`appendfsync always`"), "{told}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redis_that_does_not_sync_while_it_rewrites_is_refused() {
    let (refusal, _) = refusal(&with(&["--no-appendfsync-on-rewrite", "yes"]), |_| {}).await;
    assert_eq!(refusal, Unfit::NoSyncOnRewrite { found: "yes".to_owned() });
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redis_that_evicts_is_refused_even_for_a_trial() {
    let settings = with(&["--maxmemory-policy", "allkeys-lru"]);
    let (refusal, told) = refusal(&settings, |options| options.durability = Durability::WaivedForTrials).await;
    assert_eq!(refusal, Unfit::Eviction { found: "allkeys-lru".to_owned() });
    assert!(told.contains("`maxmemory-policy noeviction`"), "{told}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redis_without_room_is_refused() {
    let settings = with(&["--maxmemory", "100mb"]);
    let (refusal, _) = refusal(&settings, |options| options.free_bytes_min = 256 * 1024 * 1024).await;
    assert_eq!(refusal, Unfit::Memory { found: 104_857_600, needed: 268_435_456 });
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replica_is_refused() {
    let master = Redis::durable();
    let replica = Redis::start(&with(&["--replicaof", "127.0.0.1", &master.port().to_string()]));
    match open(&replica, |_| {}).await {
        Err(OpenError::Unfit { refusal: Unfit::Role { found }, .. }) => assert_eq!(found, "slave"),
        other => panic!("{:?}", other.err()),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_trial_may_waive_durability() {
    let redis = Redis::start(&["--appendonly", "no"]);
    let store = open(&redis, |options| options.durability = Durability::WaivedForTrials).await.unwrap();
    store.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_user_of_the_access_control_list_is_spoken_as() {
    let redis = Redis::durable();
    let rights = ["on", ">secret", "~*", "&*", "+@all", "-@dangerous", "+info", "+config|get"];
    redis.ask(&[&["ACL", "SETUSER", "gateway"], &rights[..]].concat());
    redis.ask(&["ACL", "SETUSER", "default", "off"]);
    let told = open(&redis, |_| {}).await.err().unwrap().to_string();
    assert!(matches!(&*told, told if told.contains("NOAUTH") || told.contains("uthentication")), "{told}");
    let store = open(&redis, |options| {
        (options.server.user, options.server.password) = (Some("gateway".to_owned()), Some("secret".to_owned()));
    });
    let store = store.await.unwrap();
    assert_eq!(store.counts().await.unwrap().envelopes, 0);
    store.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_at_the_address_is_told() {
    let mut redis = Redis::durable();
    redis.kill();
    let address = redis.address();
    match open(&redis, |_| {}).await {
        Err(OpenError::Unreachable { address: told, .. }) => assert_eq!(told, address),
        other => panic!("{:?}", other.err()),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn another_log_key_is_refused() {
    use gateway_store_conformance::suite::acceptance;

    let redis = Redis::durable();
    let store = open(&redis, |_| {}).await.unwrap();
    store.accept(acceptance(&gateway_store_conformance::Fixture::new().envelope(1))).await.unwrap();
    store.close().await;
    // The same name, another key.
    let mut der = vec![0x30, 0x2e, 0x02, 0x01, 0x00, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x04, 0x22, 0x04, 0x20];
    der.extend_from_slice(&[7; 32]);
    let other = gateway_model::note::NoteSigner::from_pkcs8(OURS, &der).unwrap();
    let refused = open(&redis, |options| options.signer = other).await;
    assert!(matches!(refused, Err(OpenError::LogKeyChanged { .. })), "{:?}", refused.err());
    // Another gateway has keys of its own in the same Redis.
    let neighbour = open(&redis, |options| options.signer = log_signer(OTHER)).await.unwrap();
    assert_eq!(neighbour.counts().await.unwrap().envelopes, 0);
    neighbour.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_without_its_head_is_not_started_as_an_empty_one() {
    let redis = Redis::durable();
    open(&redis, |_| {}).await.unwrap().close().await;
    redis.ask(&["DEL", &format!("test:{{{OURS}}}:head")]);
    let refused = open(&redis, |_| {}).await;
    assert!(matches!(refused, Err(OpenError::Missing { .. })), "{:?}", refused.err());
}
