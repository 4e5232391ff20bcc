//! Which crate may depend on which: a table by hand, checked against `cargo metadata`.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::process::Command;

use tests_tidy::{root, settle, source};

/// Crates in the order of dependency, each with what it may depend on. A crate never depends on one further down.
const TABLE: &[(&str, &[&str])] = &[
    ("proto", &[]),
    ("gateway-model", &[]),
    ("certs-dev", &["gateway-model"]),
    ("gateway-directory", &["proto", "gateway-model"]),
    ("gateway-verify", &["proto", "gateway-model"]),
    ("gateway-evidence", &["proto", "gateway-model"]),
    ("gateway-store", &["proto", "gateway-model", "gateway-verify", "gateway-evidence"]),
    (
        "gateway-store-conformance",
        &[
            "proto",
            "gateway-model",
            "certs-dev",
            "gateway-directory",
            "gateway-verify",
            "gateway-evidence",
            "gateway-store",
        ],
    ),
    ("gateway-store-embedded", &["gateway-model", "gateway-evidence", "gateway-store"]),
    ("gateway-store-redis", &["gateway-model", "gateway-evidence", "gateway-store"]),
    ("gateway-store-objects", &["gateway-model", "gateway-store"]),
    ("gateway-register", &["gateway-model"]),
    ("adapters-sdk", &["proto", "gateway-model"]),
    (
        "gateway-engine",
        &[
            "proto",
            "gateway-model",
            "gateway-directory",
            "gateway-verify",
            "gateway-evidence",
            "gateway-store",
            "adapters-sdk",
        ],
    ),
    ("adapters-relay", &["proto", "gateway-model", "adapters-sdk"]),
    ("adapters-folder", &["proto", "gateway-model", "adapters-sdk"]),
    ("adapters-http", &["proto", "gateway-model", "adapters-sdk"]),
    // Other organisations' systems: they know nothing of this house.
    ("adapters-simulators", &[]),
    ("adapters-land", &["proto", "gateway-model", "adapters-sdk"]),
    ("adapters-edxml", &["proto", "gateway-model", "adapters-sdk"]),
    ("adapters-worker", &["gateway-model", "adapters-sdk"]),
    // The kit plays the gateway: it signs envelopes, makes receipts, and judges what an adapter has sealed. Its Rust example stands on the SDK.
    (
        "adapters-conformance",
        &["proto", "gateway-model", "certs-dev", "gateway-verify", "gateway-evidence", "adapters-sdk"],
    ),
    // The console is a face of the operators' door: it knows no engine and no store.
    ("gateway-console", &["proto", "gateway-model"]),
    // The only room that names concrete stores and adapters.
    (
        "gateway-server",
        &[
            "proto",
            "gateway-model",
            "gateway-directory",
            "gateway-verify",
            "gateway-evidence",
            "gateway-store",
            "gateway-store-embedded",
            "gateway-store-redis",
            "gateway-store-objects",
            "gateway-register",
            "adapters-sdk",
            "gateway-engine",
            "adapters-relay",
            "adapters-folder",
            "adapters-http",
            "adapters-edxml",
            "adapters-land",
            "adapters-worker",
            "gateway-console",
        ],
    ),
    // `demo` makes a development PKI and simulates other organisations' systems; `check` reads the server's configuration.
    (
        "gateway-cli",
        &[
            "proto",
            "gateway-model",
            "certs-dev",
            "gateway-directory",
            "gateway-verify",
            "gateway-evidence",
            "adapters-sdk",
            "adapters-conformance",
            "adapters-simulators",
            "gateway-server",
        ],
    ),
    ("gateway-lienthong", &["gateway-server", "gateway-cli"]),
    (
        "tests-harness",
        &[
            "proto",
            "gateway-model",
            "certs-dev",
            "gateway-directory",
            "gateway-verify",
            "gateway-evidence",
            "gateway-register",
            "gateway-cli",
        ],
    ),
    ("tests-it", &["tests-harness"]),
    ("tests-tidy", &[]),
];

/// What any crate may use in its tests, wherever it stands.
const FOR_TESTS: &[&str] = &[
    "certs-dev",
    "gateway-directory",
    "gateway-verify",
    "gateway-store",
    "gateway-store-conformance",
    // The other end of a move.
    "gateway-store-embedded",
    "tests-harness",
];

#[test]
fn every_crate_depends_only_on_what_the_table_lists() {
    let mut complaints = Vec::new();
    for (name, dependencies) in workspace() {
        for (dependency, kind) in dependencies {
            let fits = may_depend(&name, &dependency, &kind);
            if !fits {
                complaints.push(format!("{name} depends on {dependency} ({kind})"));
            }
        }
    }
    settle(
        &complaints,
        "remove the dependency, or move what is needed to a crate further up; change TABLE only together with ARCHITECTURE.md",
    );
}

