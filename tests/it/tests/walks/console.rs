//! The operators' console in a real browser: a stuck handoff is found by its file code, its reason read, retried and seen delivered; a hostile
//! subject is only text; a viewer can look and nothing else.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use gateway_model::agency::OperatorRole;
use gateway_model::id::GatewayId;
use proto::v1;
use serde_json::{Value, json};
use tests_harness::gateways::{self, Federation};
use tests_harness::sender::Sender;

const FILE_CODE: &str = "H99.30.01-261120-0042";
const SUBJECT: &str = "<script>document.title='hijacked'</script> Đăng ký biến động đất đai";
/// What is not retried by hand waits for longer than the test takes.
const PATIENT: &str = "[retry]\nfirst = \"10m\"\nmax = \"1h\"\n";

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// A link for an operator of a gateway, by the command line.
fn link(federation: &Federation, gateway: &str, role: OperatorRole) -> String {
    let gateway = GatewayId::parse(gateway).unwrap();
    let profile = federation.local.operator_profile(&gateway, role).unwrap();
    let path = federation.local.folder.join(format!("{}.profile", role.as_str()));
    std::fs::write(&path, toml::to_string(&profile).unwrap()).unwrap();
    let ran = Command::new(gateways::binary().unwrap()).args(["console", "--profile"]).arg(&path).output().unwrap();
    assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
    String::from_utf8(ran.stdout).unwrap().trim().to_owned()
}

/// Walks through the console as the Python script says: the commune's, unless `more` names another `gateway`.
pub(super) fn browse(walk: &str, federation: &Federation, role: OperatorRole, more: &Value) -> Value {
    let python = root().join("target/python/bin/python");
    assert!(python.exists(), "{} is not there; run tests/run, which makes it", python.display());
    let mut asked = json!({
        "walk": walk, "link": link(federation, more["gateway"].as_str().unwrap_or("gw-commune"), role), "chromium": "/usr/bin/chromium", "driver": "/usr/bin/chromedriver",
        "screenshots": root().join("target/screenshots"), "file_code": FILE_CODE, "subject": SUBJECT, "delivered_word": "giao tới hệ thống của nơi nhận",
    });
    asked.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    let mut browsing = Command::new(python)
        .arg(root().join("tests/python/console.py"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    browsing.stdin.take().unwrap().write_all(asked.to_string().as_bytes()).unwrap();
    let ended = browsing.wait_with_output().unwrap();
    assert!(ended.status.success(), "{walk}: {}", String::from_utf8_lossy(&ended.stderr));
    serde_json::from_slice(&ended.stdout).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stuck_handoff_is_found_read_retried_and_seen_delivered_in_a_browser() {
    let mut federation = Federation::running_with(PATIENT).await.unwrap();
    let cast = federation.local.province.cast.clone();
    federation.local.kill(1).unwrap();
    let mut sender = Sender::connect(&federation.local, &cast.commune).await.unwrap();
    let mut envelope = sender.envelope(&[&cast.land_office]);
    envelope.case =
        Some(v1::Case { file_code: FILE_CODE.to_owned(), procedure_code: "1.012783".to_owned(), ..Default::default() });
    let dossier = v1::Dossier { subject: SUBJECT.to_owned(), ..Default::default() };
    envelope.content = Some(v1::envelope::Content::Dossier(dossier));
    let request = sender.sign(&envelope).unwrap();
    sender.client.submit(request).await.unwrap();
    let profile = federation.local.operator_profile(&GatewayId::parse("gw-commune").unwrap(), OperatorRole::Viewer);
    let channel = profile.unwrap().open().await.unwrap();
    let mut operate = v1::operate_service_client::OperateServiceClient::new(channel);
    // The first attempt has to have failed, and the look at what is stuck to have seen it.
    let delivery_id = loop {
        let stuck = operate.list_stuck(v1::ListStuckRequest {}).await.unwrap().into_inner();
        if let Some(id) = stuck.groups.first().and_then(|group| group.delivery_ids.first()) {
            break id.clone();
        }
        // The gateway looks every two seconds.
        tokio::time::sleep(std::time::Duration::from_millis(200)).await;
    };

    let found = browse("find", &federation, OperatorRole::Operator, &json!({}));
    let (home, timeline) = (found["home"].as_str().unwrap(), found["timeline"].as_str().unwrap());
    assert!(home.contains("gw-district") && home.contains(cast.district.as_str()), "{home}");
    assert!(timeline.contains("PEER_UNREACHABLE"), "{timeline}");
    assert!(found["ladder"].as_u64().unwrap() > 0, "the ladder is drawn");

    let refused = browse("look_only", &federation, OperatorRole::Viewer, &json!({ "delivery_id": delivery_id }));
    assert_eq!(refused["status"], 403);

    federation.local.spawn(1).unwrap();
    federation.local.wait_until_ready(1).await.unwrap();
    let retried = browse("retry", &federation, OperatorRole::Operator, &json!({}));
    let audit = retried["audit"].as_str().unwrap();
    assert!(audit.contains("trục huyện đã hoạt động lại"), "{audit}");
}
