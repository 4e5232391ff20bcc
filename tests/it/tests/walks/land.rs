//! A land file from the one-stop desk of a commune through district and province to the land system, and everything that comes back.

use std::path::Path;
use std::time::Duration;

use adapters_simulators::land::{LandFault, LandSystem};
use adapters_simulators::onestop::{Callback, NewFile, OneStop};
use certs_dev::province::Plan;
use gateway_cli::local::{self, Local};
use gateway_cli::{trusted, verbs};
use gateway_model::agency::OperatorRole;
use gateway_model::id::GatewayId;
use prost::Message as _;
use proto::v1;
use proto::v1::operate_service_client::OperateServiceClient;
use tests_harness::gateways::{self, Federation};

const CODE: &str = "H99.30.01-261008-0001";
const NEAR_SECRET: &str = "ma-chung-mot-cua-goi-truc-0001";
const FAR_SECRET: &str = "ma-chung-dat-dai-goi-truc-0001";
const DESK_SECRET: &str = "ma-chung-truc-goi-mot-cua-0001";
/// A desk that does not hear within this has lost something.
const PATIENCE: Duration = Duration::from_secs(60);

/// Three gateways with a desk at the lowest and a land system at the highest.
struct Stage {
    federation: Federation,
    desk: OneStop,
    land: LandSystem,
    near: String,
    far: String,
}

impl Stage {
    async fn new(folder: &Path) -> Self {
        let any = "127.0.0.1:0".parse().unwrap();
        let desk = OneStop::start(any, DESK_SECRET).await.unwrap();
        let land = LandSystem::start(folder, any).await.unwrap();
        let mut federation =
            Federation::lay_out(Plan::province(), gateways::FAST, gateways::binary().unwrap()).unwrap();
        let ports = local::free_ports(2).unwrap();
        for (name, secret) in [("near.code", NEAR_SECRET), ("far.code", FAR_SECRET), ("desk.code", DESK_SECRET)] {
            std::fs::write(federation.local.folder.join(name), secret).unwrap();
        }
        serve_the_desk(&federation.local, &desk, ports[0]);
        serve_the_land_office(&federation.local, &land, ports[1]);
        federation.local.start().await.unwrap();
        let base = |port: u16, secret: &str| format!("http://127.0.0.1:{port}/{secret}");
        Self { federation, desk, land, near: base(ports[0], NEAR_SECRET), far: base(ports[1], FAR_SECRET) }
    }

    /// Waits for the callback of that name, and gives it.
    async fn heard(&self, name: &str) -> Callback {
        let is_there = |callbacks: &[Callback]| callbacks.iter().any(|callback| callback.name == name);
        assert!(
            self.desk.until(PATIENCE, is_there).await,
            "the desk does not hear of {name}: {:?}",
            self.desk.callbacks()
        );
        self.desk.callbacks().into_iter().find(|callback| callback.name == name).unwrap()
    }
}

/// The commune's agency gets a land adapter instead of the shared folder.
fn serve_the_desk(local: &Local, desk: &OneStop, port: u16) {
    let commune = local.province.agency(&local.province.cast.commune).unwrap();
    let config = &local.gateways[0].config;
    let text = std::fs::read_to_string(config).unwrap();
    let listed = [format!("\"{}\", ", commune.id), format!(", \"{}\"]", commune.id)];
    let text = text.replace(&listed[0], "").replace(&listed[1], "]");
    let adapter = format!(
        "\n[[adapter]]\nname = \"one-stop\"\nkind = \"land\"\nagencies = [\"{}\"]\nsystem = \"sys-commune-onestop\"\n\
         role = \"to-one-stop\"\nlisten = \"127.0.0.1:{port}\"\ncode = \"near.code\"\nstate = \"land-near\"\nurl = \"{}\"\n\
         url_code = \"desk.code\"\nland_office = \"{}\"\npublic_url = \"http://127.0.0.1:{port}\"\n\
         seal = {{ certificate = \"{}\", key = \"{}\" }}\noutbound = {{ allow = [{{ origin = \"{}\", private = true }}] }}\n",
        commune.id,
        desk.url(),
        local.province.cast.land_office,
        commune.seal.certificate.display(),
        commune.seal.key.display(),
        desk.origin(),
    );
    std::fs::write(config, text + &adapter).unwrap();
}

