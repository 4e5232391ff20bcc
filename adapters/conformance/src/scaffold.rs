//! New adapters: the examples themselves, with another name. They are compiled in, so that templates cannot drift from what is tested.

use std::path::{Path, PathBuf};

use crate::Trouble;

mod files;

/// Bytes of a name.
const NAME_BYTES_MAX: usize = 48;

/// What an adapter is written in.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Tongue {
    /// Rust, on the SDK.
    Rust,
    /// Python, on grpcio.
    Python,
    /// Java, on grpc-java.
    Java,
}

/// A file to write.
struct Template {
    path: &'static str,
    text: &'static str,
}

/// Writes a new adapter into `folder`, which must not hold anything yet, and gives the paths of its files.
///
/// `sdk` is where a Rust adapter finds `adapters/sdk`.
///
/// # Errors
/// When the name is none, the folder is not empty, or a file cannot be written.
pub fn write(tongue: Tongue, name: &str, folder: &Path, sdk: Option<&Path>) -> Result<Vec<PathBuf>, Trouble> {
    check_name(name)?;
    let file = |path: &Path, source| Trouble::File { path: path.to_owned(), source };
    std::fs::create_dir_all(folder).map_err(|source| file(folder, source))?;
    let mut there = std::fs::read_dir(folder).map_err(|source| file(folder, source))?;
    if there.next().is_some() {
        return Err(Trouble::Manifest(format!("{} is not empty; give another --path", folder.display())));
    }
    let mut written = Vec::new();
    for (path, text) in render(tongue, name, sdk)? {
        let path = folder.join(path);
        if let Some(parent) = path.parent() {
            std::fs::create_dir_all(parent).map_err(|source| file(parent, source))?;
        }
        std::fs::write(&path, text).map_err(|source| file(&path, source))?;
        written.push(path);
    }
    Ok(written)
}

fn render(tongue: Tongue, name: &str, sdk: Option<&Path>) -> Result<Vec<(PathBuf, String)>, Trouble> {
    let (templates, placeholder) = match tongue {
        Tongue::Rust => (files::RUST, "hello-rust"),
        Tongue::Python => (files::PYTHON, "hello-python"),
        Tongue::Java => (files::JAVA, "hello-java"),
    };
    let mut rendered = Vec::new();
    for template in templates {
        let mut text = template.text.replace(placeholder, name).replace("../../../proto", "proto");
        if tongue == Tongue::Rust && template.path == "Cargo.toml" {
            let root = checkout_of(sdk)?;
            text = with_checkout(&text, &root);
            // The versions that the checkout is built with: what is on this machine already is enough.
            let locked = std::fs::read_to_string(root.join("Cargo.lock"));
            rendered.extend(locked.ok().map(|locked| (PathBuf::from("Cargo.lock"), locked)));
        }
        rendered.push((PathBuf::from(template.path), text));
    }
    if tongue != Tongue::Rust {
        let proto = |template: &Template| (Path::new("proto").join(template.path), template.text.to_owned());
        rendered.extend(files::PROTO.iter().map(proto));
    }
    Ok(rendered)
}

/// The root of the checkout that the SDK lies in.
fn checkout_of(sdk: Option<&Path>) -> Result<PathBuf, Trouble> {
    let sdk = sdk.ok_or_else(|| {
        Trouble::Manifest(
            "a Rust adapter needs the SDK: give --sdk PATH, the folder adapters/sdk of a checkout".to_owned(),
        )
    })?;
    let sdk = sdk.canonicalize().map_err(|source| Trouble::File { path: sdk.to_owned(), source })?;
    let root = sdk.parent().and_then(Path::parent).filter(|_| sdk.join("Cargo.toml").is_file());
    let root = root.ok_or_else(|| Trouble::Manifest(format!("{} is not adapters/sdk of a checkout", sdk.display())))?;
    Ok(root.to_owned())
}

/// Paths of the example become paths of the checkout.
fn with_checkout(manifest: &str, root: &Path) -> String {
    let root = root.display();
    manifest.replace("../../../", &format!("{root}/")).replace("../../", &format!("{root}/adapters/"))
}

fn check_name(name: &str) -> Result<(), Trouble> {
    let starts = name.bytes().next().is_some_and(|byte| byte.is_ascii_lowercase());
    let fits = name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-');
    if starts && fits && name.len() <= NAME_BYTES_MAX {
        return Ok(());
    }
    Err(Trouble::Manifest(format!(
        "{name:?} is no name for an adapter: lower-case letters, digits and hyphens, a letter first, {NAME_BYTES_MAX} at most"
    )))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

    use super::*;

    #[test]
    fn a_new_adapter_has_its_own_name_and_none_of_the_examples() {
        let sdk = Path::new(env!("CARGO_MANIFEST_DIR")).join("../sdk");
        for tongue in [Tongue::Rust, Tongue::Python, Tongue::Java] {
            let files = render(tongue, "so-hoa", Some(&sdk)).unwrap();
            let own = files.iter().filter(|(path, _)| path != Path::new("Cargo.lock"));
            let all: String = own.map(|(_, text)| text.as_str()).collect();
            assert!(all.contains("so-hoa"), "{tongue:?}");
            for left in ["hello-rust", "hello-python", "hello-java", "../../"] {
                assert!(!all.contains(left), "{tongue:?} still names {left}");
            }
            assert!(files.iter().any(|(path, _)| path == Path::new("adapter-test.toml")), "{tongue:?}");
        }
    }

    #[test]
    fn the_door_of_the_workers_travels_along_with_all_that_it_stands_on_and_nothing_else() {
        let (mut needed, mut open) =
            (std::collections::BTreeSet::new(), vec!["lienthong/gateway/v1/adapter.proto".to_owned()]);
        while let Some(path) = open.pop() {
            let text =
                std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../../proto").join(&path)).unwrap();
            let imports = text.lines().filter_map(|line| line.strip_prefix("import \"")?.strip_suffix("\";"));
            open.extend(imports.filter(|import| import.starts_with("lienthong/")).map(str::to_owned));
            needed.insert(path);
        }
        let carried: Vec<&str> = files::PROTO.iter().map(|template| template.path).collect();
        assert_eq!(carried, needed.iter().map(String::as_str).collect::<Vec<_>>());
    }

    #[test]
    fn a_name_that_is_none_and_a_folder_that_is_not_empty_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["", "Hello", "1st", "a b", "../x", &"a".repeat(49)] {
            assert!(write(Tongue::Python, name, folder.path(), None).is_err(), "{name:?}");
        }
        write(Tongue::Python, "so-hoa", folder.path(), None).unwrap();
        assert!(write(Tongue::Python, "so-hoa", folder.path(), None).unwrap_err().to_string().contains("not empty"));
    }

    #[test]
    fn a_rust_adapter_without_the_sdk_is_told_how() {
        assert!(render(Tongue::Rust, "x", None).unwrap_err().to_string().contains("--sdk"));
        assert!(render(Tongue::Rust, "x", Some(Path::new("/"))).is_err());
    }
}
