//! Effects: what the adapter did to the system behind it, counted by delivery id.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use gateway_model::Digest;

use crate::Trouble;
use crate::manifest::{self, Values};
use sink::Sink;

pub mod sink;

/// Entries of a folder that are looked at.
const ENTRIES_MAX: usize = 100_000;

/// Where effects are seen.
pub enum Effects {
    /// One entry an effect.
    Folder {
        /// The folder.
        path: PathBuf,
        /// Whether the parts lie in it.
        parts: bool,
    },
    /// One request an effect.
    Http(Sink),
    /// One line an effect.
    Command {
        /// The command.
        command: Vec<String>,
        /// Where it runs.
        here: PathBuf,
    },
}

impl Effects {
    /// Takes the manifest's word; the sink listens already.
    pub fn new(effects: &manifest::Effects, values: &Values, here: &Path, sink: Option<Sink>) -> Self {
        match (effects, sink) {
            (manifest::Effects::Folder { path, parts }, _) => {
                Self::Folder { path: here.join(values.fill(path)), parts: *parts }
            }
            (manifest::Effects::Command { command }, _) => {
                Self::Command { command: values.fill_all(command), here: here.to_owned() }
            }
            (manifest::Effects::Http { .. }, Some(sink)) => Self::Http(sink),
            // Nothing was opened, so nothing is seen.
            (manifest::Effects::Http { .. }, None) => Self::Command { command: Vec::new(), here: here.to_owned() },
        }
    }

    /// How many effects a delivery has had.
    ///
    /// # Errors
    /// When the author's command fails.
    pub async fn count(&self, id: &str) -> Result<usize, Trouble> {
        match self {
            Self::Folder { path, .. } => Ok(entries_of(path, id).len()),
            Self::Http(sink) => Ok(sink.count(id)),
            Self::Command { command, here } => {
                let said = crate::process::output(command, here).await?;
                let names = |line: &&str| {
                    let line: Option<serde_json::Value> = serde_json::from_str(line).ok();
                    line.is_some_and(|line| line["delivery_id"] == id)
                };
                Ok(said.lines().filter(names).count())
            }
        }
    }

    /// Digests of the files of a delivery's effect; `None` where that cannot be seen.
    pub fn digests(&self, id: &str) -> Option<BTreeSet<Digest>> {
        let Self::Folder { path, parts: true } = self else { return None };
        let mut digests = BTreeSet::new();
        let mut open = entries_of(path, id);
        while let Some(path) = open.pop() {
            if path.is_dir() {
                open.extend(entries(&path));
            } else if let Some(digest) = digest_of(&path) {
                digests.insert(digest);
            }
        }
        Some(digests)
    }

    /// The sink, where the kit is the system.
    pub fn sink(&self) -> Option<&Sink> {
        match self {
            Self::Http(sink) => Some(sink),
            Self::Folder { .. } | Self::Command { .. } => None,
        }
    }
}

fn entries(folder: &Path) -> Vec<PathBuf> {
    let Ok(read) = std::fs::read_dir(folder) else { return Vec::new() };
    read.take(ENTRIES_MAX).filter_map(|entry| entry.ok().map(|entry| entry.path())).collect()
}

fn entries_of(folder: &Path, id: &str) -> Vec<PathBuf> {
    let names_it = |path: &PathBuf| {
        let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        !name.starts_with('.') && name.contains(id)
    };
    entries(folder).into_iter().filter(names_it).collect()
}

fn digest_of(path: &Path) -> Option<Digest> {
    use std::io::Read as _;
    let mut file = std::fs::File::open(path).ok()?;
    let (mut hasher, mut buffer) = (gateway_model::hash::Hasher::new(), vec![0; 1024 * 1024]);
    loop {
        match file.read(&mut buffer).ok()? {
            0 => return Some(hasher.finish()),
            count => hasher.update(buffer.get(..count)?),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

    use super::*;

    #[tokio::test]
    async fn an_entry_is_an_effect_when_its_name_holds_the_id_and_begins_with_no_dot() {
        let folder = tempfile::tempdir().unwrap();
        let effects = Effects::Folder { path: folder.path().to_owned(), parts: true };
        std::fs::write(folder.path().join(".abc.tmp"), "x").unwrap();
        std::fs::write(folder.path().join("other"), "x").unwrap();
        assert_eq!(effects.count("abc").await.unwrap(), 0);
        std::fs::create_dir(folder.path().join("2026-abc")).unwrap();
        std::fs::write(folder.path().join("2026-abc/part"), "x").unwrap();
        assert_eq!(effects.count("abc").await.unwrap(), 1);
        assert!(effects.digests("abc").unwrap().contains(&Digest::of(b"x")));
        std::fs::write(folder.path().join("abc-again"), "x").unwrap();
        assert_eq!(effects.count("abc").await.unwrap(), 2);
    }

    #[tokio::test]
    async fn a_line_of_the_authors_command_is_an_effect_when_it_names_the_id() {
        let script = "echo '{\"delivery_id\":\"abc\"}'; echo noise; echo '{\"delivery_id\":\"x\"}'";
        let command = ["sh", "-c", script].map(str::to_owned).to_vec();
        let effects = Effects::Command { command, here: PathBuf::from(".") };
        assert_eq!(effects.count("abc").await.unwrap(), 1);
        let failing = Effects::Command { command: vec!["false".to_owned()], here: PathBuf::from(".") };
        assert!(failing.count("abc").await.is_err());
    }
}