/// The land office gets a land adapter instead of its folder, which is the last table of the file.
fn serve_the_land_office(local: &Local, land: &LandSystem, port: u16) {
    let office = local.province.agency(&local.province.cast.land_office).unwrap();
    let config = &local.gateways[2].config;
    let text = std::fs::read_to_string(config).unwrap();
    let (text, _) = text.split_once("[[adapter]]\nname = \"land-office\"").unwrap();
    let adapter = format!(
        "[[adapter]]\nname = \"land-office\"\nkind = \"land\"\nagencies = [\"{}\"]\nsystem = \"sys-land-office\"\n\
         role = \"to-land-system\"\nlisten = \"127.0.0.1:{port}\"\ncode = \"far.code\"\nstate = \"land-far\"\nurl = \"{}\"\n\
         seal = {{ certificate = \"{}\", key = \"{}\" }}\noutbound = {{ allow = [{{ origin = \"{}\", private = true }}] }}\n",
        office.id,
        land.url(),
        office.seal.certificate.display(),
        office.seal.key.display(),
        land.origin(),
    );
    std::fs::write(config, format!("{text}{adapter}")).unwrap();
}

fn file() -> NewFile {
    let paper = |name: &str, file: &str, bytes: Vec<u8>| (name.to_owned(), file.to_owned(), bytes);
    NewFile {
        code: CODE.to_owned(),
        applicant: "Quàng Văn Pản".to_owned(),
        papers: vec![
            paper("Đơn đăng ký biến động", "don.pdf", vec![0x5A; 3 * 1024 * 1024]),
            paper("Giấy chứng nhận", "gcn.pdf", b"scan of the certificate".to_vec()),
        ],
    }
}

/// Every event of the file that a gateway knows of; each receipt is checked against the signed directory.
async fn events(local: &Local, gateway: &GatewayId) -> Vec<v1::Event> {
    let opened = trusted::open(&local.directory_file(), None, trusted::now()).unwrap();
    let channel = local.operator_profile(gateway, OperatorRole::Viewer).unwrap().open().await.unwrap();
    let request = v1::TimelineRequest { file_code: CODE.to_owned(), ..v1::TimelineRequest::default() };
    let timeline = OperateServiceClient::new(channel).timeline(request).await.unwrap().into_inner();
    assert!(!timeline.cut);
    let mut events = Vec::new();
    for entry in timeline.entries {
        let receipt = entry.receipt.unwrap();
        verbs::receipt::check(&receipt, &opened.directory).unwrap();
        events.push(v1::Event::decode(receipt.event).unwrap());
    }
    events
}

/// Waits until the gateway knows of so many deliveries of the file's envelopes, wherever they happened.
async fn delivered(local: &Local, gateway: &GatewayId, expected: usize) -> Vec<v1::Event> {
    let is_delivered = |event: &&v1::Event| event.kind() == v1::EventKind::Delivered;
    let mut known = events(local, gateway).await;
    let mut looks = 0;
    while known.iter().filter(is_delivered).count() < expected && looks < 300 {
        // Receipts come home by themselves, in their own time: there is no event of this process to wait for.
        tokio::time::sleep(Duration::from_millis(100)).await;
        known = events(local, gateway).await;
        looks += 1;
    }
    let delivered: Vec<v1::Event> = known.iter().filter(is_delivered).cloned().collect();
    assert_eq!(delivered.len(), expected, "{known:#?}");
    delivered
}

