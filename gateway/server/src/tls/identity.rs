//! Certificates and keys of this gateway, and the TLS configurations that are made of them.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use gateway_directory::moment;
use gateway_model::{Digest, Timestamp};
use rustls::CertificateError::{Expired, ExpiredContext, NotValidYet, NotValidYetContext};
use rustls::RootCertStore;
use rustls::crypto::CryptoProvider;
use rustls::server::WebPkiClientVerifier;
use rustls::sign::CertifiedKey;
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, UnixTime};

use crate::config::Tls;

/// Certificate, key and roots of this gateway, read and parsed.
#[derive(Debug)]
pub struct Identity {
    /// Chain, leaf first.
    pub chain: Vec<CertificateDer<'static>>,
    /// Private key of the leaf.
    pub key: PrivateKeyDer<'static>,
    /// CA certificates of the other side.
    pub authorities: Vec<CertificateDer<'static>>,
    roots: Arc<RootCertStore>,
}

/// Why the TLS identity cannot be used, and what to do.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A PEM file.
    #[error("{path}: {source}: give a PEM file that this user can read")]
    Pem {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: rustls_pki_types::pem::Error,
    },
    /// A file without certificates.
    #[error("{path}: has no certificate: give a PEM file with `BEGIN CERTIFICATE`")]
    NoCertificate {
        /// Which.
        path: PathBuf,
    },
    /// A root that is none.
    #[error("{path}: {source}: give CA certificates")]
    Root {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: rustls::Error,
    },
    /// Key and certificate do not fit each other, or cannot be used.
    #[error("{certificate} with its key: {source}: give the certificate that was issued for this key")]
    Pair {
        /// The certificate.
        certificate: PathBuf,
        /// Why.
        #[source]
        source: rustls::Error,
    },
    /// Our own certificate does not lead to our roots.
    #[error(
        "{certificate} does not lead to these CA certificates: {source}: give the CA that issued it, and those of the other side"
    )]
    Chain {
        /// The certificate.
        certificate: PathBuf,
        /// Why.
        #[source]
        source: rustls::Error,
    },
    /// The roots cannot verify clients.
    #[error("tls.roots: {0}")]
    Verifier(#[from] rustls::server::VerifierBuilderError),
}

impl Identity {
    /// Reads the files that the configuration names.
    ///
    /// # Errors
    /// [`TlsError`], naming the file.
    pub fn read(config: &Tls) -> Result<Self, TlsError> {
        let chain = read_chain(&config.certificate)?;
        let key = read_key(&config.key)?;
        let (mut roots, mut authorities) = (RootCertStore::empty(), Vec::new());
        for path in &config.roots {
            authorities.extend(read_roots(path, &mut roots)?);
        }
        Ok(Self { chain, key, authorities, roots: Arc::new(roots) })
    }

    /// SHA-256 of the leaf: the name of this gateway in the directory.
    pub fn fingerprint(&self) -> Option<Digest> {
        self.chain.first().map(|leaf| Digest::of(leaf))
    }

    /// When the leaf expires; `None` when it cannot be read.
    pub fn expires_at(&self) -> Option<Timestamp> {
        expires_at(&self.chain)
    }

    /// Configuration of the listening side.
    ///
    /// # Errors
    /// When key and certificate do not fit, or the roots cannot verify.
    pub fn server(&self, certificate: &Path) -> Result<Arc<rustls::ServerConfig>, TlsError> {
        let pair = |source| TlsError::Pair { certificate: certificate.to_owned(), source };
        let clients = WebPkiClientVerifier::builder_with_provider(self.roots.clone(), provider()).build()?;
        let mut config = rustls::ServerConfig::builder_with_provider(provider())
            .with_protocol_versions(&[&rustls::version::TLS13])
            .map_err(pair)?
            .with_client_cert_verifier(clients)
            .with_single_cert(self.chain.clone(), self.key.clone_key())
            .map_err(pair)?;
        config.alpn_protocols = vec![b"h2".to_vec()];
        Ok(Arc::new(config))
    }

