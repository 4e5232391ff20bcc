//! Where packages go that will not do: the bytes as they came, and beside them the reason in Vietnamese and English.

use std::path::{Path, PathBuf};

use adapters_sdk::AdapterError;
use gateway_model::language::Language;
use gateway_model::{Digest, Refusal};

use crate::format::Fault;
use adapters_sdk::disk;

/// Bytes of a package's name that are kept: what is put behind it still fits into a file name.
const NAME_BYTES_MAX: usize = 150;

/// The folder.
#[derive(Clone, Debug)]
pub(crate) struct Quarantine {
    folder: PathBuf,
    working: PathBuf,
}

impl Quarantine {
    /// Makes the folder.
    pub(crate) fn open(path: &Path, working: PathBuf) -> Result<Self, AdapterError> {
        let folder = folder(path);
        disk::make_folder(&folder)?;
        Ok(Self { folder, working })
    }

    /// Keeps a package with its reason; durable when it returns. The same package twice is kept once.
    pub(crate) fn keep(&self, name: &str, package: &[u8], reason: &str) -> Result<(), AdapterError> {
        let digest = Digest::of(package);
        let name = name_of(name, &digest.to_string());
        self.explain(&name, reason)?;
        disk::write_whole(&self.working, &self.folder.join(format!("{name}.edxml")), package)?;
        tracing::warn!(reason = code_of(reason), sha256 = %digest, "a package will not do and is in quarantine");
        Ok(())
    }

    /// Moves a file that is too large to be read, with its reason. It gets a name that nothing has.
    pub(crate) fn take_over(&self, file: &Path, name: &str, reason: &str) -> Result<(), AdapterError> {
        let name = name_of(name, &uuid::Uuid::new_v4().simple().to_string());
        self.explain(&name, reason)?;
        disk::rename(file, &self.folder.join(format!("{name}.edxml")))?;
        tracing::warn!(reason = code_of(reason), "a package will not do and is in quarantine");
        Ok(())
    }

    /// Keeps the reason for which something is not there at all.
    pub(crate) fn explain(&self, name: &str, reason: &str) -> Result<(), AdapterError> {
        disk::write_whole(&self.working, &self.folder.join(format!("{name}.reason.txt")), reason.as_bytes())
    }
}

/// Where it is in the adapter's folder.
pub(crate) fn folder(path: &Path) -> PathBuf {
    path.join("quarantine")
}

/// A name for files, of what something is called and what tells it apart.
pub(crate) fn name_of(name: &str, distinction: &str) -> String {
    let fits = |c: char| if c.is_alphanumeric() || matches!(c, '-' | '_' | '.' | ' ') { c } else { '_' };
    let stem = name.strip_suffix(".edxml").unwrap_or(name);
    let stem: String = stem.trim_start_matches('.').chars().map(fits).collect();
    format!("{}-{}", cut(&stem), &distinction[..8])
}

/// As much of a name as is kept.
pub(crate) fn cut(name: &str) -> &str {
    let end = (0..=name.len().min(NAME_BYTES_MAX)).rev().find(|&end| name.is_char_boundary(end)).unwrap_or(0);
    &name[..end]
}

/// The first line of a reason is its code.
fn code_of(reason: &str) -> &str {
    reason.lines().next().unwrap_or_default()
}

/// What is written beside a package that is defect.
pub(crate) fn of_fault(fault: &Fault) -> String {
    fault.report()
}

/// What is written about a package that another hub has, and that cannot be had of it.
pub(crate) fn of_silence(fault: &dyn std::fmt::Display) -> String {
    format!(
        "HUB_PACKAGE_UNREADABLE\n{fault}\n\nTiếng Việt: Trục văn bản liệt kê gói tin này nhưng không giao được, hoặc giao không đúng. Gói tin sẽ \
         được lấy lại sau; hãy báo đơn vị quản lý trục văn bản.\n\nEnglish: The hub lists this package, and does not give it, or not as it is \
         listed. It is fetched again later; tell whoever runs the hub.\n"
    )
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
