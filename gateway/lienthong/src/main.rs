//! The binary: a table of contents.

use std::process::ExitCode;

use clap::Parser as _;
use gateway_cli::exit::Exit;

fn main() -> ExitCode {
    // A wrong command line ends here with exit code 2.
    let cli = gateway_cli::Cli::parse();
    match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime.block_on(gateway_cli::run(cli)).into(),
        Err(cause) => {
            eprintln!("lienthong: cannot start the runtime: {cause}");
            Exit::Failure.into()
        }
    }
}
