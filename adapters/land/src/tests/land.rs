//! The land office's side: every call and every callback, and what goes wrong with them.

use adapters_sdk::Outcome;
use adapters_sdk::seal::describe::Content;
use adapters_simulators::land::{LandFault, LandSystem};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use gateway_model::{Digest, Reason};
use proto::v1::envelope::Content as Wire;
use serde_json::json;

use super::stage::{CODE, Stage, any, kind, taken};
use crate::event::{self, LandEvent};
use crate::fixture::{FILE_CODE, Sent};
use crate::land_case::{self, LandCase};
use crate::vocabulary::{Callback, TiepNhan};

async fn land(folder: &tempfile::TempDir) -> LandSystem {
    LandSystem::start(folder.path(), any()).await.unwrap()
}

fn case_json(scan: &[u8]) -> Vec<u8> {
    let file = json!({
        "SoBienNhan": FILE_CODE, "TinhId": "99", "HuyenId": "30", "XaId": "01", "NgayHenTra": "02/11/2026",
        "ThongTinNguoiNopDon": { "HoTen": "Quàng Văn Pản" }, "ThongTinQuyTrinh": { "MaQuyTrinh": "1.012783" },
    });
    let file: TiepNhan = serde_json::from_value(file).unwrap();
    let paper = land_case::Paper {
        name: "Đơn đăng ký".into(),
        originals: 1,
        copies: 0,
        file: Some(land_case::PaperFile { name: "don.pdf".into(), sha256: Digest::of(scan).to_string() }),
    };
    let without = land_case::Paper { name: "Sổ hộ khẩu".into(), copies: 1, ..land_case::Paper::default() };
    LandCase::of_file(&file, vec![paper, without]).write()
}

#[tokio::test]
async fn a_dossier_becomes_a_file_with_its_papers_and_comes_in_once_however_often_it_is_delivered() {
    let folder = tempfile::tempdir().unwrap();
    let land = land(&folder).await;
    let stage = Stage::of_land(&land, "");
    let scan = vec![0xA5; 300_000];
    let case = case_json(&scan);
    let parts = vec![("ho-so.json", land_case::PART_ROLE, case.as_slice()), ("don.pdf", "Đơn", scan.as_slice())];
    let delivery = Sent { parts, ..Sent::dossier() }.delivery();
    for _ in 0..2 {
        assert_eq!(stage.deliver(&delivery).await, taken());
    }
    let stage = stage.restart().await;
    assert_eq!(stage.deliver(&delivery).await, taken());
    let file = land.file(FILE_CODE).unwrap();
    assert_eq!((file.applicant.as_str(), file.due.as_str(), file.repeats), ("Quàng Văn Pản", "2026-11-02", 0));
    assert_eq!(file.papers.len(), 2);
    assert_eq!((file.papers[0].file_name.as_str(), file.papers[0].size), ("don.pdf", 300_000));
    assert_eq!(file.papers[0].sha256, Digest::of(&scan).to_string());
    assert_eq!((file.papers[1].name.as_str(), file.papers[1].sha256.as_str()), ("Sổ hộ khẩu", ""));
}

#[tokio::test]
async fn a_dossier_without_a_land_case_is_told_with_what_the_envelope_has() {
    let folder = tempfile::tempdir().unwrap();
    let land = land(&folder).await;
    let stage = Stage::of_land(&land, "");
    let delivery = Sent { parts: vec![("don.pdf", "Đơn đăng ký", b"scan")], ..Sent::dossier() }.delivery();
    assert_eq!(stage.deliver(&delivery).await, taken());
    let file = land.file(FILE_CODE).unwrap();
    assert_eq!((file.procedure.as_str(), file.due.as_str()), ("1.012783", "2026-11-02"));
    assert_eq!((file.papers[0].name.as_str(), file.papers[0].size), ("Đơn đăng ký", 4));
}

