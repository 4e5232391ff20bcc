//! A province in which the district's gateway is down, an adapter fails, an agency never picks up, and a certificate has expired: each cause is
//! named once, with the agency that has to act, by the command line and in the console; after repair each incident closes by itself.

use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use certs_dev::pki::{Credential, DAY_SECONDS, LeafProfile};
use certs_dev::province::{CalendarPlan, Cast, Plan};
use certs_dev::{Key, KeyKind};
use gateway_cli::local::{Options, OwnAdapter, free_ports};
use gateway_model::Timestamp;
use gateway_model::agency::OperatorRole;
use gateway_model::day::Day;
use gateway_model::id::{AgencyId, GatewayId};
use serde_json::{Value, json};
use tests_harness::gateways::{self, Federation};
use tests_harness::operator::{Operator, causes, looked_until};
use tests_harness::sender::{self, Sender};
use tokio::net::TcpListener;

use super::console::browse;

/// What `stuck` promises.
const SEEN_WITHIN: Duration = Duration::from_secs(10);
/// After repair everything that waits has to go through first.
const CLOSED_WITHIN: Duration = Duration::from_secs(30);

const COMMUNE: &str = "gw-commune";
/// The commune that never picks up, and the one whose certificate has expired.
const ABSENT: &str = "h99.30.03";
const EXPIRED: &str = "h99.31.01";
const QUEUE: &str = "absent";

/// The province, and the ports on which its two systems will listen.
struct Stage {
    federation: Federation,
    cast: Cast<AgencyId>,
    desk_port: u16,
    alarms: Arc<Mutex<Vec<String>>>,
}

impl Stage {
    async fn set() -> Self {
        let ports = free_ports(2).unwrap();
        let hook = TcpListener::bind(("127.0.0.1", ports[1])).await.unwrap();
        let alarms = Arc::new(Mutex::new(Vec::new()));
        tokio::spawn(answer_all(hook, alarms.clone()));
        let options = |adapters| Options {
            extra_config: format!(
                "{}[alarms]\nwebhook = \"http://127.0.0.1:{}/alarm\"\nsecret = \"hook.secret\"\nprivate = true\n",
                gateways::FAST,
                ports[1]
            ),
            binary: Some(gateways::binary().unwrap()),
            adapters,
        };
        // Who is who is known once the province is laid out; the same plan gives the same ids.
        let cast = Federation::lay_out_by(plan(), options(Vec::new())).unwrap().local.province.cast.clone();
        let adapters = vec![desk(&cast.other_commune, ports[0]), queue()];
        let federation = Federation::lay_out_by(plan(), options(adapters)).unwrap();
        let secret = "whsec_bW90LW1hdC1raGF1LWRlLXRodS1uZ2hpZW0tMTIz";
        std::fs::write(federation.local.folder.join("hook.secret"), secret).unwrap();
        Self { federation, cast, desk_port: ports[0], alarms }
    }

    /// Where the certificate of an agency lies, as the directory's source names it.
    fn certificate_of(&self, agency: &AgencyId) -> PathBuf {
        self.federation.local.province.agency(agency).unwrap().seal.certificate.clone()
    }
}

/// People work at every hour of these days, so that the test need not wait for an office to open.
fn plan() -> Plan {
    let today = Day::of(Timestamp::from_seconds(sender::now().seconds));
    let mut plan = Plan::province();
    plan.calendars.push(CalendarPlan {
        id: "lich-thu-nghiem".to_owned(),
        version: 1,
        valid_from: None,
        agencies: vec![ABSENT.to_owned()],
        hours: vec!["00:00-24:00".to_owned()],
        days_off: Vec::new(),
        make_up_days: (-1..=1).map(|days| today.plus(days).to_string()).collect(),
    });
    plan
}

/// A system that takes what it is sent, once somebody listens on its port.
fn desk(agency: &AgencyId, port: u16) -> OwnAdapter {
    OwnAdapter {
        gateway: GatewayId::parse(COMMUNE).unwrap(),
        agencies: vec![agency.clone()],
        table: format!(
            "[[adapter]]\nname = \"desk\"\nkind = \"http\"\nagencies = [\"{agency}\"]\nstate = \"state/desk\"\n[adapter.out]\n\
             url = \"http://127.0.0.1:{port}/hook\"\nsecrets = [\"hook.secret\"]\nparts = \"none\"\n[adapter.outbound]\n\
             allow = [{{ origin = \"http://127.0.0.1:{port}\", private = true }}]\n"
        ),
    }
}

/// A queue from which nobody takes.
fn queue() -> OwnAdapter {
    OwnAdapter {
        gateway: GatewayId::parse(COMMUNE).unwrap(),
        agencies: vec![AgencyId::parse(ABSENT).unwrap()],
        table: format!(
            "[[adapter]]\nname = \"{QUEUE}\"\nkind = \"worker\"\nagencies = [\"{ABSENT}\"]\nsystem = \"sys-commune-onestop\"\n\
             not_picked_up_after = \"1s\"\n"
        ),
    }
}

