//! F1, at the edge: an adapter's process is killed again and again under load, and each delivery has one effect. The same harness catches
//! adapters that are broken in the two ways that a kill can show.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use certs_dev::province::Plan;
use gateway_cli::local::{Local, OwnAdapter};
use gateway_model::agency::OperatorRole;
use gateway_model::id::{AgencyId, DeliveryId, EnvelopeId, EnvelopeKey, GatewayId};
use prost::Message as _;
use proto::v1;
use proto::v1::operate_service_client::OperateServiceClient;
use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};
use tests_harness::gateways::{self, Federation};
use tests_harness::load::{Journal, Load};
use tests_harness::reconcile;
use tests_harness::sender::Sender;

const QUEUE: &str = "land";
/// Nothing moves for so long: what is missing will not come. Longer than a lease, and the time to start a program on a busy machine.
const PATIENCE: Duration = Duration::from_secs(40);
/// How often a broken adapter is tried before it counts as not caught.
const BATTERIES_MAX: usize = 5;
/// Between two looks at what other processes do.
const LOOK: Duration = Duration::from_millis(5);

/// A worker's program, with what it writes and reads.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Program {
    /// The drop folder of this binary. The office takes away each folder that the adapter remembers: a second effect is a new folder.
    Folder,
    /// The Python example. Its system is a folder that is looked into by the delivery's id.
    Python,
    /// The Python example with one promise taken back.
    Broken(&'static str),
}

/// The worker's process and its surroundings. Dropping it kills the process.
struct Worker {
    program: Program,
    folder: PathBuf,
    environment: Vec<(&'static str, PathBuf)>,
    arguments: Vec<PathBuf>,
    child: Option<Child>,
}

impl Worker {
    /// Lays out the folder, the configuration and the environment of a worker; starts nothing.
    fn lay_out(program: Program, local: &Local, agency: &AgencyId) -> Self {
        let folder = local.folder.join("worker");
        std::fs::create_dir_all(&folder).unwrap();
        let profile = local.system_profile(agency).unwrap();
        let environment = vec![
            ("LIENTHONG_GATEWAY", PathBuf::from(profile.gateway)),
            ("LIENTHONG_ROOTS", profile.roots),
            ("LIENTHONG_CERTIFICATE", profile.certificate),
            ("LIENTHONG_KEY", profile.key),
            ("LIENTHONG_QUEUE", PathBuf::from(QUEUE)),
            ("LIENTHONG_STATE", folder.join("state")),
        ];
        let mut worker = Self { program, folder, environment, arguments: Vec::new(), child: None };
        match program {
            Program::Folder => {
                let config = worker.folder.join("adapter.toml");
                std::fs::write(&config, "path = \"office\"\n").unwrap();
                let words = ["adapter", "run", "--kind", "folder", "--config"].map(PathBuf::from);
                worker.arguments = [gateways::binary().unwrap()].into_iter().chain(words).chain([config]).collect();
            }
            Program::Python => worker.lay_out_python(local, agency, &["python/adapter.py"]),
            Program::Broken(fault) => worker.lay_out_python(local, agency, &["broken/broken.py", fault]),
        }
        worker
    }

    fn lay_out_python(&mut self, local: &Local, agency: &AgencyId, words: &[&str]) {
        for file in ["python/adapter.py", "python/lienthong_adapter.py", "python/make_stubs.py", "broken/broken.py"] {
            let copy = self.folder.join(file);
            std::fs::create_dir_all(copy.parent().unwrap()).unwrap();
            std::fs::copy(root().join("adapters/examples").join(file), copy).unwrap();
        }
        let stubs =
            Command::new(python()).arg(self.folder.join("python/make_stubs.py")).arg(root().join("proto")).status();
        assert!(stubs.unwrap().success(), "the stubs can be made");
        let seal = &local.province.agency(agency).unwrap().seal;
        let config = serde_json::json!({
            "out": self.folder.join("out"), "in": self.folder.join("in"), "sender": agency.as_str(),
            "recipient": local.province.cast.commune.as_str(), "seal_certificate": seal.certificate, "seal_key": seal.key,
        });
        let file = self.folder.join("adapter.json");
        std::fs::write(&file, config.to_string()).unwrap();
        self.environment.push(("LIENTHONG_CONFIG", file));
        self.arguments = [python()].into_iter().chain(words.iter().map(PathBuf::from)).collect();
    }

    fn start(&mut self) {
        let log = std::fs::OpenOptions::new().create(true).append(true).open(self.folder.join("log")).unwrap();
        let mut command = Command::new(&self.arguments[0]);
        command.args(&self.arguments[1..]).current_dir(&self.folder).envs(self.environment.iter().cloned());
        for proxy in ["HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy"] {
            command.env_remove(proxy);
        }
        self.child = Some(command.stdout(log.try_clone().unwrap()).stderr(log).spawn().unwrap());
    }

    /// Kills it with SIGKILL; it must have been alive until then.
    fn kill(&mut self) {
        let mut child = self.child.take().unwrap();
        let ended = child.try_wait().unwrap();
        assert!(ended.is_none(), "the worker ended by itself ({ended:?}):\n{}", self.log());
        child.kill().unwrap();
        child.wait().unwrap();
    }

