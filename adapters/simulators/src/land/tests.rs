//! The simulator itself: it keeps what it takes over a restart, and its faults do what they are named after.

use super::*;

fn any() -> SocketAddr {
    "127.0.0.1:0".parse().unwrap()
}

fn body(code: &str) -> Value {
    json!({
        "SoBienNhan": code, "TinhId": "99", "HuyenId": "30", "XaId": "01",
        "ThongTinNguoiNopDon": { "HoTen": "Quàng Văn Pản" },
        "DanhSachGiayToDinhKem": [{ "TenGiayTo": "Đơn", "TapTin": { "name": "don.pdf", "data": STANDARD.encode("scan") } }],
    })
}

#[tokio::test]
async fn a_file_is_kept_over_a_restart_and_exists_already_when_it_comes_again() {
    let folder = tempfile::tempdir().unwrap();
    let land = LandSystem::start(folder.path(), any()).await.unwrap();
    let (_, answer) = web::post(&format!("{}/tiepnhan", land.url()), &body("A-1")).await.unwrap();
    assert_eq!(answer["status"]["success"], true);
    let link = land.publish(b"result").unwrap();
    let address = land.stop().await;
    let land = LandSystem::start(folder.path(), address).await.unwrap();
    assert_eq!(land.file("A-1").unwrap().papers[0].sha256, sha256(b"scan"));
    let (_, answer) = web::post(&format!("{}/tiepnhan", land.url()), &body("A-1")).await.unwrap();
    assert_eq!(answer["status"]["success"], false);
    assert!(answer["status"]["message"].as_str().unwrap().contains("already exists"));
    assert_eq!(land.file("A-1").unwrap().repeats, 1);
    assert_eq!(web::get(&link).await.unwrap().1.as_ref(), b"result");
}

#[tokio::test]
async fn a_lost_answer_has_its_effect_and_a_failure_has_none() {
    let folder = tempfile::tempdir().unwrap();
    let land = LandSystem::start(folder.path(), any()).await.unwrap();
    let url = format!("{}/tiepnhan", land.url());
    for fault in [LandFault::Fails, LandFault::Page, LandFault::SaysAlreadyExists, LandFault::LosesAnswer] {
        land.next_call(fault);
    }
    assert_eq!(web::post(&url, &body("A-1")).await.unwrap().0, StatusCode::INTERNAL_SERVER_ERROR);
    assert_eq!(web::post(&url, &body("A-1")).await.unwrap().1, Value::Null);
    assert_eq!(web::post(&url, &body("A-1")).await.unwrap().1["status"]["success"], false);
    assert_eq!(land.file("A-1"), None);
    assert!(web::post(&url, &body("A-1")).await.is_err());
    assert!(land.file("A-1").is_some());
}
