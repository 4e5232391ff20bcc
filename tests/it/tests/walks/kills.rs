//! F1: any of the three gateways dies at any moment under load; nothing is lost, nothing has an effect twice. The same harness catches
//! builds that are broken in the two ways that a kill can show.

use std::path::PathBuf;
use std::time::Duration;

use certs_dev::province::Plan;
use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};
use tests_harness::gateways::{self, FAST, Federation};
use tests_harness::load::Load;
use tests_harness::reconcile::{self, Difference};

/// How often a broken build is tried before it counts as not caught: not every kill falls between its answer and its commit.
const BATTERIES_MAX: usize = 3;

/// How the harness is used.
struct Battery {
    binary: PathBuf,
    mutant: Option<&'static str>,
    kills: usize,
    /// Which gateways may die.
    victims: std::ops::Range<usize>,
}

/// Kills gateways under load, lets everything settle, and compares the journals.
async fn run(battery: Battery, seed: u64) -> Difference {
    eprintln!("seed {seed}");
    let mut random = StdRng::seed_from_u64(seed);
    let mut federation = Federation::lay_out(Plan::province(), FAST, battery.binary).unwrap();
    let local = &mut federation.local;
    if let Some(mutant) = battery.mutant {
        for gateway in &mut local.gateways {
            gateway.environment.push(("LIENTHONG_MUTANT".to_owned(), mutant.to_owned()));
        }
    }
    local.start().await.unwrap();
    let (from, to) = (local.province.cast.commune.clone(), local.province.cast.land_office.clone());
    let load = Load::start(local, &from, &to, 4).await.unwrap();
    for _ in 0..battery.kills {
        let victim = random.random_range(battery.victims.clone());
        // The random moment of the fault itself, not a wait for something.
        tokio::time::sleep(Duration::from_millis(random.random_range(20..250))).await;
        local.kill(victim).unwrap();
        local.spawn(victim).unwrap();
        local.wait_until_ready(victim).await.unwrap();
    }
    let journal = load.finish().await.unwrap();
    assert!(journal.len() > battery.kills, "the load was real: {} envelopes", journal.len());
    let office = local.system_folder(&local.gateways[0].id, &to);
    let delivered = reconcile::settle(&office, &journal, Duration::from_secs(20)).await.unwrap();
    let difference = reconcile::reconcile(local, &from, &journal, &delivered).await.unwrap();
    eprintln!("{} kills, {} acknowledged, {} delivered", battery.kills, journal.len(), delivered.len());
    difference
}

fn kills(all: usize) -> usize {
    if std::env::var("LIENTHONG_TESTS").as_deref() == Ok("quick") { all.div_ceil(10) } else { all }
}

#[tokio::test(flavor = "multi_thread")]
async fn fifty_kills_of_any_gateway_under_load_lose_nothing_and_double_nothing() {
    let binary = gateways::binary().unwrap();
    let difference = run(Battery { binary, mutant: None, kills: kills(50), victims: 0..3 }, rand::random()).await;
    assert!(difference.is_nothing(), "{difference:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_kills_catch_a_build_that_answers_before_the_commit() {
    for _ in 0..BATTERIES_MAX {
        let (binary, mutant) = (gateways::mutants().unwrap(), Some("answer-before-commit"));
        let difference = run(Battery { binary, mutant, kills: 12, victims: 0..1 }, rand::random()).await;
        if !difference.lost.is_empty() {
            return;
        }
        eprintln!("this battery saw nothing lost: {difference:#?}");
    }
    panic!("the harness must see acknowledged envelopes that are gone");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_kills_catch_a_build_that_forgets_its_duplicate_table() {
    let binary = gateways::mutants().unwrap();
    let mutant = Some("forget-duplicates");
    let difference = run(Battery { binary, mutant, kills: 4, victims: 0..3 }, rand::random()).await;
    assert!(!difference.doubled.is_empty(), "the harness must see envelopes that were taken twice: {difference:#?}");
}
