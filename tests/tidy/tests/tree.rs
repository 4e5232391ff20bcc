//! The tree and its maps: only the agreed folders at the top, and every path that a map names exists.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::path::Path;

use tests_tidy::{Source, root, settle, source};

const FOLDERS: &[&str] = &["proto", "gateway", "adapters", "certs-dev", "tests", "deploy"];
const FILES_AT_ROOT: &[&str] = &[
    "Cargo.toml",
    "README.md",
    "ARCHITECTURE.md",
    "CONTRIBUTING.md",
    "CHANGELOG.md",
    "rust-toolchain.toml",
    "rustfmt.toml",
    "clippy.toml",
    ".ci/run",
];

#[test]
fn only_the_agreed_folders_stand_at_the_top() {
    let entries = std::fs::read_dir(root()).unwrap().map(|entry| entry.unwrap());
    let folders =
        entries.filter(|entry| entry.path().is_dir()).map(|entry| entry.file_name().to_string_lossy().into_owned());
    let stray = folders.filter(|name| !name.starts_with('.') && name != "target" && !FOLDERS.contains(&name.as_str()));
    let complaints: Vec<String> = stray.map(|name| format!("{name}/ stands at the top")).collect();
    settle(&complaints, "move it into proto, gateway, adapters, certs-dev, tests or deploy");
}

#[test]
fn the_files_that_a_newcomer_looks_for_exist() {
    let missing = FILES_AT_ROOT.iter().filter(|path| !root().join(path).exists());
    let complaints: Vec<String> = missing.map(|path| format!("{path} is missing")).collect();
    settle(&complaints, "write it");
}

#[test]
fn every_path_that_a_map_names_exists() {
    let mut complaints = Vec::new();
    for map in ["README.md", "ARCHITECTURE.md", "CONTRIBUTING.md"] {
        match source(map) {
            Some(map) => complaints.extend(dead_paths(&map)),
            None => complaints.push(format!("{map} is missing: write it")),
        }
    }
    settle(&complaints, "correct the path, or remove what no longer is");
}

#[test]
fn a_dead_path_is_found_and_a_command_is_not_taken_for_one() {
    let map = |text: &str| Source { path: "X.md".to_owned(), text: text.to_owned() };
    assert_eq!(dead_paths(&map("see `gateway/nowhere/src` and [x](deploy/none)")).len(), 2);
    assert_eq!(
        dead_paths(&map("`gateway/model/src/{lib,nothing}.rs`")),
        ["X.md:1: gateway/model/src/nothing.rs does not exist"]
    );
    let living = "`gateway/model/src/{lib,reason}.rs` `proto/lienthong/gateway/v1/*.proto` `accept/verify` `tests/tidy/` `a b/c`";
    assert_eq!(dead_paths(&map(living)), Vec::<String>::new());
    assert_eq!(
        dead_paths(&map("```\n`gateway/nowhere`\n```\n[web](https://example.org/x) [here](#part)")),
        Vec::<String>::new()
    );
}

/// Paths in backticks that begin with a folder of the tree, and targets of relative links.
fn dead_paths(map: &Source) -> Vec<String> {
    let mut dead = Vec::new();
    let mut fenced = false;
    for (number, line) in map.lines() {
        if line.trim_start().starts_with("```") {
            fenced = !fenced;
        }
        if fenced {
            continue;
        }
        let quoted = line.split('`').skip(1).step_by(2).filter(|text| is_path(text));
        let links =
            line.split("](").skip(1).filter_map(|rest| rest.split(')').next()).filter(|target| is_relative(target));
        for path in quoted.chain(links).flat_map(spellings) {
            if !exists(&path) {
                dead.push(format!("{}:{number}: {path} does not exist", map.path));
            }
        }
    }
    dead
}

fn is_path(text: &str) -> bool {
    let first = text.split('/').next().unwrap_or_default();
    let in_tree = text.contains('/') && (FOLDERS.contains(&first) || first == ".ci");
    let at_root =
        !text.contains('/') && [".md", ".toml"].iter().any(|ending| text.ends_with(ending)) && is_file_name(text);
    !text.contains(char::is_whitespace) && (in_tree || at_root)
}

/// Files at the root are written in capitals or are Rust's own; `agencies.toml` is a user's.
fn is_file_name(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_uppercase()) || FILES_AT_ROOT.contains(&text)
}

fn is_relative(target: &str) -> bool {
    !target.is_empty() && !target.contains("://") && !target.starts_with(['#', '/']) && !target.starts_with("mailto:")
}

/// `a/{b,c}.rs` means two paths; a fragment or a trailing slash is none of the path.
fn spellings(path: &str) -> Vec<String> {
    let path = path.split('#').next().unwrap_or_default().trim_end_matches('/');
    let Some((head, rest)) = path.split_once('{') else { return vec![path.to_owned()] };
    let Some((choices, tail)) = rest.split_once('}') else { return vec![path.to_owned()] };
    choices.split(',').flat_map(|choice| spellings(&format!("{head}{}{tail}", choice.trim()))).collect()
}

fn exists(path: &str) -> bool {
    let whole = root().join(path);
    let Some(pattern) = whole.file_name().map(|name| name.to_string_lossy().into_owned()) else {
        return whole.exists();
    };
    let Some((before, after)) = pattern.split_once('*') else { return whole.exists() };
    let folder = whole.parent().unwrap_or(Path::new("."));
    std::fs::read_dir(folder).is_ok_and(|mut entries| {
        entries.any(|entry| {
            let name = entry.map(|entry| entry.file_name().to_string_lossy().into_owned()).unwrap_or_default();
            name.starts_with(before) && name.ends_with(after)
        })
    })
}