    /// Configuration towards browsers, with a certificate of its own where one is given: a client certificate is asked for and not insisted on.
    ///
    /// # Errors
    /// When key and certificate do not fit, or the roots cannot verify.
    pub fn browsers(
        &self,
        certificate: &Path,
        own: Option<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>)>,
    ) -> Result<Arc<rustls::ServerConfig>, TlsError> {
        let pair = |source| TlsError::Pair { certificate: certificate.to_owned(), source };
        let clients = WebPkiClientVerifier::builder_with_provider(self.roots.clone(), provider());
        let (chain, key) = own.unwrap_or_else(|| (self.chain.clone(), self.key.clone_key()));
        let mut config = rustls::ServerConfig::builder_with_provider(provider())
            .with_protocol_versions(&[&rustls::version::TLS13])
            .map_err(pair)?
            .with_client_cert_verifier(clients.allow_unauthenticated().build()?)
            .with_single_cert(chain, key)
            .map_err(pair)?;
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Ok(Arc::new(config))
    }

    /// Configuration of the dialling side.
    ///
    /// # Errors
    /// When key and certificate do not fit.
    pub fn client(&self, certificate: &Path) -> Result<Arc<rustls::ClientConfig>, TlsError> {
        let pair = |source| TlsError::Pair { certificate: certificate.to_owned(), source };
        let mut config = rustls::ClientConfig::builder_with_provider(provider())
            .with_protocol_versions(&[&rustls::version::TLS13])
            .map_err(pair)?
            .with_root_certificates(self.roots.clone())
            .with_client_auth_cert(self.chain.clone(), self.key.clone_key())
            .map_err(pair)?;
        config.alpn_protocols = vec![b"h2".to_vec()];
        Ok(Arc::new(config))
    }
}

/// aws-lc-rs; with `prefer-post-quantum` X25519MLKEM768 leads its key exchanges.
fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::aws_lc_rs::default_provider())
}

/// Reads a chain, leaf first.
///
/// # Errors
/// [`TlsError`], naming the file.
pub(crate) fn read_chain(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    certificates(path)
}

/// Reads a private key.
///
/// # Errors
/// [`TlsError`], naming the file.
pub(crate) fn read_key(path: &Path) -> Result<PrivateKeyDer<'static>, TlsError> {
    PrivateKeyDer::from_pem_file(path).map_err(|source| TlsError::Pem { path: path.to_owned(), source })
}

/// Reads the CA certificates of one file into `roots`, and gives them.
///
/// # Errors
/// [`TlsError`], naming the file.
pub(crate) fn read_roots(path: &Path, roots: &mut RootCertStore) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let found = certificates(path)?;
    for root in &found {
        roots.add(root.clone()).map_err(|source| TlsError::Root { path: path.to_owned(), source })?;
    }
    Ok(found)
}

/// When the leaf of `chain` expires; `None` when it cannot be read.
pub(crate) fn expires_at(chain: &[CertificateDer<'_>]) -> Option<Timestamp> {
    let leaf = openssl::x509::X509::from_der(chain.first()?).ok()?;
    moment(leaf.not_after())
}

/// Whether `key` is the key of the leaf of `chain`.
///
/// # Errors
/// When it is not, or cannot be used.
pub(crate) fn check_pair(
    certificate: &Path,
    chain: &[CertificateDer<'static>],
    key: &PrivateKeyDer<'static>,
) -> Result<(), TlsError> {
    let pair = |source| TlsError::Pair { certificate: certificate.to_owned(), source };
    CertifiedKey::from_der(chain.to_vec(), key.clone_key(), &provider()).map(drop).map_err(pair)
}

/// Whether `chain` leads to one of `roots`, as the other side will look at it. The times are not judged here.
///
/// # Errors
/// When it does not, or the roots can verify nobody.
pub(crate) fn check_chain(
    certificate: &Path,
    chain: &[CertificateDer<'static>],
    roots: RootCertStore,
    now: Timestamp,
) -> Result<(), TlsError> {
    let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider()).build()?;
    let Some((leaf, intermediates)) = chain.split_first() else { return Ok(()) };
    let now = UnixTime::since_unix_epoch(Duration::from_secs(u64::try_from(now.seconds()).unwrap_or_default()));
    match verifier.verify_client_cert(leaf, intermediates, now) {
        Ok(_) => Ok(()),
        Err(rustls::Error::InvalidCertificate(
            Expired | ExpiredContext { .. } | NotValidYet | NotValidYetContext { .. },
        )) => Ok(()),
        Err(source) => Err(TlsError::Chain { certificate: certificate.to_owned(), source }),
    }
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let pem = |source| TlsError::Pem { path: path.to_owned(), source };
    let found: Vec<_> = CertificateDer::pem_file_iter(path).map_err(pem)?.collect::<Result<_, _>>().map_err(pem)?;
    if found.is_empty() { Err(TlsError::NoCertificate { path: path.to_owned() }) } else { Ok(found) }
}
