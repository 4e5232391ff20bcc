//! Faults of the disk and of the process: what was acknowledged is there, what was damaged is named.

// Whatever does not go as it has to fails the test there and then.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod child;
mod damage;
mod disk;
mod full;
mod mending;
mod power;
mod sharing;
mod start;
mod trace;

use std::path::Path;

use gateway_store_conformance::fixture::{OURS, log_signer};
use gateway_store_embedded::{EmbeddedStore, OpenError, OpenOptions};

/// The ordinary options in a folder, however full the disk of the test is.
fn options(folder: &Path) -> OpenOptions {
    OpenOptions { free_bytes_min: 0, ballast_bytes: 0, ..OpenOptions::new(folder, log_signer(OURS)) }
}

fn open(folder: &Path) -> Result<EmbeddedStore, OpenError> {
    EmbeddedStore::open(options(folder))
}

/// The error of an open that has to fail.
fn refused(folder: &Path) -> OpenError {
    match open(folder) {
        Ok(_) => panic!("the store opened"),
        Err(error) => error,
    }
}

/// Copies the files of a store, as a crash of the process leaves them.
fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        std::fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
    }
}
