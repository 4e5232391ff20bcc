//! Dashboards and alert rules against real gateways: every metric that they name is exported, and moves when the gateways work.

#[path = "metrics/queries.rs"]
mod queries;
#[path = "metrics/scrape.rs"]
pub mod scrape;

use bytes::Bytes;
use certs_dev::province::Plan;
use gateway_cli::connect::Profile;
use gateway_model::Digest;
use gateway_model::agency::OperatorRole;
use gateway_model::id::{AgencyId, GatewayId};
use proto::v1;
use proto::v1::operate_service_client::OperateServiceClient;
use tests_harness::gateways::{self, Federation};
use tests_harness::load::Load;
use tests_harness::sender::{Sender, now};
use tonic::transport::Channel;

use scrape::{Series, Watch};

/// Short waits, and final receipts that are overdue soon.
const SETTINGS: &str = "[retry]\nfirst = \"100ms\"\nmax = \"500ms\"\nreceipt_overdue = \"1s\"\n";
/// Made by Prometheus itself.
const OF_PROMETHEUS: [&str; 2] = ["up", "ALERTS"];
/// What does not move in a gateway that is well: here only that it is exported, and why that is enough.
const STEADY: [(&str, &str); 2] = [
    ("lienthong_tls_certificate_expires_at_seconds", "read at the start: compared with the certificate below"),
    ("lienthong_store_faults_total", "the engine's tests with a failing store see it move"),
];
/// Labels that Prometheus adds.
const TARGET_LABELS: [&str; 2] = ["job", "instance"];

struct Stage {
    federation: Federation,
    watch: Watch,
    commune: AgencyId,
    land_office: AgencyId,
    sender: Sender,
}

impl Stage {
    async fn open() -> Self {
        let mut federation = Federation::lay_out(Plan::province(), SETTINGS, gateways::binary().unwrap()).unwrap();
        federation.local.start().await.unwrap();
        let cast = &federation.local.province.cast;
        let (commune, land_office) = (cast.commune.clone(), cast.land_office.clone());
        let sender = Sender::connect(&federation.local, &commune).await.unwrap();
        let mut stage = Self { federation, watch: Watch::default(), commune, land_office, sender };
        stage.watch.look(&stage.federation.local).await;
        stage
    }

    async fn until(&mut self, metrics: &[&str]) {
        self.watch.until(&self.federation.local, metrics).await;
    }

    async fn operator(&self) -> OperateServiceClient<Channel> {
        let gateway = GatewayId::parse("gw-commune").unwrap();
        let profile = self.federation.local.operator_profile(&gateway, OperatorRole::Operator).unwrap();
        OperateServiceClient::new(profile.open().await.unwrap())
    }

    async fn start(&mut self, number: usize) {
        self.federation.local.spawn(number).unwrap();
        self.federation.local.wait_until_ready(number).await.unwrap();
    }

    async fn send(&mut self) {
        let request = self.sender.sign(&self.sender.envelope(&[&self.land_office])).unwrap();
        self.sender.client.submit(request).await.unwrap();
    }

    /// A part goes along; a bad signature and a stranger come too.
    async fn accept_and_refuse(&mut self) {
        let content = Bytes::from_static("Đơn đề nghị".as_bytes());
        let sha256 = Bytes::copy_from_slice(Digest::of(&content).as_bytes());
        let size = content.len() as u64;
        let mut envelope = self.sender.envelope(&[&self.land_office]);
        let (name, media_type) = ("don.pdf".to_owned(), "application/pdf".to_owned());
        envelope.parts = vec![v1::Part { name, media_type, size, sha256: sha256.clone(), role: String::new() }];
        use v1::upload_part_request::Frame;
        let frames = [Frame::Header(v1::PartHeader { sha256, size, offset: 0 }), Frame::Chunk(content)];
        let frames = frames.map(|frame| v1::UploadPartRequest { frame: Some(frame) });
        self.sender.client.upload_part(tokio_stream::iter(frames)).await.unwrap();
        let request = self.sender.sign(&envelope).unwrap();
        let mut forged = self.sender.sign(&self.sender.envelope(&[&self.land_office])).unwrap();
        forged.envelope.as_mut().unwrap().signatures = request.envelope.clone().unwrap().signatures;
        self.sender.client.submit(request).await.unwrap();
        self.sender.client.submit(forged).await.expect_err("another envelope's signature");
        let request = self.sender.sign(&self.sender.envelope(&[&self.land_office])).unwrap();
        self.stranger().await.submit(request).await.expect_err("a stranger");
        self.until(&[
            "lienthong_connections",
            "lienthong_handshakes_total",
            "lienthong_strangers_total",
            "lienthong_submissions_refused_total",
            "lienthong_uploaded_bytes_total",
            "lienthong_verifications_total",
        ])
        .await;
    }

