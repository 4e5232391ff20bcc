//! What operators see: a province in which a gateway is down, an adapter fails, an agency never picks up and a certificate is out of date. Each
//! cause is named once, with the agency that has to act, and closes by itself after repair. And the trace of a file over three levels.

use std::fmt::Debug;
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use certs_dev::province::Plan;
use gateway_cli::local::{Options, OwnAdapter, free_ports};
use gateway_model::agency::OperatorRole;
use gateway_model::id::GatewayId;
use serde_json::Value;
use tests_harness::gateways::{self, Federation};
use tests_harness::sender::Sender;
use tokio::net::TcpListener;

/// What `stuck` promises.
const SEEN_WITHIN: Duration = Duration::from_secs(10);
/// After repair everything that waits has to go through first.
const CLOSED_WITHIN: Duration = Duration::from_secs(30);
/// Between two questions.
const LOOK: Duration = Duration::from_millis(250);

const COMMUNE: &str = "gw-commune";

/// The command line as an operator of one gateway uses it.
struct Operator {
    profile: std::path::PathBuf,
}

impl Operator {
    fn at(federation: &Federation, gateway: &str, role: OperatorRole) -> Self {
        let local = &federation.local;
        let profile = local.operator_profile(&GatewayId::parse(gateway).unwrap(), role).unwrap();
        let path = local.folder.join(format!("{gateway}-{}.profile", role.as_str()));
        std::fs::write(&path, toml::to_string(&profile).unwrap()).unwrap();
        Self { profile: path }
    }

    fn run(&self, arguments: &[&str]) -> (Option<i32>, String, String) {
        let ran = Command::new(gateways::binary().unwrap())
            .args(arguments)
            .arg("--profile")
            .arg(&self.profile)
            .env("LIENTHONG_LANG", "en")
            .output()
            .unwrap();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        (ran.status.code(), text(&ran.stdout), text(&ran.stderr))
    }

    fn json(&self, arguments: &[&str]) -> Vec<Value> {
        let (_, out, err) = self.run(&[arguments, &["-o", "json"]].concat());
        serde_json::from_str(&out).unwrap_or_else(|_| panic!("{arguments:?}: {out}{err}"))
    }

    /// Asks what is stuck until it is as expected.
    async fn stuck_until(&self, within: Duration, expected: impl Fn(&[Value]) -> bool) -> Vec<Value> {
        looked_until(within, || self.json(&["stuck"]), |groups| expected(groups)).await
    }
}

/// What other processes do is looked at again and again, until it is as expected.
async fn looked_until<T: Debug>(within: Duration, look: impl Fn() -> T, expected: impl Fn(&T) -> bool) -> T {
    let begun = Instant::now();
    loop {
        let seen = look();
        if expected(&seen) {
            return seen;
        }
        assert!(begun.elapsed() < within, "after {:?}: {seen:#?}", begun.elapsed());
        // No event of another process comes here.
        tokio::time::sleep(LOOK).await;
    }
}

fn causes(groups: &[Value]) -> Vec<(String, String)> {
    let text = |group: &Value, key: &str| group[key].as_str().unwrap().to_owned();
    let mut causes: Vec<_> = groups.iter().map(|group| (text(group, "cause"), text(group, "must_act"))).collect();
    causes.sort();
    causes
}