#[tokio::test]
async fn an_answer_that_is_lost_after_the_file_was_taken_leads_to_one_file() {
    let folder = tempfile::tempdir().unwrap();
    let land = land(&folder).await;
    let stage = Stage::of_land(&land, "");
    let delivery = Sent::dossier().delivery();
    land.next_call(LandFault::LosesAnswer);
    assert_eq!(kind(&stage.deliver(&delivery).await), "down");
    let called = land.hand_over(&stage.base(), FILE_CODE, "1", "").await.unwrap();
    assert_eq!(called.result, 1, "a callback that overtakes the answer finds whom to answer: {called:?}");
    let stage = stage.restart().await;
    assert_eq!(stage.deliver(&delivery).await, taken());
    assert_eq!(land.register().files.len(), 1);
    assert_eq!(land.file(FILE_CODE).unwrap().repeats, 1, "it said that it exists already, and that is success");
}

#[tokio::test]
async fn what_goes_wrong_is_told_apart_by_its_kind() {
    let folder = tempfile::tempdir().unwrap();
    let system = land(&folder).await;
    let stage = Stage::of_land(&system, "");
    let delivery = Sent::dossier().delivery();
    let expected = [
        (LandFault::Fails, "down"),
        (LandFault::Page, "down"),
        (LandFault::Slow(std::time::Duration::from_secs(30)), "down"),
        (LandFault::Refuses("503".into()), "down"),
        (LandFault::Refuses("12".into()), "refused"),
    ];
    for (fault, expected) in expected {
        system.next_call(fault.clone());
        let outcome = stage.deliver(&delivery).await;
        assert_eq!(kind(&outcome), expected, "{fault:?}: {outcome:?}");
    }
    let address = system.stop().await;
    assert_eq!(kind(&stage.deliver(&delivery).await), "down", "nobody is there");
    let system = LandSystem::start(folder.path(), address).await.unwrap();
    system.next_call(LandFault::SaysAlreadyExists);
    assert_eq!(stage.deliver(&delivery).await, taken(), "our own file exists already");
    let mut odd = Sent {
        content: Content::Document {
            code: "1/UBND".into(),
            type_name: "Công văn".into(),
            subject: "x".into(),
            promulgated_on: "2026-10-08".into(),
        },
        ..Sent::dossier()
    };
    assert_eq!(kind(&stage.deliver(&odd.delivery()).await), "refused", "the land system has no call for a document");
    odd = Sent { parts: vec![("ho-so.json", land_case::PART_ROLE, b"<html>")], ..Sent::dossier() };
    assert_eq!(kind(&stage.deliver(&odd.delivery()).await), "refused");
}

#[tokio::test]
async fn a_file_code_belongs_to_the_agency_and_the_envelope_that_brought_it() {
    let folder = tempfile::tempdir().unwrap();
    let land = land(&folder).await;
    let stage = Stage::of_land(&land, "");
    assert_eq!(stage.deliver(&Sent::dossier().delivery()).await, taken());
    let others = [
        Sent { number: 2, from: "h99.30.02", ..Sent::dossier() },
        Sent { number: 3, from: "h99.30.01", ..Sent::dossier() },
        Sent { number: 4, from: "h99.30.02", step: "bo-sung", ..Sent::dossier() },
    ];
    for other in others {
        let outcome = stage.deliver(&other.delivery()).await;
        assert_eq!(kind(&outcome), "refused", "{outcome:?}");
    }
    assert_eq!(land.file(FILE_CODE).unwrap().repeats, 0, "the land system was not even asked");
}

