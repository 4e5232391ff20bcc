//! `lienthong verify`: verifies a detached signature offline, as of any time, with the gateway's own verifier.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use clap::Args;
use gateway_model::Timestamp;
use gateway_model::directory::{Anchor, AnchorPurpose};
use gateway_model::language::Language;
use gateway_verify::{DetachedOptions, SignerReport, Snapshot, Trust, TrustSource, verify_detached};

use crate::exit::{Exit, Usage};
use crate::outln;
use crate::output::{self, Form};
use crate::trusted;

/// PEM label of a certificate.
const CERTIFICATE: &str = "CERTIFICATE";
/// PEM label of a revocation list.
const LIST: &str = "X509 CRL";

/// Verifies a signature offline, as of any time. Exit codes: 0 accepted, 5 refused, 2 usage.
#[derive(Args, Debug)]
pub struct Verify {
    /// The signed bytes.
    #[arg(long, value_name = "FILE")]
    content: PathBuf,
    /// Detached CMS SignedData, DER.
    #[arg(long, value_name = "FILE")]
    signature: PathBuf,
    /// Trust of a signed directory.
    #[arg(long, value_name = "FILE", conflicts_with = "trust", required_unless_present = "trust")]
    directory: Option<PathBuf>,
    /// Key of the directory's authority. Default: `authority.pub` beside the directory.
    #[arg(long, value_name = "KEY", requires = "directory")]
    authority: Option<String>,
    /// Folder of trusted root certificates (PEM or DER).
    #[arg(long, value_name = "DIR")]
    trust: Option<PathBuf>,
    /// Folder of intermediate certificates.
    #[arg(long, value_name = "DIR", requires = "trust")]
    intermediates: Option<PathBuf>,
    /// Folder of certificate revocation lists.
    #[arg(long, value_name = "DIR", requires = "trust")]
    crls: Option<PathBuf>,
    /// Certificate policy of which the signer must carry one (an OID); may be repeated.
    #[arg(long, value_name = "OID", requires = "trust")]
    policy: Vec<String>,
    /// As of when (RFC 3339). Default: now.
    #[arg(long, value_name = "TIME")]
    at: Option<String>,
    /// Accepts signatures without the signing-certificate attribute (RFC 5035), as legacy signers make them.
    #[arg(long)]
    no_signing_certificate: bool,
    /// Does not look at revocation.
    #[arg(long)]
    no_revocation: bool,
    /// Form of the output.
    #[arg(short, long, value_enum, default_value = "table")]
    output: Form,
}

impl Verify {
    /// Verifies and prints the verdict.
    ///
    /// # Errors
    /// When a file cannot be read or the trust cannot be built. A refused signature is a verdict, not an error.
    pub fn run(self, language: Language) -> anyhow::Result<Exit> {
        let read = |path: &Path| std::fs::read(path).with_context(|| format!("cannot read {}", path.display()));
        let (content, signature) = (read(&self.content)?, read(&self.signature)?);
        let at = match &self.at {
            Some(text) => Timestamp::parse(text)
                .ok_or_else(|| Usage(format!("{text:?} is not a time like 2026-11-22T08:00:00Z")))?,
            None => trusted::now(),
        };
        let trust = self.build_trust()?;
        let options = DetachedOptions {
            at,
            require_signing_certificate: !self.no_signing_certificate,
            check_revocation: !self.no_revocation,
        };
        let verdict = verify_detached(&content, &signature, trust.as_ref(), options);
        print_verdict(&verdict, self.output, language);
        Ok(if verdict.is_ok() { Exit::Success } else { Exit::Refused })
    }

