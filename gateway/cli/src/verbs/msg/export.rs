//! `lienthong msg export`: an envelope with all that belongs to it, in a folder.

use std::io::Write as _;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use clap::Args;
use gateway_model::Digest;
use gateway_model::language::Language;
use prost::Message as _;
use proto::v1;
use proto::v1::export_response::Frame;
use proto::v1::operate_service_client::OperateServiceClient;

use crate::connect::Connect;
use crate::exit::{Exit, Usage};
use crate::outln;

/// Writes `envelope.bin`, `receipts.bin` and the attachments under their SHA-256. Reading content is written into the evidence log.
#[derive(Args, Debug)]
pub struct Export {
    /// Envelope id.
    envelope_id: String,
    /// Sender (id or code), when an envelope id is not unique.
    #[arg(long, default_value = "")]
    sender: String,
    /// Why; written into the evidence log with your name.
    #[arg(long)]
    reason: String,
    /// Folder to make and write into.
    #[arg(long, value_name = "DIR")]
    to: PathBuf,
    #[command(flatten)]
    connect: Connect,
}

impl Export {
    /// Asks and writes.
    ///
    /// # Errors
    /// When the gateway does not answer or refuses, the folder is there already, or what came is not what its digest says.
    pub async fn run(self, language: Language) -> anyhow::Result<Exit> {
        if self.to.exists() {
            return Err(Usage(format!("{} is there already; name a new folder", self.to.display())).into());
        }
        let mut client = OperateServiceClient::new(self.connect.open(language).await?);
        let request = v1::ExportRequest { sender: self.sender, envelope_id: self.envelope_id, reason: self.reason };
        let mut frames = client.export(request).await?.into_inner();
        std::fs::create_dir(&self.to).with_context(|| format!("cannot make {}", self.to.display()))?;
        let (mut receipts, mut part): (Vec<v1::Receipt>, Option<Part>) = (Vec::new(), None);
        while let Some(message) = frames.message().await? {
            match message.frame {
                Some(Frame::SignedEnvelope(bytes)) => write(&self.to, "envelope.bin", &bytes)?,
                Some(Frame::Receipt(receipt)) => receipts.push(receipt),
                Some(Frame::Part(header)) => {
                    part.take().map_or(Ok(()), Part::finish)?;
                    part = Some(Part::new(&self.to, &header)?);
                }
                Some(Frame::Chunk(bytes)) => part.as_mut().context("a chunk came before its part")?.add(&bytes)?,
                None => {}
            }
        }
        part.map_or(Ok(()), Part::finish)?;
        // The same form as `receipt get` writes, so that `receipt verify` reads it.
        let receipts = v1::GetReceiptResponse { receipts, ..v1::GetReceiptResponse::default() };
        write(&self.to, "receipts.bin", &receipts.encode_to_vec())?;
        outln!("{}", self.to.display());
        Ok(Exit::Success)
    }
}

struct Part {
    path: PathBuf,
    file: std::fs::File,
    expected: Digest,
    hasher: gateway_model::hash::Hasher,
}

impl Part {
    fn new(folder: &Path, header: &v1::PartHeader) -> anyhow::Result<Self> {
        let expected = Digest::from_slice(&header.sha256).context("a part without a digest")?;
        let path = folder.join(expected.to_string());
        let file = std::fs::File::create_new(&path).with_context(|| format!("cannot write {}", path.display()))?;
        Ok(Self { path, file, expected, hasher: gateway_model::hash::Hasher::new() })
    }

    fn add(&mut self, bytes: &[u8]) -> anyhow::Result<()> {
        self.hasher.update(bytes);
        self.file.write_all(bytes).with_context(|| format!("cannot write {}", self.path.display()))
    }

    fn finish(self) -> anyhow::Result<()> {
        let found = self.hasher.finish();
        anyhow::ensure!(found == self.expected, "{} is {found}: it did not come whole", self.path.display());
        self.file.sync_all().with_context(|| format!("cannot write {}", self.path.display()))
    }
}

fn write(folder: &Path, name: &str, bytes: &[u8]) -> anyhow::Result<()> {
    let path = folder.join(name);
    std::fs::write(&path, bytes).with_context(|| format!("cannot write {}", path.display()))
}
