//! The story of one land file, step by step; every claim on the screen is checked before it is made.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use adapters_sdk::seal::Sealer;
use adapters_sdk::seal::describe::{Content, Description};
use anyhow::Context as _;
use bytes::Bytes;
use certs_dev::province::{Plan, Province};
use gateway_model::agency::OperatorRole;
use gateway_model::envelope::{Case, Part, Priority};
use gateway_model::id::{AgencyId, EnvelopeId};
use gateway_model::language::Language;
use prost::Message as _;
use proto::v1;
use proto::v1::submit_service_client::SubmitServiceClient;
use tokio_stream::StreamExt as _;

use super::dossier;
use super::systems::Systems;
use super::words::Narrator;
use crate::local::{Local, Options};
use crate::submit::{PartFile, upload_missing};
use crate::timeline::Line;
use crate::trusted;
use crate::verbs::receipt;
use crate::verbs::send::describe_part;

/// Longest wait for anything of the story.
pub(super) const PATIENCE: Duration = Duration::from_secs(60);

/// A running federation and the file on its way.
pub struct Story {
    pub(super) local: Local,
    pub(super) systems: Systems,
    pub(super) narrator: Narrator,
    pub(super) file_code: String,
    pub(super) papers: Vec<Part>,
    files: Vec<PartFile>,
}

/// The dossier after acceptance.
pub(super) struct Submitted {
    pub(super) sender: AgencyId,
    id: EnvelopeId,
}

impl Story {
    /// Makes the province and starts its gateways.
    pub async fn begin(folder: &Path, files: &[PathBuf], language: Language) -> anyhow::Result<Self> {
        let narrator = Narrator::new(language);
        narrator.step(
            "Lập một tỉnh hư cấu: khóa, chứng thư số, danh bạ đã ký",
            "Making an invented province: keys, certificates, a signed directory",
        );
        let plan = Plan::province();
        let (mut systems, adapters) = Systems::start(folder, &plan).await?;
        let mut local = Local::lay_out(folder, plan, &Options { adapters, ..Options::default() })?;
        let province = &local.province;
        narrator.line(format!("{} {}", province.agencies.len(), language.pick("cơ quan", "agencies")));
        narrator.line(format!("{}: {}", language.pick("thư mục", "folder"), local.folder.display()));
        narrator.step(
            "Khởi động ba trục liên thông: xã, huyện, tỉnh (ba tiến trình, mTLS, kho lưu trữ an toàn)",
            "Starting three gateways: commune, district, province (three processes, mTLS, durable stores)",
        );
        local.start().await?;
        systems.begin_to_poll();
        for gateway in &local.gateways {
            let process = gateway_process(&local, gateway);
            narrator.line(format!("{:<12} https://127.0.0.1:{}  pid {process}", gateway.id.as_str(), gateway.port));
        }
        let code = code_of(&local.province, &local.province.cast.commune);
        let file_code = format!("{code}-{}-0975", jiff::Zoned::now().strftime("%y%m%d"));
        let (papers, files) = gather(&local, files, &file_code).await?;
        Ok(Self { local, systems, narrator, file_code, papers, files })
    }

    /// The way there and the way back.
    pub async fn tell(self) -> anyhow::Result<Self> {
        let submitted = self.submit().await?;
        self.follow(&submitted).await?;
        self.inspect_delivery().await?;
        self.verify_receipts(&submitted).await?;
        self.work_on_it(&submitted).await?;
        self.exchange_papers().await?;
        self.narrator.step("Mọi điều nêu trên đều đã được kiểm chứng.", "Everything said above has been verified.");
        Ok(self)
    }

    async fn submit(&self) -> anyhow::Result<Submitted> {
        let cast = &self.local.province.cast;
        self.narrator.step(
            "Bộ phận Một cửa cấp xã ký và nộp hồ sơ đất đai tới Văn phòng đăng ký đất đai",
            "The commune's one-stop desk signs and submits a land file to the land registration office",
        );
        self.narrator.line(format!("{} {}", self.narrator.language().pick("mã hồ sơ", "file code"), self.file_code));
        for part in &self.papers {
            self.narrator.line(format!("{:<42} {:>9} B  {}", part.name, part.size, part.role));
        }
        let id = EnvelopeId(uuid::Uuid::now_v7().into_bytes());
        let signed = self.sign(id)?;
        let mut client = SubmitServiceClient::new(self.local.system_profile(&cast.commune)?.open().await?);
        upload_missing(&mut client, &self.files, &|_| {}).await?;
        let asked = Instant::now();
        let request =
            v1::SubmitRequest { envelope: Some(v1::SignedEnvelope::decode(signed)?), inline_parts: Vec::new() };
        let first = client.submit(request.clone()).await?.into_inner();
        let took = self.narrator.duration(asked.elapsed());
        self.narrator.proved(
            &format!("đã kiểm tra hai chữ ký (người có thẩm quyền, cơ quan), lưu an toàn và cấp biên nhận sau {took}"),
            &format!(
                "two signatures verified (the competent person, the agency), kept durably and receipted in {took}"
            ),
        );
        let again = client.submit(request).await?.into_inner();
        anyhow::ensure!(again.duplicate && again.receipt == first.receipt, "the repeat must get the first receipt");
        self.narrator.proved(
            "gửi lại không tạo bản trùng: nhận đúng biên nhận đầu tiên",
            "a repeat is harmless: it gets the first receipt",
        );
        Ok(Submitted { sender: cast.commune.clone(), id })
    }

