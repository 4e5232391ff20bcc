//! The papers' chapter: two document-management systems of different makes exchange a signed paper, its statuses, and a recall.

use adapters_simulators::edxml::writing::Paper;
use anyhow::Context as _;

use super::story::Story;

/// What the commune's clerks do with the paper after it has arrived (QCVN 102:2016, status codes).
const WORK: [(&str, &str, &str); 3] =
    [("03", "đã tiếp nhận", "registered"), ("05", "đang xử lý", "in work"), ("06", "đã hoàn thành", "finished")];

impl Story {
    /// A department writes to a commune; statuses come back; the paper is recalled.
    pub(super) async fn exchange_papers(&self) -> anyhow::Result<()> {
        self.narrator.step(
            "Sở gửi công văn edXML từ phần mềm quản lý văn bản của mình tới phần mềm của xã bên cạnh",
            "A department sends an edXML paper from its document-management system to that of the neighbouring commune",
        );
        let (department, commune) = (&self.systems.department, &self.systems.commune);
        let file = ("Công văn.pdf".to_owned(), "%PDF-1.7 công văn hư cấu của bản trình diễn".as_bytes().to_vec());
        let paper = Paper {
            number: "118".to_owned(),
            notation: "CV-STNMT".to_owned(),
            kind: "Công văn".to_owned(),
            subject: "Về việc rà soát hồ sơ đất đai tồn đọng".to_owned(),
            priority: 1,
            to: vec![self.systems.commune_code.clone()],
            files: vec![file.clone()],
            ..Paper::default()
        };
        let sent = department.send(&paper).await?;
        self.narrator.proved(
            &format!("{} được tiếp nhận, bộ kết nối ký số: {}", sent.code, sent.doc_id),
            &format!("{} was accepted, sealed by the adapter: {}", sent.code, sent.doc_id),
        );
        let arrived = commune.wait_for_paper(&sent.document_id, "0").await?;
        let found = arrived.seen.files.iter().find(|(name, _)| *name == file.0);
        anyhow::ensure!(found == Some(&file), "the paper's file is not the one that was sent");
        self.narrator.proved(
            "phần mềm của xã đã lấy công văn qua cửa REST của trục, nguyên vẹn từng byte",
            "the commune's software has fetched the paper at the hub's REST door, the same to the byte",
        );
        department.wait_for_status(&sent.document_id, "01").await?;
        self.narrator.proved("01 đã đến", "01 arrived");
        for (status, vi, en) in WORK {
            commune.say(&arrived, status, vi).await?;
            let heard = department.wait_for_status(&sent.document_id, status).await?;
            anyhow::ensure!(heard.seen.note == vi, "status {status} says {:?}", heard.seen.note);
            self.narrator.proved(&format!("{status} {vi}"), &format!("{status} {en}"));
        }
        let recall = department.recall(&sent, "Ban hành nhầm phụ lục").await?;
        let asked = commune.wait_for_paper(&recall.document_id, "1").await.context("the recall")?;
        commune.say(&asked, "15", "Đồng ý thu hồi").await?;
        department.wait_for_status(&sent.document_id, "15").await?;
        self.narrator.proved(
            "yêu cầu thu hồi tới xã và được đồng ý (15); bản đã giao không bị sửa đổi",
            "the recall reached the commune, which agreed (15); what was delivered is never altered",
        );
        Ok(())
    }
}