/// Replaces a line of the directory's source and issues it anew.
fn reissue(federation: &Federation, version: u64, change: impl Fn(&str) -> String) {
    let path = &federation.local.province.agencies_toml;
    let text = std::fs::read_to_string(path).unwrap();
    std::fs::write(path, change(&text)).unwrap();
    federation.local.issue_directory(version).unwrap();
    std::fs::write(path, text).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn each_cause_is_named_once_with_who_must_act_and_closes_by_itself_after_repair() {
    let plan = Plan::province();
    let ports = free_ports(2).unwrap();
    let (port, hook) = (ports[0], TcpListener::bind(("127.0.0.1", ports[1])).await.unwrap());
    let commune_gateway = GatewayId::parse(COMMUNE).unwrap();
    let options = |adapters| Options {
        extra_config: format!(
            "{}[alarms]\nwebhook = \"http://127.0.0.1:{}/alarm\"\nsecret = \"hook.secret\"\nprivate = true\n",
            gateways::FAST,
            ports[1]
        ),
        binary: Some(gateways::binary().unwrap()),
        adapters,
    };
    let alarms = Arc::new(Mutex::new(Vec::new()));
    let hooked = tokio::spawn(answer_all(hook, alarms.clone()));
    // Who is who is known once the province is laid out; the same plan gives the same ids.
    let cast = Federation::lay_out_by(plan.clone(), options(Vec::new())).unwrap().local.province.cast.clone();
    let broken = OwnAdapter {
        gateway: commune_gateway.clone(),
        agencies: vec![cast.other_commune.clone()],
        table: format!(
            "[[adapter]]\nname = \"desk\"\nkind = \"http\"\nagencies = [\"{}\"]\nstate = \"state/desk\"\n[adapter.out]\n\
             url = \"http://127.0.0.1:{port}/hook\"\nsecrets = [\"hook.secret\"]\nparts = \"none\"\n[adapter.outbound]\n\
             allow = [{{ origin = \"http://127.0.0.1:{port}\", private = true }}]\n",
            cast.other_commune
        ),
    };
    let mut federation = Federation::lay_out_by(plan, options(vec![broken])).unwrap();
    std::fs::write(federation.local.folder.join("hook.secret"), "whsec_bW90LW1hdC1raGF1LWRlLXRodS1uZ2hpZW0tMTIz")
        .unwrap();
    federation.local.start().await.unwrap();
    let operator = Operator::at(&federation, COMMUNE, OperatorRole::Operator);
    assert_eq!(operator.run(&["stuck"]).0, Some(0), "nothing is stuck at first");

    // The district's gateway dies, and the other commune's system was never there.
    federation.local.kill(1).unwrap();
    let mut sender = Sender::connect(&federation.local, &cast.commune).await.unwrap();
    for recipient in [&cast.land_office, &cast.other_commune] {
        for _ in 0..3 {
            let request = sender.sign(&sender.envelope(&[recipient])).unwrap();
            sender.client.submit(request).await.unwrap();
        }
    }
    let both = [
        ("adapter-error".to_owned(), cast.other_commune.to_string()),
        ("peer-down".to_owned(), cast.district.to_string()),
    ];
    let is_whole = |group: &Value| group["count"] == 3 && group["delivery_ids"].as_array().unwrap().len() == 3;
    operator.stuck_until(SEEN_WITHIN, |groups| causes(groups) == both && groups.iter().all(is_whole)).await;
    assert_eq!(operator.run(&["stuck"]).0, Some(10), "cron sees it by the exit code");

    // Repair: each incident closes by itself.
    federation.local.spawn(1).unwrap();
    federation.local.wait_until_ready(1).await.unwrap();
    let listener = TcpListener::bind(("127.0.0.1", port)).await.unwrap();
    let system = tokio::spawn(answer_all(listener, Arc::default()));
    operator.stuck_until(CLOSED_WITHIN, |groups| groups.is_empty()).await;
    // What is gone at one look may come back: an incident ends at the second.
    let all_closed = |incidents: &Vec<Value>| incidents.iter().all(|incident| incident["closed_at"].is_string());
    let incidents = looked_until(SEEN_WITHIN, || operator.json(&["stuck", "--incidents"]), all_closed).await;
    assert_eq!(incidents.len(), 2, "one incident a cause: {incidents:#?}");
    assert!(incidents.iter().all(|incident| incident["count_max"] == 3), "{incidents:#?}");
    // The webhook heard of each at its beginning and at its end, and of nothing else.
    let told = looked_until(SEEN_WITHIN, || told_by(&alarms, COMMUNE), |told| told.len() >= 4).await;
    let both = |kind: &str| [("adapter-error".to_owned(), kind.to_owned()), ("peer-down".to_owned(), kind.to_owned())];
    assert_eq!(told, [both("incident.began"), both("incident.ended")].concat());
    system.abort();
    hooked.abort();
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

#[tokio::test(flavor = "multi_thread")]
async fn a_sender_whose_registration_has_ended_is_named_until_it_is_accepted_again() {
    let federation = Federation::running().await.unwrap();
    let cast = &federation.local.province.cast;
    let operator = Operator::at(&federation, COMMUNE, OperatorRole::Viewer);
    let mut sender = Sender::connect(&federation.local, &cast.commune).await.unwrap();
    let submit = async |sender: &mut Sender| {
        let request = sender.sign(&sender.envelope(&[&cast.other_commune])).unwrap();
        sender.client.submit(request).await
    };
    submit(&mut sender).await.unwrap();
    let line = format!("certificate = \"signers/{}.pem\"", cast.commune);
    reissue(&federation, 2, |text| {
        assert!(text.contains(&line), "{line} is not in\n{text}");
        text.replace(&line, &format!("{line}\nvalid_until = \"2026-01-01T00:00:00Z\""))
    });
    let begun = Instant::now();
    while submit(&mut sender).await.is_ok() {
        assert!(begun.elapsed() < SEEN_WITHIN, "the new directory is not in force");
        // The gateway looks for a new directory every second.
        tokio::time::sleep(LOOK).await;
    }
    let expected = [("certificate".to_owned(), cast.commune.to_string())];
    operator.stuck_until(SEEN_WITHIN, |groups| causes(groups) == expected).await;
    reissue(&federation, 3, str::to_owned);
    let begun = Instant::now();
    while submit(&mut sender).await.is_err() {
        assert!(begun.elapsed() < SEEN_WITHIN, "the new directory is not in force");
        // As above.
        tokio::time::sleep(LOOK).await;
    }
    operator.stuck_until(CLOSED_WITHIN, |groups| groups.is_empty()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_paused_gateway_gets_nothing_until_it_is_resumed_even_after_a_restart() {
    let mut federation = Federation::running().await.unwrap();
    let cast = federation.local.province.cast.clone();
    let operator = Operator::at(&federation, COMMUNE, OperatorRole::Operator);
    let viewer = Operator::at(&federation, COMMUNE, OperatorRole::Viewer);
    let pause = ["peer", "pause", "gw-district", "--reason", "bảo trì"];
    let (code, _, said) = viewer.run(&pause);
    assert_eq!(code, Some(5), "a viewer does not act: {said}");
    assert_eq!(operator.run(&pause).0, Some(0));
    let mut sender = Sender::connect(&federation.local, &cast.commune).await.unwrap();
    let envelope = sender.envelope(&[&cast.land_office]);
    let request = sender.sign(&envelope).unwrap();
    sender.client.submit(request).await.unwrap();
    let is_paused = |groups: &[Value]| groups.len() == 1 && groups[0]["cause"] == "paused" && groups[0]["count"] == 1;
    operator.stuck_until(SEEN_WITHIN, is_paused).await;
    federation.local.stop(0).unwrap();
    federation.local.spawn(0).unwrap();
    federation.local.wait_until_ready(0).await.unwrap();
    operator.stuck_until(SEEN_WITHIN, is_paused).await;
    let peers = operator.json(&["peer", "ls"]);
    assert_eq!(peers[0]["flow"]["paused"]["reason"], "bảo trì", "{peers:#?}");
    assert_eq!(operator.run(&["peer", "resume", "gw-district", "--reason", "xong"]).0, Some(0));
    operator.stuck_until(CLOSED_WITHIN, |groups| groups.is_empty()).await;
    let audit = operator.json(&["audit"]);
    let acts: Vec<_> = audit.iter().map(|entry| (entry["action"].clone(), entry["subject"].clone())).collect();
    let act = |action: &str| (Value::from(action), Value::from("gateway:gw-district"));
    assert_eq!(acts, [act("resumed"), act("paused")]);
    assert_eq!(operator.run(&["peer", "ping", "gw-district"]).0, Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_trace_tells_of_every_level_and_says_who_did_not_answer() {
    let mut federation = Federation::running().await.unwrap();
    let cast = federation.local.province.cast.clone();
    let operator = Operator::at(&federation, COMMUNE, OperatorRole::Viewer);
    let mut sender = Sender::connect(&federation.local, &cast.commune).await.unwrap();
    let mut envelope = sender.envelope(&[&cast.land_office]);
    let file_code = "H99.30.01-261120-0007";
    envelope.case = Some(proto::v1::Case {
        file_code: file_code.to_owned(),
        procedure_code: "1.012783".to_owned(),
        ..Default::default()
    });
    envelope.content = Some(proto::v1::envelope::Content::Dossier(proto::v1::Dossier {
        subject: "Cấp lại giấy chứng nhận".to_owned(),
        ..Default::default()
    }));
    let request = sender.sign(&envelope).unwrap();
    sender.client.submit(request).await.unwrap();
    let begun = Instant::now();
    let whole = loop {
        let trace = operator.json(&["trace", file_code]).remove(0);
        let delivered = trace["events"].as_array().unwrap().iter().any(|event| event["event"] == "delivered");
        if delivered && trace["custody"]["holdings"].as_array().is_some_and(|lines| lines.len() == 2) {
            break trace;
        }
        assert!(begun.elapsed() < CLOSED_WITHIN, "{trace:#?}");
        // It is on its way through three processes.
        tokio::time::sleep(LOOK).await;
    };
    let gateways = |key: &str| {
        let mut names: Vec<_> =
            whole[key].as_array().unwrap().iter().map(|one| one["gateway"].as_str().unwrap()).collect();
        names.sort_unstable();
        names.dedup();
        names.into_iter().map(str::to_owned).collect::<Vec<_>>()
    };
    let all = ["gw-commune", "gw-district", "gw-province"];
    assert_eq!(
        (gateways("envelopes"), gateways("sources")),
        (all.map(str::to_owned).to_vec(), all.map(str::to_owned).to_vec())
    );
    assert!(whole["sources"].as_array().unwrap().iter().all(|source| source["answered"] == true), "{whole:#?}");
    let holder = &whole["custody"]["holdings"][1];
    assert_eq!((&holder["agency"], holder["until"].is_null()), (&Value::from(cast.land_office.to_string()), true));

    federation.local.kill(1).unwrap();
    let partial = operator.json(&["trace", &envelope.id]).remove(0);
    let silent: Vec<_> =
        partial["sources"].as_array().unwrap().iter().filter(|source| source["answered"] == false).collect();
    assert_eq!(silent.len(), 1, "{partial:#?}");
    assert_eq!(
        (&silent[0]["gateway"], &silent[0]["reason"]),
        (&Value::from("gw-district"), &Value::from("PEER_UNREACHABLE"))
    );
    assert!(
        partial["events"].as_array().unwrap().iter().any(|event| event["event"] == "delivered"),
        "receipts came home before"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_an_adapter_could_not_take_in_is_listed_with_its_reason() {
    let federation = Federation::running().await.unwrap();
    let operator = Operator::at(&federation, "gw-province", OperatorRole::Viewer);
    let drop = federation.local.folder.join("systems/land-office/outgoing/hs-0042.toml");
    std::fs::write(drop, "subject = \"Trả kết quả\"\nto = [\"no-such-agency\"]\n").unwrap();
    let office = || {
        let adapters = operator.json(&["adapter", "ls"]);
        adapters.into_iter().find(|adapter| adapter["name"] == "land-office").unwrap()
    };
    let office = looked_until(CLOSED_WITHIN, office, |office| office["quarantined_count"] == 1).await;
    let aside = &office["quarantined"][0];
    assert!(aside["reason"] == "RECIPIENT_UNKNOWN" && aside["since"].is_string(), "{aside:#}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plan_of_many_is_frozen_run_and_written_into_the_audit() {
    let mut federation = Federation::running().await.unwrap();
    let cast = federation.local.province.cast.clone();
    let operator = Operator::at(&federation, COMMUNE, OperatorRole::Operator);
    federation.local.kill(1).unwrap();
    let mut sender = Sender::connect(&federation.local, &cast.commune).await.unwrap();
    let submit = async |sender: &mut Sender| {
        let request = sender.sign(&sender.envelope(&[&cast.land_office])).unwrap();
        sender.client.submit(request).await.unwrap();
    };
    for _ in 0..5 {
        submit(&mut sender).await;
    }
    let plan = ["bulk", "plan", "return", "--status", "waiting", "--reason", "gửi nhầm nơi"];
    let plan = operator.json(&plan).remove(0);
    assert_eq!((&plan["count"], &plan["status"]), (&Value::from(5), &Value::from("planned")));
    // What comes later is not in the plan.
    submit(&mut sender).await;
    let id = plan["bulk_id"].as_str().unwrap();
    let ran = operator.json(&["bulk", "run", id]).remove(0);
    assert_eq!((&ran["status"], &ran["moved"]), (&Value::from("done"), &Value::from(5)));
    assert_eq!(operator.json(&["msg", "ls", "--status", "returned"]).len(), 5);
    assert_eq!(operator.json(&["msg", "ls", "--status", "waiting"]).len(), 1);
    assert_eq!(operator.run(&["bulk", "run", id]).0, Some(5), "a plan runs once");
    let audit = operator.json(&["audit"]);
    let count = |action: &str| audit.iter().filter(|entry| entry["action"] == action).count();
    assert_eq!((count("returned"), count("bulk-started"), count("bulk-planned")), (5, 1, 1));
    assert!(audit.iter().all(|entry| entry["note"] == "gửi nhầm nơi"));
}
