//! `lienthong adapter`: puts adapters in any language to the test, and starts new ones.

use std::path::{Path, PathBuf};

use adapters_conformance::scaffold::{self, Tongue};
use clap::{Args, Subcommand};
use gateway_model::language::Language;

use crate::exit::{Exit, Usage};
use crate::spoken::{self, Spoken};
use crate::{errln, outln};

pub(super) mod operate;
mod run;
mod test;

/// Puts adapters in any language to the test, starts new ones, and shows those of a gateway.
#[derive(Args, Debug)]
pub struct Adapter {
    #[command(subcommand)]
    action: Action,
}

#[derive(Subcommand, Debug)]
enum Action {
    /// Drives an adapter through every point of the contract, offline.
    ///
    /// The command plays the gateway, over mutual TLS with certificates made at its start, and starts the adapter that the manifest names.
    /// Exit codes: 0 passed, 5 a point failed, 2 usage.
    Test(test::Test),
    /// Runs a shipped kind of adapter as a worker, away from the gateway.
    ///
    /// Its environment is that of every worker: `LIENTHONG_GATEWAY`, `LIENTHONG_ROOTS`, `LIENTHONG_CERTIFICATE`, `LIENTHONG_KEY`,
    /// `LIENTHONG_QUEUE`, and `LIENTHONG_STATE` for what it must remember. A configuration that will not do ends it with exit code 78.
    Run(run::Run),
    /// Lists the adapters of a running gateway: who answers, what waits for whom.
    Ls(operate::Ls),
    /// Lets nothing more go to an adapter until it is resumed.
    Pause(operate::Named),
    /// Lets it go on.
    Resume(operate::Named),
    /// Writes a new adapter that builds and passes the test as it is.
    New(New),
}

#[derive(Args, Debug)]
struct New {
    /// Its name: lower-case letters, digits and hyphens.
    name: String,
    /// What it is written in: rust, python or java.
    #[arg(long, value_name = "LANGUAGE", value_parser = spoken::any)]
    lang: Option<Spoken>,
    /// Folder to write into. Default: the name.
    #[arg(long, value_name = "DIR")]
    path: Option<PathBuf>,
    /// Folder `adapters/sdk` of a checkout, for Rust. Default: that of the checkout around the current folder.
    #[arg(long, value_name = "DIR")]
    sdk: Option<PathBuf>,
}

impl Adapter {
    /// Does it.
    ///
    /// # Errors
    /// When the manifest or the name is wrong, or a file cannot be written. A point that fails is a verdict, not an error.
    pub async fn run(self, language: Language) -> anyhow::Result<Exit> {
        match self.action {
            Action::Test(test) => test.run(language).await,
            Action::Run(run) => run.run().await,
            Action::Ls(ls) => ls.run(language).await,
            Action::Pause(named) => named.pause(language).await,
            Action::Resume(named) => named.resume(language).await,
            Action::New(new) => new.run(language),
        }
    }
}

impl New {
    fn run(self, language: Language) -> anyhow::Result<Exit> {
        let Some(Spoken::Code(tongue)) = self.lang else {
            return Err(Usage("say --lang rust, --lang python or --lang java".to_owned()).into());
        };
        let folder = self.path.unwrap_or_else(|| PathBuf::from(&self.name));
        let sdk = self.sdk.or_else(|| (tongue == Tongue::Rust).then(checkout_around).flatten());
        let written = scaffold::write(tongue, &self.name, &folder, sdk.as_deref())
            .map_err(|trouble| Usage(trouble.to_string()))?;
        for path in written {
            outln!("{}", path.display());
        }
        let next = format!("cd {} && {}", folder.display(), first_test(tongue));
        errln!("{} {next}", language.pick("tiếp theo:", "next:"));
        Ok(Exit::Success)
    }
}

/// The commands that put a new adapter to the test.
fn first_test(tongue: Tongue) -> &'static str {
    match tongue {
        Tongue::Python => {
            "python3 -m venv venv && venv/bin/pip install -r requirements.txt && lienthong adapter test --set python=venv/bin/python"
        }
        Tongue::Rust | Tongue::Java => "lienthong adapter test",
    }
}

/// `adapters/sdk` of the checkout that the current folder lies in.
fn checkout_around() -> Option<PathBuf> {
    let here = std::env::current_dir().ok()?;
    here.ancestors().map(|folder| folder.join("adapters/sdk")).find(|sdk: &PathBuf| is_sdk(sdk))
}

fn is_sdk(folder: &Path) -> bool {
    let manifest = std::fs::read_to_string(folder.join("Cargo.toml")).unwrap_or_default();
    manifest.contains("name = \"adapters-sdk\"")
}