#[tokio::test]
async fn a_code_whose_file_was_refused_is_free_for_another_agency() {
    let folder = tempfile::tempdir().unwrap();
    let land = land(&folder).await;
    let stage = Stage::of_land(&land, "");
    land.next_call(LandFault::Refuses("12".into()));
    assert_eq!(kind(&stage.deliver(&Sent::dossier().delivery()).await), "refused");
    assert_eq!(land.hand_over(&stage.base(), FILE_CODE, "1", "").await.unwrap().result, 0, "nobody has that file");
    let stage = stage.restart().await;
    let other = Sent { number: 2, from: "h99.30.02", ..Sent::dossier() };
    assert_eq!(stage.deliver(&other.delivery()).await, taken());
    assert_eq!(land.hand_over(&stage.base(), FILE_CODE, "1", "").await.unwrap().result, 1);
    assert_eq!(stage.door.envelope(1).to[0].agency, "h99.30.02");
}

#[tokio::test]
async fn whoever_sent_what_was_refused_is_told_once_and_before_the_gateway_is() {
    let folder = tempfile::tempdir().unwrap();
    let land = land(&folder).await;
    let stage = Stage::of_land(&land, "");
    let delivery = Sent::dossier().delivery();
    stage.door.refuses_once(Reason::StoreFull);
    land.next_call(LandFault::Refuses("12".into()));
    assert_eq!(kind(&stage.deliver(&delivery).await), "later", "the refusal counts only when the sender can be told");
    *stage.door.loses_answer.lock().unwrap() = true;
    land.next_call(LandFault::Refuses("12".into()));
    assert_eq!(kind(&stage.deliver(&delivery).await), "later");
    let stage = stage.restart().await;
    for _ in 0..2 {
        land.next_call(LandFault::Refuses("12".into()));
        assert_eq!(kind(&stage.deliver(&delivery).await), "refused");
    }
    assert_eq!(stage.door.count(), 1);
    let told = stage.door.envelope(0);
    assert_eq!((told.to[0].agency.as_str(), told.case.clone().unwrap().step.as_str()), ("h99.30.01", "tu-choi"));
    assert_eq!(told.in_reply_to.clone().unwrap().id, delivery.key.id.to_string());
    let Some(Wire::Status(status)) = told.content.clone() else { panic!("it is a status") };
    assert_eq!((status.code.as_str(), status.description.as_str()), (event::REFUSED, "refused"));
    let (callback, _) = LandEvent::read(&stage.door.part(&told, event::PART_ROLE)).unwrap();
    let Callback::KetThucHoSo(body) = callback else { panic!("it is the end of the file") };
    assert_eq!((body.trang_thai_ket_thuc, body.ghi_chu.as_str()), (1, "refused"));
}

#[tokio::test]
async fn a_supplement_whose_answer_was_lost_says_that_it_comes_again() {
    let folder = tempfile::tempdir().unwrap();
    let land = land(&folder).await;
    let stage = Stage::of_land(&land, "");
    assert_eq!(stage.deliver(&Sent::dossier().delivery()).await, taken());
    let content =
        Content::Dossier { subject: "Bổ sung".into(), due_on: "2026-11-09".into(), state: "DA_BO_SUNG".into() };
    let supplement = Sent { number: 2, step: "bo-sung", content, ..Sent::dossier() }.delivery();
    land.next_call(LandFault::LosesAnswer);
    assert_eq!(kind(&stage.deliver(&supplement).await), "down");
    let stage = stage.restart().await;
    for _ in 0..2 {
        assert_eq!(stage.deliver(&supplement).await, taken());
    }
    let notes: Vec<String> = land.file(FILE_CODE).unwrap().supplements.into_iter().map(|one| one.note).collect();
    assert_eq!(notes.len(), 2, "nobody can ask this vocabulary whether it arrived");
    assert!(!notes[0].contains("Gửi lại") && notes[1].contains("Gửi lại"), "{notes:?}");
}

