//! `lienthong receipt`: fetches receipts and verifies them offline.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use clap::{Args, Subcommand};
use gateway_evidence::Receipt as Proof;
use gateway_model::Digest;
use gateway_model::directory::Directory;
use gateway_model::id::GatewayId;
use gateway_model::language::Language;
use prost::Message as _;
use proto::v1;
use proto::v1::submit_service_client::SubmitServiceClient;

use crate::connect::Connect;
use crate::exit::Exit;
use crate::output::{self, Form};
use crate::timeline::Line;
use crate::trusted::{self, DirectoryFile};
use crate::{errln, outln};

/// Fetches and verifies receipts.
#[derive(Args, Debug)]
pub struct Receipt {
    #[command(subcommand)]
    action: Action,
}

#[derive(Subcommand, Debug)]
enum Action {
    /// Fetches every receipt of an envelope and writes them to a file.
    Get(Get),
    /// Verifies a file of receipts with no network: inclusion proofs, checkpoints and the gateways' keys. Exit code 5 when one is bad.
    Verify(Verify),
}

#[derive(Args, Debug)]
struct Get {
    /// Sender: agency id or code.
    sender: String,
    /// Envelope id.
    envelope_id: String,
    #[command(flatten)]
    connect: Connect,
    /// Where to write the receipts.
    #[arg(long, short = 'O', value_name = "FILE", default_value = "receipts.bin")]
    out: PathBuf,
}

#[derive(Args, Debug)]
struct Verify {
    /// One receipt, or the receipts of `receipt get`.
    file: PathBuf,
    /// The envelope that somebody holds (`envelope.bin`): every receipt must speak of exactly these bytes. Exit code 5 when one does not.
    #[arg(long, value_name = "FILE")]
    content: Option<PathBuf>,
    #[command(flatten)]
    directory: DirectoryFile,
    /// Form of the output.
    #[arg(short, long, value_enum, default_value = "table")]
    output: Form,
}

impl Receipt {
    /// Runs the action.
    ///
    /// # Errors
    /// When a file cannot be read or the gateway does not answer.
    pub async fn run(self, language: Language) -> anyhow::Result<Exit> {
        match self.action {
            Action::Get(get) => get.run(language).await,
            Action::Verify(verify) => verify.run(language),
        }
    }
}

impl Get {
    async fn run(self, language: Language) -> anyhow::Result<Exit> {
        let mut client = SubmitServiceClient::new(self.connect.open(language).await?);
        let request = v1::GetReceiptRequest { sender: self.sender, envelope_id: self.envelope_id };
        let answer = client.get_receipt(request).await?.into_inner();
        std::fs::write(&self.out, answer.encode_to_vec())
            .with_context(|| format!("cannot write {}", self.out.display()))?;
        errln!("{}: {} {}", self.out.display(), answer.receipts.len(), language.pick("biên nhận", "receipts"));
        Ok(Exit::Success)
    }
}

impl Verify {
    fn run(self, language: Language) -> anyhow::Result<Exit> {
        let opened = self.directory.open(trusted::now())?;
        let content = self.content.as_deref().map(Content::read).transpose()?;
        let checked: Vec<Checked> = read(&self.file)?
            .iter()
            .map(|receipt| Checked {
                line: Line::of(Some(receipt), true),
                verdict: judge(receipt, &opened.directory, content.as_ref()),
            })
            .collect();
        let good = checked.iter().filter(|one| one.verdict.is_ok()).count();
        if self.output == Form::Table {
            print_by_envelope(&checked, language);
        } else {
            output::print_json(self.output, &checked.iter().map(Checked::json).collect::<Vec<_>>())?;
        }
        errln!("{} {good} / {}", language.pick("biên nhận hợp lệ:", "good receipts:"), checked.len());
        Ok(if good == checked.len() { Exit::Success } else { Exit::Refused })
    }
}

/// A receipt that has been looked at.
struct Checked {
    line: Option<Line>,
    verdict: anyhow::Result<()>,
}

