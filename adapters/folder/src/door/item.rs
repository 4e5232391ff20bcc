//! Finds drops in the watched folder.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, Metadata};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use adapters_sdk::AdapterError;
use gateway_model::limits;

use adapters_sdk::disk;

/// Names in the watched folder that are looked at in one look; the others get their turn when these are gone.
const NAMES_MAX: usize = 10_000;
/// Files of one drop that are looked at: more than an envelope has parts, so that too many are seen as such.
const FILES_MAX: usize = limits::PARTS_MAX + 16;
/// Names of a describing file inside a folder, besides `NAME.toml` and `NAME.lt`.
const DESCRIPTION_IN_FOLDER: &str = "description.toml";

/// A describing file and what belongs to it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Item {
    /// The name without its ending.
    pub name: String,
    /// The describing file.
    pub describing: PathBuf,
    /// What the describing file is.
    pub kind: ItemKind,
    /// The other files, in the order of their names.
    pub files: Vec<PathBuf>,
    /// Names in the watched folder that are moved when all is done.
    pub entries: Vec<String>,
    /// What all files look like.
    pub fingerprint: Fingerprint,
    /// Whether nothing of it is still being written.
    pub is_complete: bool,
}

/// What a describing file is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum ItemKind {
    /// A serialized `SignedEnvelope`.
    Ready,
    /// A description of plain files.
    Described,
}

/// Path, size and time of change of every file: equal twice in a row means that nobody is writing.
pub(super) type Fingerprint = Vec<(PathBuf, u64, Option<SystemTime>)>;

/// Every drop in `folder`. Links and special files are never followed: they belong to no drop.
pub(super) fn scan(folder: &Path) -> Result<Vec<Item>, AdapterError> {
    let (mut files, mut folders) = (BTreeMap::new(), BTreeMap::new());
    for entry in fs::read_dir(folder).map_err(disk::at(folder))?.take(NAMES_MAX) {
        let entry = entry.map_err(disk::at(folder))?;
        let (Some(name), Ok(metadata)) = (entry.file_name().to_str().map(str::to_owned), entry.metadata()) else {
            continue;
        };
        match metadata {
            _ if is_hidden(&name) => {}
            metadata if metadata.is_file() => {
                files.insert(name, metadata);
            }
            metadata if metadata.is_dir() => {
                folders.insert(name, metadata);
            }
            _ => {}
        }
    }
    let describing: BTreeMap<&str, (&str, ItemKind)> = files
        .keys()
        // A ready envelope goes before a description of the same name.
        .rev()
        .filter_map(|file| kind_of(file).map(|(name, kind)| (name, (file.as_str(), kind))))
        .collect();
    let mut drops = Vec::new();
    for (&name, &(file, kind)) in &describing {
        drops.push(beside(folder, name, file, kind, &files, &describing, folders.contains_key(name))?);
    }
    for name in folders.keys().filter(|name| !describing.contains_key(name.as_str())) {
        drops.extend(inside(folder, name)?);
    }
    Ok(drops)
}

/// A drop whose describing file stands in the watched folder itself.
fn beside(
    folder: &Path,
    name: &str,
    file: &str,
    kind: ItemKind,
    files: &BTreeMap<String, Metadata>,
    describing: &BTreeMap<&str, (&str, ItemKind)>,
    has_folder: bool,
) -> Result<Item, AdapterError> {
    let belongs = |other: &str| other != file && owner(other, describing) == Some(name);
    let mut entries: Vec<String> = vec![file.to_owned()];
    entries.extend(files.keys().filter(|other| belongs(other)).cloned());
    let mut fingerprint: Fingerprint = entries
        .iter()
        .filter_map(|entry| files.get(entry).map(|metadata| look(folder.join(entry), metadata)))
        .collect();
    if has_folder {
        fingerprint.extend(files_in(&folder.join(name))?);
        entries.push(name.to_owned());
    }
    Ok(assemble(name, folder.join(file), kind, entries, fingerprint))
}

/// A drop that is a folder with its describing file inside.
fn inside(folder: &Path, name: &str) -> Result<Option<Item>, AdapterError> {
    let path = folder.join(name);
    let fingerprint = files_in(&path)?;
    let candidates = [
        (format!("{name}.lt"), ItemKind::Ready),
        (format!("{name}.toml"), ItemKind::Described),
        (DESCRIPTION_IN_FOLDER.to_owned(), ItemKind::Described),
    ];
    let found = candidates.into_iter().map(|(file, kind)| (path.join(file), kind));
    let describing = found.into_iter().find(|(file, _)| fingerprint.iter().any(|(known, ..)| known == file));
    Ok(describing.map(|(file, kind)| assemble(name, file, kind, vec![name.to_owned()], fingerprint)))
}

fn assemble(name: &str, describing: PathBuf, kind: ItemKind, entries: Vec<String>, fingerprint: Fingerprint) -> Item {
    let files: Vec<PathBuf> =
        fingerprint.iter().map(|(path, ..)| path.clone()).filter(|path| *path != describing).collect();
    let is_complete = !files.iter().any(|path| is_being_written(path));
    Item { name: name.to_owned(), describing, kind, files, entries, fingerprint, is_complete }
}

/// The regular files of a sub-folder, not deeper.
fn files_in(folder: &Path) -> Result<Fingerprint, AdapterError> {
    let mut files = Fingerprint::new();
    for entry in fs::read_dir(folder).map_err(disk::at(folder))?.take(FILES_MAX) {
        let entry = entry.map_err(disk::at(folder))?;
        let Ok(metadata) = entry.metadata() else { continue };
        if metadata.is_file() && !entry.file_name().to_str().is_some_and(is_hidden) {
            files.push(look(entry.path(), &metadata));
        }
    }
    files.sort();
    Ok(files)
}

fn look(path: PathBuf, metadata: &Metadata) -> (PathBuf, u64, Option<SystemTime>) {
    (path, metadata.len(), metadata.modified().ok())
}

/// `NAME.lt` and `NAME.toml` describe.
fn kind_of(file: &str) -> Option<(&str, ItemKind)> {
    let (name, kind) = match file.rsplit_once('.')? {
        (name, "lt") => (name, ItemKind::Ready),
        (name, "toml") => (name, ItemKind::Described),
        _ => return None,
    };
    (!name.is_empty()).then_some((name, kind))
}

/// The drop that a file belongs to: the longest name that it begins with.
fn owner<'a>(file: &'a str, describing: &BTreeMap<&str, (&str, ItemKind)>) -> Option<&'a str> {
    if kind_of(file).is_some_and(|(name, _)| describing.get(name).is_some_and(|(known, _)| *known == file)) {
        return kind_of(file).map(|(name, _)| name);
    }
    let dots = file.rmatch_indices('.').map(|(at, _)| &file[..at]);
    dots.into_iter().find(|name| describing.contains_key(name))
}

fn is_hidden(name: &str) -> bool {
    name.starts_with('.') || name.starts_with("~$")
}

fn is_being_written(path: &Path) -> bool {
    let endings: BTreeSet<&str> = ["tmp", "part", "partial", "crdownload", "filepart"].into();
    path.extension().and_then(|extension| extension.to_str()).is_some_and(|extension| endings.contains(extension))
}
