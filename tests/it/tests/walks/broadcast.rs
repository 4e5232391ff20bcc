//! One submission to every commune of a country: accepted at once, handed over while single files keep their pace, its attachment kept once.
//!
//! It prints what it measured. What it asserts are orders and ratios within this very run, so that a slow machine does not fail it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use certs_dev::province::{AgencyPlan, Plan};
use gateway_model::Digest;
use gateway_model::id::AgencyId;
use prost::Message as _;
use proto::v1;
use tests_harness::gateways::{self, FAST, Federation};
use tests_harness::sender::Sender;
use tokio_stream::StreamExt as _;

/// Communes and wards of the country since July 2025.
const COMMUNES: usize = 3_321;
/// Of five recipients, those at the sender's own gateway; the others are behind the relay.
const NEAR_OF_FIVE: usize = 2;
/// Single files on each way, one after the other, alone and again during the broadcast.
const SINGLES: usize = 10;
/// How many times as long as alone a single file may take during the broadcast, at least.
const SLOWER_MAX: u32 = 25;
/// A single file may take this part of the time of the whole broadcast. Without turns it takes all of it.
const PART_OF_BROADCAST: u32 = 4;
const ATTACHMENT_BYTES: usize = 64 * 1024;

#[tokio::test(flavor = "multi_thread")]
async fn a_broadcast_to_every_commune_is_handed_over_while_single_files_keep_their_pace() {
    let mut federation = Federation::lay_out(plan(), FAST, gateways::binary().unwrap()).unwrap();
    federation.local.start().await.unwrap();
    let local = &federation.local;
    let cast = local.province.cast.clone();
    let mut sender = Sender::connect(local, &cast.province).await.unwrap();
    let ways = [&cast.department, &cast.commune];
    // The first of each opens connections and judges chains.
    single_files(&mut sender, &ways, 1).await;
    let alone = single_files(&mut sender, &ways, SINGLES).await;

    let attachment = attachment();
    let (envelope, request) = broadcast(&sender, &attachment);
    let began = Instant::now();
    let first = sender.client.submit(request.clone()).await.unwrap().into_inner();
    let accepted = began.elapsed();
    let mut watcher = Sender::connect(local, &cast.province).await.unwrap();
    let id = envelope.id.clone();
    let broadcast = tokio::spawn(async move {
        watch(&mut watcher, &id).await;
        began.elapsed()
    });
    single_files(&mut sender, &ways, 1).await;
    let left = unfinished(&mut sender, &envelope.id).await;
    let during = single_files(&mut sender, &ways, SINGLES).await;
    let handed_over = broadcast.await.unwrap();
    report(accepted, handed_over, left, &alone, &during);

    assert!(left > 0, "the single files waited for the whole broadcast");
    for (alone, during) in alone.iter().zip(&during) {
        let (alone, during) = (median(alone), median(during));
        let bound = (alone * SLOWER_MAX).max(handed_over / PART_OF_BROADCAST);
        assert!(during <= bound, "a single file took {during:?} during the broadcast and {alone:?} alone");
    }
    let repeat = sender.client.submit(request).await.unwrap().into_inner();
    assert!(repeat.duplicate && repeat.receipt == first.receipt, "a repeat gets the first receipt");
    every_commune_has_it_once(&local.folder, &envelope);
    assert_eq!(unfinished(&mut sender, &envelope.id).await, 0);
    for gateway in &local.gateways {
        let kept = files_of(&gateway.store.join("parts"), attachment.len() as u64);
        let name = Digest::of(&attachment).to_string();
        assert!(kept.len() == 1 && kept[0].ends_with(&name), "{}: {kept:?}", gateway.id);
    }
}

/// All communes when the tests are asked to be full; fewer where the program is not compiled for speed, or the tests have to be quick.
fn recipients() -> usize {
    match std::env::var("LIENTHONG_TESTS").as_deref() {
        Ok("quick") => COMMUNES.div_ceil(10),
        Ok("full") => COMMUNES,
        _ if cfg!(debug_assertions) => COMMUNES.div_ceil(3),
        _ => COMMUNES,
    }
}

/// Two gateways, one above the other, and the communes behind both.
fn plan() -> Plan {
    let mut plan = Plan::levels(2);
    let pattern = plan.agencies.iter().find(|agency| agency.id == plan.cast.department).unwrap().clone();
    let commune = |number: usize| AgencyPlan {
        id: commune_id(number),
        name: format!("Ủy ban nhân dân xã số {number}"),
        codes: vec![commune_id(number).to_uppercase()],
        gateway: (if number % 5 < NEAR_OF_FIVE { "gw-level-2" } else { "gw-level-1" }).to_owned(),
        ..pattern.clone()
    };
    plan.agencies.extend((0..recipients()).map(commune));
    plan
}

fn commune_id(number: usize) -> String {
    format!("h99.90.{number:04}")
}