    /// A certificate of the right CA that the directory does not know.
    async fn stranger(&self) -> v1::submit_service_client::SubmitServiceClient<Channel> {
        let local = &self.federation.local;
        let stranger = local.province.tls_ladder.issue("stranger", &["localhost"]).unwrap();
        let (certificate, key) = (local.folder.join("stranger.pem"), local.folder.join("stranger.key"));
        std::fs::write(&certificate, &stranger.certificate_pem).unwrap();
        std::fs::write(&key, &stranger.key_pem).unwrap();
        let good = local.system_profile(&self.commune).unwrap();
        let profile = Profile { certificate, key, ..good };
        v1::submit_service_client::SubmitServiceClient::new(profile.open().await.unwrap())
    }

    /// What comes and goes is seen under load.
    async fn work(&mut self) {
        let load = Load::start(&self.federation.local, &self.commune, &self.land_office, 8).await.unwrap();
        self.until(&[
            "lienthong_acknowledge_seconds_bucket",
            "lienthong_attempt_seconds_bucket",
            "lienthong_attempts_total",
            "lienthong_commit_seconds_bucket",
            "lienthong_deliveries_forwarded",
            "lienthong_envelopes",
            "lienthong_evidence_gap",
            "lienthong_leases",
            "lienthong_log_leaves",
            "lienthong_receipts_recorded_total",
            "lienthong_receipts_returned_total",
            "lienthong_receipts_waiting",
            "lienthong_register_behind",
            "lienthong_requests_total",
            "lienthong_store_free_bytes",
            "lienthong_submissions_accepted_total",
        ])
        .await;
        load.finish().await.unwrap();
    }

    /// The district is down: what goes there waits; one delivery is held by an operator, who pauses the district, too.
    async fn be_stuck(&mut self) {
        self.federation.local.kill(1).unwrap();
        self.send().await;
        self.send().await;
        let waits = ["lienthong_backlog", "lienthong_deliveries_waiting", "lienthong_gates_closed", "lienthong_up"];
        self.until(&waits).await;
        self.until(&["lienthong_stuck_deliveries", "lienthong_incidents", "lienthong_backlog_oldest_seconds"]).await;
        let mut operator = self.operator().await;
        let delivery_id = loop {
            let stuck = operator.list_stuck(v1::ListStuckRequest {}).await.unwrap().into_inner();
            if let Some(id) = stuck.groups.iter().find_map(|group| group.delivery_ids.first()) {
                break id.clone();
            }
            // The gateway looks every two seconds.
            tokio::time::sleep(std::time::Duration::from_millis(100)).await;
        };
        let reason = "chờ trục huyện".to_owned();
        operator.hold(v1::HoldRequest { delivery_id, reason: reason.clone() }).await.unwrap();
        let destination = "gateway:gw-district".to_owned();
        operator.pause(v1::PauseRequest { destination: destination.clone(), reason: reason.clone() }).await.unwrap();
        self.until(&["lienthong_deliveries_held", "lienthong_paused"]).await;
        operator.resume(v1::ResumeRequest { destination, reason }).await.unwrap();
        self.start(1).await;
    }

    /// The province is down: the district has it, and the final receipt does not come.
    async fn be_without_a_receipt(&mut self) {
        self.federation.local.kill(2).unwrap();
        self.send().await;
        self.until(&["lienthong_receipts_overdue_total", "lienthong_evidence_gap_oldest_seconds"]).await;
        self.start(2).await;
    }

