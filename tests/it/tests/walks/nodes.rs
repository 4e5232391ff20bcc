//! A province on two nodes with one Redis: nodes die under load, and Redis, and each is held up for long; nothing is lost, nothing has an
//! effect twice. And the harness itself is tried: on a Redis that forgets, it has to find the loss.

use std::time::Duration;

use certs_dev::province::Plan;
use gateway_cli::local::Local;
use gateway_cli::local::redis::Redis;
use gateway_model::id::AgencyId;
use gateway_model::limits;
use rand::rngs::StdRng;
use rand::seq::{IndexedRandom as _, SliceRandom as _};
use rand::{Rng as _, SeedableRng as _};
use tests_harness::gateways::{self, FAST, Federation};
use tests_harness::load::{Journal, Load};
use tests_harness::nodes::Nodes;
use tests_harness::reconcile::{self, Difference};

/// The gateway with two nodes.
const PROVINCE: usize = 2;
/// Longer than anything waits for an answer.
const PAUSE: Duration = Duration::from_secs(20);
/// Rest of a sender between two envelopes: the load lasts for minutes, and all of it is reconciled.
const PACE: Duration = Duration::from_millis(150);
/// Nothing moves for so long: what is missing will not come. What was leased by a node that died is free again when its lease has run out.
const PATIENCE: Duration = limits::LEASE_TIME.saturating_mul(2).saturating_add(Duration::from_secs(40));

/// What happens to whom.
#[derive(Clone, Copy, Debug)]
enum Fault {
    NodeDies,
    RedisDies,
    NodeIsHeldUp,
    RedisIsHeldUp,
}

/// The province with its load.
struct World {
    redis: Redis,
    federation: Federation,
    nodes: Nodes,
    random: StdRng,
}

impl World {
    async fn start(is_durable: bool) -> Self {
        let seed = rand::random();
        eprintln!("seed {seed}");
        let mut federation = Federation::lay_out(Plan::province(), FAST, gateways::binary().unwrap()).unwrap();
        let folder = federation.local.folder.join("redis");
        let redis = match is_durable {
            true => Redis::start(&folder).await,
            false => Redis::start_forgetful(&folder).await,
        };
        let redis = redis.unwrap();
        let nodes = Nodes::lay_out(&mut federation.local, PROVINCE, &redis).await.unwrap();
        federation.local.start().await.unwrap();
        Self { redis, federation, nodes, random: StdRng::seed_from_u64(seed) }
    }

    fn local(&mut self) -> &mut Local {
        &mut self.federation.local
    }

    async fn suffer(&mut self, fault: Fault) {
        let number = *self.nodes.numbers.choose(&mut self.random).unwrap();
        match fault {
            Fault::NodeDies => {
                self.local().kill(number).unwrap();
                self.local().spawn(number).unwrap();
            }
            Fault::RedisDies => {
                self.redis.kill().unwrap();
                self.redis.spawn().await.unwrap();
            }
            Fault::NodeIsHeldUp => {
                self.local().freeze(number, true).unwrap();
                // reason: the fault itself lasts so long.
                tokio::time::sleep(PAUSE).await;
                self.local().freeze(number, false).unwrap();
            }
            Fault::RedisIsHeldUp => {
                self.redis.freeze(true).unwrap();
                // reason: the fault itself lasts so long.
                tokio::time::sleep(PAUSE).await;
                self.redis.freeze(false).unwrap();
            }
        }
        // reason: the random moment of the next fault, not a wait for something.
        tokio::time::sleep(Duration::from_millis(self.random.random_range(200..1_200))).await;
    }

    /// Waits for what `from` sent, and compares.
    async fn settle(&self, from: &AgencyId, journal: &Journal, patience: Duration) -> Difference {
        let local = &self.federation.local;
        let office = &local.province.cast.land_office;
        let folder = local.system_folder(&local.gateways[PROVINCE].id, office);
        let delivered = reconcile::settle(&folder, journal, patience).await.unwrap();
        reconcile::reconcile(local, from, journal, &delivered).await.unwrap()
    }
}

fn all_faults(random: &mut StdRng) -> Vec<Fault> {
    let quick = std::env::var("LIENTHONG_TESTS").as_deref() == Ok("quick");
    let times = |all: usize| if quick { all.div_ceil(10) } else { all };
    let mut faults = vec![Fault::NodeDies; times(30)];
    faults.extend(vec![Fault::RedisDies; times(10)]);
    faults.extend([Fault::NodeIsHeldUp, Fault::RedisIsHeldUp]);
    faults.shuffle(random);
    faults
}

#[tokio::test(flavor = "multi_thread")]
async fn nodes_and_redis_die_and_are_held_up_under_load_and_nothing_is_lost_or_doubled() {
    let mut world = World::start(true).await;
    let cast = world.local().province.cast.clone();
    let senders = [cast.commune.clone(), cast.department.clone()];
    let mut loads = Vec::new();
    for from in &senders {
        loads.push(Load::start_at(world.local(), from, &cast.land_office, 3, PACE).await.unwrap());
    }
    let faults = all_faults(&mut world.random);
    for fault in &faults {
        world.suffer(*fault).await;
        assert_eq!(world.local().find_ended().unwrap(), None, "no node ends because Redis was away");
    }
    let mut journals = Vec::new();
    for load in loads {
        journals.push(load.finish().await.unwrap());
    }
    for number in world.nodes.numbers {
        world.local().wait_until_ready(number).await.unwrap();
    }
    for (from, journal) in senders.iter().zip(&journals) {
        eprintln!("{} faults, {} acknowledged from {from}", faults.len(), journal.len());
        assert!(journal.len() > faults.len(), "the load was real: {} envelopes", journal.len());
        let difference = world.settle(from, journal, PATIENCE).await;
        assert!(difference.is_nothing(), "{difference:#?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn on_a_redis_that_forgets_the_harness_finds_the_loss() {
    let mut world = World::start(false).await;
    let cast = world.local().province.cast.clone();
    let load = Load::start(world.local(), &cast.department, &cast.land_office, 3).await.unwrap();
    for _ in 0..3 {
        // There has to be something to forget.
        load.one_more().await.unwrap();
        world.suffer(Fault::RedisDies).await;
        for number in world.nodes.numbers {
            // A node that sees the loss ends by itself.
            world.local().kill(number).unwrap();
            world.local().spawn(number).unwrap();
            world.local().wait_until_ready(number).await.unwrap();
        }
    }
    let journal = load.finish().await.unwrap();
    let difference = world.settle(&cast.department, &journal, Duration::from_secs(5)).await;
    assert!(!difference.disowned.is_empty(), "receipts were given for what was forgotten: {difference:#?}");
}
