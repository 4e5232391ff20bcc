//! `lienthong adapter`: its exit codes, and what it writes.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::path::Path;

use clap::Parser as _;
use gateway_cli::Cli;
use gateway_cli::exit::Exit;

async fn run(words: &[&str]) -> Exit {
    gateway_cli::run(Cli::try_parse_from([&["lienthong", "adapter"], words].concat()).unwrap()).await
}

/// A manifest of an adapter that ends at once.
fn manifest(folder: &Path, more: &str) -> String {
    let path = folder.join("adapter-test.toml");
    let text = format!("command = [\"true\"]\n[effects]\nkind = \"folder\"\npath = \"{{work}}/out\"\n{more}");
    std::fs::write(&path, text).unwrap();
    path.display().to_string()
}

#[tokio::test]
async fn an_adapter_that_does_nothing_is_refused_in_every_form_of_report() {
    let folder = tempfile::tempdir().unwrap();
    let manifest = manifest(folder.path(), "");
    for form in ["table", "json", "junit"] {
        let exit = run(&["test", "--manifest", &manifest, "--only", "info,drain", "-o", form]).await;
        assert_eq!(exit, Exit::Refused, "{form}");
    }
}

#[tokio::test]
async fn a_point_that_is_skipped_with_a_reason_does_not_fail_and_one_without_is_a_wrong_manifest() {
    let folder = tempfile::tempdir().unwrap();
    let reasoned = manifest(folder.path(), "[skip]\nsubmit = \"this system only receives\"\n");
    assert_eq!(run(&["test", "--manifest", &reasoned, "--only", "submit"]).await, Exit::Success);
    let silent = manifest(folder.path(), "[skip]\nsubmit = \"\"\n");
    assert_eq!(run(&["test", "--manifest", &silent, "--only", "submit"]).await, Exit::Usage);
}

#[tokio::test]
async fn a_wrong_command_line_is_a_usage_error() {
    let folder = tempfile::tempdir().unwrap();
    let manifest = manifest(folder.path(), "");
    assert_eq!(run(&["test", "--manifest", "/nowhere/adapter-test.toml"]).await, Exit::Usage);
    assert_eq!(run(&["test", "--manifest", &manifest, "--only", "no-such-point"]).await, Exit::Usage);
    assert_eq!(run(&["test", "--manifest", &manifest, "--set", "python"]).await, Exit::Usage);
    assert_eq!(run(&["test", "--manifest", &manifest, "--set", "python=x"]).await, Exit::Usage);
    assert_eq!(run(&["new", "so-hoa"]).await, Exit::Usage);
    assert_eq!(run(&["run", "--kind", "pigeon", "--config", &manifest]).await, Exit::Usage);
    assert_eq!(run(&["test", "--list"]).await, Exit::Success);
}

#[tokio::test]
async fn a_new_adapter_is_written_once_and_never_over_another() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("so-hoa").display().to_string();
    let new = ["new", "so-hoa", "--lang", "python", "--path", &path];
    assert_eq!(run(&new).await, Exit::Success);
    let adapter = std::fs::read_to_string(folder.path().join("so-hoa/adapter.py")).unwrap();
    assert!(adapter.contains("so-hoa"));
    assert_eq!(run(&new).await, Exit::Usage);
}

#[test]
fn every_kind_that_runs_as_a_worker_has_a_manifest_for_the_kit() {
    let adapters = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../adapters");
    let kinds = gateway_server::app::kinds();
    assert_eq!(kinds.keys().copied().collect::<Vec<_>>(), ["edxml", "folder", "http", "land"]);
    for kind in kinds.keys() {
        let text = std::fs::read_to_string(adapters.join(kind).join("adapter-test.toml")).unwrap();
        assert!(text.contains(&format!("\"--kind\", \"{kind}\"")), "{kind}");
    }
}

#[tokio::test]
async fn a_worker_without_its_environment_ends_with_78() {
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("adapter.toml");
    std::fs::write(&config, "path = \"x\"\n").unwrap();
    assert_eq!(run(&["run", "--kind", "folder", "--config", &config.display().to_string()]).await, Exit::Misconfigured);
}