#[tokio::test]
async fn a_supplement_waits_for_its_file_and_the_result_handed_out_ends_it() {
    let folder = tempfile::tempdir().unwrap();
    let land = land(&folder).await;
    let stage = Stage::of_land(&land, "");
    let content =
        Content::Dossier { subject: "Bổ sung".into(), due_on: "2026-11-09".into(), state: "DA_BO_SUNG".into() };
    let supplement = Sent {
        number: 2,
        step: "bo-sung",
        content,
        parts: vec![("trich-luc.pdf", "Trích lục", b"map")],
        ..Sent::dossier()
    };
    // Hours in which the land system was down say nothing about what it thinks.
    let mut patient = supplement.delivery();
    patient.attempt = 50;
    for expected in ["later", "later", "later", "later", "later", "refused"] {
        assert_eq!(
            kind(&stage.deliver(&patient).await),
            expected,
            "it may have overtaken a file that nobody knows yet"
        );
    }
    let told = stage.door.envelope(0);
    assert_eq!((told.to[0].agency.as_str(), told.case.unwrap().step.as_str()), ("h99.30.01", "tu-choi"));
    land.next_call(LandFault::Fails);
    assert_eq!(kind(&stage.deliver(&Sent::dossier().delivery()).await), "down");
    assert_eq!(kind(&stage.deliver(&patient).await), "later", "the file is on its way");
    assert_eq!(stage.deliver(&Sent::dossier().delivery()).await, taken());
    for _ in 0..2 {
        assert_eq!(stage.deliver(&supplement.delivery()).await, taken());
    }
    let returned =
        Content::Status { code: "DA_TRA_KET_QUA".into(), description: String::new(), at: crate::fixture::NOON };
    let returned = Sent { number: 3, step: "tra-ket-qua", content: returned, ..Sent::dossier() };
    for _ in 0..2 {
        assert_eq!(stage.deliver(&returned.delivery()).await, taken());
    }
    let file = land.file(FILE_CODE).unwrap();
    assert_eq!(file.supplements.len(), 1);
    assert!(file.supplements[0].note.contains("Gửi lại"), "{}", file.supplements[0].note);
    assert_eq!(
        (file.supplements[0].due.as_str(), file.supplements[0].papers[0].name.as_str()),
        ("2026-11-09", "Trích lục")
    );
    assert_eq!(file.returned, ["2026-10-08T11:00:00+07:00"], "{:?}", file.returned);
}

#[tokio::test]
async fn every_callback_becomes_one_sealed_envelope_to_the_agency_that_sent_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let land = land(&folder).await;
    let stage = Stage::of_land(&land, "");
    let base = stage.base();
    let dossier = Sent::dossier().delivery();
    assert_eq!(stage.deliver(&dossier).await, taken());
    let called = [
        land.hand_over(&base, FILE_CODE, "3", "Đang thẩm định").await.unwrap(),
        land.ask_supplement(&base, FILE_CODE, "Thiếu trích lục", true).await.unwrap(),
        land.go_on(&base, FILE_CODE, "09/11/2026").await.unwrap(),
        land.send_tax_notice(&base, FILE_CODE, b"tax notice").await.unwrap(),
        land.finish(&base, FILE_CODE, &[("Giấy chứng nhận", b"certificate"), ("Bản sao", b"certificate")])
            .await
            .unwrap(),
    ];
    assert!(called.iter().all(|called| called.result == 1 && called.status == 200), "{called:?}");
    assert_eq!(stage.door.count(), 5);
    let expected = [
        ("chuyen-ho-so", "3", ""),
        ("yeu-cau-bo-sung", event::PAUSED, ""),
        ("nhan-bo-sung", event::RESUMED, "2026-11-09"),
        ("ket-qua-thue", event::TAX_NOTICE, ""),
        ("ket-thuc", event::DONE, ""),
    ];
    for (place, (step, code, due)) in expected.into_iter().enumerate() {
        let envelope = stage.door.envelope(place);
        let case = envelope.case.clone().unwrap();
        assert_eq!((envelope.from.as_str(), envelope.to[0].agency.as_str()), ("h99.21", "h99.30.01"));
        assert_eq!((case.file_code.as_str(), case.step.as_str(), case.issuer.as_str()), (FILE_CODE, step, "h99.30.01"));
        let reply = envelope.in_reply_to.clone().unwrap();
        assert_eq!((reply.id, reply.sha256.as_ref()), (dossier.key.id.to_string(), &dossier.digest.0[..]));
        let said = match envelope.content.clone().unwrap() {
            Wire::Status(status) => (status.code, String::new()),
            Wire::Dossier(dossier) => (dossier.state, dossier.due_on),
            other => panic!("{other:?}"),
        };
        assert_eq!(said, (code.to_owned(), due.to_owned()));
    }
    let last = stage.door.envelope(4);
    assert_eq!(stage.door.part(&last, "Giấy chứng nhận").as_ref(), b"certificate");
    let (callback, files) = LandEvent::read(&stage.door.part(&last, event::PART_ROLE)).unwrap();
    assert_eq!((last.parts.len(), files.len()), (2, 2), "two papers with the same bytes are one part");
    let Callback::KetThucHoSo(body) = callback else { panic!("it is the end") };
    assert_eq!(body.danh_sach_giay_to_ket_qua[1].ten_giay_to, "Bản sao");
    assert!(stage.kept("sealed").is_empty() && stage.kept("aside").is_empty(), "nothing is left behind");
}