    fn build_trust(&self) -> anyhow::Result<Holder> {
        if let Some(file) = &self.directory {
            let opened = trusted::open(file, self.authority.as_deref(), trusted::now())?;
            let snapshot = Snapshot::new(opened.directory).map_err(|faults| unusable(&faults))?;
            return Ok(Holder::Directory(Box::new(snapshot)));
        }
        let roots = self.trust.as_deref().map(|dir| read_folder(dir, CERTIFICATE)).transpose()?.unwrap_or_default();
        if roots.is_empty() {
            return Err(Usage("the trust folder has no certificate in PEM or DER form".to_owned()).into());
        }
        let anchor = |certificate| Anchor {
            certificate,
            purpose: AnchorPurpose::Sign,
            algorithms: Vec::new(),
            policies: self.policy.clone(),
            revocation_grace: std::time::Duration::ZERO,
        };
        let source = TrustSource {
            anchors: roots.into_iter().map(anchor).collect(),
            intermediates: self
                .intermediates
                .as_deref()
                .map(|dir| read_folder(dir, CERTIFICATE))
                .transpose()?
                .unwrap_or_default(),
            crls: self.crls.as_deref().map(|dir| read_folder(dir, LIST)).transpose()?.unwrap_or_default(),
        };
        Ok(Holder::Folder(Box::new(Trust::new(source).map_err(|faults| unusable(&faults))?)))
    }
}

/// Whose trust it is.
enum Holder {
    Directory(Box<Snapshot>),
    Folder(Box<Trust>),
}

impl Holder {
    fn as_ref(&self) -> &Trust {
        match self {
            Self::Directory(snapshot) => snapshot.trust(),
            Self::Folder(trust) => trust,
        }
    }
}

fn unusable(faults: &[gateway_verify::TrustFault]) -> anyhow::Error {
    let list: Vec<String> = faults.iter().map(ToString::to_string).collect();
    anyhow::anyhow!("the trust cannot be used: {}", list.join("; "))
}

/// Every PEM block with `label`, or the whole file as DER, of every file in a folder, in the order of their names.
fn read_folder(folder: &Path, label: &str) -> anyhow::Result<Vec<Vec<u8>>> {
    let entries = std::fs::read_dir(folder).with_context(|| format!("cannot read the folder {}", folder.display()))?;
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.map(|e| e.path())).collect::<Result<_, _>>()?;
    paths.retain(|path| path.is_file());
    paths.sort();
    let mut found = Vec::new();
    for path in paths {
        let bytes = std::fs::read(&path).with_context(|| format!("cannot read {}", path.display()))?;
        refuse_other_kind(&path, &bytes, label)?;
        if bytes.starts_with(b"\x30") {
            found.push(bytes);
        } else {
            found.extend(
                pem_blocks(&String::from_utf8_lossy(&bytes), label)
                    .with_context(|| format!("in {}", path.display()))?,
            );
        }
    }
    Ok(found)
}

/// A revocation list among the certificates, or the other way round, is in the wrong folder.
fn refuse_other_kind(path: &Path, bytes: &[u8], label: &str) -> anyhow::Result<()> {
    let pem = |label: &str| String::from_utf8_lossy(bytes).contains(&format!("-----BEGIN {label}-----"));
    let (list, certificate) = if bytes.starts_with(b"\x30") {
        (openssl::x509::X509Crl::from_der(bytes).is_ok(), openssl::x509::X509::from_der(bytes).is_ok())
    } else {
        (pem(LIST), pem(CERTIFICATE))
    };
    let said = match label {
        CERTIFICATE if list && !certificate => "is a revocation list; give it with --crls",
        LIST if certificate && !list => "is a certificate; give it with --trust or --intermediates",
        _ => return Ok(()),
    };
    Err(Usage(format!("{} {said}", path.display())).into())
}

fn pem_blocks(text: &str, label: &str) -> anyhow::Result<Vec<Vec<u8>>> {
    use base64::Engine as _;
    let (begin, end) = (format!("-----BEGIN {label}-----"), format!("-----END {label}-----"));
    let mut blocks = Vec::new();
    let mut rest = text;
    while let Some((_, after)) = rest.split_once(&begin) {
        let (body, tail) = after.split_once(&end).with_context(|| format!("{begin} without {end}"))?;
        let body: String = body.split_whitespace().collect();
        blocks.push(base64::engine::general_purpose::STANDARD.decode(body).context("the PEM block is not base64")?);
        rest = tail;
    }
    Ok(blocks)
}

