//! Where packages go that will not do: the bytes as they came, and beside them the reason in Vietnamese and English.

use std::path::{Path, PathBuf};

use adapters_sdk::AdapterError;
use gateway_model::language::Language;
use gateway_model::{Digest, Refusal};

use crate::format::Fault;
use adapters_sdk::disk;

/// Characters of a package's name that are kept.
const NAME_CHARS_MAX: usize = 120;

/// The folder.
#[derive(Clone, Debug)]
pub(crate) struct Quarantine {
    folder: PathBuf,
    working: PathBuf,
}

impl Quarantine {
    /// Makes the folder.
    pub(crate) fn open(path: &Path, working: PathBuf) -> Result<Self, AdapterError> {
        let folder = path.join("quarantine");
        disk::make_folder(&folder)?;
        Ok(Self { folder, working })
    }

    /// Keeps a package with its reason; durable when it returns. The same package twice is kept once.
    pub(crate) fn keep(&self, name: &str, package: &[u8], reason: &str) -> Result<(), AdapterError> {
        let name = self.name(name, &Digest::of(package));
        disk::write_whole(&self.working, &self.folder.join(format!("{name}.reason.txt")), reason.as_bytes())?;
        disk::write_whole(&self.working, &self.folder.join(format!("{name}.edxml")), package)
    }

    fn name(&self, name: &str, digest: &Digest) -> String {
        let fits = |c: char| if c.is_alphanumeric() || matches!(c, '-' | '_' | '.' | ' ') { c } else { '_' };
        let stem = name.strip_suffix(".edxml").unwrap_or(name);
        let stem: String = stem.trim_start_matches('.').chars().map(fits).take(NAME_CHARS_MAX).collect();
        format!("{stem}-{}", &digest.to_string()[..8])
    }
}

/// What is written beside a package that is defect.
pub(crate) fn of_fault(fault: &Fault) -> String {
    fault.report()
}

/// What is written beside a package that the gateway refused.
pub(crate) fn of_refusal(refusal: &Refusal) -> String {
    format!(
        "{}\n\nTiếng Việt: {}\n\nEnglish: {}\n",
        refusal.reason,
        refusal.in_words(Language::Vi),
        refusal.in_words(Language::En)
    )
}
