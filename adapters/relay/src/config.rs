//! What the server gives at wiring: our TLS identity, the CAs of the peers, and bounds.

use std::sync::Arc;
use std::time::Duration;

use gateway_model::{Timestamp, limits};
use rustls::RootCertStore;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use crate::tls;

/// The gateway's clock.
pub type Now = Arc<dyn Fn() -> Timestamp + Send + Sync>;

/// Bounds of one relay. The defaults suit a gateway; tests lower them.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct RelaySettings {
    /// For connecting, TLS included.
    pub connect_time_max: Duration,
    /// For one call, and for a hand-over in which nothing moves, when the lease does not end before.
    pub call_time_max: Duration,
    /// Envelopes in flight on one connection.
    pub in_flight_max: usize,
    /// Parts being uploaded at once on one connection: so many small ones, and so many large ones.
    pub uploads_max: usize,
    /// Bytes of one chunk of a part; at most [`limits::CHUNK_BYTES_MAX`]. Even the thinnest line brings several across in the time of one
    /// call: that it goes on is seen by them.
    pub chunk_bytes: usize,
    /// Attempts to connect, and to get the parts across, within one call.
    pub attempts_max: u32,
    /// Wait before the second attempt to connect; doubles with each further one.
    pub back_off_first: Duration,
    /// Time without traffic after which the connection is tried by a ping.
    pub ping_after: Duration,
    /// Time after which a ping without answer means that the connection is dead.
    pub ping_time_max: Duration,
}

impl Default for RelaySettings {
    fn default() -> Self {
        Self {
            connect_time_max: limits::HANDSHAKE_TIME_MAX,
            call_time_max: limits::LEASE_TIME.saturating_sub(Duration::from_secs(5)),
            in_flight_max: 256,
            uploads_max: 4,
            chunk_bytes: 64 * 1024,
            attempts_max: 3,
            back_off_first: Duration::from_millis(200),
            ping_after: Duration::from_secs(20),
            ping_time_max: Duration::from_secs(10),
        }
    }
}

/// Why an identity cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum RelayIdentityError {
    /// Not PEM, or not what it should be.
    #[error("{what} cannot be read as PEM")]
    Pem {
        /// The certificate chain, the private key, or the CA certificates.
        what: &'static str,
        /// Why.
        #[source]
        source: rustls::pki_types::pem::Error,
    },
    /// There is no CA certificate, or none that can be used.
    #[error("there is no CA certificate that gateways could be checked against")]
    NoRoots,
    /// Certificate and key do not fit each other or TLS 1.3.
    #[error("the certificate and key cannot be used for TLS 1.3")]
    Tls(#[source] rustls::Error),
}

/// Who we are to other gateways, and which CAs we check them against.
pub struct RelayIdentity {
    pub(crate) chain: Vec<CertificateDer<'static>>,
    pub(crate) key: PrivateKeyDer<'static>,
    pub(crate) roots: Arc<RootCertStore>,
}

impl RelayIdentity {
    /// Takes our chain (leaf first), our key, and the certificates of the CAs of gateways.
    ///
    /// # Errors
    /// When no CA certificate is usable, or chain and key do not fit.
    pub fn new(
        chain: Vec<CertificateDer<'static>>,
        key: PrivateKeyDer<'static>,
        authorities: Vec<CertificateDer<'static>>,
    ) -> Result<Self, RelayIdentityError> {
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(authorities);
        if roots.is_empty() {
            return Err(RelayIdentityError::NoRoots);
        }
        let identity = Self { chain, key, roots: Arc::new(roots) };
        tls::client_config(&identity, Vec::new()).map_err(RelayIdentityError::Tls)?;
        Ok(identity)
    }

    /// The same from PEM files.
    ///
    /// # Errors
    /// When a file is no PEM, and as [`Self::new`].
    pub fn from_pem(chain: &[u8], key: &[u8], authorities: &[u8]) -> Result<Self, RelayIdentityError> {
        let certificates = |what, pem| {
            let read: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
            read.map_err(|source| RelayIdentityError::Pem { what, source })
        };
        let read_key = PrivateKeyDer::from_pem_slice(key);
        let key = read_key.map_err(|source| RelayIdentityError::Pem { what: "the private key", source })?;
        Self::new(
            certificates("the certificate chain", chain)?,
            key,
            certificates("the file of CA certificates", authorities)?,
        )
    }
}

impl std::fmt::Debug for RelayIdentity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RelayIdentity").field("certificates", &self.chain.len()).finish_non_exhaustive()
    }
}
