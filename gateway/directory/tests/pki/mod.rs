//! A folder with a small real PKI: a root, an issuing CA, leaves and a revocation list, made by OpenSSL.
#![allow(
    dead_code,
    missing_docs,
    clippy::unwrap_used,
    reason = "each test binary uses its own part, and a broken PKI fails the test"
)]

use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use aws_lc_rs::signature::Ed25519KeyPair;
use gateway_model::hash::Digest;
use gateway_model::note::NoteSigner;
use openssl::asn1::Asn1Time;
use openssl::bn::BigNum;
use openssl::ec::{EcGroup, EcKey};
use openssl::hash::MessageDigest;
use openssl::nid::Nid;
use openssl::pkey::{PKey, Private};
use openssl::x509::extension::BasicConstraints;
use openssl::x509::{X509, X509Builder, X509NameBuilder};

/// A temporary folder with certificates, and sources written into it.
pub struct Folder {
    folder: tempfile::TempDir,
    pub leaf_digest: Digest,
}

impl Folder {
    pub fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let pki = pki();
        for sub in ["ca", "signers", "tls"] {
            std::fs::create_dir(folder.path().join(sub)).unwrap();
        }
        let write = |name: &str, bytes: &[u8]| std::fs::write(folder.path().join(name), bytes).unwrap();
        let (root, issuing, leaf) =
            (pki.root.to_pem().unwrap(), pki.issuing.to_pem().unwrap(), pki.leaf.to_pem().unwrap());
        write("ca/root.pem", &root);
        write("ca/root.der", &pki.root.to_der().unwrap());
        write("ca/trailing.der", &[pki.root.to_der().unwrap(), vec![0]].concat());
        write("ca/two.pem", &[root, issuing.clone()].concat());
        write("ca/issuing.pem", &issuing);
        write("ca/root.crl.der", &pki.crl);
        write("ca/root.crl", pem("X509 CRL", &pki.crl).as_bytes());
        write("signers/leaf.pem", &leaf);
        // A chain file: the party's own certificate comes first.
        write("tls/gw.pem", &[pki.tls.to_pem().unwrap(), issuing].concat());
        Self { folder, leaf_digest: Digest::of(&pki.leaf.to_der().unwrap()) }
    }

    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Writes a source and gives its path.
    pub fn source(&self, text: &str) -> PathBuf {
        let path = self.folder.path().join("agencies.toml");
        std::fs::write(&path, text).unwrap();
        path
    }
}

/// A new signing authority.
pub fn authority(name: &str) -> NoteSigner {
    let document = Ed25519KeyPair::generate_pkcs8(&aws_lc_rs::rand::SystemRandom::new()).unwrap();
    NoteSigner::from_pkcs8(name, document.as_ref()).unwrap()
}

pub struct Pki {
    pub root: X509,
    pub issuing: X509,
    pub leaf: X509,
    pub tls: X509,
    pub crl: Vec<u8>,
}

pub fn pki() -> &'static Pki {
    static PKI: OnceLock<Pki> = OnceLock::new();
    PKI.get_or_init(|| {
        let (root_key, issuing_key) = (key(), key());
        let root = certificate("Root", &root_key, "Root", &root_key, true);
        let issuing = certificate("Issuing", &issuing_key, "Root", &root_key, true);
        let leaf = certificate("Leaf", &key(), "Issuing", &issuing_key, false);
        let tls = certificate("gw", &key(), "Issuing", &issuing_key, false);
        Pki { crl: revocation_list(&root, &root_key), root, issuing, leaf, tls }
    })
}

fn certificate(subject: &str, key: &PKey<Private>, issuer: &str, issuer_key: &PKey<Private>, ca: bool) -> X509 {
    let name = |text: &str| {
        let mut name = X509NameBuilder::new().unwrap();
        name.append_entry_by_text("CN", text).unwrap();
        name.build()
    };
    let mut builder = X509Builder::new().unwrap();
    builder.set_version(2).unwrap();
    builder.set_serial_number(&BigNum::from_u32(7).unwrap().to_asn1_integer().unwrap()).unwrap();
    builder.set_subject_name(&name(subject)).unwrap();
    builder.set_issuer_name(&name(issuer)).unwrap();
    builder.set_pubkey(key).unwrap();
    builder.set_not_before(&Asn1Time::from_unix(1_700_000_000).unwrap()).unwrap();
    builder.set_not_after(&Asn1Time::from_unix(2_000_000_000).unwrap()).unwrap();
    if ca {
        builder.append_extension(BasicConstraints::new().critical().ca().build().unwrap()).unwrap();
    }
    builder.sign(issuer_key, MessageDigest::sha256()).unwrap();
    builder.build()
}

fn key() -> PKey<Private> {
    let group = EcGroup::from_curve_name(Nid::X9_62_PRIME256V1).unwrap();
    PKey::from_ec_key(EcKey::generate(&group).unwrap()).unwrap()
}

/// The rust binding cannot make revocation lists, so the DER is put together here: an empty v1 list of `root`.
fn revocation_list(root: &X509, key: &PKey<Private>) -> Vec<u8> {
    let algorithm = der(0x30, &der(0x06, &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x02]));
    let issuer = root.subject_name().to_der().unwrap();
    let body = [algorithm.clone(), issuer, der(0x17, b"260101000000Z"), der(0x17, b"330101000000Z")].concat();
    let to_sign = der(0x30, &body);
    let mut signer = openssl::sign::Signer::new(MessageDigest::sha256(), key).unwrap();
    let signature = signer.sign_oneshot_to_vec(&to_sign).unwrap();
    der(0x30, &[to_sign, algorithm, der(0x03, &[vec![0], signature].concat())].concat())
}

fn der(tag: u8, content: &[u8]) -> Vec<u8> {
    let length = match content.len() {
        short @ 0..=127 => vec![short as u8],
        middle @ 128..=255 => vec![0x81, middle as u8],
        long => vec![0x82, (long >> 8) as u8, long as u8],
    };
    [vec![tag], length, content.to_vec()].concat()
}

fn pem(label: &str, der: &[u8]) -> String {
    let body = openssl::base64::encode_block(der);
    format!("-----BEGIN {label}-----\n{body}\n-----END {label}-----\n")
}
