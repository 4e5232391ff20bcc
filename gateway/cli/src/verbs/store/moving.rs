//! `store export` and `store import`: the whole store as one file.

use std::fs::File;
use std::io::{BufReader, BufWriter, Write};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use gateway_model::language::Language;
use gateway_server::app::offline::{OfflineStore, Written};

use crate::errln;
use crate::exit::Exit;

/// Bytes that are read and written at a time.
const BUFFER_BYTES: usize = 1024 * 1024;

/// Writes the archive; under its name only when it is whole and on the disk.
pub(super) async fn export(store: &OfflineStore, file: &Path, language: Language) -> anyhow::Result<Exit> {
    let written = if file == Path::new("-") {
        let (mut out, written) = store.export(BufWriter::with_capacity(BUFFER_BYTES, std::io::stdout())).await?;
        out.flush().context("standard output")?;
        written
    } else {
        anyhow::ensure!(!file.exists(), "{} exists: name a file that does not", file.display());
        let beginning = beginning(file);
        let named = || beginning.display().to_string();
        // Envelopes are nobody else's to read, whatever the umask says.
        let opened = File::options().write(true).create_new(true).mode(0o600).open(&beginning).with_context(named)?;
        match whole(store, opened).await {
            Ok(written) => {
                std::fs::rename(&beginning, file).with_context(named)?;
                let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
                File::open(folder)
                    .and_then(|folder| folder.sync_all())
                    .with_context(|| folder.display().to_string())?;
                written
            }
            Err(failure) => {
                std::fs::remove_file(&beginning).with_context(named)?;
                return Err(failure);
            }
        }
    };
    tell(language.pick("đã xuất", "exported"), written, language);
    Ok(Exit::Success)
}

async fn whole(store: &OfflineStore, file: File) -> anyhow::Result<Written> {
    let (out, written) = store.export(BufWriter::with_capacity(BUFFER_BYTES, file)).await?;
    let file = out.into_inner().map_err(std::io::IntoInnerError::into_error)?;
    file.sync_all()?;
    Ok(written)
}

/// What the archive is called while it is written.
fn beginning(file: &Path) -> PathBuf {
    let mut name = file.as_os_str().to_owned();
    name.push(".beginning");
    name.into()
}

/// Takes an archive in.
pub(super) async fn import(store: &OfflineStore, file: &Path, language: Language) -> anyhow::Result<Exit> {
    let written = if file == Path::new("-") {
        store.import(BufReader::with_capacity(BUFFER_BYTES, std::io::stdin())).await?
    } else {
        let opened = File::open(file).with_context(|| file.display().to_string())?;
        store.import(BufReader::with_capacity(BUFFER_BYTES, opened)).await?
    };
    tell(language.pick("đã nhập và kiểm tra", "imported and checked"), written, language);
    Ok(Exit::Success)
}

fn tell(what: &str, written: Written, language: Language) {
    let Written { records, bytes, digest } = written;
    let (of_records, of_bytes) = (language.pick("bản ghi", "records"), language.pick("byte", "bytes"));
    errln!("{what}: {records} {of_records}, {bytes} {of_bytes}, sha256 {digest}");
}
