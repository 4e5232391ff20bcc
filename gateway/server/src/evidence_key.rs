//! Reads the private key of the evidence log.

use std::path::{Path, PathBuf};

use gateway_model::id::GatewayId;
use gateway_model::note::{NoteError, NoteSigner};
use rustls_pki_types::PrivatePkcs8KeyDer;
use rustls_pki_types::pem::PemObject as _;

/// Why the key cannot be used, and what to do.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// The file.
    #[error("{path}: {source}: give a file that this user can read")]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// What stands in it.
    #[error("{path}: {source}: make one with `openssl genpkey -algorithm ed25519`")]
    Key {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: NoteError,
    },
}

/// Reads an Ed25519 key in PKCS#8, PEM or DER; its name is the gateway's id.
///
/// # Errors
/// [`KeyError`], naming the file.
pub fn read(path: &Path, gateway: &GatewayId) -> Result<NoteSigner, KeyError> {
    let bytes = std::fs::read(path).map_err(|source| KeyError::File { path: path.to_owned(), source })?;
    let pem = PrivatePkcs8KeyDer::from_pem_slice(&bytes).ok();
    let der = pem.as_ref().map_or(bytes.as_slice(), PrivatePkcs8KeyDer::secret_pkcs8_der);
    NoteSigner::from_pkcs8(gateway.as_str(), der).map_err(|source| KeyError::Key { path: path.to_owned(), source })
}
