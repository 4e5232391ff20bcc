//! Real gateway processes in a temporary folder.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use certs_dev::province::Plan;
use gateway_cli::local::{Local, Options, OwnAdapter};
use tempfile::TempDir;

/// A federation and the folder that goes with it.
pub struct Federation {
    /// The gateways.
    pub local: Local,
    /// Removed at the end.
    _folder: TempDir,
}

impl Federation {
    /// Lays a federation out; starts nothing.
    ///
    /// # Errors
    /// When the binary is missing or a file cannot be written.
    pub fn lay_out(plan: Plan, extra_config: &str, binary: PathBuf) -> anyhow::Result<Self> {
        Self::lay_out_by(
            plan,
            Options { extra_config: extra_config.to_owned(), binary: Some(binary), ..Options::default() },
        )
    }

    /// Lays a federation out as the options say; starts nothing.
    ///
    /// # Errors
    /// When a file cannot be written.
    pub fn lay_out_by(plan: Plan, options: Options) -> anyhow::Result<Self> {
        let folder = tempfile::Builder::new().prefix("lienthong-").tempdir()?;
        let local = Local::lay_out(folder.path(), plan, &options)?;
        Ok(Self { local, _folder: folder })
    }

    /// The province of three gateways, running.
    ///
    /// # Errors
    /// When a gateway does not start.
    pub async fn running() -> anyhow::Result<Self> {
        Self::running_with(FAST).await
    }

    /// The province of three gateways, running, in which some agencies have a system of their own.
    ///
    /// # Errors
    /// When a gateway does not start.
    pub async fn running_among(adapters: Vec<OwnAdapter>) -> anyhow::Result<Self> {
        let options = Options { extra_config: FAST.to_owned(), binary: Some(binary()?), adapters };
        let mut federation = Self::lay_out_by(Plan::province(), options)?;
        federation.local.start().await?;
        Ok(federation)
    }

    /// The same with other settings.
    ///
    /// # Errors
    /// When a gateway does not start.
    pub async fn running_with(extra_config: &str) -> anyhow::Result<Self> {
        let mut federation = Self::lay_out(Plan::province(), extra_config, binary()?)?;
        federation.local.start().await?;
        Ok(federation)
    }
}

/// Settings for tests: short waits between attempts, so that a gateway that came back is found at once.
pub const FAST: &str = "[retry]\nfirst = \"100ms\"\nmax = \"500ms\"\n";

/// The program under test, built by `tests/run` before the tests.
///
/// # Errors
/// When it is not there.
pub fn binary() -> anyhow::Result<PathBuf> {
    // target/<profile>/deps/<this test> → target/<profile>/lienthong
    let test = std::env::current_exe()?;
    let folder = test.parent().and_then(Path::parent).context("the test is not in a target folder")?;
    existing(folder.join("lienthong"), "cargo build -p gateway-lienthong")
}

/// The same program with the mutants compiled in; `LIENTHONG_MUTANT` chooses one.
///
/// # Errors
/// When it is not there.
pub fn mutants() -> anyhow::Result<PathBuf> {
    let folder = binary()?.parent().and_then(Path::parent).context("the program is not in a target folder")?.to_owned();
    existing(folder.join("mutants/lienthong"), "tests/run")
}

fn existing(path: PathBuf, made_by: &str) -> anyhow::Result<PathBuf> {
    anyhow::ensure!(path.exists(), "{} is not built; run {made_by} first", path.display());
    Ok(path)
}