    fn sign(&self, id: EnvelopeId) -> anyhow::Result<Bytes> {
        let province = &self.local.province;
        let agency = province.agency(&province.cast.commune).context("the commune")?;
        let now = trusted::now();
        let description = Description {
            id,
            from: code_of(province, &agency.id),
            to: vec![code_of(province, &province.cast.land_office)],
            created_at: now,
            expires_at: now.plus(Duration::from_secs(30 * 86_400)),
            priority: Priority::Normal,
            in_reply_to: None,
            supersedes: None,
            case: Some(Case {
                file_code: self.file_code.clone(),
                issuer: String::new(),
                procedure_code: "1.012783".to_owned(),
                step: "Thẩm định".to_owned(),
            }),
            content: Content::Dossier {
                subject: "Đăng ký biến động quyền sử dụng đất, thửa 118 tờ bản đồ 24".to_owned(),
                due_on: String::new(),
                state: "4".to_owned(),
            },
            parts: self.papers.clone(),
        };
        let bytes = Bytes::from(description.envelope().encode_to_vec());
        let mut signatures = Vec::new();
        let person = agency.person.as_ref().context("the commune has a person who signs")?;
        for (files, role) in [(person, v1::SignatureRole::Person), (&agency.seal, v1::SignatureRole::Agency)] {
            let sealer = Sealer::from_pem(&std::fs::read(&files.certificate)?, &std::fs::read(&files.key)?)?;
            signatures.push(v1::Signature { cms: sealer.sign(&bytes)?.into(), role: role.into() });
        }
        Ok(v1::SignedEnvelope { envelope: bytes, signatures }.encode_to_vec().into())
    }

    async fn follow(&self, submitted: &Submitted) -> anyhow::Result<()> {
        self.narrator.step(
            "Hồ sơ đi xã → huyện → tỉnh; biên nhận gửi trả về",
            "The file goes commune → district → province; receipts come back",
        );
        let mut client = SubmitServiceClient::new(self.local.system_profile(&submitted.sender)?.open().await?);
        let request = v1::WatchRequest { sender: submitted.sender.to_string(), envelope_id: submitted.id.to_string() };
        let mut events = client.watch(request).await?.into_inner();
        let mut delivered = false;
        let watching = async {
            while let Some(event) = events.next().await {
                let receipt = event?.receipt;
                let Some(line) = Line::of(receipt.as_ref(), true) else { continue };
                delivered |= line.event.kind() == v1::EventKind::Delivered;
                self.narrator.line(line.text(self.narrator.language()));
            }
            anyhow::Ok(())
        };
        tokio::time::timeout(PATIENCE, watching).await.context("the file is still on its way after a minute")??;
        anyhow::ensure!(delivered, "the way ended without a delivery");
        Ok(())
    }

    async fn verify_receipts(&self, submitted: &Submitted) -> anyhow::Result<()> {
        self.narrator.step(
            "Kiểm tra biên nhận ngoại tuyến: chỉ cần danh bạ đã ký",
            "Verifying the receipts offline: the signed directory is all it takes",
        );
        let mut client = SubmitServiceClient::new(self.local.system_profile(&submitted.sender)?.open().await?);
        let request =
            v1::GetReceiptRequest { sender: submitted.sender.to_string(), envelope_id: submitted.id.to_string() };
        let answer = client.get_receipt(request).await?.into_inner();
        let file = self.local.folder.join("receipts.bin");
        std::fs::write(&file, answer.encode_to_vec())?;
        let opened = trusted::open(&self.local.directory_file(), None, trusted::now())?;
        let mut seen = BTreeSet::new();
        for one in &answer.receipts {
            receipt::check(one, &opened.directory)?;
            let event = v1::Event::decode(one.event.clone())?;
            seen.insert((event.gateway.clone(), event.kind().as_str_name()));
        }
        for (gateway, kind) in [
            ("gw-commune", "EVENT_KIND_ACCEPTED"),
            ("gw-district", "EVENT_KIND_ACCEPTED"),
            ("gw-province", "EVENT_KIND_ACCEPTED"),
            ("gw-province", "EVENT_KIND_DELIVERED"),
        ] {
            anyhow::ensure!(
                seen.contains(&(gateway.to_owned(), kind)),
                "the receipt {kind} of {gateway} has not come back"
            );
        }
        self.narrator.proved(
            &format!(
                "{} biên nhận của cả ba trục liên thông, mỗi biên nhận là một bằng chứng Merkle có chữ ký",
                answer.receipts.len()
            ),
            &format!("{} receipts of all three gateways, each a signed Merkle proof", answer.receipts.len()),
        );
        Ok(())
    }