impl Checked {
    fn event(&self) -> v1::Event {
        self.line.as_ref().map(|line| line.event.clone()).unwrap_or_default()
    }

    fn json(&self) -> serde_json::Value {
        serde_json::json!({
            "verdict": if self.verdict.is_ok() { "good" } else { "bad" },
            "cause": self.verdict.as_ref().err().map(output::causes),
            "envelope_sha256": hex::encode(&self.event().envelope_sha256),
            "event": self.line.as_ref().map(Line::json),
        })
    }
}

/// The receipts under the envelope that they speak of, in the order of the file.
fn print_by_envelope(checked: &[Checked], language: Language) {
    let about = |event: &v1::Event| (event.sender.clone(), event.envelope_id.clone(), event.envelope_sha256.clone());
    let mut seen = Vec::new();
    for first in checked {
        let event = first.event();
        let envelope = about(&event);
        if seen.contains(&envelope) {
            continue;
        }
        outln!("{} {} / {}", language.pick("gói tin", "envelope"), event.sender, event.envelope_id);
        outln!("SHA-256 {}", hex::encode(&event.envelope_sha256));
        for one in checked.iter().filter(|one| about(&one.event()) == envelope) {
            let text = one.line.as_ref().map(|line| line.text(language)).unwrap_or_default();
            match &one.verdict {
                Ok(()) => outln!("✓ {text}"),
                Err(cause) => outln!("✗ {text}: {}", output::causes(cause)),
            }
        }
        seen.push(envelope);
    }
}

/// The bytes that somebody holds, to be compared with the ones that the receipts speak of.
struct Content {
    /// Digest of the file, and of the envelope in it when it is a signed envelope.
    digests: Vec<Digest>,
}

impl Content {
    fn read(path: &Path) -> anyhow::Result<Self> {
        let bytes = std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
        let mut digests = vec![Digest::of(&bytes)];
        if let Ok(signed) = v1::SignedEnvelope::decode(bytes.as_slice())
            && !signed.envelope.is_empty()
        {
            digests.push(Digest::of(&signed.envelope));
        }
        Ok(Self { digests })
    }
}

fn judge(receipt: &v1::Receipt, directory: &Directory, content: Option<&Content>) -> anyhow::Result<()> {
    check(receipt, directory)?;
    let Some(content) = content else { return Ok(()) };
    let event = v1::Event::decode(receipt.event.clone()).context("the receipt holds no event")?;
    anyhow::ensure!(
        content.digests.iter().any(|digest| digest.as_bytes()[..] == event.envelope_sha256[..]),
        "it speaks of another envelope than the given file"
    );
    Ok(())
}

/// Checks a receipt with the log keys that the directory lists for its gateway.
///
/// # Errors
/// When the gateway is unknown or anything in the receipt does not hold.
pub fn check(receipt: &v1::Receipt, directory: &Directory) -> anyhow::Result<()> {
    let proof = Proof::from_wire(receipt.clone())?;
    let origin =
        v1::Event::decode(receipt.event.clone()).map(|event| event.gateway).context("the receipt holds no event")?;
    let gateway = GatewayId::parse(&origin).ok().and_then(|id| directory.gateway(&id));
    let gateway = gateway.with_context(|| format!("the directory does not know the gateway {origin}"))?;
    proof.verify(&origin, &gateway.log_keys)?;
    Ok(())
}

/// Reads `GetReceiptResponse` bytes, or a single `Receipt`.
fn read(path: &Path) -> anyhow::Result<Vec<v1::Receipt>> {
    let bytes = std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
    // A Receipt's first field is an Event, whose first field is a schema text; a GetReceiptResponse's first field is a Receipt.
    if let Ok(receipt) = v1::Receipt::decode(bytes.as_slice())
        && !receipt.checkpoint.is_empty()
    {
        return Ok(vec![receipt]);
    }
    let many = v1::GetReceiptResponse::decode(bytes.as_slice())
        .with_context(|| format!("{} has no receipts", path.display()))?;
    anyhow::ensure!(!many.receipts.is_empty(), "{} has no receipts", path.display());
    Ok(many.receipts)
}
