//! A signed paper between two document-management systems, commune → district → province and back, with its statuses and two recalls.

use adapters_simulators::dms::call::HubAccess;
use adapters_simulators::dms::{Dms, DmsOptions, DmsWay, SentPaper};
use adapters_simulators::edxml::Dialect;
use adapters_simulators::edxml::writing::Paper;
use certs_dev::province::{AgencyPlan, Plan};
use gateway_cli::local::{OwnAdapter, free_ports};
use gateway_model::id::{AgencyId, GatewayId};
use tests_harness::gateways::Federation;

const SECRET: &str = "mot-bi-mat-dung-chung-cho-hai-ben";

/// Two systems with a gateway each between them and the rest.
struct Stage {
    federation: Federation,
    commune: Dms,
    department: Dms,
    department_code: String,
}

impl Stage {
    async fn new() -> Self {
        let plan = Plan::province();
        let agency = |id: &str| plan.agencies.iter().find(|agency| agency.id == id).unwrap();
        let (commune, department) = (agency(&plan.cast.commune), agency(&plan.cast.department));
        let ports = free_ports(2).unwrap();
        let adapters =
            vec![adapter(commune, "sys-commune-onestop", ports[0]), adapter(department, "sys-province-dms", ports[1])];
        let federation = Federation::running_among(adapters).await.unwrap();
        let mut stage = Self {
            commune: system(commune, ports[0], Dialect::Zipped),
            department: system(department, ports[1], Dialect::Bare),
            department_code: code(department),
            federation,
        };
        stage.commune.start();
        stage.department.start();
        stage
    }

    async fn send(&self, subject: &str) -> SentPaper {
        let paper = Paper {
            subject: subject.to_owned(),
            to: vec![self.department_code.clone()],
            priority: 2,
            ..Paper::default()
        };
        self.commune.send(&paper).await.unwrap()
    }
}

/// The code that packages use.
fn code(agency: &AgencyPlan) -> String {
    agency.codes.last().unwrap_or(&agency.id).clone()
}

fn system(agency: &AgencyPlan, port: u16, dialect: Dialect) -> Dms {
    let access = HubAccess {
        url: format!("http://127.0.0.1:{port}/edoc"),
        system_id: agency.id.clone(),
        secret: SECRET.to_owned(),
    };
    Dms::new(DmsOptions { dialect, ..DmsOptions::new(&code(agency), DmsWay::Hub(access)) })
}

/// The table of an agency's adapter; the secret stands in a file that the table makes no secret of, because it is a test's.
fn adapter(agency: &AgencyPlan, system: &str, port: u16) -> OwnAdapter {
    let secret = std::env::temp_dir().join(format!("lienthong-{}-{port}.secret", std::process::id()));
    std::fs::write(&secret, SECRET).unwrap();
    let table = format!(
        "[[adapter]]\nname = \"dms-{id}\"\nkind = \"edxml\"\nagencies = [\"{id}\"]\nsystem = \"{system}\"\n\
         path = \"systems/dms-{id}\"\ndoor = \"hub-server\"\ntrace_as = \"W99\"\n\
         hub = {{ address = \"127.0.0.1:{port}\", system_id = \"{id}\", secret_file = \"{secret}\", list_wait = \"200ms\" }}\n\
         organ = [{{ agency = \"{id}\", codes = [\"{code}\"], certificate = \"signers/{id}.pem\", key = \"signers/{id}.key\" }}]\n",
        id = agency.id,
        secret = secret.display(),
        code = code(agency),
    );
    OwnAdapter {
        gateway: GatewayId::parse(&agency.gateway).unwrap(),
        agencies: vec![AgencyId::parse(&agency.id).unwrap()],
        table,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_paper_crosses_three_levels_its_statuses_come_home_and_recalls_are_answered() {
    let stage = Stage::new().await;
    let sent = stage.send("Về việc sửa chữa đường liên xã").await;
    let arrived = stage.department.wait_for_paper(&sent.document_id, "0").await.unwrap();
    assert_eq!(arrived.seen.subject, "Về việc sửa chữa đường liên xã");
    assert_eq!(arrived.seen.files.len(), 1);
    assert_eq!(arrived.seen.trace.last().unwrap(), "W99");
    stage.commune.wait_for_status(&sent.document_id, "01").await.unwrap();
    for status in ["03", "05", "06"] {
        stage.department.say(&arrived, status, "Theo quy trình").await.unwrap();
        let heard = stage.commune.wait_for_status(&sent.document_id, status).await.unwrap();
        assert_eq!(heard.seen.note, "Theo quy trình");
    }

    stage.commune.recall(&sent, "Sai số liệu").await.unwrap();
    let asked = stage.department.wait_for_paper(&sent.document_id, "1").await.unwrap();
    assert_eq!(asked.seen.note, "Sai số liệu");
    stage.department.say(&asked, "15", "Đồng ý").await.unwrap();
    stage.commune.wait_for_status(&sent.document_id, "15").await.unwrap();

    let second = stage.send("Về việc phân bổ kinh phí").await;
    stage.department.wait_for_paper(&second.document_id, "0").await.unwrap();
    stage.commune.recall(&second, "Nhầm nơi nhận").await.unwrap();
    let asked = stage.department.wait_for_paper(&second.document_id, "1").await.unwrap();
    stage.department.say(&asked, "16", "Đã triển khai").await.unwrap();
    stage.commune.wait_for_status(&second.document_id, "16").await.unwrap();

    for system in [&stage.commune, &stage.department] {
        assert!(system.journal().iter().all(|entry| !entry.is_repeat), "everything came once");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_killed_in_the_middle_delays_a_paper_and_doubles_nothing() {
    let mut stage = Stage::new().await;
    stage.federation.local.kill(1).unwrap();
    let sent = stage.send("Về việc họp giao ban").await;
    stage.federation.local.kill(0).unwrap();
    for number in [0, 1] {
        stage.federation.local.spawn(number).unwrap();
        stage.federation.local.wait_until_ready(number).await.unwrap();
    }
    stage.department.wait_for_paper(&sent.document_id, "0").await.unwrap();
    stage.commune.wait_for_status(&sent.document_id, "01").await.unwrap();
    let received = stage.department.journal().into_iter().filter(|entry| !entry.is_sent).count();
    assert_eq!(received, 1);
}