    /// What a newcomer may try while the gateways run.
    pub fn invite(&self) -> anyhow::Result<()> {
        let province = &self.local.province;
        let commune = province.agency(&province.cast.commune).context("the commune")?;
        let profile = self.local.folder.join("operator.toml");
        let operator = self.local.operator_profile(&commune.gateway, OperatorRole::Operator)?;
        std::fs::write(&profile, toml::to_string(&operator)?)?;
        let system = self.local.folder.join("system.toml");
        std::fs::write(&system, toml::to_string(&self.local.system_profile(&commune.id)?)?)?;
        let letter = self.local.folder.join("cong-van.txt");
        std::fs::write(&letter, "Kính gửi Ủy ban nhân dân tỉnh: đề nghị cho biết lịch họp giao ban.\n")?;
        self.narrator.step(
            "Ba trục liên thông vẫn đang chạy; thử năm lệnh (Ctrl-C để dừng):",
            "The three gateways keep running; five commands to try (Ctrl-C ends):",
        );
        let program =
            std::env::current_exe().map_or_else(|_| "lienthong".to_owned(), |path| path.display().to_string());
        let (profile, system, letter) = (profile.display(), system.display(), letter.display());
        let folder = self.local.folder.display();
        self.narrator.line(format!("{program} trace {} --profile {profile}", self.file_code));
        self.narrator.line(format!("{program} msg ls --profile {profile}"));
        self.narrator.line(format!("{program} console --profile {profile}"));
        self.narrator
            .line(format!("{program} receipt verify {folder}/receipts.bin --directory {folder}/directory.bin"));
        self.narrator.line(format!(
            "{program} send {letter} --from {} --to {} --subject 'Hỏi lịch họp giao ban' --certificate {} --key {} --outbox {folder} --profile {system}",
            code_of(province, &commune.id),
            code_of(province, &province.cast.province),
            commune.seal.certificate.display(),
            commune.seal.key.display(),
        ));
        Ok(())
    }

    /// Waits until a gateway ends by itself, and says which.
    pub async fn watch(&mut self) -> anyhow::Result<String> {
        loop {
            if let Some(ended) = self.local.find_ended()? {
                return Ok(ended);
            }
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
    }

    pub(super) fn gateway_of(&self, agency: &AgencyId) -> anyhow::Result<gateway_model::id::GatewayId> {
        Ok(self.local.province.agency(agency).context("an agency of the cast")?.gateway.clone())
    }
}

/// The invented dossier, or the user's own files.
async fn gather(local: &Local, own: &[PathBuf], file_code: &str) -> anyhow::Result<(Vec<Part>, Vec<PartFile>)> {
    let (mut parts, mut files) = (Vec::new(), Vec::new());
    if own.is_empty() {
        for paper in dossier::write(&local.folder.join("dossier"), file_code, &commune_name(&local.province))? {
            let file = PartFile::read(&paper.path).await?;
            parts.push(Part {
                media_type: paper.media_type.to_owned(),
                role: paper.role.to_owned(),
                ..describe_part(&file)
            });
            files.push(file);
        }
        return Ok((parts, files));
    }
    for path in own {
        let file = PartFile::read(path).await?;
        parts.push(describe_part(&file));
        files.push(file);
    }
    Ok((parts, files))
}

/// The name of the commune as a place: without the name of its committee.
fn commune_name(province: &Province) -> String {
    let name = province.agency(&province.cast.commune).map(|agency| agency.name.as_str()).unwrap_or_default();
    name.trim_start_matches("Ủy ban nhân dân ").to_owned()
}

/// The code that people write: the first one, or the id.
fn code_of(province: &Province, agency: &AgencyId) -> String {
    let found = province.agency(agency).and_then(|agency| agency.codes.first());
    found.cloned().unwrap_or_else(|| agency.to_string())
}

fn gateway_process(local: &Local, gateway: &crate::local::LocalGateway) -> u32 {
    let number = local.gateways.iter().position(|other| other.id == gateway.id);
    number.and_then(|number| local.process(number)).unwrap_or_default()
}
