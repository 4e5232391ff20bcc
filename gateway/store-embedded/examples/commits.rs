//! How many envelopes the store accepts a second, how long one waits, and what one costs: at growing sizes of the store.
//!
//! `cargo run --release -p gateway-store-embedded --example commits -- FOLDER [ENVELOPES] [PRODUCERS]`
//!
//! Envelopes are signed and verified before the clock starts, in rounds; every round is measured by itself. The CPU time is that of the
//! whole process during the round: the writer, the producers and the runtime.

// A tool for one measurement: whatever goes wrong ends it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use gateway_model::Digest;
use gateway_store::Store as _;
use gateway_store::accept::Accept;
use gateway_store_conformance::fixture::{Fixture, OURS, draft, log_signer};
use gateway_store_conformance::suite::acceptance;
use gateway_store_embedded::{EmbeddedStore, OpenOptions};
use proto::v1;
use rustix::time::{ClockId, clock_gettime};

/// Bytes of one serialized signed envelope.
const RECORD_BYTES: usize = 4_096;
const ROUND: u64 = 20_000;

fn main() {
    let mut arguments = std::env::args().skip(1);
    let folder = PathBuf::from(arguments.next().expect("a folder"));
    let envelopes: u64 = arguments.next().map_or(1_000_000, |count| count.parse().unwrap());
    let producers: usize = arguments.next().map_or(256, |count| count.parse().unwrap());
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(measure(folder, envelopes, producers));
}

async fn measure(folder: PathBuf, envelopes: u64, producers: usize) {
    let fixture = Arc::new(Fixture::new());
    let options = || OpenOptions { log_bytes_ahead: 16 * 1024 * 1024, ..OpenOptions::new(&folder, log_signer(OURS)) };
    let store = Arc::new(EmbeddedStore::open(options()).unwrap());
    let first = store.counts().await.unwrap().envelopes;
    println!(
        "{:>10} {:>12} {:>12} {:>12} {:>12} {:>12} {:>10}",
        "rows", "accepts/s", "CPU us each", "p50 ms", "p99 ms", "max ms", "MiB RSS"
    );
    let mut done = 0;
    while done < envelopes {
        let round = ROUND.min(envelopes - done);
        let accepts = prepare(&fixture, first + done, round).await;
        let (rate, cpu, waits) = accept_all(&store, accepts, producers).await;
        done += round;
        let at = |share: f64| waits[((waits.len() - 1) as f64 * share) as usize].as_secs_f64() * 1e3;
        println!(
            "{:>10} {rate:>12.0} {cpu:>12.1} {:>12.2} {:>12.2} {:>12.2} {:>10}",
            first + done,
            at(0.5),
            at(0.99),
            at(1.0),
            resident_mib()
        );
    }
    store.close().await;
    drop(store);
    let start = Instant::now();
    let store = EmbeddedStore::open(options()).unwrap();
    println!("opened again in {:.0} ms", start.elapsed().as_secs_f64() * 1e3);
    store.close().await;
}

/// Signs and verifies the envelopes of a round, on all cores.
async fn prepare(fixture: &Arc<Fixture>, first: u64, count: u64) -> Vec<Accept> {
    let mut pieces = tokio::task::JoinSet::new();
    for piece in 0..4 {
        let fixture = fixture.clone();
        pieces.spawn_blocking(move || {
            (first + piece..first + count).step_by(4).map(|number| record(&fixture, number)).collect()
        });
    }
    let pieces: Vec<Vec<Accept>> = pieces.join_all().await;
    pieces.concat()
}

fn record(fixture: &Fixture, number: u64) -> Accept {
    // Ids as their makers should make them: the time in front, chance behind.
    let chance = Digest::of(&number.to_be_bytes()).0;
    let id = format!(
        "{:08x}-{:04x}-7{}-8{}-{}",
        number >> 16,
        number & 0xffff,
        &hex::encode(&chance[..2])[1..],
        &hex::encode(&chance[2..4])[1..],
        hex::encode(&chance[4..10])
    );
    let body = vec![b'x'; RECORD_BYTES - 1_450];
    let content = Some(v1::envelope::Content::Opaque(v1::Opaque { r#type: "bench".to_owned(), body: body.into() }));
    let envelope = fixture.sign(&v1::Envelope { id, content, ..draft(number) });
    acceptance(&envelope)
}

async fn accept_all(store: &Arc<EmbeddedStore>, accepts: Vec<Accept>, producers: usize) -> (f64, f64, Vec<Duration>) {
    let count = accepts.len() as f64;
    let mut shares: Vec<Vec<Accept>> = (0..producers).map(|_| Vec::new()).collect();
    for (at, accept) in accepts.into_iter().enumerate() {
        shares[at % producers].push(accept);
    }
    let (start, cpu) = (Instant::now(), cpu_seconds());
    let mut tasks = tokio::task::JoinSet::new();
    for share in shares {
        let store = store.clone();
        tasks.spawn(async move {
            let mut waits = Vec::with_capacity(share.len());
            for accept in share {
                let start = Instant::now();
                assert!(!store.accept(accept).await.unwrap().duplicate);
                waits.push(start.elapsed());
            }
            waits
        });
    }
    let mut waits = tasks.join_all().await.concat();
    let (seconds, cpu) = (start.elapsed().as_secs_f64(), cpu_seconds() - cpu);
    waits.sort_unstable();
    (count / seconds, cpu / count * 1e6, waits)
}

fn cpu_seconds() -> f64 {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    time.tv_sec as f64 + time.tv_nsec as f64 / 1e9
}

fn resident_mib() -> u64 {
    let text = std::fs::read_to_string("/proc/self/statm").unwrap();
    text.split(' ').nth(1).and_then(|pages| pages.parse::<u64>().ok()).unwrap_or(0) * 4_096 / 1024 / 1024
}
