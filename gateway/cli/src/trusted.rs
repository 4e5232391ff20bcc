//! Opening a signed directory from a file, with the authority's key.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use clap::Args;
use gateway_directory::{Expiry, Opened};
use gateway_model::Timestamp;
use gateway_model::note::VerifierKey;

use crate::exit::Usage;

/// A signed directory and the key of the authority that signs it.
#[derive(Args, Debug, Clone)]
pub struct DirectoryFile {
    /// Signed directory.
    #[arg(long, value_name = "FILE", env = "LIENTHONG_DIRECTORY")]
    pub directory: PathBuf,
    /// Key of the authority: the text name+hash+base64, or a file with it. Default: `authority.pub` beside the directory.
    #[arg(long, value_name = "KEY", env = "LIENTHONG_AUTHORITY")]
    pub authority: Option<String>,
}

impl DirectoryFile {
    /// Opens the directory; an expired one is opened too, since old evidence is checked with the directory of its day.
    ///
    /// # Errors
    /// When a file cannot be read or the authority did not sign it.
    pub fn open(&self, now: Timestamp) -> anyhow::Result<Opened> {
        open(&self.directory, self.authority.as_deref(), now)
    }
}

/// Opens a signed directory.
///
/// # Errors
/// When a file cannot be read or the authority did not sign it.
pub fn open(path: &Path, authority: Option<&str>, now: Timestamp) -> anyhow::Result<Opened> {
    let key = authority_key(path, authority)?;
    let bytes = std::fs::read(path).with_context(|| format!("cannot read the directory {}", path.display()))?;
    gateway_directory::open_with(&bytes, &[key], now, Expiry::Allow)
        .with_context(|| format!("the directory {}", path.display()))
}

fn authority_key(directory: &Path, given: Option<&str>) -> anyhow::Result<VerifierKey> {
    let beside = directory.with_file_name("authority.pub");
    let text = match given {
        Some(text) if text.matches('+').count() >= 2 && !Path::new(text).exists() => text.to_owned(),
        Some(file) => {
            std::fs::read_to_string(file).with_context(|| format!("cannot read the authority's key {file}"))?
        }
        None if beside.exists() => std::fs::read_to_string(&beside)?,
        None => {
            let problem = "who signed the directory? give the authority's key with --authority (text name+hash+base64, or a file)";
            return Err(Usage(problem.to_owned()).into());
        }
    };
    VerifierKey::parse(text.trim()).context("the authority's key")
}

/// The instant now.
pub fn now() -> Timestamp {
    Timestamp::from_micros(jiff::Timestamp::now().as_microsecond())
}
