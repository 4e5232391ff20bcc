//! Three gateways with land, document-management, folder and webhook adapters, what is sent through them, and what can be seen of it.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use adapters_simulators::dms::call::HubAccess;
use adapters_simulators::dms::{Dms, DmsOptions, DmsWay};
use adapters_simulators::edxml::Dialect;
use adapters_simulators::edxml::writing::Paper;
use adapters_simulators::land::{LandFault, LandSystem};
use adapters_simulators::onestop::{NewFile, OneStop};
use bytes::Bytes;
use certs_dev::province::Plan;
use gateway_cli::local::{Options, free_ports};
use gateway_model::agency::OperatorRole;
use gateway_model::id::{AgencyId, GatewayId};
use proto::v1;
use proto::v1::adapter_service_client::AdapterServiceClient;
use proto::v1::operate_service_client::OperateServiceClient;
use tests_harness::gateways::{self, Federation};
use tests_harness::sender::Sender;

use super::search::Canary;
use super::systems::{adapters, system};
use super::{CITIZEN, CONTENT, FILE_CODE, FILE_NAME, PERSON, WORDS};
use crate::walks::collector::Collector;
use crate::walks::metrics::scrape;

/// Places that tell about one message.
pub const OF_A_MESSAGE: [&str; 8] = [
    "console /search",
    "console /timeline",
    "console /control-slip",
    "console /apology",
    "lienthong trace",
    "lienthong msg ls",
    "lienthong msg show",
    "lienthong msg export",
];
/// Secrets that the configuration names, by their files.
const SECRETS: [(&str, &str); 6] = [
    ("hub.secret", "bi-mat-chim-hoang-yen-cua-truc"),
    ("near.code", "ma-chim-hoang-yen-mot-cua-0001"),
    ("far.code", "ma-chim-hoang-yen-dat-dai-0001"),
    ("desk.code", "ma-chim-hoang-yen-goi-ve-0001"),
    ("land.token", "Bearer ma-chim-hoang-yen-uy-quyen"),
    ("hook.secret", "whsec_Y2hpbS1ob2FuZy15ZW4ta2hvbmctZHVvYy1sby1yYS1uZ29haQ=="),
];
/// The district's system pulls.
pub const QUEUE: &str = "district-desk";
/// Another process does its part within this.
const PATIENCE: Duration = Duration::from_secs(30);
const LOOK: Duration = Duration::from_millis(100);

pub struct Stage {
    pub federation: Federation,
    pub collector: Collector,
    /// Metrics pages, by gateway.
    pub metrics: Vec<(String, String)>,
    /// Events of the evidence logs, as they are hashed.
    pub leaves: Vec<u8>,
    desk: OneStop,
    land: LandSystem,
    dms: Dms,
    near: String,
    alarms: Arc<Mutex<String>>,
}

