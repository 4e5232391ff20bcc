//! Measures a hot `verify()` against the bare signature check on a parsed key, and a CRL of 100,000 entries against an
//! empty one.
//!
//! `cargo run --release -p gateway-verify --example floor`

use std::hint::black_box;
use std::time::{Duration, Instant};

use aws_lc_rs::signature::{self, ParsedPublicKey, VerificationAlgorithm};
use certs_dev::pki::Serial;
use certs_dev::pki::{Ladder, LeafProfile};
use certs_dev::sign::{FastSigner, SignOptions};
use certs_dev::{Key, KeyKind};
use gateway_model::directory::{Anchor, AnchorPurpose};
use gateway_model::{Digest, Timestamp};
use gateway_verify::wire::read_envelope;
use gateway_verify::{DetachedOptions, Trust, TrustSource, verify_detached};
use openssl::hash::MessageDigest;
use openssl::pkey::PKey;
use openssl::sign::Signer;
use prost::Message as _;
use proto::v1;

const ROUNDS: u32 = 20;
const RUNS: u32 = 1_000;
const NOW: i64 = 1_790_000_000;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let content = vec![0x5a; 4096];
    println!(
        "sha256 of 4 KiB: {:.1} us",
        time(|| {
            black_box(Digest::of(black_box(&content)));
        })
    );
    let envelope = envelope().encode_to_vec();
    let reading = time(|| {
        black_box(read_envelope(black_box(&envelope))).ok();
    });
    println!("strict reading of an envelope of {} bytes: {reading:.1} us", envelope.len());
    for (kind, scheme) in [
        (KeyKind::P256, &signature::ECDSA_P256_SHA256_ASN1 as &'static dyn VerificationAlgorithm),
        (KeyKind::Rsa2048, &signature::RSA_PKCS1_2048_8192_SHA256),
        (KeyKind::Ed25519, &signature::ED25519),
    ] {
        measure(kind, scheme, &content, 0)?;
    }
    measure(KeyKind::P256, &signature::ECDSA_P256_SHA256_ASN1, &content, 100_000)?;
    Ok(())
}

fn measure(
    kind: KeyKind,
    scheme: &'static dyn VerificationAlgorithm,
    content: &[u8],
    revoked: u32,
) -> Result<(), Box<dyn std::error::Error>> {
    let ladder = Ladder::new(KeyKind::P256, NOW - 86_400)?;
    let key = Key::generate(kind)?;
    let credential = ladder.issue_signer_with("Con dấu", &key, LeafProfile::agency("UBND"))?;
    let serials: Vec<Serial> = (0..revoked).map(|n| Serial(n.to_be_bytes().iter().map(|b| b | 1).collect())).collect();
    let anchor = Anchor {
        certificate: ladder.root().certificate_der().to_vec(),
        purpose: AnchorPurpose::Sign,
        algorithms: Vec::new(),
        policies: Vec::new(),
        revocation_grace: Duration::ZERO,
    };
    let source = TrustSource {
        anchors: vec![anchor],
        intermediates: vec![ladder.issuing().certificate_der().to_vec()],
        crls: vec![ladder.crl(&serials, NOW - 60, NOW + 86_400)?, ladder.root_crl(&[], NOW - 60, NOW + 86_400)?],
    };
    let started = Instant::now();
    let trust = Trust::new(source).map_err(|faults| format!("{faults:?}"))?;
    let loading = started.elapsed();
    let cms = FastSigner::new(&credential, SignOptions::at(NOW))?.sign(content)?;
    let options =
        DetachedOptions { at: Timestamp::from_seconds(NOW), require_signing_certificate: true, check_revocation: true };
    let started = Instant::now();
    verify_detached(content, &cms, &trust, options)?;
    let cold = started.elapsed();

    let hot = time(|| drop(black_box(verify_detached(black_box(content), &cms, &trust, options))));
    let attributes = [0x31u8; 200];
    let private = PKey::private_key_from_pem(credential.key_pem.as_bytes())?;
    let mut signer = match kind {
        KeyKind::Ed25519 => Signer::new_without_digest(&private)?,
        _ => Signer::new(MessageDigest::sha256(), &private)?,
    };
    let bare_signature = signer.sign_oneshot_to_vec(&attributes)?;
    let public = ParsedPublicKey::new(scheme, private.public_key_to_der()?)?;
    public.verify_sig(&attributes, &bare_signature)?;
    let bare = time(|| black_box(public.verify_sig(black_box(&attributes), &bare_signature)).unwrap_or(()));
    println!(
        "{kind:?}, {revoked} revoked: hot {hot:.1} us, bare {bare:.1} us, ratio {:.2}; cold {cold:?}, loading {loading:?}",
        hot / bare
    );
    Ok(())
}

/// A dossier with ten parts, about 4 KiB.
fn envelope() -> v1::Envelope {
    let part = |seed: u8| v1::Part {
        name: format!("Trích lục bản đồ địa chính số {seed}.pdf"),
        media_type: "application/pdf".to_owned(),
        size: 123_456,
        sha256: Digest::of(&[seed]).as_bytes().to_vec().into(),
        role: "Trích lục bản đồ".to_owned(),
    };
    let at = |seconds: i64| Some(prost_types::Timestamp { seconds: NOW + seconds, nanos: 0 });
    v1::Envelope {
        schema: "lienthong.envelope.v1".to_owned(),
        id: "0197a2b4-3c5d-7e6f-8a9b-0c1d2e3f4a5b".to_owned(),
        from: "H99.10.01".to_owned(),
        to: vec![v1::Recipient { agency: "H99.50".to_owned() }],
        created_at: at(-60),
        expires_at: at(86_400),
        content: Some(v1::envelope::Content::Dossier(v1::Dossier {
            subject: "Đăng ký biến động đất đai ".repeat(60),
            ..v1::Dossier::default()
        })),
        parts: (0..10).map(part).collect(),
        ..v1::Envelope::default()
    }
}

/// Microseconds a round: the best of many short runs, since others share the machine.
fn time(mut work: impl FnMut()) -> f64 {
    let run = |work: &mut dyn FnMut()| {
        let started = Instant::now();
        (0..ROUNDS).for_each(|_| work());
        started.elapsed().as_secs_f64() * 1e6 / f64::from(ROUNDS)
    };
    (0..RUNS).map(|_| run(&mut work)).fold(f64::INFINITY, f64::min)
}
