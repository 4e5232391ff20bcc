//! `lienthong send`: signs and submits files, or submits a ready-made envelope again.

use std::path::{Path, PathBuf};

use adapters_sdk::seal::Sealer;
use adapters_sdk::seal::describe::{Content, Description, display_name, media_type};
use anyhow::Context as _;
use bytes::Bytes;
use clap::Args;
use gateway_model::envelope::{Case, Part, Priority, SignatureRole};
use gateway_model::id::EnvelopeId;
use gateway_model::language::Language;
use prost::Message as _;
use proto::v1;
use proto::v1::submit_service_client::SubmitServiceClient;

use crate::connect::Connect;
use crate::exit::{Exit, Usage};
use crate::refused;
use crate::submit::{PartFile, upload_missing};
use crate::trusted;
use crate::{errln, outln};

/// Signs and submits files, or submits a ready-made envelope again. The signed envelope is kept beside until it is accepted, so that a
/// repeat sends the same bytes and can do no harm.
#[derive(Args, Debug)]
pub struct Send {
    /// The attachments.
    files: Vec<PathBuf>,
    /// Sender: agency id or code.
    #[arg(long, required_unless_present = "envelope")]
    from: Option<String>,
    /// Recipients: agency ids or codes, separated by commas.
    #[arg(long, value_delimiter = ',', required_unless_present = "envelope")]
    to: Vec<String>,
    /// Subject (trích yếu).
    #[arg(long, required_unless_present = "envelope")]
    subject: Option<String>,
    /// File code (mã hồ sơ); makes it a one-stop file.
    #[arg(long)]
    file_code: Option<String>,
    /// Procedure code, such as 1.012783.
    #[arg(long, default_value = "", requires = "file_code")]
    procedure: String,
    /// Number and notation of a document, such as 12/UBND-VP.
    #[arg(long, default_value = "", conflicts_with = "file_code")]
    document_code: String,
    /// Urgency: 0 thường, 1 khẩn, 2 thượng khẩn, 3 hỏa tốc, 4 hỏa tốc hẹn giờ.
    #[arg(long, default_value_t = 0, value_parser = clap::value_parser!(u8).range(0..=4))]
    priority: u8,
    /// Days until it expires.
    #[arg(long, default_value_t = 30, value_parser = clap::value_parser!(u16).range(1..=366))]
    expires_in_days: u16,
    /// The agency's certificate, PEM.
    #[arg(long, value_name = "FILE", required_unless_present = "envelope")]
    certificate: Option<PathBuf>,
    /// The agency's key, PEM.
    #[arg(long, value_name = "FILE", required_unless_present = "envelope")]
    key: Option<PathBuf>,
    /// Submits this ready-made signed envelope instead of making one; the files are its attachments.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["from", "to", "subject", "file_code", "certificate", "key"])]
    envelope: Option<PathBuf>,
    /// Where to keep the signed envelope until it is accepted.
    #[arg(long, value_name = "DIR", default_value = ".")]
    outbox: PathBuf,
    /// Where to write the receipt.
    #[arg(long, value_name = "FILE")]
    receipt: Option<PathBuf>,
    /// Makes and signs the envelope, keeps it, and submits nothing.
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    connect: Connect,
}

