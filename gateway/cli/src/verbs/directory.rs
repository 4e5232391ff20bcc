//! `lienthong directory`: makes, shows and compares signed directories.

use std::path::PathBuf;

use anyhow::Context as _;
use clap::{Args, Subcommand};
use gateway_directory::{Fault, Source};
use gateway_model::language::Language;
use gateway_model::note::NoteSigner;
use rustls_pki_types::PrivatePkcs8KeyDer;
use rustls_pki_types::pem::PemObject as _;

use crate::exit::Exit;
use crate::output::count_faults;
use crate::trusted::{self, DirectoryFile};
use crate::{errln, outln};

/// Makes, shows and compares signed directories.
#[derive(Args, Debug)]
pub struct Directory {
    #[command(subcommand)]
    action: Action,
}

#[derive(Subcommand, Debug)]
enum Action {
    /// Makes and signs the snapshot from readable TOML.
    Build(Build),
    /// Tells what is in a signed directory.
    Show(Show),
    /// Tells what differs between two signed directories; exit code 1 when something does.
    Diff(Diff),
    /// Makes the authority's signing key: a private key file and the public text for every gateway's configuration.
    Key(Key),
}

#[derive(Args, Debug)]
struct Build {
    /// The source.
    source: PathBuf,
    /// The authority's private key: Ed25519, PKCS#8, PEM.
    #[arg(long, value_name = "FILE")]
    key: PathBuf,
    /// Name of the authority's key, as in its public text.
    #[arg(long, default_value = "authority")]
    name: String,
    /// Version of the snapshot; it must rise with every issue. Default: the one in the source.
    #[arg(long, value_name = "N")]
    issue_version: Option<u64>,
    /// Where to write it.
    #[arg(long, short = 'O', value_name = "FILE", default_value = "directory.bin")]
    out: PathBuf,
    /// Checks everything and writes nothing.
    #[arg(long)]
    dry_run: bool,
}

#[derive(Args, Debug)]
struct Show {
    #[command(flatten)]
    file: DirectoryFile,
}

#[derive(Args, Debug)]
struct Diff {
    /// The older one.
    old: PathBuf,
    /// The newer one.
    new: PathBuf,
    /// Key of the authority, as in `directory show`.
    #[arg(long, value_name = "KEY", env = "LIENTHONG_AUTHORITY")]
    authority: Option<String>,
}

#[derive(Args, Debug)]
struct Key {
    /// Name of the key; it stands on every signature.
    #[arg(long, default_value = "authority")]
    name: String,
    /// Where to write the private key; it must not exist.
    #[arg(long, value_name = "FILE", default_value = "authority.key")]
    out: PathBuf,
}

impl Directory {
    /// Runs the action.
    ///
    /// # Errors
    /// When a file cannot be read or written, or a directory does not hold.
    pub fn run(self, language: Language) -> anyhow::Result<Exit> {
        match self.action {
            Action::Build(build) => build.run(),
            Action::Show(show) => show.run(language),
            Action::Diff(diff) => diff.run(language),
            Action::Key(key) => key.run(),
        }
    }
}

impl Build {
    fn run(self) -> anyhow::Result<Exit> {
        let der = PrivatePkcs8KeyDer::from_pem_file(&self.key)
            .with_context(|| format!("cannot read the authority's key {}", self.key.display()))?;
        let signer = NoteSigner::from_pkcs8(&self.name, der.secret_pkcs8_der())
            .with_context(|| format!("the authority's key {}", self.key.display()))?;
        let now = trusted::now();
        let made = Source::read(&self.source)
            .and_then(|source| gateway_directory::issue(&source, self.issue_version, now, &signer));
        let bytes = match made {
            Ok(bytes) => bytes,
            Err(faults) => return Ok(report(&faults)),
        };
        let opened = gateway_directory::open(&bytes, std::slice::from_ref(signer.verifier()), now)?;
        let content = opened.directory.content();
        if !self.dry_run {
            write_atomically(&self.out, &bytes)?;
        }
        errln!(
            "{}: version {}, {} agencies, {} gateways, {} systems, until {}",
            if self.dry_run { "nothing written".to_owned() } else { self.out.display().to_string() },
            content.version,
            content.agencies.len(),
            content.gateways.len(),
            content.systems.len(),
            content.expires_at
        );
        outln!("{}", signer.verifier());
        Ok(Exit::Success)
    }
}

impl Show {
    fn run(self, language: Language) -> anyhow::Result<Exit> {
        let now = trusted::now();
        let opened = self.file.open(now)?;
        for line in gateway_directory::summarize(&opened.directory, now).lines(language) {
            outln!("{line}");
        }
        if opened.expired {
            errln!("lienthong: this directory has expired; no gateway accepts anything under it");
        }
        Ok(Exit::Success)
    }
}

impl Diff {
    fn run(self, language: Language) -> anyhow::Result<Exit> {
        let now = trusted::now();
        let old = trusted::open(&self.old, self.authority.as_deref(), now)?;
        let new = trusted::open(&self.new, self.authority.as_deref(), now)?;
        let differences = gateway_directory::diff(&old.directory, &new.directory);
        for line in differences.iter().flat_map(|difference| difference.lines(language)) {
            outln!("{line}");
        }
        Ok(if differences.is_empty() { Exit::Success } else { Exit::Failure })
    }
}

impl Key {
    fn run(self) -> anyhow::Result<Exit> {
        let random = aws_lc_rs::rand::SystemRandom::new();
        let der = aws_lc_rs::signature::Ed25519KeyPair::generate_pkcs8(&random).context("cannot make a key")?;
        let signer = NoteSigner::from_pkcs8(&self.name, der.as_ref())?;
        let text = certs_dev::pki::pem("PRIVATE KEY", der.as_ref());
        write_secret(&self.out, &text)?;
        errln!(
            "{}: keep it offline; the public text below goes into every gateway's configuration",
            self.out.display()
        );
        outln!("{}", signer.verifier());
        Ok(Exit::Success)
    }
}

fn report(faults: &[Fault]) -> Exit {
    for fault in faults {
        errln!("{fault}");
    }
    errln!("lienthong: {}; nothing written", count_faults(faults.len()));
    Exit::Failure
}

/// Writes beside and renames, so that a gateway that watches the file never reads half of it.
fn write_atomically(path: &std::path::Path, bytes: &[u8]) -> anyhow::Result<()> {
    let beside = path.with_extension("new");
    let write = || -> std::io::Result<()> {
        let mut file = std::fs::File::create(&beside)?;
        std::io::Write::write_all(&mut file, bytes)?;
        file.sync_all()?;
        std::fs::rename(&beside, path)
    };
    write().with_context(|| format!("cannot write {}", path.display()))
}

fn write_secret(path: &std::path::Path, text: &str) -> anyhow::Result<()> {
    use std::os::unix::fs::OpenOptionsExt as _;
    let mut file = std::fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)
        .with_context(|| format!("cannot write {}; it must not exist yet", path.display()))?;
    std::io::Write::write_all(&mut file, text.as_bytes()).with_context(|| format!("cannot write {}", path.display()))
}