fn attachment() -> Vec<u8> {
    "Công điện hỏa tốc về việc ứng phó bão. ".bytes().cycle().take(ATTACHMENT_BYTES).collect()
}

fn broadcast(sender: &Sender, attachment: &[u8]) -> (v1::Envelope, v1::SubmitRequest) {
    let part = v1::Part {
        name: "công điện.pdf".to_owned(),
        media_type: "application/pdf".to_owned(),
        size: attachment.len() as u64,
        sha256: Digest::of(attachment).0.to_vec().into(),
        ..v1::Part::default()
    };
    let to = (0..recipients()).map(|number| v1::Recipient { agency: commune_id(number) }).collect();
    let envelope = v1::Envelope { to, parts: vec![part], ..sender.envelope(&[]) };
    let mut request = sender.sign(&envelope).unwrap();
    request.inline_parts = vec![v1::InlinePart { content: attachment.to_vec().into() }];
    (envelope, request)
}

/// For each way, how long each of its files took from the submission to the sender's hearing of its delivery.
async fn single_files(sender: &mut Sender, ways: &[&AgencyId], count: usize) -> Vec<Vec<Duration>> {
    let mut took = vec![Vec::new(); ways.len()];
    for _ in 0..count {
        for (way, took) in ways.iter().zip(&mut took) {
            let envelope = sender.envelope(&[way]);
            let request = sender.sign(&envelope).unwrap();
            let began = Instant::now();
            sender.client.submit(request).await.unwrap();
            let delivered = watch(sender, &envelope.id).await;
            assert_eq!(delivered, 1, "{way}");
            took.push(began.elapsed());
        }
    }
    took
}

/// Listens until all is over; gives the number of recipients that have it.
async fn watch(sender: &mut Sender, id: &str) -> usize {
    let request = v1::WatchRequest { sender: sender.agency.to_string(), envelope_id: id.to_owned() };
    let mut stream = sender.client.watch(request).await.unwrap().into_inner();
    let mut delivered = 0;
    while let Some(event) = stream.next().await {
        let event = v1::Event::decode(event.unwrap().receipt.unwrap().event).unwrap();
        delivered += if event.kind() == v1::EventKind::Delivered { event.recipients.len() } else { 0 };
    }
    delivered
}

/// Recipients that do not have it yet.
async fn unfinished(sender: &mut Sender, id: &str) -> usize {
    let request = v1::TrackRequest { sender: sender.agency.to_string(), envelope_id: id.to_owned() };
    let deliveries = sender.client.track(request).await.unwrap().into_inner().deliveries;
    assert_eq!(deliveries.len(), recipients());
    deliveries.iter().filter(|delivery| delivery.status() != v1::DeliveryStatus::Delivered).count()
}

/// What the adapters wrote: one folder for each commune, at the gateway that serves it.
fn every_commune_has_it_once(folder: &Path, envelope: &v1::Envelope) {
    let mut folders = BTreeMap::new();
    for gateway in ["gw-level-1", "gw-level-2"] {
        let mut count = 0;
        for entry in std::fs::read_dir(folder.join("systems").join(gateway).join("incoming")).unwrap() {
            let bytes = std::fs::read(entry.unwrap().path().join("envelope.bin")).unwrap();
            let signed = v1::SignedEnvelope::decode(bytes.as_slice()).unwrap();
            count += usize::from(v1::Envelope::decode(signed.envelope).unwrap().id == envelope.id);
        }
        folders.insert(gateway, count);
    }
    let near = (0..recipients()).filter(|number| number % 5 < NEAR_OF_FIVE).count();
    assert_eq!(folders, BTreeMap::from([("gw-level-1", recipients() - near), ("gw-level-2", near)]));
}

/// Files of that size, at any depth.
fn files_of(folder: &Path, bytes: u64) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap().map(Result::unwrap) {
        let path = entry.path();
        if path.is_dir() {
            found.extend(files_of(&path, bytes));
        } else if entry.metadata().unwrap().len() == bytes {
            found.push(path);
        }
    }
    found
}

fn median(took: &[Duration]) -> Duration {
    let mut took = took.to_vec();
    took.sort();
    took[took.len() / 2]
}

fn report(accepted: Duration, handed_over: Duration, left: usize, alone: &[Vec<Duration>], during: &[Vec<Duration>]) {
    eprintln!("{} recipients: accepted in {accepted:?}, handed over in {handed_over:?}", recipients());
    eprintln!("  {:.0} recipients a second", recipients() as f64 / handed_over.as_secs_f64());
    for (way, (alone, during)) in ["at this gateway", "through the relay"].iter().zip(alone.iter().zip(during)) {
        let slowest = during.iter().max().copied().unwrap_or_default();
        let (alone, during) = (median(alone), median(during));
        eprintln!("  a single file {way}: {alone:?} alone, {during:?} during it (slowest {slowest:?})");
    }
    eprintln!("  {left} recipients were still to come when the first single files had arrived");
}
