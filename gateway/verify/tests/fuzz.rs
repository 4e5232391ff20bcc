//! The fuzzers' targets for a few seconds, with a seed: what a stranger could have made of good bytes.
//!
//! `WRITE_FUZZ_CORPUS=fuzz/corpus cargo test -p gateway-verify --test fuzz` writes the good bytes for the fuzzers to start from. Where there is no
//! nightly toolchain, `FUZZ_INPUTS=10000000 FUZZ_SEED=7` makes a long run of this.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may end here")]

#[path = "stage/mod.rs"]
mod stage;
#[path = "../fuzz/targets.rs"]
mod targets;

use std::panic::catch_unwind;
use std::path::Path;

use certs_dev::der as write;
use gateway_model::Digest;
use gateway_verify::certificate::Certificate;
use gateway_verify::cms::CmsSignature;
use gateway_verify::revocation::{OcspAnswer, RevocationList};
use gateway_verify::wire::read_envelope;
use prost::Message as _;
use proto::v1;
use stage::{STAGE, envelope};

/// Changed inputs for each target.
const INPUTS: u64 = 20_000;
const SEED: u64 = 0x11e7_7409;
/// Changes to one input, at most.
const CHANGES_MAX: usize = 6;
/// Bytes that parsers of DER and protobuf take for something else than data.
const TELLING: [u8; 12] = [0x00, 0x01, 0x02, 0x05, 0x30, 0x31, 0x7f, 0x80, 0x84, 0xa0, 0xfe, 0xff];

#[test]
fn no_reader_of_der_panics_on_what_is_made_of_good_bytes() {
    fuzz("der", targets::der, &der_seeds());
}

#[test]
fn the_reader_of_envelopes_keeps_its_bounds_on_what_is_made_of_good_bytes() {
    fuzz("wire", targets::wire, &wire_seeds());
}

#[test]
fn nothing_that_is_made_of_good_signatures_is_accepted_under_empty_trust() {
    fuzz("detached", targets::detached, &[signature(b"content"), signature(b"other content")]);
}

#[test]
fn the_good_bytes_are_read() {
    let seeds = der_seeds();
    assert!(Certificate::read(&seeds[0]).is_ok() && RevocationList::read(&seeds[1]).is_ok());
    assert!(CmsSignature::read(&seeds[2]).is_ok() && OcspAnswer::read(&seeds[3]).is_ok());
    assert!(wire_seeds().iter().all(|seed| read_envelope(seed).is_ok()));
}

#[test]
fn a_target_that_panics_is_caught_and_its_input_told() {
    let seeds = [b"harmless".to_vec()];
    let fails_on_a_telling_byte = |bytes: &[u8]| assert!(!bytes.contains(&0xfe));
    let told = catch_unwind(|| run("told", fails_on_a_telling_byte, &seeds)).unwrap_err();
    let told = told.downcast_ref::<String>().unwrap();
    assert!(told.starts_with("told panics on input ") && told.contains("fe"), "{told}");
}

fn fuzz(name: &str, target: impl Fn(&[u8]) + std::panic::RefUnwindSafe, seeds: &[Vec<u8>]) {
    if let Some(corpus) = std::env::var_os("WRITE_FUZZ_CORPUS") {
        keep(&Path::new(&corpus).join(name), seeds);
    }
    run(name, target, seeds);
}

/// Runs a target on the seeds and on what their changes make of them; the same inputs every time for the same seeds.
fn run(name: &str, target: impl Fn(&[u8]) + std::panic::RefUnwindSafe, seeds: &[Vec<u8>]) {
    let mut chance = Chance(from_environment("FUZZ_SEED", SEED));
    for number in 0..from_environment("FUZZ_INPUTS", INPUTS) {
        let mut bytes = seeds[chance.below(seeds.len())].clone();
        for _ in 0..chance.below(CHANGES_MAX + 1) {
            change(&mut bytes, &mut chance, seeds);
        }
        if catch_unwind(|| target(&bytes)).is_err() {
            panic!("{name} panics on input {number}: {}", hex::encode(&bytes));
        }
    }
}

