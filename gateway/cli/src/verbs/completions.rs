//! `lienthong completions`: completions for a shell.

use clap::{Args, CommandFactory as _};

use crate::exit::Exit;
use crate::out;

/// Prints completions for a shell.
#[derive(Args, Debug)]
pub struct Completions {
    /// Which shell.
    pub shell: clap_complete::Shell,
}

impl Completions {
    /// Prints them.
    ///
    /// # Errors
    /// None.
    pub fn run(self) -> anyhow::Result<Exit> {
        let mut script = Vec::new();
        clap_complete::generate(self.shell, &mut crate::Cli::command(), "lienthong", &mut script);
        out!("{}", String::from_utf8_lossy(&script));
        Ok(Exit::Success)
    }
}
