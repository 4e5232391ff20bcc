//! TLS for calls: explicit roots, our certificate where one is configured, nothing of the system's.

use std::sync::Arc;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore};

/// Why certificates cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TlsSetupError {
    /// The roots are no PEM, or hold no certificate of a CA.
    #[error("there is no CA certificate in PEM form to check the other side against")]
    Roots,
    /// The certificate is no PEM.
    #[error("the certificate is not in PEM form")]
    Certificate,
    /// The key is no PEM.
    #[error("the private key is not in unencrypted PEM form")]
    Key,
    /// They do not fit each other.
    #[error("certificate and key cannot be used")]
    Identity(#[source] rustls::Error),
}

/// What we show to the other side: a chain, leaf first, and its key, in PEM.
#[derive(Clone)]
pub struct Identity {
    /// The chain.
    pub certificate_pem: Vec<u8>,
    /// The key.
    pub key_pem: Vec<u8>,
}

impl std::fmt::Debug for Identity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Identity").finish_non_exhaustive()
    }
}

/// TLS 1.3 and 1.2 with `roots` and nothing else, speaking `protocol` (ALPN).
///
/// # Errors
/// When roots or identity cannot be used.
pub fn client_config(
    roots_pem: &[u8],
    identity: Option<&Identity>,
    protocol: &[u8],
) -> Result<ClientConfig, TlsSetupError> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])
        .map_err(TlsSetupError::Identity)?
        .with_root_certificates(roots(roots_pem)?);
    let mut config = match identity {
        None => builder.with_no_client_auth(),
        Some(identity) => {
            let chain: Vec<CertificateDer<'static>> = CertificateDer::pem_slice_iter(&identity.certificate_pem)
                .collect::<Result<_, _>>()
                .map_err(|_| TlsSetupError::Certificate)?;
            let key = PrivateKeyDer::from_pem_slice(&identity.key_pem).map_err(|_| TlsSetupError::Key)?;
            if chain.is_empty() {
                return Err(TlsSetupError::Certificate);
            }
            builder.with_client_auth_cert(chain, key).map_err(TlsSetupError::Identity)?
        }
    };
    config.alpn_protocols = vec![protocol.to_vec()];
    Ok(config)
}

fn roots(pem: &[u8]) -> Result<RootCertStore, TlsSetupError> {
    let certificates: Vec<_> =
        CertificateDer::pem_slice_iter(pem).collect::<Result<_, _>>().map_err(|_| TlsSetupError::Roots)?;
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(certificates);
    if roots.is_empty() { Err(TlsSetupError::Roots) } else { Ok(roots) }
}