    fn log(&self) -> String {
        let text = std::fs::read_to_string(self.folder.join("log")).unwrap_or_default();
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(20)..].join("\n")
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            drop(child.kill().and_then(|()| child.wait()));
        }
    }
}

/// The receiving system: what was done to it, by the delivery's id.
struct Office {
    program: Program,
    folder: PathBuf,
    /// What has been taken away, and how often.
    taken_away: BTreeMap<String, usize>,
}

impl Office {
    fn new(worker: &Worker) -> Self {
        Self { program: worker.program, folder: worker.folder.clone(), taken_away: BTreeMap::new() }
    }

    /// The effects of each delivery until now.
    fn effects(&mut self) -> BTreeMap<String, usize> {
        let is_drop_folder = self.program == Program::Folder;
        let place = self.folder.join(if is_drop_folder { "office/incoming" } else { "out" });
        let mut there = BTreeMap::new();
        for entry in std::fs::read_dir(&place).into_iter().flatten().map(Result::unwrap) {
            let name = entry.file_name().into_string().unwrap();
            if name.starts_with('.') {
                continue;
            }
            // A second effect of the example has a name of its own, which begins with the id too.
            let id = name[..32].to_owned();
            if is_drop_folder && self.folder.join("office/.lienthong/taken").join(&id[..2]).join(&id).exists() {
                assert!(entry.path().join("envelope.bin").exists(), "a delivery is whole as soon as it is there");
                std::fs::remove_dir_all(entry.path()).unwrap();
                *self.taken_away.entry(id).or_default() += 1;
            } else {
                *there.entry(id).or_default() += 1;
            }
        }
        for (id, count) in &self.taken_away {
            *there.entry(id.clone()).or_default() += count;
        }
        there
    }

    fn count(&mut self) -> usize {
        self.effects().values().sum()
    }
}

/// What does not add up, by the delivery's id.
#[derive(Debug, Default)]
struct Findings {
    /// Reported as delivered, without an effect.
    lost: BTreeSet<String>,
    /// More than one effect.
    doubled: BTreeSet<String>,
    /// An effect without an envelope.
    unknown: BTreeSet<String>,
    /// The sender has not exactly one receipt of the delivery.
    unproven: BTreeSet<String>,
    /// Deliveries that wait for a person, in all gateways.
    held: u64,
    /// What the gateways' own logs say.
    gateways: reconcile::Difference,
}

impl Findings {
    fn is_nothing(&self) -> bool {
        let all = [&self.lost, &self.doubled, &self.unknown, &self.unproven];
        all.iter().all(|set| set.is_empty()) && self.held == 0 && self.gateways.is_nothing()
    }
}

/// Kills the worker `kills` times under load, lets everything settle, and compares the journals.
async fn run(program: Program, kills: usize, seed: u64) -> Findings {
    eprintln!("seed {seed}");
    let mut random = StdRng::seed_from_u64(seed);
    let plan = Plan::province();
    let agency = plan.agencies.iter().find(|agency| agency.id == plan.cast.land_office).unwrap();
    let (to, gateway) = (AgencyId::parse(&agency.id).unwrap(), GatewayId::parse(&agency.gateway).unwrap());
    let table = format!(
        "[[adapter]]\nname = \"{QUEUE}\"\nkind = \"worker\"\nagencies = [\"{to}\"]\nsystem = \"sys-land-office\"\nlease = \"10s\"\n"
    );
    let federation =
        Federation::running_among(vec![OwnAdapter { gateway, agencies: vec![to.clone()], table }]).await.unwrap();
    let local = &federation.local;
    let from = local.province.cast.commune.clone();
    let mut worker = Worker::lay_out(program, local, &to);
    let mut office = Office::new(&worker);
    let load = Load::start(local, &from, &to, 4).await.unwrap();
    worker.start();
    for kill in 0..kills {
        // Each process dies while it works: it has done something, and more comes in all the time.
        let (before, begun) = (office.count(), Instant::now());
        while office.count() == before {
            assert!(begun.elapsed() < PATIENCE, "worker {kill} does nothing:\n{}", worker.log());
            // Another process works: it is looked at again until it has done something, within the patience above.
            tokio::time::sleep(LOOK).await;
        }
        // Most die at once: some effects are there then, and the gateway has not heard of them yet. The others die at any moment.
        if random.random_bool(0.3) {
            // The random moment of the fault itself, not a wait for something.
            tokio::time::sleep(Duration::from_millis(random.random_range(0..250))).await;
        }
        worker.kill();
        worker.start();
    }
    let journal = load.finish().await.unwrap();
    assert!(journal.len() > kills, "the load was real: {} envelopes", journal.len());
    let findings = compare(local, &from, &to, &journal, &mut office).await;
    eprintln!("{kills} kills, {} acknowledged, {} effects", journal.len(), office.count());
    if !findings.is_nothing() {
        eprintln!("{}", worker.log());
    }
    findings
}

