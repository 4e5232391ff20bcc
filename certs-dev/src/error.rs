//! What can go wrong while the development PKI is made.

use std::path::PathBuf;

/// Why the development PKI could not be made.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// OpenSSL refused to make or use a key.
    #[error("openssl could not make or use a key")]
    OpenSsl(#[from] openssl::error::ErrorStack),
    /// rcgen refused to make a certificate or a list.
    #[error("rcgen could not make a certificate or a list")]
    Rcgen(#[from] rcgen::Error),
    /// A time is before 1970 or after 9999.
    #[error("{0} s is not a time that a certificate can hold")]
    Time(i64),
    /// A key does not fit the signature scheme.
    #[error("the key does not fit the signature scheme")]
    Scheme,
    /// The key of the evidence log or of the authority cannot be written as a verifier key.
    #[error("not a key of a signed note")]
    Note(#[from] gateway_model::note::NoteError),
    /// A file or folder could not be written.
    #[error("cannot write {}", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The source of the directory cannot be written as TOML.
    #[error("the source of the directory cannot be written as TOML")]
    Source(#[from] toml::ser::Error),
    /// The plan names an agency, system or gateway that it does not have.
    #[error("the plan names `{0}` but does not have it")]
    Plan(String),
}
