//! Style and direction as a test: the tree as the tests in `tests/` see it.
#![allow(clippy::panic, reason = "a tree that cannot be read fails the test that reads it")]

use std::path::{Path, PathBuf};

/// A text file of the tree.
#[derive(Debug)]
pub struct Source {
    /// Path from the root, with forward slashes.
    pub path: String,
    /// All of it.
    pub text: String,
}

/// The root of the workspace.
pub fn root() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.ancestors().nth(2).unwrap_or(here).to_owned()
}

/// Every hand-written file whose name ends in `ending`, in the order of paths. Build output and dot-folders are left out.
pub fn sources(ending: &str) -> Vec<Source> {
    sources_below("", ending)
}

/// The same below a folder, given from the root.
pub fn sources_below(folder: &str, ending: &str) -> Vec<Source> {
    let mut found = Vec::new();
    gather(&root().join(folder), ending, &mut found);
    found.sort_by(|a, b| a.path.cmp(&b.path));
    assert!(!found.is_empty(), "no file of the tree ends in {ending}: the walk looks in the wrong place");
    found
}

/// A file by its path from the root; `None` when it is not there.
pub fn source(path: &str) -> Option<Source> {
    let text = std::fs::read_to_string(root().join(path)).ok()?;
    Some(Source { path: path.to_owned(), text })
}

/// Fails with every complaint and one line that says what to do.
///
/// # Panics
/// When there is a complaint.
pub fn settle(complaints: &[String], what_to_do: &str) {
    assert!(complaints.is_empty(), "\n{}\n→ {what_to_do}\n", complaints.join("\n"));
}

impl Source {
    /// Its lines with their numbers, counted from 1.
    pub fn lines(&self) -> impl Iterator<Item = (usize, &str)> {
        self.text.lines().enumerate().map(|(index, line)| (index + 1, line))
    }

    /// The name without folders.
    pub fn name(&self) -> &str {
        self.path.rsplit('/').next().unwrap_or(&self.path)
    }
}

fn gather(folder: &Path, ending: &str, found: &mut Vec<Source>) {
    let entries = std::fs::read_dir(folder).unwrap_or_else(|error| panic!("cannot list {}: {error}", folder.display()));
    for path in entries.filter_map(|entry| entry.ok().map(|entry| entry.path())) {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if path.is_dir() {
            if !name.starts_with('.') && name != "target" && name != "node_modules" {
                gather(&path, ending, found);
            }
        } else if name.ends_with(ending) {
            let text = std::fs::read_to_string(&path)
                .unwrap_or_else(|error| panic!("cannot read {}: {error}", path.display()));
            let path = path.strip_prefix(root()).unwrap_or(&path).to_string_lossy().replace('\\', "/");
            found.push(Source { path, text });
        }
    }
}