impl Send {
    /// Signs, uploads, submits.
    ///
    /// # Errors
    /// When a file cannot be read, the key does not sign, or the gateway refuses or does not answer.
    pub async fn run(self, language: Language) -> anyhow::Result<Exit> {
        let mut parts = Vec::new();
        for path in &self.files {
            parts.push(PartFile::read(path).await?);
        }
        let (kept, signed) = match &self.envelope {
            Some(path) => (
                path.clone(),
                Bytes::from(std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))?),
            ),
            None => self.make(&parts)?,
        };
        if self.dry_run {
            outln!("{}", kept.display());
            return Ok(Exit::Success);
        }
        let answer = match self.submit(&parts, &signed, language).await {
            Ok(answer) => answer,
            Err(failure) => return self.not_accepted(failure, &kept, language),
        };
        let receipt = answer.receipt.unwrap_or_default();
        if let Some(path) = &self.receipt {
            std::fs::write(path, receipt.encode_to_vec())
                .with_context(|| format!("cannot write {}", path.display()))?;
        }
        remove(&kept)?;
        self.print_accepted(&receipt, answer.duplicate, language)
    }

    /// Keeps the envelope for a repeat when time may help, and says how; otherwise nothing is left to repeat.
    fn not_accepted(&self, failure: anyhow::Error, kept: &Path, language: Language) -> anyhow::Result<Exit> {
        if refused::may_succeed_later(&failure) {
            let mut words = vec!["lienthong".to_owned(), "send".to_owned(), "--envelope".to_owned(), shell_word(kept)];
            words.extend(self.files.iter().map(|file| shell_word(file)));
            words.extend(self.connection_words());
            let said = language.pick(
                "chưa được tiếp nhận; gói tin đã ký được giữ lại, gửi lại bằng:",
                "not accepted yet; the signed envelope is kept, repeat with:",
            );
            errln!("{said} {}", words.join(" "));
        } else if self.envelope.is_none() {
            // Refused for good, or never sent. An envelope that came ready-made stays its maker's.
            remove(kept)?;
        }
        Err(failure)
    }

    fn connection_words(&self) -> Vec<String> {
        let mut words = vec!["--profile".to_owned(), shell_word(&self.connect.profile)];
        if let Some(gateway) = &self.connect.gateway {
            words.extend(["--gateway".to_owned(), shell_word(Path::new(gateway))]);
        }
        words
    }

    fn print_accepted(&self, receipt: &v1::Receipt, duplicate: bool, language: Language) -> anyhow::Result<Exit> {
        let event = v1::Event::decode(receipt.event.clone()).context("the receipt holds no event")?;
        outln!("{} {}", event.sender, event.envelope_id);
        let (fresh, repeated) = match language {
            Language::Vi => {
                ("đã tiếp nhận và lưu an toàn", "gói tin này đã được tiếp nhận trước đó; đây là biên nhận đầu tiên")
            }
            Language::En => ("accepted and durable", "it had been accepted before; this is the first receipt"),
        };
        errln!("{}", if duplicate { repeated } else { fresh });
        errln!(
            "{} lienthong trace {} --sender {} {}",
            language.pick("theo dõi bằng:", "follow it with:"),
            event.envelope_id,
            event.sender,
            self.connection_words().join(" ")
        );
        Ok(Exit::Success)
    }

    fn make(&self, parts: &[PartFile]) -> anyhow::Result<(PathBuf, Bytes)> {
        let id = EnvelopeId(uuid::Uuid::now_v7().into_bytes());
        let envelope = self.describe(id, parts).envelope();
        let (Some(certificate), Some(key)) = (&self.certificate, &self.key) else {
            return Err(Usage("--certificate and --key name the agency's seal".to_owned()).into());
        };
        let read = |path: &Path| std::fs::read(path).with_context(|| format!("cannot read {}", path.display()));
        let sealer = Sealer::from_pem(&read(certificate)?, &read(key)?).context("the agency's seal")?;
        let signed = sealer.seal(&envelope, SignatureRole::Agency)?;
        let kept = self.outbox.join(format!("{id}.lt"));
        std::fs::write(&kept, &signed).with_context(|| format!("cannot write {}", kept.display()))?;
        Ok((kept, signed))
    }

    fn describe(&self, id: EnvelopeId, parts: &[PartFile]) -> Description {
        let now = trusted::now();
        let subject = self.subject.clone().unwrap_or_default();
        let (case, content) = match &self.file_code {
            Some(file_code) => (
                Some(Case {
                    file_code: file_code.clone(),
                    issuer: String::new(),
                    procedure_code: self.procedure.clone(),
                    step: String::new(),
                }),
                Content::Dossier { subject, due_on: String::new(), state: String::new() },
            ),
            None => (
                None,
                Content::Document {
                    code: self.document_code.clone(),
                    type_name: "Công văn".to_owned(),
                    subject,
                    promulgated_on: jiff::Zoned::now().date().to_string(),
                },
            ),
        };
        Description {
            id,
            from: self.from.clone().unwrap_or_default(),
            to: self.to.clone(),
            created_at: now,
            expires_at: now.plus(std::time::Duration::from_secs(u64::from(self.expires_in_days) * 86_400)),
            priority: Priority::from_rank(self.priority).unwrap_or(Priority::Normal),
            in_reply_to: None,
            supersedes: None,
            case,
            content,
            parts: parts.iter().map(describe_part).collect(),
        }
    }

    async fn submit(
        &self,
        parts: &[PartFile],
        signed: &Bytes,
        language: Language,
    ) -> anyhow::Result<v1::SubmitResponse> {
        let envelope = v1::SignedEnvelope::decode(signed.clone()).context("that file is no signed envelope")?;
        let mut client = SubmitServiceClient::new(self.connect.open(language).await?);
        let total = parts.iter().map(|part| part.size).sum();
        let bar = indicatif::ProgressBar::new(total);
        upload_missing(&mut client, parts, &|bytes| bar.inc(bytes)).await?;
        bar.finish_and_clear();
        let request = v1::SubmitRequest { envelope: Some(envelope), inline_parts: Vec::new() };
        Ok(client.submit(request).await?.into_inner())
    }
}

/// What the envelope says about a file that goes along.
pub fn describe_part(file: &PartFile) -> Part {
    let name = file.path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    Part {
        name: display_name(&name),
        media_type: media_type(&name).to_owned(),
        size: file.size,
        digest: file.digest,
        role: String::new(),
    }
}

fn remove(kept: &Path) -> anyhow::Result<()> {
    std::fs::remove_file(kept).with_context(|| format!("cannot remove {}", kept.display()))
}

/// A path as a word of a shell's command line.
fn shell_word(path: &Path) -> String {
    let text = path.display().to_string();
    let plain = |c: char| c.is_alphanumeric() || "-_./:+@%=,".contains(c);
    if !text.is_empty() && text.chars().all(plain) { text } else { format!("'{}'", text.replace('\'', "'\\''")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_one_word_of_a_shell() {
        assert_eq!(shell_word(Path::new("./a-1.lt")), "./a-1.lt");
        assert_eq!(shell_word(Path::new("bản vẽ.pdf")), "'bản vẽ.pdf'");
        assert_eq!(shell_word(Path::new("it's")), "'it'\\''s'");
    }
}