fn from_environment(name: &str, otherwise: u64) -> u64 {
    std::env::var(name).map_or(otherwise, |value| value.parse().unwrap())
}

fn change(bytes: &mut Vec<u8>, chance: &mut Chance, seeds: &[Vec<u8>]) {
    let at = chance.below(bytes.len() + 1);
    let end = at + chance.below(bytes.len() - at + 1);
    match chance.below(7) {
        0 if at < bytes.len() => bytes[at] ^= 1 << chance.below(8),
        1 if at < bytes.len() => bytes[at] = TELLING[chance.below(TELLING.len())],
        2 => bytes.truncate(at),
        3 => drop(bytes.drain(at..end)),
        4 if bytes.len() < 64 * 1024 => bytes.extend_from_within(at..end),
        5 => bytes.insert(at, TELLING[chance.below(TELLING.len())]),
        _ => {
            let other = &seeds[chance.below(seeds.len())];
            let from = chance.below(other.len() + 1);
            bytes.truncate(at);
            bytes.extend_from_slice(&other[from..]);
        }
    }
}

fn der_seeds() -> Vec<Vec<u8>> {
    let content = STAGE.snapshot.directory().content();
    let mut seeds = vec![STAGE.seal.certificate_der.clone(), content.crls[0].clone(), signature(b"content"), answer()];
    seeds.push(content.crls[1].clone());
    seeds.extend(content.intermediates.iter().cloned());
    seeds.extend(content.anchors.iter().map(|anchor| anchor.certificate.clone()));
    seeds
}

/// An answer of OCSP, whole in its form and signed by nobody.
fn answer() -> Vec<u8> {
    let time = write::element(0x18, b"20260901000000Z");
    let hash = write::sequence(&[write::oid("2.16.840.1.101.3.4.2.1"), write::null()]);
    let id = write::sequence(&[hash, write::octets(&[1; 32]), write::octets(&[2; 32]), write::number(7)]);
    let next = write::context(0, &time);
    let response = write::sequence(&[id, write::context_primitive(0, &[]), time.clone(), next]);
    let responder = write::context(2, &write::octets(&[3; 20]));
    let data = write::sequence(&[responder, time, write::sequence(&[response])]);
    let algorithm = write::sequence(&[write::oid("1.2.840.10045.4.3.2")]);
    let basic = write::sequence(&[data, algorithm, write::bits(&[4; 70])]);
    let typed = write::sequence(&[write::oid("1.3.6.1.5.5.7.48.1.1"), write::octets(&basic)]);
    write::sequence(&[write::element(0x0a, &[0]), write::context(0, &typed)])
}

fn wire_seeds() -> Vec<Vec<u8>> {
    let part = v1::Part {
        name: "tờ trình.pdf".to_owned(),
        media_type: "application/pdf".to_owned(),
        size: 3,
        sha256: Digest::of(b"abc").0.to_vec().into(),
        ..v1::Part::default()
    };
    let with_more = v1::Envelope { parts: vec![part.clone()], ..envelope() };
    vec![envelope().encode_to_vec(), with_more.encode_to_vec()]
}

fn signature(content: &[u8]) -> Vec<u8> {
    stage::sign(content, &STAGE.seal, v1::SignatureRole::Agency).cms.to_vec()
}

fn keep(folder: &Path, seeds: &[Vec<u8>]) {
    std::fs::create_dir_all(folder).unwrap();
    for seed in seeds {
        std::fs::write(folder.join(Digest::of(seed).to_string()), seed).unwrap();
    }
}

/// Numbers that look like chance and are the same in every run (SplitMix64).
struct Chance(u64);

impl Chance {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, bound: usize) -> usize {
        usize::try_from(self.next() % bound as u64).unwrap()
    }
}