#[tokio::test(flavor = "multi_thread")]
async fn a_land_file_goes_up_three_levels_is_paused_goes_on_and_its_result_comes_back_to_the_desk() {
    let folder = tempfile::tempdir().unwrap();
    let mut stage = Stage::new(folder.path()).await;
    // The file comes in while the land system loses its first answer: it is there once nevertheless.
    stage.land.next_call(LandFault::LosesAnswer);
    for _ in 0..2 {
        let answered = stage.desk.hand_in(&stage.near, &file()).await.unwrap();
        assert!(answered.success, "{answered:?}");
    }
    assert!(
        stage.land.until(PATIENCE, |register| register.files.get(CODE).is_some_and(|file| file.repeats == 1)).await
    );
    assert_eq!(stage.land.file(CODE).unwrap().papers.iter().map(|paper| paper.size).collect::<Vec<_>>(), [3 << 20, 23]);

    let asked = stage.land.ask_supplement(&stage.far, CODE, "Thiếu trích lục bản đồ", true).await.unwrap();
    assert_eq!(asked.result, 1, "{asked:?}");
    assert_eq!(stage.heard("YeuCauBoSungHoSo").await.body["LaTamDung"], true);

    // The district dies in the middle: what is on its way waits, and nothing comes twice.
    stage.federation.local.kill(1).unwrap();
    let map = [("Trích lục bản đồ".to_owned(), "trich-luc.pdf".to_owned(), b"map".to_vec())];
    let answered = stage.desk.send_supplement(&stage.near, CODE, "09/11/2026", &map).await.unwrap();
    assert!(answered.success, "{answered:?}");
    stage.federation.local.spawn(1).unwrap();
    stage.federation.local.wait_until_ready(1).await.unwrap();
    assert!(stage.land.until(PATIENCE, |register| !register.files[CODE].supplements.is_empty()).await);

    assert_eq!(stage.land.go_on(&stage.far, CODE, "09/11/2026").await.unwrap().result, 1);
    for _ in 0..2 {
        assert_eq!(stage.land.hand_over(&stage.far, CODE, "5", "Trình ký").await.unwrap().result, 1);
    }
    assert_eq!(stage.land.send_tax_notice(&stage.far, CODE, b"tax notice").await.unwrap().result, 1);
    assert_eq!(stage.heard("NhanBoSungHoSo").await.body["NgayHenTraMoi"], "2026-11-09");
    assert_eq!(stage.heard("ChuyenHoSo").await.body["MaTrangThai"], "5");
    assert_eq!(stage.heard("GuiKetQuaThue").await.files[0].status, 200);

    let results: [(&str, &[u8]); 1] = [("Giấy chứng nhận quyền sử dụng đất", b"the new certificate")];
    assert_eq!(stage.land.finish(&stage.far, CODE, &results).await.unwrap().result, 1);
    let end = stage.heard("KetThucHoSo").await;
    let link = end.body["DanhSachGiayToKetQua"][0]["LinkFile"].as_str().unwrap();
    assert!(
        link.starts_with(stage.near.trim_end_matches(NEAR_SECRET)),
        "the desk never sees the land system's links: {link}"
    );
    assert_eq!(end.files[0].sha256, gateway_model::Digest::of(b"the new certificate").to_string());
    assert!(stage.desk.hand_out(&stage.near, CODE, "2026-11-09").await.unwrap().success);
    assert!(stage.land.until(PATIENCE, |register| !register.files[CODE].returned.is_empty()).await);

    // Three envelopes up, five down, each delivered once; every receipt at every gateway holds.
    let local = &stage.federation.local;
    let deliveries = delivered(local, &local.gateways[0].id, 8).await;
    let at = |gateway: &str| deliveries.iter().filter(|event| event.gateway == gateway).count();
    assert_eq!((at("gw-commune"), at("gw-province")), (5, 3));
    for gateway in &local.gateways[1..] {
        assert!(!events(local, &gateway.id).await.is_empty());
    }
    let file = stage.land.file(CODE).unwrap();
    assert_eq!((file.repeats, file.supplements.len(), file.returned.len()), (1, 1, 1), "each effect once");
    assert_eq!((stage.desk.callbacks().len(), stage.desk.refused()), (5, 0));
    assert_no_secret_in_logs(local);
}

/// The shared codes, the citizen's name and the links stay out of every log.
fn assert_no_secret_in_logs(local: &Local) {
    for gateway in &local.gateways {
        let log = std::fs::read_to_string(&gateway.log).unwrap();
        for secret in [NEAR_SECRET, FAR_SECRET, DESK_SECRET, "Quàng Văn Pản", "099000000001", "/ket-qua/"] {
            assert!(!log.contains(secret), "{} has {secret} in its log", gateway.id);
        }
    }
}
