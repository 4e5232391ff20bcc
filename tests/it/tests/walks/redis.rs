//! The province on Redis: gateways die under load, and Redis itself; nothing is lost, nothing has an effect twice.

use std::time::Duration;

use certs_dev::province::Plan;
use gateway_cli::local::redis::Redis;
use gateway_model::limits;
use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};
use tests_harness::gateways::{self, FAST, Federation};
use tests_harness::load::Load;
use tests_harness::reconcile;

/// Nothing moves for so long: what is missing will not come. What was leased when Redis died is free again when the lease has run out, at one
/// gateway after the other.
const PATIENCE: Duration = limits::LEASE_TIME.saturating_mul(2).saturating_add(Duration::from_secs(40));

/// Who dies.
#[derive(Clone, Copy)]
enum Victim {
    Gateway,
    Redis,
}

async fn run(kills: usize, victim: Victim) {
    let seed = rand::random();
    eprintln!("seed {seed}");
    let mut random = StdRng::seed_from_u64(seed);
    let mut federation = Federation::lay_out(Plan::province(), FAST, gateways::binary().unwrap()).unwrap();
    let mut redis = Redis::start(&federation.local.folder.join("redis")).await.unwrap();
    let local = &mut federation.local;
    for gateway in &mut local.gateways {
        gateway.environment.extend(redis.environment());
    }
    local.start().await.unwrap();
    let (from, to) = (local.province.cast.commune.clone(), local.province.cast.land_office.clone());
    let load = Load::start(local, &from, &to, 4).await.unwrap();
    for _ in 0..kills {
        // reason: the random moment of the fault itself, not a wait for something.
        tokio::time::sleep(Duration::from_millis(random.random_range(100..400))).await;
        match victim {
            Victim::Gateway => {
                let victim = random.random_range(0..3);
                local.kill(victim).unwrap();
                local.spawn(victim).unwrap();
                local.wait_until_ready(victim).await.unwrap();
            }
            Victim::Redis => {
                redis.kill().unwrap();
                redis.spawn().await.unwrap();
            }
        }
    }
    let journal = load.finish().await.unwrap();
    assert!(journal.len() > kills, "the load was real: {} envelopes", journal.len());
    let office = local.system_folder(&local.gateways[0].id, &to);
    let delivered = reconcile::settle(&office, &journal, PATIENCE).await.unwrap();
    let difference = reconcile::reconcile(local, &from, &journal, &delivered).await.unwrap();
    eprintln!("{kills} kills, {} acknowledged, {} delivered", journal.len(), delivered.len());
    assert!(difference.is_nothing(), "{difference:#?}");
    // Nothing of it lies in the folders of the gateways.
    for gateway in &local.gateways {
        assert!(!gateway.store.join("store.db").exists(), "{} kept envelopes in a file", gateway.id);
    }
}

fn kills(all: usize) -> usize {
    if std::env::var("LIENTHONG_TESTS").as_deref() == Ok("quick") { all.div_ceil(10) } else { all }
}

#[tokio::test(flavor = "multi_thread")]
async fn kills_of_gateways_on_redis_lose_nothing_and_double_nothing() {
    run(kills(20), Victim::Gateway).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn kills_of_redis_under_gateways_lose_nothing_and_double_nothing() {
    run(kills(10), Victim::Redis).await;
}