impl Stage {
    pub async fn open() -> Self {
        let (collector, endpoint) = Collector::start().await;
        let any = "127.0.0.1:0".parse().unwrap();
        let secret = |file: &str| SECRETS.iter().find(|(name, _)| *name == file).unwrap().1;
        let desk = OneStop::start(any, secret("desk.code")).await.unwrap();
        let folder = std::env::temp_dir().join(format!("lienthong-canary-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let land = LandSystem::start(&folder, any).await.unwrap();
        let alarms = Arc::new(Mutex::new(String::new()));
        let (hook, words) = (system(200, alarms.clone()).await, system(500, Arc::default()).await);
        let ports = free_ports(3).unwrap();
        let plan = Plan::province();
        let adapters = adapters(&plan, &ports, &desk, &land, &words);
        let extra_config = format!(
            "{}[telemetry]\nlog = \"debug\"\notlp = \"{endpoint}\"\n[alarms]\nwebhook = \"{hook}/alarm\"\nsecret = \"hook.secret\"\nprivate = true\n",
            gateways::FAST
        );
        let options = Options { extra_config, binary: Some(gateways::binary().unwrap()), adapters };
        let mut federation = Federation::lay_out_by(plan.clone(), options).unwrap();
        for (name, text) in SECRETS {
            std::fs::write(federation.local.folder.join(name), text).unwrap();
        }
        federation.local.start().await.unwrap();
        let department = plan.agencies.iter().find(|agency| agency.id == plan.cast.department).unwrap();
        let (url, secret) = (format!("http://127.0.0.1:{}/edoc", ports[2]), secret("hub.secret").to_owned());
        let access = HubAccess { url, system_id: department.id.clone(), secret };
        let code = department.codes.last().unwrap_or(&department.id);
        let options = DmsOptions { dialect: Dialect::Bare, ..DmsOptions::new(code, DmsWay::Hub(access)) };
        let mut dms = Dms::new(options);
        dms.start();
        let near = format!("http://127.0.0.1:{}/{}", ports[0], SECRETS[1].1);
        let (metrics, leaves) = (Vec::new(), Vec::new());
        Self { federation, collector, metrics, leaves, desk, land, dms, near, alarms }
    }

    /// Sends, is refused, fails, waits and comes back.
    pub async fn walk(&mut self) {
        let cast = self.federation.local.province.cast.clone();
        let mut sender = Sender::connect(&self.federation.local, &cast.commune).await.unwrap();
        self.land.next_call(LandFault::Refuses(format!("Không nhận hồ sơ của {PERSON}, {CITIZEN}")));
        let papers = vec![(PERSON.to_owned(), FILE_NAME.to_owned(), CONTENT.as_bytes().to_vec())];
        let file = NewFile { code: FILE_CODE.to_owned(), applicant: format!("{PERSON} {CITIZEN}"), papers };
        self.desk.hand_in(&self.near, &file).await.unwrap();
        let paper = Paper {
            subject: format!("Về việc của {PERSON}, {CITIZEN}"),
            to: vec![cast.commune.to_string(), CITIZEN.to_owned()],
            files: vec![(FILE_NAME.to_owned(), CONTENT.as_bytes().to_vec())],
            ..Paper::default()
        };
        drop(self.dms.send(&paper).await);
        for recipient in [&cast.district, &cast.department, &cast.land_office, &cast.other_commune] {
            self.send(&mut sender, recipient).await;
        }
        self.say_why(&cast.district).await;
        self.be_refused(&mut sender, &cast.district).await;
        self.federation.local.kill(1).unwrap();
        self.send(&mut sender, &cast.district).await;
        // Both incidents are there: the district's, and that of the system that answers with somebody's name.
        self.until(|stage| stage.alarms().matches("incident.began").count() >= 2).await;
        self.federation.local.spawn(1).unwrap();
        self.federation.local.wait_until_ready(1).await.unwrap();
        self.until(|stage| stage.alarms().contains("incident.ended")).await;
        self.until(|stage| !stage.desk.callbacks().is_empty()).await;
        self.collect().await;
    }

    async fn send(&self, sender: &mut Sender, to: &AgencyId) {
        let mut envelope = super::dossier(sender.envelope(&[to]));
        let content = Bytes::from(CONTENT);
        let sha256 = Bytes::copy_from_slice(gateway_model::Digest::of(&content).as_bytes());
        let media_type = "application/pdf".to_owned();
        envelope.parts = vec![v1::Part {
            name: FILE_NAME.to_owned(),
            media_type,
            size: content.len() as u64,
            sha256,
            role: PERSON.to_owned(),
        }];
        let mut request = sender.sign(&envelope).unwrap();
        request.inline_parts = vec![v1::InlinePart { content }];
        sender.client.submit(request).await.unwrap();
    }

    /// Wrong in many ways, with canaries where the fault is.
    /// The district's own worker says in its own words why its system does not take a delivery.
    async fn say_why(&self, agency: &AgencyId) {
        let profile = self.federation.local.system_profile(agency).unwrap();
        let mut worker = AdapterServiceClient::new(profile.open().await.unwrap());
        let capabilities = vec![v1::AdapterCapability::Deliver.into()];
        let (name, version) = ("desk".to_owned(), "1".to_owned());
        let info = v1::AdapterInfo { name, version, protocol_versions: vec![1], capabilities, ..Default::default() };
        let (queue, instance) = (QUEUE.to_owned(), "desk-1".to_owned());
        let asked = v1::RegisterRequest { queue, info: Some(info), instance, ..Default::default() };
        let worker_id = worker.register(asked).await.unwrap().into_inner().worker_id;
        let wait = Some(prost_types::Duration { seconds: 20, nanos: 0 });
        let asked = v1::LeaseRequest { worker_id: worker_id.clone(), deliveries_max: 1, wait };
        let leased = worker.lease(asked).await.unwrap().into_inner().deliveries.remove(0);
        let lease = v1::LeaseReference { delivery_id: leased.delivery_id, lease_token: leased.lease_token };
        let said = v1::FailRequest {
            worker_id,
            lease: Some(lease),
            code: "ADAPTER_UNAVAILABLE".to_owned(),
            detail: WORDS.to_owned(),
            retryable: true,
            retry_after: None,
            system_down: true,
        };
        worker.fail(said).await.unwrap();
    }

    async fn be_refused(&self, sender: &mut Sender, to: &AgencyId) {
        let good = super::dossier(sender.envelope(&[to]));
        let wrong: [fn(&mut v1::Envelope); 6] = [
            |envelope| envelope.id = CITIZEN.to_owned(),
            |envelope| envelope.to[0].agency = CITIZEN.to_owned(),
            |envelope| envelope.from = PERSON.to_owned(),
            |envelope| envelope.schema = format!("{PERSON} {CITIZEN}"),
            |envelope| envelope.case.as_mut().unwrap().procedure_code = format!("\u{1}{CITIZEN}"),
            |envelope| envelope.parts = vec![v1::Part { name: format!("../{FILE_NAME}"), ..v1::Part::default() }],
        ];
        for change in wrong {
            let mut envelope = good.clone();
            change(&mut envelope);
            let request = sender.sign(&envelope).unwrap();
            sender.client.submit(request).await.expect_err("it is wrong");
        }
        let mut forged = sender.sign(&good).unwrap();
        let other = sender.sign(&super::dossier(sender.envelope(&[to]))).unwrap();
        forged.envelope.as_mut().unwrap().signatures = other.envelope.unwrap().signatures;
        sender.client.submit(forged).await.expect_err("another envelope's signature");
        let track = v1::TrackRequest { sender: PERSON.to_owned(), envelope_id: CITIZEN.to_owned() };
        sender.client.track(track).await.expect_err("there is none");
    }

    async fn until(&self, expected: impl Fn(&Self) -> bool) {
        let begun = std::time::Instant::now();
        while !expected(self) {
            assert!(begun.elapsed() < PATIENCE, "{}", self.alarms());
            // No event of another process comes here.
            tokio::time::sleep(LOOK).await;
        }
    }

    /// Metrics and leaves, while the gateways run.
    async fn collect(&mut self) {
        for gateway in &self.federation.local.gateways {
            self.metrics.push((gateway.id.to_string(), scrape::page(gateway.admin_port, "/metrics").await));
            let profile = self.federation.local.operator_profile(&gateway.id, OperatorRole::Viewer).unwrap();
            let mut operate = OperateServiceClient::new(profile.open().await.unwrap());
            let about = v1::TimelineRequest { file_code: FILE_CODE.to_owned(), ..v1::TimelineRequest::default() };
            let timeline = operate.timeline(about).await.unwrap().into_inner();
            assert!(!timeline.entries.is_empty(), "{} knows the file", gateway.id);
            let receipts = timeline.entries.into_iter().filter_map(|entry| entry.receipt);
            self.leaves.extend(receipts.flat_map(|receipt| receipt.event));
        }
    }

    /// The pages of the console of each gateway, as an operator sees them.
    pub fn screens(&self) -> Vec<(String, String)> {
        let file = format!("?file_code={FILE_CODE}");
        let mut pages: Vec<String> = [
            "/",
            "/incidents",
            "/search",
            "/peers",
            "/trust",
            "/bulk",
            "/bulk/new",
            "/statistics",
            "/statistics.csv",
            "/audit",
            "/health",
        ]
        .map(str::to_owned)
        .to_vec();
        pages.extend(["/search", "/timeline", "/control-slip", "/apology"].map(|page| format!("{page}{file}")));
        let local = &self.federation.local;
        let operator = local.province.operator(OperatorRole::Operator).unwrap();
        let page = |port: u16, page: &str| {
            let mut asking = Command::new("openssl")
                .args(["s_client", "-quiet", "-connect", &format!("127.0.0.1:{port}"), "-servername", "localhost"])
                .args([
                    "-cert".as_ref(),
                    operator.tls.certificate.as_os_str(),
                    "-key".as_ref(),
                    operator.tls.key.as_os_str(),
                ])
                .stdin(Stdio::piped())
                .stdout(Stdio::piped())
                .stderr(Stdio::null())
                .spawn()
                .unwrap();
            let request = format!(
                "GET {page} HTTP/1.1\r\nhost: 127.0.0.1:{port}\r\naccept-language: vi\r\nconnection: close\r\n\r\n"
            );
            std::io::Write::write_all(asking.stdin.as_mut().unwrap(), request.as_bytes()).unwrap();
            let answered = asking.wait_with_output().unwrap();
            String::from_utf8_lossy(&answered.stdout).into_owned()
        };
        let mut screens = Vec::new();
        for gateway in &local.gateways {
            for name in &pages {
                let text = page(gateway.console_port, name);
                let is_good = text.starts_with("HTTP/1.1 200") || name.starts_with("/apology");
                assert!(is_good, "{} {name}: {text}", gateway.id);
                screens.push((format!("console {name} of {}", gateway.id), text));
            }
        }
        screens
    }

    /// What the command line prints, on both outputs.
    pub fn commands(&self) -> Vec<(String, String)> {
        let local = &self.federation.local;
        let mut printed = Vec::new();
        for gateway in ["gw-commune", "gw-province"] {
            let profile = local.operator_profile(&GatewayId::parse(gateway).unwrap(), OperatorRole::Operator).unwrap();
            let path = local.folder.join(format!("{gateway}.profile"));
            std::fs::write(&path, toml::to_string(&profile).unwrap()).unwrap();
            for words in [
                "status",
                "stuck",
                "stuck --incidents",
                "peer ls",
                "adapter ls",
                "trust ls",
                "audit",
                "stats",
                "bulk ls",
                "msg refusals",
                "msg ls",
                "trace H99.30.01-261122-4242",
            ] {
                for form in ["table", "json"] {
                    let mut command = Command::new(gateways::binary().unwrap());
                    command.args(words.split(' ')).args(["-o", form, "--profile"]).arg(&path);
                    let ran = command.output().unwrap();
                    let text = [ran.stdout, ran.stderr].concat();
                    printed
                        .push((format!("lienthong {words} -o {form} at {gateway}"), String::from_utf8(text).unwrap()));
                }
            }
        }
        let config = &local.gateways[0].config;
        for verb in ["check", "config"] {
            let ran = Command::new(gateways::binary().unwrap()).args([verb, "--config"]).arg(config).output().unwrap();
            let text = [ran.stdout, ran.stderr].concat();
            printed.push((format!("lienthong {verb}"), String::from_utf8_lossy(&text).into_owned()));
        }
        printed
    }

    /// Asks every gateway to drain, so that the last spans and lines are written.
    pub fn stop(&mut self) {
        for number in 0..self.federation.local.gateways.len() {
            self.federation.local.stop(number).unwrap();
        }
    }

    pub fn alarms(&self) -> String {
        self.alarms.lock().unwrap().clone()
    }

    pub fn logs(&self) -> Vec<(String, Vec<u8>)> {
        self.federation
            .local
            .gateways
            .iter()
            .map(|gateway| (gateway.id.to_string(), std::fs::read(&gateway.log).unwrap()))
            .collect()
    }

    /// The secrets of the configuration, and a line of each private key.
    pub fn secrets(&self) -> Vec<Canary> {
        let mut secrets: Vec<String> = SECRETS.iter().map(|(_, text)| (*text).to_owned()).collect();
        let keys = files(&self.federation.local.folder)
            .into_iter()
            .filter(|(path, _)| path.extension().is_some_and(|end| end == "key"));
        let lines = keys.filter_map(|(_, pem)| String::from_utf8(pem).ok()?.lines().nth(1).map(str::to_owned));
        let before = secrets.len();
        secrets.extend(lines.filter(|line| line.len() >= 40));
        assert!(secrets.len() > before + 5, "private keys are secrets too");
        secrets.iter().map(|text| Canary::of(text)).collect()
    }
}

/// Every file below a folder.
pub fn files(folder: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap().map(Result::unwrap) {
        let path = entry.path();
        match path.is_dir() {
            true => found.extend(files(&path)),
            false => found.extend(std::fs::read(&path).ok().map(|bytes| (path, bytes))),
        }
    }
    found
}