async fn compare(local: &Local, from: &AgencyId, to: &AgencyId, journal: &Journal, office: &mut Office) -> Findings {
    let unproven = settle(local, from, to, journal).await;
    let mut findings = Findings { unproven, ..Findings::default() };
    let effects = office.effects();
    let wanted: BTreeMap<String, &String> = journal.iter().map(|(id, _)| (delivery(from, id, to), id)).collect();
    let mut delivered = BTreeSet::new();
    for (delivery, envelope) in &wanted {
        let count = effects.get(delivery).copied().unwrap_or(0);
        if count == 0 {
            findings.lost.insert(delivery.clone());
            continue;
        }
        delivered.insert((*envelope).clone());
        if count > 1 {
            findings.doubled.insert(delivery.clone());
        }
    }
    findings.unknown = effects.into_keys().filter(|delivery| !wanted.contains_key(delivery)).collect();
    findings.gateways = reconcile::reconcile(local, from, journal, &delivered).await.unwrap();
    for gateway in &local.gateways {
        let channel = local.operator_profile(&gateway.id, OperatorRole::Viewer).unwrap().open().await.unwrap();
        let status = OperateServiceClient::new(channel).get_status(v1::GetStatusRequest {}).await.unwrap().into_inner();
        findings.held += status.held;
    }
    findings
}

/// Waits until the sender has a receipt of every delivery, or nothing comes any more; gives those of which it has not exactly one.
async fn settle(local: &Local, from: &AgencyId, to: &AgencyId, journal: &Journal) -> BTreeSet<String> {
    let mut client = Sender::connect(local, from).await.unwrap().client;
    let (mut open, mut unproven): (Vec<&String>, _) = (journal.iter().map(|(id, _)| id).collect(), BTreeSet::new());
    let mut moved = Instant::now();
    while !open.is_empty() && moved.elapsed() < PATIENCE {
        let mut still = Vec::new();
        for id in &open {
            let count = delivered_receipts(&mut client, from, id).await;
            if count == 0 {
                still.push(*id);
            } else if count > 1 {
                unproven.insert(delivery(from, id, to));
            }
        }
        if still.len() < open.len() {
            moved = Instant::now();
        }
        open = still;
        // Waiting for real processes to act; the loop ends by what they did, and by patience only when something is lost.
        tokio::time::sleep(LOOK * 40).await;
    }
    unproven.extend(open.into_iter().map(|id| delivery(from, id, to)));
    unproven
}

async fn delivered_receipts(
    client: &mut v1::submit_service_client::SubmitServiceClient<tonic::transport::Channel>,
    from: &AgencyId,
    id: &str,
) -> usize {
    let named = v1::GetReceiptRequest { sender: from.to_string(), envelope_id: id.to_owned() };
    let receipts = client.get_receipt(named).await.unwrap().into_inner().receipts;
    let events = receipts.into_iter().map(|receipt| v1::Event::decode(receipt.event).unwrap());
    events.filter(|event| event.kind() == v1::EventKind::Delivered).count()
}

fn delivery(from: &AgencyId, envelope: &str, to: &AgencyId) -> String {
    let key = EnvelopeKey { sender: from.clone(), id: EnvelopeId::parse(envelope).unwrap() };
    DeliveryId::new(&key, to).to_string()
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().unwrap()
}

fn python() -> PathBuf {
    let python = root().join("target/python/bin/python");
    assert!(python.exists(), "{} is not there; run tests/run, which makes it", python.display());
    python
}

fn kills(all: usize) -> usize {
    if std::env::var("LIENTHONG_TESTS").as_deref() == Ok("quick") { all.div_ceil(10) } else { all }
}

#[tokio::test(flavor = "multi_thread")]
async fn twenty_kills_of_an_adapter_under_load_leave_one_effect_per_delivery() {
    let findings = run(Program::Folder, kills(20), rand::random()).await;
    assert!(findings.is_nothing(), "{findings:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn kills_of_an_adapter_in_python_under_load_leave_one_effect_per_delivery() {
    let findings = run(Program::Python, kills(6), rand::random()).await;
    assert!(findings.is_nothing(), "{findings:#?}");
}

/// Runs the battery against a broken adapter until it has shown the fault: not every kill falls between what it does and what it says.
async fn catch(fault: &'static str, is_shown: impl Fn(&Findings) -> bool) {
    for _ in 0..BATTERIES_MAX {
        let findings = run(Program::Broken(fault), 8, rand::random()).await;
        if is_shown(&findings) {
            return;
        }
        eprintln!("this battery did not show it: {findings:#?}");
    }
    panic!("{BATTERIES_MAX} batteries have not shown what is wrong with an adapter that {fault}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_kills_catch_an_adapter_that_notes_what_it_has_not_done_yet() {
    // Deliveries without an effect.
    catch("notes-before-doing", |findings| !findings.lost.is_empty()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_kills_catch_an_adapter_that_forgets_what_it_has_done() {
    // Deliveries with two effects.
    catch("forgets-when-it-ends", |findings| !findings.doubled.is_empty()).await;
}
