//! `lienthong config`: the commented default, or what is in force and where each value comes from.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use crate::exit::Exit;
use crate::{out, outln};

/// Shows the effective configuration and where each value comes from, or the commented default.
#[derive(Args, Debug)]
pub struct Config {
    #[command(subcommand)]
    action: Action,
}

#[derive(Subcommand, Debug)]
enum Action {
    /// Prints the commented default: every key with its unit and its reason.
    Default,
    /// Prints what is in force.
    Show(Show),
}

#[derive(Args, Debug)]
struct Show {
    /// Configuration file.
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// Also tells where each value comes from: default, file and line, or environment.
    #[arg(long)]
    origin: bool,
}

impl Config {
    /// Prints.
    ///
    /// # Errors
    /// None; faults of the file are printed and end with [`Exit::Failure`].
    pub fn run(self) -> anyhow::Result<Exit> {
        let show = match self.action {
            Action::Default => {
                out!("{}", gateway_server::config::DEFAULT);
                return Ok(Exit::Success);
            }
            Action::Show(show) => show,
        };
        match gateway_server::config::Config::show(&show.config, std::env::vars()) {
            Ok(rows) => {
                for row in rows {
                    if show.origin {
                        outln!("{:<40} = {:<40} # {}", row.key, row.value, row.origin);
                    } else {
                        outln!("{} = {}", row.key, row.value);
                    }
                }
                Ok(Exit::Success)
            }
            Err(faults) => Ok(super::check::report(&faults)),
        }
    }
}