    /// A new directory with new revocation lists, in which an agency's certificate has ended; then one that nobody can read.
    async fn change_trust(&mut self) {
        let local = &self.federation.local;
        let seconds = now().seconds;
        local.province.write_crls(&[], &[], seconds - 60, seconds + 86_400).unwrap();
        let source = &local.province.agencies_toml;
        let text = std::fs::read_to_string(source).unwrap();
        let signer = format!("certificate = \"signers/{}.pem\"\n", local.province.cast.department);
        let ended = gateway_model::Timestamp::from_seconds(seconds - 3_600);
        let changed = text.replace(&signer, &format!("{signer}valid_until = \"{ended}\"\n"));
        assert_ne!(text, changed);
        std::fs::write(source, changed).unwrap();
        local.issue_directory(2).unwrap();
        self.until(&[
            "lienthong_certificate_expires_at_seconds",
            "lienthong_directory_expires_at_seconds",
            "lienthong_directory_version",
            "lienthong_revocation_list_next_update_seconds",
            "lienthong_signers_expired",
        ])
        .await;
        std::fs::write(self.federation.local.directory_file(), "no directory").unwrap();
        self.until(&["lienthong_directory_refresh_failing"]).await;
    }

    /// The certificate's own end, to the second.
    fn certificate_ends(&self) -> f64 {
        let pem = std::fs::read(&self.federation.local.province.gateways[0].tls.certificate).unwrap();
        let printed = std::process::Command::new("openssl")
            .args(["x509", "-noout", "-enddate", "-dateopt", "iso_8601", "-in"])
            .arg(&self.federation.local.province.gateways[0].tls.certificate)
            .output()
            .unwrap();
        assert!(!pem.is_empty() && printed.status.success());
        let text = String::from_utf8(printed.stdout).unwrap();
        let end = text.trim().trim_start_matches("notAfter=").replace(' ', "T");
        gateway_model::Timestamp::parse(&end).unwrap().seconds() as f64
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_metric_of_the_dashboards_and_alert_rules_is_exported_and_moves() {
    let asked = queries::all();
    let mut stage = Stage::open().await;
    stage.accept_and_refuse().await;
    stage.work().await;
    stage.be_stuck().await;
    stage.be_without_a_receipt().await;
    stage.change_trust().await;
    let told = stage.watch.number("gw-commune", "lienthong_tls_certificate_expires_at_seconds");
    assert_eq!(told, Some(stage.certificate_ends()));

    let watch = &stage.watch;
    assert!(asked.len() > 60, "{}", asked.len());
    let mut complaints = Vec::new();
    for query in asked.iter().filter(|query| !OF_PROMETHEUS.contains(&query.metric.as_str())) {
        let of_metric: Vec<&Series> = watch.seen.iter().filter(|series| series.metric == query.metric).collect();
        let fits = |series: &&Series| {
            query.labels.iter().filter(|(name, _)| !TARGET_LABELS.contains(&name.as_str())).all(|(name, value)| {
                let has = series.labels.get(name);
                has.is_some() && value.as_ref().is_none_or(|value| has == Some(value))
            })
        };
        let is_steady = STEADY.iter().any(|(metric, _)| *metric == query.metric);
        if of_metric.is_empty() {
            complaints.push(format!("{}: no gateway exports {}", query.place, query.metric));
        } else if !of_metric.iter().any(fits) {
            complaints.push(format!("{}: {} has no such labels: {:?}", query.place, query.metric, query.labels));
        } else if !is_steady && !watch.moved.contains(&query.metric) {
            complaints.push(format!("{}: {} never moves", query.place, query.metric));
        }
    }
    assert!(complaints.is_empty(), "{}", complaints.join("\n"));
}

/// Labels are few: kinds, reasons, neighbours and adapters; nothing that grows with the envelopes, and nobody's data.
#[tokio::test(flavor = "multi_thread")]
async fn labels_do_not_grow_with_the_envelopes() {
    let mut stage = Stage::open().await;
    stage.accept_and_refuse().await;
    stage.work().await;
    let (first, subject) = (stage.watch.seen.len(), "thử nghiệm liên thông");
    for _ in 0..20 {
        stage.send().await;
    }
    stage.watch.look(&stage.federation.local).await;
    assert!(stage.watch.seen.len() < first + 20, "{first} series became {}", stage.watch.seen.len());
    for series in &stage.watch.seen {
        let values: Vec<&String> = series.labels.values().collect();
        assert!(values.iter().all(|value| value.len() <= 80 && !value.contains(subject)), "{series:?}");
    }
}
