//! Replicas, sentinels and certificates: real ones.

// Whatever does not go as it has to fails the test there and then.
#![allow(clippy::unwrap_used, clippy::panic)]

mod server;

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use gateway_store::{Store as _, StoreError};
use gateway_store_conformance::Fixture;
use gateway_store_conformance::fixture::{OURS, log_signer};
use gateway_store_conformance::suite::acceptance;
use gateway_store_redis::{OpenError, OpenOptions, RedisStore, Server, Tls, Topology};
use server::{DURABLE, Redis};
use tempfile::TempDir;

/// Far longer than anything here takes; only what hangs runs into it.
const DEADLINE: Duration = Duration::from_secs(60);

async fn open(server: Server, replicas: u32) -> Result<RedisStore, OpenError> {
    let options = server::options(server, "test", log_signer(OURS));
    RedisStore::open(OpenOptions { replicas, answer_timeout: Duration::from_secs(2), ..options }).await
}

fn replica_of(master: &Redis) -> Redis {
    let port = master.port().to_string();
    let mut settings = DURABLE.to_vec();
    settings.extend(["--replicaof", "127.0.0.1", &port]);
    let replica = Redis::start(&settings);
    until("the replica follows", || {
        let told: String = redis::from_redis_value(replica.ask(&["INFO", "replication"])).unwrap();
        told.contains("master_link_status:up")
    });
    replica
}

fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !is_so() {
        assert!(begun.elapsed() < DEADLINE, "{what}: not in time");
        // reason: servers tell nobody when they have found each other; only asking again finds out.
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_commit_is_acknowledged_only_when_as_many_replicas_have_it_as_are_asked_for() {
    let master = Redis::durable();
    let replica = replica_of(&master);
    let fixture = Fixture::new();
    let store = open(Server::single(master.address()), 1).await.unwrap();
    store.accept(acceptance(&fixture.envelope(1))).await.unwrap();
    let ours = format!("test:{{{OURS}}}:ids");
    assert!(matches!(replica.ask(&["HLEN", &ours]), redis::Value::Int(1)), "the replica has it");
    store.close().await;
    let store = open(Server::single(master.address()), 2).await.unwrap();
    let accept = acceptance(&fixture.envelope(2));
    let unsure = store.accept(accept.clone()).await;
    assert!(matches!(unsure, Err(StoreError::Unknown { .. })), "one replica is not two: {unsure:?}");
    assert!(store.find(accept.envelope.key()).await.unwrap().is_some(), "read back by id it is there");
    store.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_master_is_found_by_sentinels_and_found_again_after_a_failover() {
    let mut master = Redis::durable();
    let _replica = replica_of(&master);
    let settings = format!(
        "sentinel monitor main 127.0.0.1 {} 1\nsentinel down-after-milliseconds main 500\nsentinel failover-timeout main 3000\n",
        master.port()
    );
    let sentinel = Redis::sentinel(&settings);
    until("the sentinel knows the replica", || {
        let told = sentinel.ask(&["SENTINEL", "REPLICAS", "main"]);
        matches!(told, redis::Value::Array(replicas) if !replicas.is_empty())
    });
    let topology = Topology::Sentinel { master: "main".to_owned() };
    let server = Server { topology, ..Server::single(sentinel.address()) };
    // The last acknowledged commit has to be on the replica, too: that is what `replicas` is for.
    let fixture = Fixture::new();
    let store = open(server.clone(), 1).await.unwrap();
    let first = store.accept(acceptance(&fixture.envelope(1))).await.unwrap();
    store.close().await;
    let store = open(server, 0).await.unwrap();
    master.kill();
    let begun = Instant::now();
    let again = loop {
        assert!(begun.elapsed() < DEADLINE, "no other master is found");
        match store.accept(acceptance(&fixture.envelope(1))).await {
            Ok(accepted) => break accepted,
            // reason: sentinels take their time to agree that the master is gone.
            Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
        }
    };
    assert!(again.duplicate);
    assert_eq!(again.receipt, first.receipt);
    store.accept(acceptance(&fixture.envelope(2))).await.unwrap();
    assert_eq!(store.failure(), None);
    store.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_encrypted_way_is_taken_only_to_a_server_of_the_given_authority() {
    let folder = TempDir::new().unwrap();
    let [ours, other] = ["ours", "other"].map(|name| authority(folder.path(), name));
    let file = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    certificate(folder.path(), "ours", "server");
    certificate(folder.path(), "ours", "client");
    let mut settings: Vec<String> = DURABLE.iter().map(|word| (*word).to_owned()).collect();
    for (setting, value) in [
        ("--tls-cert-file", file("server.pem")),
        ("--tls-key-file", file("server.key")),
        ("--tls-ca-cert-file", file("ours.pem")),
        ("--tls-auth-clients", "yes".to_owned()),
    ] {
        settings.extend([setting.to_owned(), value]);
    }
    let redis = Redis::with_tls(&settings);
    let read = |name: &str| std::fs::read(folder.path().join(name)).unwrap();
    let identity = Some((read("client.pem"), read("client.key")));
    let tls = |roots: &[u8], identity: Option<(Vec<u8>, Vec<u8>)>| Server {
        tls: Some(Tls { roots: roots.to_vec(), identity }),
        ..Server::single(redis.tls_address())
    };
    let unreachable = |opened: Result<RedisStore, OpenError>| matches!(opened, Err(OpenError::Unreachable { .. }));
    assert!(unreachable(open(tls(&other, identity.clone()), 0).await), "another authority");
    assert!(unreachable(open(tls(&ours, None), 0).await), "Redis asks for a certificate");
    let store = open(tls(&ours, identity), 0).await.unwrap();
    store.accept(acceptance(&Fixture::new().envelope(1))).await.unwrap();
    store.close().await;
}

/// Makes an authority; gives its certificate.
fn authority(folder: &Path, name: &str) -> Vec<u8> {
    openssl(
        folder,
        &format!(
            "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout {name}.key -out {name}.pem -subj /CN={name} -days 2"
        ),
    );
    std::fs::read(folder.join(format!("{name}.pem"))).unwrap()
}

/// Makes a certificate for 127.0.0.1.
fn certificate(folder: &Path, authority: &str, name: &str) {
    openssl(
        folder,
        &format!(
            "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout {name}.key -out {name}.pem -subj /CN={name} -days 2 -CA {authority}.pem -CAkey {authority}.key -addext subjectAltName=IP:127.0.0.1 -addext basicConstraints=critical,CA:FALSE"
        ),
    );
}

fn openssl(folder: &Path, arguments: &str) {
    let done = Command::new("openssl")
        .args(arguments.split(' '))
        .current_dir(folder)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    assert!(done.unwrap().success(), "openssl {arguments}");
}