/// Registers a certificate that ended yesterday in the place of an agency's own.
fn expire(stage: &Stage, agency: &AgencyId) -> Credential {
    let local = &stage.federation.local;
    let yesterday = sender::now().seconds - DAY_SECONDS;
    let profile = LeafProfile {
        not_before: Some(yesterday - 7 * DAY_SECONDS),
        lifetime_seconds: 7 * DAY_SECONDS,
        ..LeafProfile::agency("UBND xã")
    };
    let ended =
        local.province.ladder.issue_signer_with("UBND xã", &Key::generate(KeyKind::P256).unwrap(), profile).unwrap();
    std::fs::write(stage.certificate_of(agency), &ended.certificate_pem).unwrap();
    local.issue_directory(2).unwrap();
    ended
}

/// The worker that should have been there: the drop folder of the same program.
fn worker(stage: &Stage, agency: &AgencyId) -> Child {
    let local = &stage.federation.local;
    let profile = local.system_profile(agency).unwrap();
    let folder = local.folder.join("worker");
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(folder.join("adapter.toml"), "path = \"office\"\n").unwrap();
    let mut command = Command::new(gateways::binary().unwrap());
    command.args(["adapter", "run", "--kind", "folder", "--config", "adapter.toml"]).current_dir(&folder);
    command.env("LIENTHONG_GATEWAY", profile.gateway).env("LIENTHONG_ROOTS", profile.roots);
    command.env("LIENTHONG_CERTIFICATE", profile.certificate).env("LIENTHONG_KEY", profile.key);
    command.env("LIENTHONG_QUEUE", QUEUE).env("LIENTHONG_STATE", folder.join("state"));
    command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn four_causes_at_once_are_named_once_each_with_who_must_act_and_close_by_themselves_after_repair() {
    let mut stage = Stage::set().await;
    let [absent, expired] = [ABSENT, EXPIRED].map(|agency| AgencyId::parse(agency).unwrap());
    let good_certificate = std::fs::read(stage.certificate_of(&expired)).unwrap();
    let ended = expire(&stage, &expired);
    stage.federation.local.start().await.unwrap();
    let operator = Operator::at(&stage.federation, COMMUNE, OperatorRole::Operator).unwrap();
    assert_eq!(operator.run(&["stuck"]).unwrap().code, Some(0), "nothing is stuck at first");
    // Nobody wrote the end of a certificate into the directory's source: it is told by the certificate itself, before anybody is refused.
    let ends = operator.json(&["trust", "expiring", "--days", "1"]).unwrap();
    let signers: Vec<&Value> = ends.iter().filter(|end| end["kind"] == "signer").map(|end| &end["agency"]).collect();
    assert_eq!(signers, [EXPIRED]);
    assert_eq!(operator.run(&["trust", "expiring", "--days", "1"]).unwrap().code, Some(10));

    // The district's gateway dies; one commune's system was never there, another never polls; and a third signs with a certificate of last week.
    stage.federation.local.kill(1).unwrap();
    let cast = stage.cast.clone();
    let mut sender = Sender::connect(&stage.federation.local, &cast.commune).await.unwrap();
    for recipient in [&cast.land_office, &cast.other_commune, &absent] {
        for _ in 0..3 {
            let request = sender.sign(&sender.envelope(&[recipient])).unwrap();
            sender.client.submit(request).await.unwrap();
        }
    }
    let mut late = Sender::connect_with(&stage.federation.local, &expired, &ended).await.unwrap();
    for _ in 0..3 {
        let request = late.sign(&late.envelope(&[&cast.commune])).unwrap();
        let refused = late.client.submit(request).await.unwrap_err();
        assert!(format!("{refused:?}").contains("CERTIFICATE_EXPIRED"), "{refused:?}");
    }

    let all = [
        ("adapter-error".to_owned(), cast.other_commune.to_string()),
        ("certificate".to_owned(), expired.to_string()),
        ("not-picked-up".to_owned(), absent.to_string()),
        ("peer-down".to_owned(), cast.district.to_string()),
    ];
    let three = |group: &Value| group["count"] == 3;
    operator.stuck_until(SEEN_WITHIN, |groups| causes(groups) == all && groups.iter().all(three)).await.unwrap();
    assert_eq!(operator.run(&["stuck"]).unwrap().code, Some(10), "cron sees it by the exit code");
    let seen = browse("causes", &stage.federation, OperatorRole::Viewer, &json!({ "shot": "stuck-four-causes" }));
    let cards: Vec<&str> = seen["cards"].as_array().unwrap().iter().map(|card| card.as_str().unwrap()).collect();
    assert_eq!(cards.len(), all.len(), "{cards:#?}");
    for (cause, agency) in &all {
        let names = |card: &&&str| card.lines().any(|line| line.trim() == agency);
        let named = cards.iter().filter(names).count();
        assert_eq!(named, 1, "{cause} of {agency} is named once in the console: {cards:#?}");
    }

    repair(&mut stage, &absent, &expired, &good_certificate, &operator).await;
    let told = looked_until(SEEN_WITHIN, || Ok(told_by(&stage.alarms, COMMUNE)), |told| told.len() >= 8).await.unwrap();
    let each = |kind: &str| all.iter().map(|(cause, _)| (cause.clone(), kind.to_owned())).collect::<Vec<_>>();
    // The webhook heard of each at its beginning and at its end, and of nothing else.
    assert_eq!(told, [each("incident.began"), each("incident.ended")].concat());
}

/// Mends all four, one beside the other, and waits until nothing is stuck and every incident has its end.
async fn repair(stage: &mut Stage, absent: &AgencyId, expired: &AgencyId, good: &[u8], operator: &Operator) {
    stage.federation.local.spawn(1).unwrap();
    stage.federation.local.wait_until_ready(1).await.unwrap();
    let listener = TcpListener::bind(("127.0.0.1", stage.desk_port)).await.unwrap();
    tokio::spawn(answer_all(listener, Arc::default()));
    let mut worker = worker(stage, absent);
    std::fs::write(stage.certificate_of(expired), good).unwrap();
    stage.federation.local.issue_directory(3).unwrap();
    let mut renewed = Sender::connect(&stage.federation.local, expired).await.unwrap();
    let begun = std::time::Instant::now();
    loop {
        let request = renewed.sign(&renewed.envelope(&[&stage.cast.commune])).unwrap();
        if renewed.client.submit(request).await.is_ok() {
            break;
        }
        assert!(begun.elapsed() < CLOSED_WITHIN, "the new directory is not in force");
        // The gateway looks for a new directory every second.
        tokio::time::sleep(Duration::from_millis(250)).await;
    }
    operator.stuck_until(CLOSED_WITHIN, |groups| groups.is_empty()).await.unwrap();
    // What is gone at one look may come back: an incident ends at the second.
    let all_closed = |incidents: &Vec<Value>| incidents.iter().all(|incident| incident["closed_at"].is_string());
    let look = || operator.json(&["stuck", "--incidents"]);
    let incidents = looked_until(SEEN_WITHIN, look, all_closed).await.unwrap();
    assert_eq!(incidents.len(), 4, "one incident a cause: {incidents:#?}");
    // Whoever tries again before the new directory is in force is turned away once more.
    let is_counted = |incident: &Value| {
        incident["count_max"] == 3 || (incident["cause"] == "certificate" && incident["count_max"].as_u64() > Some(3))
    };
    assert!(incidents.iter().all(is_counted), "{incidents:#?}");
    worker.kill().and_then(|()| worker.wait()).unwrap();
}

/// What a gateway told the webhook: cause and kind, by kind.
fn told_by(alarms: &Mutex<Vec<String>>, gateway: &str) -> Vec<(String, String)> {
    let alarms = alarms.lock().unwrap();
    let bodies = alarms.iter().map(|request| {
        let (head, body) = request.split_once("\r\n\r\n").unwrap();
        for header in ["webhook-id: ", "webhook-timestamp: ", "webhook-signature: v1,"] {
            assert!(head.to_lowercase().contains(header), "{head}");
        }
        serde_json::from_str::<Value>(body).unwrap()
    });
    let ours = bodies.filter(|body| body["gateway"] == gateway);
    let text = |body: &Value, key: &str| body[key].as_str().unwrap().to_owned();
    let mut told: Vec<_> = ours.map(|body| (text(&body, "type"), text(&body, "cause"))).collect();
    told.sort();
    told.into_iter().map(|(kind, cause)| (cause, kind)).collect()
}

/// A system that takes everything, and remembers it.
async fn answer_all(listener: TcpListener, taken: Arc<Mutex<Vec<String>>>) {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    loop {
        let Ok((mut stream, _)) = listener.accept().await else { return };
        let taken = taken.clone();
        tokio::spawn(async move {
            let mut seen = Vec::new();
            let mut buffer = [0; 16 * 1024];
            while let Ok(read) = stream.read(&mut buffer).await {
                if read == 0 {
                    return;
                }
                seen.extend_from_slice(&buffer[..read]);
                let text = String::from_utf8_lossy(&seen).into_owned();
                let head = text.to_lowercase();
                let Some(end) = head.find("\r\n\r\n") else { continue };
                let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")?.trim().parse().ok());
                if seen.len() >= end + 4 + length.unwrap_or(0) {
                    seen.clear();
                    taken.lock().unwrap().push(text);
                    if stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await.is_err() {
                        return;
                    }
                }
            }
        });
    }
}
