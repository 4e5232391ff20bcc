//! The land file's chapter: the land registration office's own system has it, works on it, and its result comes home.

use std::collections::BTreeSet;
use std::time::Instant;

use adapters_simulators::land::Called;
use anyhow::Context as _;
use gateway_model::Digest;
use gateway_model::agency::OperatorRole;
use proto::v1;
use proto::v1::operate_service_client::OperateServiceClient;

use super::delivered::{digests_in, find_delivery};
use super::dossier;
use super::story::{PATIENCE, Story, Submitted};
use crate::outln;

/// Envelopes of the whole case: the dossier, and one for each thing that the land system says.
const CASE_ENVELOPES: usize = 5;

impl Story {
    /// The land system has every paper, byte for byte.
    pub(super) async fn inspect_delivery(&self) -> anyhow::Result<()> {
        let land = &self.systems.land;
        anyhow::ensure!(
            land.until(PATIENCE, |register| register.files.contains_key(&self.file_code)).await,
            "the dossier is not in the land office's system"
        );
        let file = land.file(&self.file_code).context("the dossier is not in the land office's system")?;
        let found: BTreeSet<&str> = file.papers.iter().map(|paper| paper.sha256.as_str()).collect();
        let wanted: BTreeSet<String> = self.papers.iter().map(|part| part.digest.to_string()).collect();
        anyhow::ensure!(
            found.iter().copied().eq(wanted.iter().map(String::as_str)),
            "the papers are not the ones that were sent"
        );
        self.narrator.proved(
            &format!(
                "{} giấy tờ đã vào phần mềm của Văn phòng đăng ký đất đai (cuộc gọi tiepnhan), nguyên vẹn từng byte",
                wanted.len()
            ),
            &format!(
                "{} papers are in the land office's own software (its call tiepnhan), the same to the byte",
                wanted.len()
            ),
        );
        Ok(())
    }

    /// The land system works on the file; what it says goes home, sealed by the office's adapter.
    pub(super) async fn work_on_it(&self, submitted: &Submitted) -> anyhow::Result<()> {
        self.narrator.step(
            "Phần mềm đất đai xử lý hồ sơ; bộ kết nối ký số thay cơ quan và gửi từng việc về xã",
            "The land system works on the file; the adapter seals what it says and sends it home to the commune",
        );
        let (land, callbacks, code) = (&self.systems.land, &self.systems.land_callbacks, &self.file_code);
        taken(land.hand_over(callbacks, code, "5", "Thẩm định hồ sơ").await?)?;
        self.narrator.proved("ChuyenHoSo: chuyển thẩm định", "ChuyenHoSo: handed over for appraisal");
        taken(land.ask_supplement(callbacks, code, "Thiếu trích lục bản đồ địa chính", true).await?)?;
        self.narrator.proved(
            "YeuCauBoSungHoSo: yêu cầu bổ sung, tạm dừng tính thời hạn",
            "YeuCauBoSungHoSo: a supplement is asked for, the clock stops",
        );
        taken(land.go_on(callbacks, code, "31/12/2026").await?)?;
        self.narrator.proved(
            "NhanBoSungHoSo: đã nhận bổ sung, hẹn trả kết quả ngày mới",
            "NhanBoSungHoSo: the supplement is there, the clock goes on to a new day",
        );
        let page = dossier::answer(code);
        taken(land.finish(callbacks, code, &[("Thông báo kết quả", page.as_bytes())]).await?)?;
        self.narrator.proved(
            "KetThucHoSo: kết thúc, kết quả lấy qua liên kết (chỉ từ địa chỉ được phép)",
            "KetThucHoSo: finished; the result was fetched by its link (only from an allowed address)",
        );
        self.wait_for_the_result(submitted, &page).await?;
        self.show_case().await
    }

    async fn wait_for_the_result(&self, submitted: &Submitted, page: &str) -> anyhow::Result<()> {
        let home = self.local.system_folder(&self.gateway_of(&submitted.sender)?, &submitted.sender);
        let wanted = Digest::of(page.as_bytes());
        let begun = Instant::now();
        let found = loop {
            let is_result = |parts: &std::path::Path| digests_in(parts).is_ok_and(|digests| digests.contains(&wanted));
            let found = find_delivery(&home, |delivered| {
                delivered.file_code == self.file_code && is_result(&delivered.folder.join("parts"))
            });
            if let Some(found) = found {
                break found;
            }
            anyhow::ensure!(
                begun.elapsed() < PATIENCE,
                "the result is still on its way after a minute; see the logs in {}",
                self.local.folder.display()
            );
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        };
        self.narrator.proved("kết quả đã về tới xã, nguyên vẹn", "the result is home at the commune, unaltered");
        self.narrator.line(found.folder.display());
        Ok(())
    }

    /// The whole case, as the commune's gateway knows it.
    async fn show_case(&self) -> anyhow::Result<()> {
        let commune = &self.local.province.cast.commune;
        let profile = self.local.operator_profile(&self.gateway_of(commune)?, OperatorRole::Viewer)?;
        let mut client = OperateServiceClient::new(profile.open().await?);
        let request = v1::TimelineRequest { file_code: self.file_code.clone(), only_here: true, ..Default::default() };
        let begun = Instant::now();
        // A result lies in the folder a moment before its delivery is written down.
        let timeline = loop {
            let timeline = client.timeline(request.clone()).await?.into_inner();
            let delivered = timeline.envelopes.iter().filter(|envelope| is_delivered(envelope)).count();
            if delivered == CASE_ENVELOPES {
                break timeline;
            }
            anyhow::ensure!(
                begun.elapsed() < PATIENCE,
                "of the {CASE_ENVELOPES} envelopes of the case, {delivered} are delivered after a minute; see the logs in {}",
                self.local.folder.display()
            );
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        };
        self.narrator.step(
            "Toàn bộ hành trình của hồ sơ, nhìn từ trục liên thông cấp xã",
            "The whole case, seen from the commune's gateway",
        );
        outln!();
        crate::verbs::trace::print(&timeline, self.narrator.language());
        Ok(())
    }
}

fn taken(called: Called) -> anyhow::Result<()> {
    anyhow::ensure!(called.result == 1, "the callback was not taken: {}", called.message);
    Ok(())
}

fn is_delivered(envelope: &v1::EnvelopeSummary) -> bool {
    !envelope.deliveries.is_empty()
        && envelope.deliveries.iter().all(|delivery| delivery.status() == v1::DeliveryStatus::Delivered)
}
