//! `lienthong check`: configuration, trust, disk and ports; every fault at once.

use std::path::PathBuf;

use clap::Args;
use gateway_server::check::Ports;
use gateway_server::config::Fault;

use crate::errln;
use crate::exit::Exit;
use crate::output::count_faults;
use crate::trusted;

/// Checks configuration, trust, disk and ports; names every fault at once.
#[derive(Args, Debug)]
pub struct Check {
    /// Configuration file.
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// Does not try whether the ports are free: for a gateway that is running.
    #[arg(long)]
    skip_ports: bool,
}

impl Check {
    /// Checks and reports.
    ///
    /// # Errors
    /// None; faults are printed and end with [`Exit::Failure`].
    pub fn run(self) -> anyhow::Result<Exit> {
        let ports = if self.skip_ports { Ports::Skip } else { Ports::Try };
        let faults = gateway_server::check::check_file(&self.config, std::env::vars(), ports, trusted::now());
        if faults.is_empty() {
            errln!("{}: no faults", self.config.display());
            return Ok(Exit::Success);
        }
        Ok(report(&faults))
    }
}

/// Prints faults, one a line, as compilers do.
pub fn report(faults: &[Fault]) -> Exit {
    for fault in faults {
        errln!("{fault}");
    }
    errln!("lienthong: {}", count_faults(faults.len()));
    Exit::Failure
}