#[tokio::test]
async fn the_same_callback_again_is_one_envelope_over_refusals_lost_answers_and_restarts() {
    let folder = tempfile::tempdir().unwrap();
    let land = land(&folder).await;
    let stage = Stage::of_land(&land, "");
    assert_eq!(stage.deliver(&Sent::dossier().delivery()).await, taken());
    let call = async |stage: &Stage| land.hand_over(&stage.base(), FILE_CODE, "3", "x").await.unwrap();
    stage.door.refuses_once(Reason::StoreFull);
    let called = call(&stage).await;
    assert_eq!((called.result, called.status), (0, 503), "nothing is answered before it is durable: {called:?}");
    *stage.door.loses_answer.lock().unwrap() = true;
    assert_eq!(call(&stage).await.result, 0);
    let stage = stage.restart().await;
    *stage.door.now.lock().unwrap() = crate::fixture::NOON.plus(std::time::Duration::from_secs(3_600));
    let called = call(&stage).await;
    assert_eq!((called.result, stage.door.count()), (1, 1), "the repeat has the same bytes: {called:?}");
    let stage = stage.restart().await;
    assert!(call(&stage).await.message.contains("trước đó"));
    let base = stage.base();
    let (one, other) =
        tokio::join!(land.hand_over(&base, FILE_CODE, "4", "y"), land.hand_over(&base, FILE_CODE, "4", "y"));
    assert_eq!((one.unwrap().result, other.unwrap().result), (1, 1));
    assert_eq!(stage.door.count(), 2);
    stage.door.refuses_once(Reason::RecipientUnknown);
    let refused = land.hand_over(&stage.base(), FILE_CODE, "5", "").await.unwrap();
    assert_eq!((refused.result, refused.status), (0, 200));
    assert!(refused.message.starts_with("RECIPIENT_UNKNOWN"), "{refused:?}");
    assert_eq!(land.hand_over(&stage.base(), FILE_CODE, "5", "").await.unwrap().result, 1, "made anew, it may get in");
}

