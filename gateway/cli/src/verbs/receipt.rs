//! `lienthong receipt`: fetches receipts and verifies them offline.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use clap::{Args, Subcommand};
use gateway_evidence::Receipt as Proof;
use gateway_model::directory::Directory;
use gateway_model::id::GatewayId;
use gateway_model::language::Language;
use prost::Message as _;
use proto::v1;
use proto::v1::submit_service_client::SubmitServiceClient;

use crate::connect::Connect;
use crate::exit::Exit;
use crate::outln;
use crate::output::{self, Form};
use crate::timeline::Line;
use crate::trusted::{self, DirectoryFile};

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
            Action::Get(get) => get.run().await,
            Action::Verify(verify) => verify.run(language),
        }
    }
}

impl Get {
    async fn run(self) -> anyhow::Result<Exit> {
        let mut client = SubmitServiceClient::new(self.connect.open().await?);
        let request = v1::GetReceiptRequest { sender: self.sender, envelope_id: self.envelope_id };
        let answer = client.get_receipt(request).await?.into_inner();
        std::fs::write(&self.out, answer.encode_to_vec())
            .with_context(|| format!("cannot write {}", self.out.display()))?;
        eprintln!("{}: {} receipts", self.out.display(), answer.receipts.len());
        Ok(Exit::Success)
    }
}

impl Verify {
    fn run(self, language: Language) -> anyhow::Result<Exit> {
        let opened = self.directory.open(trusted::now())?;
        let receipts = read(&self.file)?;
        let mut bad = 0;
        let mut rows = Vec::new();
        for receipt in &receipts {
            let verdict = check(receipt, &opened.directory);
            bad += usize::from(verdict.is_err());
            let line = Line::of(Some(receipt), false);
            match (self.output, &verdict) {
                (Form::Table, Ok(())) => outln!("✓ {}", line.map(|l| l.text(language)).unwrap_or_default()),
                (Form::Table, Err(cause)) => {
                    outln!("✗ {} {cause:#}", line.map(|l| l.text(language)).unwrap_or_default())
                }
                _ => rows.push(serde_json::json!({
                    "verdict": if verdict.is_ok() { "good" } else { "bad" },
                    "cause": verdict.as_ref().err().map(|cause| format!("{cause:#}")),
                    "event": line.map(|l| l.json()),
                })),
            }
        }
        if self.output != Form::Table {
            output::print_json(self.output, &rows)?;
        }
        eprintln!(
            "{} {} / {}",
            language.pick("biên nhận hợp lệ:", "good receipts:"),
            receipts.len() - bad,
            receipts.len()
        );
        Ok(if bad == 0 { Exit::Success } else { Exit::Refused })
    }
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