#[test]
fn the_table_names_every_crate_of_the_workspace_and_no_other() {
    let members: Vec<String> = workspace().into_iter().map(|(name, _)| name).collect();
    let mut complaints: Vec<String> =
        members.iter().filter(|name| row(name).is_none()).map(|name| format!("{name} has no row")).collect();
    for (name, _) in TABLE {
        if !members.iter().any(|member| member == name) {
            complaints.push(format!("{name} has a row but is not in the workspace"));
        }
    }
    settle(&complaints, "give each crate its row in TABLE, at its place in the order of dependency");
}

#[test]
fn the_table_runs_one_way() {
    let mut complaints = Vec::new();
    for (place, (name, allowed)) in TABLE.iter().enumerate() {
        for dependency in *allowed {
            if row(dependency).is_none_or(|(at, _)| at >= place) {
                complaints.push(format!("{name} lists {dependency}, which does not stand above it"));
            }
        }
    }
    settle(&complaints, "order the rows so that each crate stands below what it depends on");
}

#[test]
fn a_crate_is_named_after_its_folder() {
    let mut complaints = Vec::new();
    for (name, manifest) in manifests() {
        let folder = manifest.trim_end_matches("/Cargo.toml").trim_start_matches('/').replace('/', "-");
        if folder != name {
            complaints.push(format!("{name} stands in {folder}"));
        }
    }
    settle(&complaints, "name a crate after its path, joined with hyphens");
}

#[test]
fn every_crate_takes_the_lints_of_the_workspace() {
    let without = |(name, manifest): &(String, String)| {
        let text = source(manifest.trim_start_matches('/')).map(|source| source.text).unwrap_or_default();
        (!text.contains("[lints]\nworkspace = true")).then(|| name.clone())
    };
    let complaints: Vec<String> = manifests().iter().filter_map(without).collect();
    settle(&complaints, "add `[lints]` with `workspace = true` to the manifest");
}

#[test]
fn a_wrong_direction_is_found() {
    assert!(may_depend("gateway-server", "gateway-store-embedded", "normal"));
    assert!(!may_depend("gateway-engine", "gateway-store-embedded", "normal"), "the engine knows seams, not machines");
    assert!(!may_depend("gateway-model", "proto", "normal"), "the nouns know no wire");
    assert!(!may_depend("gateway-model", "gateway-engine", "dev"));
    assert!(may_depend("gateway-verify", "certs-dev", "dev"));
    assert!(!may_depend("gateway-verify", "certs-dev", "normal"));
}

/// Whether the table lets `name` depend on `dependency`; a crate without a row is reported elsewhere.
fn may_depend(name: &str, dependency: &str, kind: &str) -> bool {
    let Some((place, allowed)) = row(name) else { return true };
    match kind {
        "dev" => FOR_TESTS.contains(&dependency) || row(dependency).is_some_and(|(at, _)| at < place),
        _ => allowed.contains(&dependency),
    }
}

fn row(name: &str) -> Option<(usize, &'static [&'static str])> {
    TABLE.iter().enumerate().find(|(_, (row, _))| *row == name).map(|(place, (_, allowed))| (place, *allowed))
}

/// Every member with the members it depends on, and as what.
fn workspace() -> Vec<(String, Vec<(String, String)>)> {
    let packages = metadata();
    let names: Vec<String> = packages.iter().map(|p| p["name"].as_str().unwrap().to_owned()).collect();
    let dependencies = |package: &serde_json::Value| {
        let all = package["dependencies"].as_array().unwrap();
        let inside = all.iter().filter(|d| names.iter().any(|name| d["name"] == name.as_str()));
        let kind = |d: &serde_json::Value| d["kind"].as_str().unwrap_or("normal").to_owned();
        inside.map(|d| (d["name"].as_str().unwrap().to_owned(), kind(d))).collect()
    };
    packages.iter().zip(&names).map(|(package, name)| (name.clone(), dependencies(package))).collect()
}

fn manifests() -> Vec<(String, String)> {
    let root = root().canonicalize().unwrap().to_string_lossy().into_owned();
    let path = |package: &serde_json::Value| {
        package["manifest_path"].as_str().unwrap().trim_start_matches(root.as_str()).to_owned()
    };
    metadata().iter().map(|p| (p["name"].as_str().unwrap().to_owned(), path(p))).collect()
}

fn metadata() -> Vec<serde_json::Value> {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--no-deps", "--offline", "--format-version", "1"])
        .current_dir(root())
        .output()
        .unwrap();
    assert!(output.status.success(), "cargo metadata: {}", String::from_utf8_lossy(&output.stderr));
    let metadata: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    metadata["packages"].as_array().unwrap().clone()
}
