//! The kit against real adapters: the examples pass, and each broken one fails at exactly the points that it breaks.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use adapters_conformance::manifest::Manifest;
use adapters_conformance::report::Report;
use adapters_conformance::scaffold::{self, Tongue};
use adapters_conformance::{Options, run};

mod broken;
mod examples;
mod python;
mod shipped;

/// Python with grpcio, in its own environment.
fn python() -> PathBuf {
    let python = root().join("target/python/bin/python");
    assert!(python.exists(), "{} is not there; run tests/run, which makes it", python.display());
    python
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().unwrap()
}

/// Runs the kit on the manifest in `folder`.
async fn test(folder: &Path, set: &[(&str, &str)], options: &Options) -> Report {
    let set: BTreeMap<String, String> = set.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect();
    let manifest = Manifest::read(&folder.join("adapter-test.toml"), &set).unwrap();
    run(manifest, options, |point, result| eprintln!("{} {:?}", point.name, result)).await.unwrap()
}

/// A new adapter, as `lienthong adapter new` writes it.
fn new_adapter(tongue: Tongue, folder: &Path) {
    let sdk = root().join("adapters/sdk");
    scaffold::write(tongue, "so-hoa", folder, Some(&sdk)).unwrap();
}
