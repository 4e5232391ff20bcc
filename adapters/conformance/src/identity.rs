//! The certificates and keys of a run: made at its start, written into its folder, gone with it.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use certs_dev::pki::{Credential, DAY_SECONDS, Ladder, LeafProfile};
use certs_dev::sign::{FastSigner, SignOptions};
use certs_dev::tls::TlsLadder;
use certs_dev::{Key, KeyKind};
use gateway_evidence::Log;
use gateway_model::directory::{Anchor, AnchorPurpose};
use gateway_model::note::NoteSigner;
use gateway_model::{Digest, Timestamp};
use gateway_verify::{DetachedOptions, Trust, TrustSource, verify_detached};
use rustls::RootCertStore;
use rustls::server::WebPkiClientVerifier;
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};

use crate::Trouble;

/// Name of the gateway that the kit plays.
pub const GATEWAY: &str = "gw-conformance";
/// Agency that the adapter serves.
pub const RECIPIENT: &str = "H99.21";
/// Agency that sends.
pub const SENDER: &str = "H99.30.01";

/// Where the files of the adapter's identity lie.
#[derive(Clone, Debug)]
pub struct Files {
    /// CA certificates of the gateway.
    pub roots: PathBuf,
    /// The adapter's TLS certificate.
    pub certificate: PathBuf,
    /// Its key.
    pub key: PathBuf,
    /// Certificate of the seal of the agency that the adapter serves.
    pub seal_certificate: PathBuf,
    /// Its key.
    pub seal_key: PathBuf,
}

/// Everything that is signed or trusted in a run.
pub struct Identity {
    /// The adapter's side.
    pub files: Files,
    /// The listening side of mutual TLS.
    pub tls: Arc<rustls::ServerConfig>,
    /// SHA-256 of the sender's certificate.
    pub sender_certificate: Digest,
    /// Pieces of the private keys that the adapter can read: no log may show them.
    pub secrets: Vec<String>,
    sender: FastSigner,
    trust: Trust,
    log: Log,
}

impl Identity {
    /// Makes all of it and writes the adapter's side into `folder`.
    ///
    /// # Errors
    /// When a key cannot be made or a file cannot be written.
    pub fn make(folder: &Path) -> Result<Self, Trouble> {
        let from = now_seconds() - DAY_SECONDS;
        let channels = TlsLadder::new(from)?;
        let signers = Ladder::new(KeyKind::P256, from)?;
        let issue = |name| signers.issue_signer(name, KeyKind::P256, LeafProfile::agency("UBND tỉnh thử nghiệm"));
        let (sender, seal) = (issue("UBND xã thử nghiệm")?, issue("Sở thử nghiệm")?);
        let (gateway, adapter) = (channels.issue(GATEWAY, &[])?, channels.issue("adapter-under-test", &[])?);
        let roots = channels.authority().certificate_pem();
        let files = write_files(folder, &roots, &adapter, &seal)?;
        let anchor = Anchor {
            certificate: signers.root().certificate_der().to_vec(),
            purpose: AnchorPurpose::Sign,
            algorithms: Vec::new(),
            policies: Vec::new(),
            revocation_grace: std::time::Duration::ZERO,
        };
        let intermediates = vec![signers.issuing().certificate_der().to_vec()];
        let source = TrustSource { anchors: vec![anchor], intermediates, crls: Vec::new() };
        let log_key = Key::generate(KeyKind::Ed25519)?;
        Ok(Self {
            files,
            tls: server(&roots, &gateway)?,
            sender_certificate: Digest::of(&sender.certificate_der),
            secrets: [&adapter.key_pem, &seal.key_pem].into_iter().filter_map(|pem| key_line(pem)).collect(),
            sender: FastSigner::new(&sender, SignOptions::at(now_seconds()))?,
            trust: Trust::new(source).map_err(|faults| Trouble::Identity(format!("{faults:?}")))?,
            log: Log::empty(
                NoteSigner::from_pkcs8(GATEWAY, &log_key.to_pkcs8()?)
                    .map_err(|cause| Trouble::Identity(cause.to_string()))?,
            ),
        })
    }

    /// Signs envelope bytes as the sending agency does.
    ///
    /// # Errors
    /// When OpenSSL refuses.
    pub fn sign(&self, envelope: &[u8]) -> Result<Vec<u8>, Trouble> {
        Ok(self.sender.sign_at(envelope, now_seconds())?)
    }

    /// Makes the receipt of an event, as the first leaf of a log.
    pub fn receipt(&self, event: bytes::Bytes) -> Option<proto::v1::Receipt> {
        self.log.append(&[event]).receipts.first().map(gateway_evidence::Receipt::to_wire)
    }

    /// Checks a seal that the adapter has made; the profile is a gateway's, revocation aside.
    ///
    /// # Errors
    /// What a gateway would refuse it for.
    pub fn check_seal(&self, content: &[u8], cms: &[u8]) -> Result<(), gateway_model::Refusal> {
        let at = Timestamp::from_seconds(now_seconds());
        let options = DetachedOptions { at, require_signing_certificate: true, check_revocation: false };
        verify_detached(content, cms, &self.trust, options).map(|_| ())
    }
}

/// The Unix time now, in seconds.
pub fn now_seconds() -> i64 {
    jiff::Timestamp::now().as_second()
}

fn write_files(folder: &Path, roots: &str, adapter: &Credential, seal: &Credential) -> Result<Files, Trouble> {
    let write = |name: &str, text: &str| {
        let path = folder.join(name);
        std::fs::write(&path, text).map_err(|source| Trouble::File { path: path.clone(), source })?;
        Ok::<_, Trouble>(path)
    };
    Ok(Files {
        roots: write("roots.pem", roots)?,
        certificate: write("adapter.pem", &adapter.certificate_pem)?,
        key: write("adapter.key", &adapter.key_pem)?,
        seal_certificate: write("seal.pem", &seal.certificate_pem)?,
        seal_key: write("seal.key", &seal.key_pem)?,
    })
}

/// A line from within a PEM key: long enough to be nobody else's.
fn key_line(pem: &str) -> Option<String> {
    pem.lines().filter(|line| !line.starts_with('-')).max_by_key(|line| line.len()).map(str::to_owned)
}

fn server(roots_pem: &str, gateway: &Credential) -> Result<Arc<rustls::ServerConfig>, Trouble> {
    let broken = |cause: &dyn std::fmt::Display| Trouble::Identity(cause.to_string());
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut roots = RootCertStore::empty();
    let root = CertificateDer::from_pem_slice(roots_pem.as_bytes()).map_err(|cause| broken(&cause))?;
    roots.add(root).map_err(|cause| broken(&cause))?;
    let key = PrivateKeyDer::from_pem_slice(gateway.key_pem.as_bytes()).map_err(|cause| broken(&cause))?;
    let clients = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider.clone())
        .build()
        .map_err(|cause| broken(&cause))?;
    let mut config = rustls::ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])
        .map_err(|cause| broken(&cause))?
        .with_client_cert_verifier(clients)
        .with_single_cert(vec![CertificateDer::from(gateway.certificate_der.clone())], key)
        .map_err(|cause| broken(&cause))?;
    config.alpn_protocols = vec![b"h2".to_vec()];
    Ok(Arc::new(config))
}