#[tokio::test]
async fn a_stranger_an_unknown_file_and_bad_input_get_a_clear_no() {
    let folder = tempfile::tempdir().unwrap();
    let land = land(&folder).await;
    let stage = Stage::of_land(&land, "");
    assert_eq!(stage.deliver(&Sent::dossier().delivery()).await, taken());
    let stranger = land.hand_over(&format!("{}/ma-sai", stage.origin()), FILE_CODE, "3", "").await.unwrap();
    assert_eq!((stranger.status, stranger.result), (403, 0));
    assert!(!stranger.message.contains(CODE) && !stranger.message.contains("ma-sai"));
    let unknown = land.hand_over(&stage.base(), "H99.30.01-261008-9999", "3", "").await.unwrap();
    assert_eq!((unknown.status, unknown.result), (200, 0));
    assert!(unknown.message.starts_with("NOT_FOUND") && unknown.message.contains("SoBienNhan"), "{unknown:?}");
    assert_eq!(stage.kept("quarantine").len(), 1);
    let said = async |name: &str, body: serde_json::Value| {
        let called = land.callback(&stage.base(), name, &body).await.unwrap();
        assert_eq!(called.result, 0, "{called:?}");
        called.message
    };
    assert!(said("XoaHoSo", json!({})).await.starts_with("NOT_FOUND"));
    assert!(said("ChuyenHoSo", json!({ "MaTrangThai": "3" })).await.contains("SoBienNhan"));
    let impossible = json!({ "SoBienNhan": FILE_CODE, "NgayHenTraMoi": "30/02/2026" });
    assert!(said("NhanBoSungHoSo", impossible).await.contains("30/02/2026"));
    let many = json!({ "SoBienNhan": FILE_CODE, "DanhSachGiayToKetQua": vec![json!({ "TenGiayTo": "x" }); 10_000] });
    assert!(said("KetThucHoSo", many).await.starts_with("PARTS_TOO_MANY"));
    let result = |file: serde_json::Value| json!({ "SoBienNhan": FILE_CODE, "DanhSachGiayToKetQua": [file] });
    for link in
        ["http://10.0.0.9/f", "http://169.254.169.254/latest", "http://127.0.0.2/f", "file:///etc/passwd", "x y"]
    {
        let message = said("KetThucHoSo", result(json!({ "LinkFile": link }))).await;
        assert!(
            message.starts_with("REQUEST_MALFORMED") && message.contains("DanhSachGiayToKetQua[0]"),
            "{link}: {message}"
        );
    }
    let gone = format!("{}/ket-qua/nothing?secret=canary-1234", land.origin());
    assert!(!said("KetThucHoSo", result(json!({ "LinkFile": gone }))).await.contains("canary-1234"));
    let value = json!({ "TenGiayTo": "x", "TapTin": { "name": "x.pdf", "data": "không phải base64" } });
    assert!(said("KetThucHoSo", result(value)).await.contains("is not base64"));
    assert_eq!(stage.door.count(), 0);
    let value =
        json!({ "TenGiayTo": "Giấy chứng nhận", "TapTin": { "name": "x.pdf", "data": STANDARD.encode("scan") } });
    let called = land.callback(&stage.base(), "KetThucHoSo", &result(value)).await.unwrap();
    assert_eq!((called.result, stage.door.count()), (1, 1), "{called:?}");
    assert_eq!(stage.door.part(&stage.door.envelope(0), "Giấy chứng nhận").as_ref(), b"scan");
    let query = format!("{}/ChuyenHoSo?code={CODE}&", stage.origin());
    let called = land.callback(&query, "x", &json!({})).await.unwrap();
    assert_eq!(called.result, 0, "the code may stand in the query as well: {called:?}");
    assert!(called.message.contains("SoBienNhan"), "{called:?}");
}

#[tokio::test]
async fn health_tells_of_our_own_disk_and_handing_over_needs_no_door() {
    use adapters_sdk::{Adapter as _, Health};
    let folder = tempfile::tempdir().unwrap();
    let land = land(&folder).await;
    let stage = Stage::of_land(&land, "");
    assert_eq!(stage.adapter.check().await, Health::Up);
    std::fs::remove_dir_all(stage.folder.path().join("state/aside")).unwrap();
    assert!(matches!(stage.adapter.check().await, Health::Down { .. }));
    stage.door.close();
    let outcome = stage.deliver(&Sent::dossier().delivery()).await;
    assert!(matches!(outcome, Outcome::Taken { .. }), "handing over needs no door: {outcome:?}");
}
