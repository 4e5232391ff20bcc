//! `lienthong store`: checks, mends and moves the store of a gateway that does not run.

mod moving;
mod soundness;

use std::path::PathBuf;

use clap::{Args, Subcommand};
use gateway_model::language::Language;
use gateway_server::app::offline::{OfflineStore, Parts};
use gateway_server::config::Config;

use crate::exit::Exit;
use crate::output::Form;

/// Checks, mends and moves the store of a gateway that does not run.
#[derive(Args, Debug)]
pub struct Store {
    #[command(subcommand)]
    action: Action,
}

#[derive(Subcommand, Debug)]
enum Action {
    /// Reads every record and compares every index, counter, proof and signed checkpoint with it. Changes nothing.
    ///
    /// Exit codes: 0 sound, 10 something is wrong, 1 it could not be checked.
    Check(Check),
    /// Makes every index and counter anew from the records. Refuses, and changes nothing, when a record is damaged.
    ///
    /// Exit codes: 0 the store is sound now, 10 a record is damaged, 1 it could not be done. May be run again at any time.
    RebuildIndex(RebuildIndex),
    /// Writes the whole store, with all evidence, as one archive. Parts are files of their own, and stay where they are.
    Export(Export),
    /// Takes an archive into an empty store, of the same gateway, embedded or in Redis.
    Import(Import),
}

#[derive(Args, Debug)]
struct Check {
    #[command(flatten)]
    named: Named,
    /// Also reads every part and compares it with its digest. Without it a part only has to be there.
    #[arg(long)]
    parts: bool,
    /// Form of the output.
    #[arg(short, long, value_enum, default_value = "table")]
    output: Form,
}

#[derive(Args, Debug)]
struct RebuildIndex {
    #[command(flatten)]
    named: Named,
    /// Form of the output.
    #[arg(short, long, value_enum, default_value = "table")]
    output: Form,
}

#[derive(Args, Debug)]
struct Export {
    #[command(flatten)]
    named: Named,
    /// The archive; it must not exist. `-` is standard output.
    file: PathBuf,
}

#[derive(Args, Debug)]
struct Import {
    #[command(flatten)]
    named: Named,
    /// The archive. `-` is standard input.
    file: PathBuf,
}

#[derive(Args, Debug)]
struct Named {
    /// Configuration file of the gateway whose store it is.
    #[arg(long, value_name = "FILE", env = "LIENTHONG_CONFIG")]
    config: PathBuf,
}

impl Store {
    /// Runs the action.
    ///
    /// # Errors
    /// When a gateway runs on the store, or the store, a file or the archive cannot be had.
    pub async fn run(self, language: Language) -> anyhow::Result<Exit> {
        let named = match &self.action {
            Action::Check(check) => &check.named,
            Action::RebuildIndex(rebuild) => &rebuild.named,
            Action::Export(export) => &export.named,
            Action::Import(import) => &import.named,
        };
        let config = match Config::load(&named.config, std::env::vars()) {
            Ok(config) => config,
            Err(faults) => return Ok(super::check::report(&faults)),
        };
        let store = OfflineStore::new(&config)?;
        match self.action {
            Action::Check(check) => {
                let parts = if check.parts { Parts::Bytes } else { Parts::Names };
                soundness::check(&store, parts, check.output, language).await
            }
            Action::RebuildIndex(rebuild) => soundness::rebuild(&store, rebuild.output, language).await,
            Action::Export(export) => moving::export(&store, &export.file, language).await,
            Action::Import(import) => moving::import(&store, &import.file, language).await,
        }
    }
}
