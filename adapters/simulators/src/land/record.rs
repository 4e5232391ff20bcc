//! What a land system keeps: its files with their states, in one JSON file that outlives the process.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Write as _};
use std::path::Path;

use serde::{Deserialize, Serialize};

/// Everything that it keeps.
#[derive(Serialize, Deserialize, Clone, PartialEq, Eq, Default, Debug)]
pub struct Register {
    /// Files by their code.
    pub files: BTreeMap<String, LandFile>,
    /// Result files by the secret in their link, in base64.
    pub results: BTreeMap<String, String>,
}

/// A file of the land system.
#[derive(Serialize, Deserialize, Clone, PartialEq, Eq, Default, Debug)]
pub struct LandFile {
    /// Name of the applicant.
    pub applicant: String,
    /// Code of the procedure.
    pub procedure: String,
    /// When the result is promised, as it came.
    pub due: String,
    /// Papers, in their order.
    pub papers: Vec<LandPaper>,
    /// Supplements, each with its papers.
    pub supplements: Vec<Supplement>,
    /// When the result was handed to the citizen, as it came; every call is one entry.
    pub returned: Vec<String>,
    /// How often the file came again.
    pub repeats: u32,
}

/// A paper.
#[derive(Serialize, Deserialize, Clone, PartialEq, Eq, Default, Debug)]
pub struct LandPaper {
    /// What it is.
    pub name: String,
    /// Name of its scan.
    pub file_name: String,
    /// SHA-256 of its scan, in hexadecimal; empty when there is none.
    pub sha256: String,
    /// Bytes of its scan.
    pub size: usize,
}

/// A supplement.
#[derive(Serialize, Deserialize, Clone, PartialEq, Eq, Default, Debug)]
pub struct Supplement {
    /// The new day.
    pub due: String,
    /// The clerk's note.
    pub note: String,
    /// What was added.
    pub papers: Vec<LandPaper>,
}

impl Register {
    /// Reads what an earlier process kept; nothing when there was none.
    pub(super) fn read(path: &Path) -> io::Result<Self> {
        match std::fs::read(path) {
            Err(fault) if fault.kind() == io::ErrorKind::NotFound => Ok(Self::default()),
            Err(fault) => Err(fault),
            Ok(bytes) => serde_json::from_slice(&bytes).map_err(io::Error::other),
        }
    }

    /// Keeps everything, whole or not at all.
    pub(super) fn write(&self, path: &Path) -> io::Result<()> {
        let draft = path.with_extension("new");
        let mut file = File::create(&draft)?;
        file.write_all(&serde_json::to_vec(self).map_err(io::Error::other)?)?;
        file.sync_all()?;
        std::fs::rename(draft, path)
    }
}
