//! What is wrong with a directory source: where it stands, and what to write instead.

use std::fmt;
use std::path::{Path, PathBuf};

use gateway_model::directory::DirectoryFault;

/// One fault, with its place. All faults of a source are reported together.
#[derive(Debug)]
pub struct Fault {
    /// The TOML file.
    pub file: PathBuf,
    /// Line, counted from 1; 0 when it is about the whole file.
    pub line: usize,
    /// Key that it is about, such as `agency.gateway`; empty when it is about the whole.
    pub key: String,
    /// What is wrong.
    pub kind: FaultKind,
}

/// What is wrong.
#[derive(Debug, thiserror::Error)]
pub enum FaultKind {
    /// Not TOML.
    #[error("not TOML: {0}")]
    Syntax(String),
    /// A key that the format does not have.
    #[error("unknown key{}", nearest(*.0))]
    UnknownKey(Option<&'static str>),
    /// A key that must stand does not.
    #[error("is missing")]
    Missing,
    /// A value of another kind.
    #[error("wanted {wanted}, found {found}")]
    Kind {
        /// What must stand here.
        wanted: &'static str,
        /// What stands here.
        found: &'static str,
    },
    /// A value that does not fit.
    #[error("`{value}` is not {wanted}")]
    Value {
        /// What was written.
        value: String,
        /// What must stand here.
        wanted: &'static str,
    },
    /// A file that cannot be read.
    #[error("cannot read {}: {cause}", .path.display())]
    File {
        /// Which file.
        path: PathBuf,
        /// Why.
        #[source]
        cause: std::io::Error,
    },
    /// A file with something else inside.
    #[error("{} has no {wanted} in PEM or DER form", .path.display())]
    FileContent {
        /// Which file.
        path: PathBuf,
        /// What it must hold.
        wanted: &'static str,
    },
    /// The directory does not hold together.
    #[error(transparent)]
    Inconsistent(DirectoryFault),
    /// Larger than a gateway would open.
    #[error("the directory has {bytes} bytes, more than the {max} that a gateway opens")]
    TooLarge {
        /// Bytes of the serialized directory.
        bytes: usize,
        /// Bytes that a gateway opens.
        max: usize,
    },
    /// A gateway would refuse what was made.
    #[error("a gateway would refuse this directory: {0}")]
    Refused(gateway_model::Refusal),
}

impl Fault {
    /// A fault about the whole file.
    pub(crate) fn whole(file: &Path, kind: FaultKind) -> Self {
        Self { file: file.to_owned(), line: 0, key: String::new(), kind }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.file.display())?;
        if self.line > 0 {
            write!(f, ":{}", self.line)?;
        }
        if self.key.is_empty() { write!(f, ": {}", self.kind) } else { write!(f, ": {}: {}", self.key, self.kind) }
    }
}

impl std::error::Error for Fault {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.kind.source()
    }
}

fn nearest(key: Option<&str>) -> String {
    key.map_or_else(String::new, |key| format!("; the nearest is `{key}`"))
}
