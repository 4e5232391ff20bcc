//! The conformance kit: drives any adapter process, in any language, through the adapter contract.
//!
//! The kit is the gateway (`AdapterService` over mutual TLS, with certificates made at its start) and, where the manifest wants it, the
//! system behind the adapter. Each point has a gateway, a system and a process of its own. `adapters/README.md` has the contract.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use futures::StreamExt as _;

pub mod brake;
pub mod effects;
pub mod gateway;
pub mod identity;
pub mod manifest;
pub mod parcel;
pub mod points;
pub mod ports;
mod post;
pub mod process;
pub mod report;
pub mod rig;
pub mod scaffold;

use identity::Identity;
use manifest::{Manifest, Values};
use points::{POINTS, Point};
use report::{Report, Result as PointResult, Verdict};
use rig::Rig;

/// Why the kit itself cannot go on.
#[derive(Debug, thiserror::Error)]
pub enum Trouble {
    /// The manifest says what no kit can do.
    #[error("{0}")]
    Manifest(String),
    /// A file or folder.
    #[error("{path}: {source}")]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// A command of the manifest.
    #[error("`{command}`: {cause}")]
    Command {
        /// Which.
        command: String,
        /// Why.
        cause: String,
    },
    /// The certificates of the run.
    #[error("certificates: {0}")]
    Identity(String),
    /// A certificate or a signature could not be made.
    #[error("certificates: {0}")]
    Certificates(#[from] certs_dev::Error),
    /// No port on this machine.
    #[error("this machine gives no port: {0}")]
    Network(#[source] std::io::Error),
}

/// What a run is told beside the manifest.
#[derive(Clone, Default, Debug)]
pub struct Options {
    /// Only these points; empty: all.
    pub only: Vec<String>,
    /// Points at work at the same time, instead of the manifest's number.
    pub jobs: Option<usize>,
    /// Whether `build` of the manifest is left out.
    pub no_build: bool,
}

/// Drives an adapter through the points and tells what became of each, in their order.
///
/// `done` is called at the end of each point.
///
/// # Errors
/// When the kit itself cannot go on. An adapter that fails is a verdict, not an error.
///
/// # Cancellation
/// Dropping the future kills the adapter's processes.
pub async fn run(
    manifest: Manifest,
    options: &Options,
    done: impl Fn(&'static Point, &PointResult),
) -> Result<Report, Trouble> {
    let folder = tempfile::Builder::new()
        .prefix("lienthong-adapter-test-")
        .tempdir()
        .map_err(|source| Trouble::File { path: std::env::temp_dir(), source })?;
    let begun = Instant::now();
    let identity = Arc::new(Identity::make(folder.path())?);
    if !manifest.build.is_empty() && !options.no_build {
        let words = Values::new(&manifest.values).fill_all(&manifest.build);
        process::output(&words, &manifest.here).await?;
    }
    let manifest = Arc::new(manifest);
    let chosen = |point: &&'static Point| options.only.is_empty() || options.only.iter().any(|name| name == point.name);
    let jobs = options.jobs.unwrap_or_else(|| manifest.jobs()).max(1);
    let drive = |(number, point): (usize, &'static Point)| {
        let (manifest, identity) = (manifest.clone(), identity.clone());
        let work = folder.path().join(point.name);
        let done = &done;
        async move {
            let result = drive(point, manifest, identity, work).await;
            done(point, &result);
            (number, result)
        }
    };
    let driven = futures::stream::iter(POINTS.iter().filter(chosen).enumerate().map(drive));
    let mut results: Vec<(usize, PointResult)> = driven.buffer_unordered(jobs).collect().await;
    results.sort_by_key(|(number, _)| *number);
    Ok(Report { results: results.into_iter().map(|(_, result)| result).collect(), took: begun.elapsed() })
}

async fn drive(point: &'static Point, manifest: Arc<Manifest>, identity: Arc<Identity>, work: PathBuf) -> PointResult {
    let begun = Instant::now();
    let verdict = match manifest.skip.get(point.name) {
        Some(reason) => Verdict::Skipped(reason.clone()),
        None => match Rig::new(manifest, identity, work, point.newer).await {
            Ok(mut rig) => {
                let found = (point.drive)(&mut rig).await.err();
                // What no gateway takes is told wherever it shows: the rest may only follow from it.
                let broken = rig.stage.see(|state| state.broken().map(str::to_owned));
                let broken = broken.filter(|broken| !found.as_ref().is_some_and(|found| found.0.contains(broken)));
                broken.or(found.map(|found| found.0)).map_or(Verdict::Passed, Verdict::Failed)
            }
            Err(trouble) => Verdict::Failed(format!("the kit could not go on: {trouble}")),
        },
    };
    PointResult { point: point.name, verdict, took: begun.elapsed() }
}