fn print_verdict(verdict: &Result<SignerReport, gateway_model::Refusal>, form: Form, language: Language) {
    let (word, reason, detail, signers) = match verdict {
        Ok(report) => ("accepted", None, String::new(), vec![signer_json(report)]),
        Err(refusal) => ("refused", Some(refusal.reason), refusal.detail.clone(), Vec::new()),
    };
    if form != Form::Table {
        let code = reason.map(gateway_model::Reason::code);
        outln!("{}", serde_json::json!({ "verdict": word, "reason": code, "detail": detail, "signers": signers }));
        return;
    }
    match verdict {
        Ok(report) => {
            outln!("{}", language.pick("CHẤP NHẬN", "ACCEPTED"));
            print_signer(report, language);
        }
        Err(refusal) => {
            outln!("{} {}", language.pick("TỪ CHỐI", "REFUSED"), refusal.reason);
            outln!("{}", refusal.in_words(language));
        }
    }
}

fn print_signer(report: &SignerReport, language: Language) {
    let at = |at: Timestamp| output::local_time_of(at, language);
    let pick = |vi, en| language.pick(vi, en);
    if let Some(leaf) = report.chain.first() {
        outln!("{} {}", pick("người ký:", "signer:"), leaf.subject_text());
        outln!("{} {}", pick("SHA-256 của chứng thư số:", "certificate SHA-256:"), leaf.digest());
    }
    outln!("{} {}", pick("thuật toán:", "algorithm:"), report.algorithm);
    let claimed = report.signing_time.map_or_else(|| pick("không ghi", "not stated").to_owned(), at);
    outln!("{} {claimed}", pick("thời điểm ký (do người ký khai):", "signing time (as the signer claims):"));
    outln!("{}", pick("chuỗi chứng thư số:", "certificate chain:"));
    for one in &report.chain {
        outln!("  {}", one.subject_text());
        let (from, until) = (at(one.not_before()), at(one.not_after()));
        outln!("    {} {from} {} {until}", pick("hiệu lực từ", "valid from"), pick("đến", "until"));
    }
    if report.revocation.is_empty() {
        outln!("{}", pick("danh sách thu hồi: không dùng", "revocation lists: none consulted"));
        return;
    }
    outln!("{}", pick("danh sách thu hồi đã đối chiếu:", "revocation lists consulted:"));
    for used in &report.revocation {
        let (this, next) = (at(used.this_update), at(used.next_update));
        outln!("  {} {this}, {} {next}", pick("ban hành", "issued"), pick("lần tới", "next due"));
        outln!("    SHA-256 {}", used.digest);
    }
}

fn signer_json(report: &SignerReport) -> serde_json::Value {
    let revocation: Vec<_> = report
        .revocation
        .iter()
        .map(|used| {
            serde_json::json!({
                "sha256": used.digest.to_string(), "this_update": used.this_update.to_string(), "next_update": used.next_update.to_string(),
            })
        })
        .collect();
    let chain: Vec<_> = report
        .chain
        .iter()
        .map(|one| {
            serde_json::json!({
                "subject": one.subject_text(), "sha256": one.digest().to_string(),
                "not_before": one.not_before().to_string(), "not_after": one.not_after().to_string(),
            })
        })
        .collect();
    serde_json::json!({
        "certificate_sha256": report.chain.first().map(|leaf| leaf.digest().to_string()),
        "algorithm": report.algorithm.to_string(),
        "signing_time": report.signing_time.map(|at| at.to_string()),
        "chain": chain,
        "revocation": revocation,
    })
}
