//! `lienthong directory`: makes, shows and compares signed directories.

use std::path::PathBuf;

use anyhow::Context as _;
use clap::{Args, Subcommand};
use gateway_directory::{Fault, Source};
use gateway_model::id::GatewayId;
use gateway_model::language::Language;
use gateway_model::note::NoteSigner;
use rustls_pki_types::PrivatePkcs8KeyDer;
use rustls_pki_types::pem::PemObject as _;

use crate::exit::Exit;
use crate::output::count_faults;
use crate::trusted::{self, DirectoryFile};
use crate::{errln, out, outln};

/// Characters of a line of PEM (RFC 7468).
const PEM_LINE: usize = 64;
/// The commented source.
const EXAMPLE: &str = include_str!("directory/example.toml");

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
    /// Signs a signed directory as the second person, for gateways that ask for two.
    Cosign(Cosign),
    /// Tells what is in a signed directory.
    Show(Show),
    /// Tells what differs between two signed directories; exit code 1 when something does.
    Diff(Diff),
    /// Prints a commented source, every key explained, as a beginning.
    Example,
    /// Makes a key that signs directories, the authority's or a second person's: a private key file, and its public text beside it.
    Key(Key),
    /// Makes the key of a gateway's evidence log: a private key file, and the public text for the directory.
    LogKey(LogKey),
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
struct Cosign {
    #[command(flatten)]
    file: DirectoryFile,
    /// The second person's private key: Ed25519, PKCS#8, PEM (`directory key` makes one).
    #[arg(long, value_name = "FILE")]
    key: PathBuf,
    /// Name of that key, as in its public text.
    #[arg(long)]
    name: String,
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

#[derive(Args, Debug)]
struct LogKey {
    /// The gateway; its id stands on every checkpoint.
    #[arg(long, value_name = "ID", value_parser = parse_gateway)]
    gateway: GatewayId,
    /// Where to write the private key; it must not exist.
    #[arg(long, value_name = "FILE", default_value = "evidence.key")]
    out: PathBuf,
}

fn parse_gateway(text: &str) -> Result<GatewayId, String> {
    GatewayId::parse(text).map_err(|cause| cause.to_string())
}

impl Directory {
    /// Runs the action.
    ///
    /// # Errors
    /// When a file cannot be read or written, or a directory does not hold.
    pub fn run(self, language: Language) -> anyhow::Result<Exit> {
        match self.action {
            Action::Build(build) => build.run(),
            Action::Cosign(cosign) => cosign.run(),
            Action::Show(show) => show.run(language),
            Action::Diff(diff) => diff.run(language),
            Action::Example => {
                out!("{EXAMPLE}");
                Ok(Exit::Success)
            }
            Action::Key(key) => key.run(language),
            Action::LogKey(key) => key.run(language),
        }
    }
}

impl Build {
    fn run(self) -> anyhow::Result<Exit> {
        let signer = read_key(&self.name, &self.key)?;
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

impl Cosign {
    /// Only what the authority signed is signed again; the file is replaced at once.
    fn run(self) -> anyhow::Result<Exit> {
        let (now, path) = (trusted::now(), self.file.directory.clone());
        let opened = self.file.open(now)?;
        let signer = read_key(&self.name, &self.key)?;
        let bytes = std::fs::read(&path).with_context(|| format!("cannot read {}", path.display()))?;
        write_atomically(&path, &gateway_directory::cosign(&bytes, &signer)?)?;
        errln!("{}: version {}, signed by {} too", path.display(), opened.directory.version(), self.name);
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
            errln!(
                "lienthong: {}",
                language.pick(
                    "danh bạ này đã hết hạn; không trục liên thông nào tiếp nhận theo danh bạ này",
                    "this directory has expired; no gateway accepts anything under it"
                )
            );
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
    fn run(self, language: Language) -> anyhow::Result<Exit> {
        let public = self.out.with_extension("pub");
        anyhow::ensure!(!public.exists(), "{} exists; another key lies there", public.display());
        let signer = make_key(&self.name, &self.out)?;
        let text = format!("{}\n", signer.verifier());
        std::fs::write(&public, text).with_context(|| format!("cannot write {}", public.display()))?;
        errln!(
            "{}: {}",
            self.out.display(),
            language.pick(
                "khóa bí mật, cất giữ ngoài mạng; dòng công khai dưới đây ghi vào cấu hình của mọi trục liên thông",
                "the private key, keep it offline; the public text below goes into every gateway's configuration"
            )
        );
        errln!("{}: {}", public.display(), language.pick("cũng dòng công khai đó", "the same public text"));
        outln!("{}", signer.verifier());
        Ok(Exit::Success)
    }
}

impl LogKey {
    fn run(self, language: Language) -> anyhow::Result<Exit> {
        let signer = make_key(self.gateway.as_str(), &self.out)?;
        errln!(
            "{}: {}",
            self.out.display(),
            language.pick(
                "khóa bí mật của nhật ký chứng cứ, để tại trục liên thông ([evidence] key); dòng công khai dưới đây ghi vào log_keys của trục trong nguồn danh bạ",
                "the private key of the evidence log, it stays on the gateway ([evidence] key); the public text below goes into the gateway's log_keys in the directory's source"
            )
        );
        outln!("{}", signer.verifier());
        Ok(Exit::Success)
    }
}

fn read_key(name: &str, file: &std::path::Path) -> anyhow::Result<NoteSigner> {
    let der =
        PrivatePkcs8KeyDer::from_pem_file(file).with_context(|| format!("cannot read the key {}", file.display()))?;
    NoteSigner::from_pkcs8(name, der.secret_pkcs8_der()).with_context(|| format!("the key {}", file.display()))
}

/// Makes an Ed25519 key and writes its private part, PKCS#8, PEM.
fn make_key(name: &str, out: &std::path::Path) -> anyhow::Result<NoteSigner> {
    use base64::Engine as _;
    let random = aws_lc_rs::rand::SystemRandom::new();
    let der = aws_lc_rs::signature::Ed25519KeyPair::generate_pkcs8(&random).context("cannot make a key")?;
    let signer = NoteSigner::from_pkcs8(name, der.as_ref())?;
    let body = base64::engine::general_purpose::STANDARD.encode(der.as_ref());
    let mut text = "-----BEGIN PRIVATE KEY-----\n".to_owned();
    let mut rest = body.as_str();
    while !rest.is_empty() {
        let (line, after) = rest.split_at(rest.len().min(PEM_LINE));
        text.push_str(line);
        text.push('\n');
        rest = after;
    }
    text.push_str("-----END PRIVATE KEY-----\n");
    write_secret(out, &text)?;
    Ok(signer)
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

#[cfg(test)]
mod tests {
    use gateway_directory::FaultKind;

    use super::*;

    #[test]
    fn the_example_lacks_nothing_but_the_files_that_it_names() {
        let folder = tempfile::tempdir().unwrap();
        let faults = Source::parse(EXAMPLE, &folder.path().join("agencies.toml")).unwrap_err();
        assert!(faults.iter().any(|fault| matches!(fault.kind, FaultKind::File { .. })));
        for fault in &faults {
            assert!(matches!(fault.kind, FaultKind::File { .. }), "{fault}");
        }
    }

    #[test]
    fn the_example_explains_every_key_of_the_source() {
        for key in [
            "version",
            "valid_for",
            "intermediates",
            "crls",
            "algorithms",
            "policies",
            "revocation_grace",
            "direct_links",
            "log_keys",
            "name_en",
            "codes",
            "parent",
            "level",
            "valid_from",
            "valid_until",
            "succeeded_by",
            "roles",
            "legacy_without_signing_certificate",
            "speaks_for",
            "gateways",
            "calendar",
            "agencies",
            "hours",
            "days_off",
            "make_up_days",
            "procedure",
            "code",
            "limit_days",
            "calendar_days",
            "step",
            "limit_working_hours",
        ] {
            assert!(EXAMPLE.contains(key), "{key}");
        }
    }

    #[test]
    fn a_made_key_reads_back_and_no_key_is_written_over() {
        let folder = tempfile::tempdir().unwrap();
        let out = folder.path().join("evidence.key");
        let signer = make_key("gw-a", &out).unwrap();
        let der = PrivatePkcs8KeyDer::from_pem_file(&out).unwrap();
        let read = NoteSigner::from_pkcs8("gw-a", der.secret_pkcs8_der()).unwrap();
        assert_eq!(read.verifier().to_string(), signer.verifier().to_string());
        assert!(make_key("gw-a", &out).is_err());
    }
}
