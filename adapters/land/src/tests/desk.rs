//! The desk's side: every call and every callback; and both sides of the adapter back to back.

use std::time::Duration;

use adapters_sdk::Outcome;
use adapters_sdk::seal::describe::Content;
use adapters_simulators::land::{LandFault, LandSystem};
use adapters_simulators::onestop::{DeskFault, NewFile, OneStop};
use gateway_model::{Digest, Reason};
use proto::v1::envelope::Content as Wire;
use serde_json::json;

use super::stage::{DESK_CODE, Stage, any, kind, taken};
use crate::event;
use crate::fixture::{FILE_CODE, NOON, Sent};
use crate::land_case::{self, LandCase};

const BY_VALUE: &str = "results = \"value\"";
const PATIENCE: Duration = Duration::from_secs(30);

async fn desk() -> OneStop {
    OneStop::start(any(), DESK_CODE).await.unwrap()
}

fn file() -> NewFile {
    let paper = |name: &str, file: &str, bytes: &[u8]| (name.to_owned(), file.to_owned(), bytes.to_vec());
    NewFile {
        code: FILE_CODE.to_owned(),
        applicant: "Quàng Văn Pản".to_owned(),
        papers: vec![
            paper("Đơn đăng ký", "don.pdf", &[0xA5; 200_000]),
            paper("Tờ khai thuế", "../to khai.pdf", b"tax"),
            paper("Bản sao tờ khai", "ban-sao.pdf", b"tax"),
        ],
    }
}

#[tokio::test]
async fn a_file_becomes_a_dossier_for_the_land_office_and_the_same_file_again_exists_already() {
    let desk = desk().await;
    let stage = Stage::of_desk(&desk, BY_VALUE);
    let answered = desk.hand_in(&stage.base(), &file()).await.unwrap();
    assert!(answered.success && answered.http == 200, "{answered:?}");
    let envelope = stage.door.envelope(0);
    let case = envelope.case.clone().unwrap();
    assert_eq!((envelope.from.as_str(), envelope.to[0].agency.as_str()), ("h99.30.01", "h99.21"));
    assert_eq!(
        (case.file_code.as_str(), case.procedure_code.as_str(), case.step.as_str()),
        (FILE_CODE, "1.012783", "tiep-nhan")
    );
    let Some(Wire::Dossier(dossier)) = envelope.content.clone() else { panic!("it is a dossier") };
    assert_eq!((dossier.due_on.as_str(), dossier.state.as_str()), ("2026-11-02", "DA_TIEP_NHAN"));
    let names: Vec<&str> = envelope.parts.iter().map(|part| part.name.as_str()).collect();
    assert_eq!(names, ["ho-so.json", "don.pdf", "to khai.pdf"], "the same bytes are one part, a path is no name");
    let land_case = LandCase::read(&stage.door.part(&envelope, land_case::PART_ROLE)).unwrap();
    assert_eq!((land_case.papers.len(), land_case.parcels[0].area_m2), (3, 120.5));
    assert_eq!(land_case.papers[2].digest(), Some(Digest::of(b"tax")));

    let stage = stage.restart().await;
    let again = desk.hand_in(&stage.base(), &file()).await.unwrap();
    assert!(again.success && again.message.contains("already exists"), "{again:?}");
    let mut other = file();
    other.applicant = "Lường Thị Hặc".to_owned();
    let refused = desk.hand_in(&stage.base(), &other).await.unwrap();
    assert_eq!((refused.success, refused.code.as_str(), refused.http), (false, "409", 200), "{refused:?}");
    assert_eq!(stage.door.count(), 1);
}

#[tokio::test]
async fn success_is_answered_only_when_the_gateway_has_it() {
    let desk = desk().await;
    let stage = Stage::of_desk(&desk, BY_VALUE);
    stage.door.refuses_once(Reason::Draining);
    let answered = desk.hand_in(&stage.base(), &file()).await.unwrap();
    assert_eq!((answered.success, answered.http), (false, 503), "{answered:?}");
    *stage.door.loses_answer.lock().unwrap() = true;
    assert!(!desk.hand_in(&stage.base(), &file()).await.unwrap().success);
    let stage = stage.restart().await;
    assert!(desk.hand_in(&stage.base(), &file()).await.unwrap().success);
    assert_eq!(stage.door.count(), 1);
}

#[tokio::test]
async fn a_supplement_and_a_result_handed_out_belong_to_a_file_that_came_in_here() {
    let desk = desk().await;
    let stage = Stage::of_desk(&desk, BY_VALUE);
    let added = [("Trích lục".to_owned(), "trich-luc.pdf".to_owned(), b"map".to_vec())];
    let early = desk.send_supplement(&stage.base(), FILE_CODE, "09/11/2026", &added).await.unwrap();
    assert_eq!((early.success, early.code.as_str()), (false, "404"), "{early:?}");
    assert!(desk.hand_in(&stage.base(), &file()).await.unwrap().success);
    for _ in 0..2 {
        assert!(desk.send_supplement(&stage.base(), FILE_CODE, "09/11/2026", &added).await.unwrap().success);
        assert!(desk.hand_out(&stage.base(), FILE_CODE, "2026-11-03").await.unwrap().success);
    }
    assert_eq!(stage.door.count(), 3);
    let (supplement, returned) = (stage.door.envelope(1), stage.door.envelope(2));
    let Some(Wire::Dossier(dossier)) = supplement.content.clone() else { panic!("it is a dossier") };
    assert_eq!((dossier.due_on.as_str(), dossier.state.as_str()), ("2026-11-09", "DA_BO_SUNG"));
    assert_eq!(supplement.in_reply_to.clone().unwrap().id, stage.door.envelope(0).id);
    assert_eq!(supplement.case.unwrap().procedure_code, "1.012783", "the procedure is the file's");
    assert_eq!(returned.case.unwrap().step, "tra-ket-qua");
}

#[tokio::test]
async fn bad_input_gets_a_clear_no() {
    let desk = desk().await;
    let stage = Stage::of_desk(&desk, BY_VALUE);
    let said = async |change: &dyn Fn(&mut serde_json::Value)| {
        let mut body = OneStop::file(&file());
        change(&mut body);
        let answered = desk.call(&stage.base(), "tiepnhan", &body).await.unwrap();
        assert!(!answered.success, "{answered:?}");
        answered.message
    };
    assert!(said(&|body| body["SoBienNhan"] = json!("")).await.contains("SoBienNhan"));
    assert!(said(&|body| body["NgayHenTra"] = json!("31/04/2026")).await.contains("31/04/2026"));
    let paper = json!({ "TenGiayTo": "x" });
    let many = said(&|body| body["DanhSachGiayToDinhKem"] = json!(vec![&paper; 10_000])).await;
    assert!(many.starts_with("PARTS_TOO_MANY") && many.contains("10000 papers"), "{many}");
    let broken = json!([{ "TenGiayTo": "x", "TapTin": { "name": "x.pdf", "data": "A".repeat(40_001) } }]);
    let broken = said(&|body| body["DanhSachGiayToDinhKem"] = broken.clone()).await;
    assert!(broken.contains("DanhSachGiayToDinhKem[0].TapTin.data: is not base64"), "{broken}");
    assert!(said(&|body| *body = json!("<html>")).await.starts_with("REQUEST_MALFORMED"));
    let nobody = desk.hand_in(&format!("{}/sai", stage.origin()), &file()).await.unwrap();
    assert_eq!((nobody.success, nobody.http), (false, 403));
    let unknown = desk.call(&stage.base(), "xoahoso", &json!({})).await.unwrap();
    assert_eq!((unknown.success, unknown.code.as_str()), (false, "404"));
    assert_eq!(stage.door.count(), 0);
    assert!(stage.kept("aside").is_empty(), "nothing of what was refused is left");
    assert!(!stage.kept("quarantine").is_empty(), "but the calls, each with its reason, for a person");
}

fn event(number: u8, code: &str) -> Sent<'static> {
    let content = Content::Status { code: code.to_owned(), description: "Ghi chú".into(), at: NOON };
    let parts: Vec<(&str, &str, &[u8])> = vec![("ket-qua.pdf", "Giấy chứng nhận", b"certificate")];
    Sent { number, from: "h99.21", to: "h99.30.01", step: "", content, parts }
}

#[tokio::test]
async fn statuses_of_a_land_office_without_this_adapter_become_callbacks_too() {
    let desk = desk().await;
    let stage = Stage::of_desk(&desk, BY_VALUE);
    for (number, code) in [(1, "7"), (2, event::PAUSED), (3, event::RESUMED), (4, event::TAX_NOTICE), (5, event::DONE)]
    {
        assert_eq!(stage.deliver(&event(number, code).delivery()).await, taken(), "{code}");
    }
    let callbacks = desk.callbacks();
    let names: Vec<&str> = callbacks.iter().map(|callback| callback.name.as_str()).collect();
    assert_eq!(names, ["ChuyenHoSo", "YeuCauBoSungHoSo", "NhanBoSungHoSo", "GuiKetQuaThue", "KetThucHoSo"]);
    assert_eq!(callbacks[0].body["MaTrangThai"], "7");
    assert_eq!(callbacks[1].body["LaTamDung"], true);
    assert_eq!(callbacks[4].files[0].sha256, Digest::of(b"certificate").to_string());
    let odd = Sent { from: "h99.21", to: "h99.30.01", ..Sent::dossier() };
    assert_eq!(kind(&stage.deliver(&odd.delivery()).await), "refused", "a desk takes no new files");
}

#[tokio::test]
async fn a_desk_that_fails_is_asked_again_and_takes_each_callback_once() {
    let desk = desk().await;
    let stage = Stage::of_desk(&desk, BY_VALUE);
    let mut delivery = event(1, "7").delivery();
    for (fault, expected) in [
        (DeskFault::Fails, "down"),
        (DeskFault::Page, "down"),
        (DeskFault::SaysNo, "later"),
        (DeskFault::LosesAnswer, "down"),
    ] {
        desk.next_callback(fault.clone());
        assert_eq!(kind(&stage.deliver(&delivery).await), expected, "{fault:?}");
    }
    assert_eq!(stage.deliver(&delivery).await, taken());
    let stage = stage.restart().await;
    assert_eq!(stage.deliver(&delivery).await, taken());
    assert_eq!(desk.callbacks().len(), 1);
    delivery = event(2, "8").delivery();
    // Hours in which the desk was down say nothing about what it thinks.
    delivery.attempt = 50;
    for expected in ["later", "later", "later", "later", "refused"] {
        desk.next_callback(DeskFault::SaysNo);
        assert_eq!(kind(&stage.deliver(&delivery).await), expected, "a desk that says no again and again means it");
    }
    let stranger = Sent { from: "h99.12", ..event(3, event::DONE) };
    let outcome = stage.deliver(&stranger.delivery()).await;
    assert!(matches!(&outcome, Outcome::Refused { detail, .. } if detail.contains("h99.21")), "{outcome:?}");
}

#[tokio::test]
async fn a_desk_that_has_a_callback_already_took_it_when_its_answer_was_lost_and_only_then() {
    let desk = desk().await;
    let stage = Stage::of_desk(&desk, BY_VALUE);
    let delivery = event(1, "7").delivery();
    desk.next_callback(DeskFault::LosesAnswer);
    assert_eq!(kind(&stage.deliver(&delivery).await), "down");
    // The lost answer is remembered over a restart.
    let stage = stage.restart().await;
    desk.next_callback(DeskFault::SaysAlreadyExists);
    assert_eq!(stage.deliver(&delivery).await, taken());
    assert_eq!(stage.deliver(&delivery).await, taken());
    assert_eq!(desk.callbacks().len(), 1);
    desk.next_callback(DeskFault::SaysAlreadyExists);
    let outcome = stage.deliver(&event(2, "8").delivery()).await;
    assert_eq!(kind(&outcome), "later", "what it was never asked before it cannot have");
}

#[tokio::test]
async fn a_file_that_the_land_office_did_not_take_comes_back_to_the_desk_and_can_be_handed_in_again() {
    let folder = tempfile::tempdir().unwrap();
    let (desk, land) = (desk().await, LandSystem::start(folder.path(), any()).await.unwrap());
    let (near, far) = (Stage::of_desk(&desk, BY_VALUE), Stage::of_land(&land, ""));
    assert!(desk.hand_in(&near.base(), &file()).await.unwrap().success);
    land.next_call(LandFault::Refuses("12".into()));
    assert_eq!(kind(&far.deliver(&near.door.delivery(0, "h99.30.01", "h99.21")).await), "refused");
    assert_eq!(near.deliver(&far.door.delivery(0, "h99.21", "h99.30.01")).await, taken());
    let told = desk.callbacks().remove(0);
    assert_eq!((told.name.as_str(), &told.body["TrangThaiKetThuc"]), ("KetThucHoSo", &json!(1)));
    assert_eq!(told.body["GhiChu"], "refused");
    let near = near.restart().await;
    let early = desk.send_supplement(&near.base(), FILE_CODE, "09/11/2026", &[]).await.unwrap();
    assert!(!early.success && early.message.contains("hand it in again"), "{early:?}");
    // The very same file again, because the land office has mended its own side; and again, because the desk did not hear.
    for _ in 0..2 {
        assert!(desk.hand_in(&near.base(), &file()).await.unwrap().success);
    }
    assert_eq!(near.door.count(), 2, "a new envelope, once");
    assert_eq!(far.deliver(&near.door.delivery(1, "h99.30.01", "h99.21")).await, taken());
    assert_eq!(land.file(FILE_CODE).unwrap().applicant, "Quàng Văn Pản");
    let mut other = file();
    other.applicant = "Lường Thị Hặc".to_owned();
    assert!(!desk.hand_in(&near.base(), &other).await.unwrap().success, "the code stands for that file again");
    land.hand_over(&far.base(), FILE_CODE, "3", "").await.unwrap();
    assert_eq!(far.door.envelope(1).in_reply_to.unwrap().id, near.door.envelope(1).id);
}

#[tokio::test]
async fn result_files_go_by_a_link_that_nobody_guesses_and_that_ends() {
    let desk = desk().await;
    // The adapter's own address is known only once it listens: the link's host is put right by hand here.
    let stage = Stage::of_desk(&desk, "public_url = \"http://127.0.0.1:1\"\nlink_life = \"1h\"");
    let delivery = event(1, event::DONE).delivery();
    assert_eq!(stage.deliver(&delivery).await, taken());
    let link = desk.callbacks()[0].body["DanhSachGiayToKetQua"][0]["LinkFile"].as_str().unwrap().to_owned();
    let path = link.strip_prefix("http://127.0.0.1:1").unwrap();
    let get = async |stage: &Stage, path: &str| raw_get(&stage.origin(), path).await;
    let answer = get(&stage, path).await;
    assert!(answer.starts_with("HTTP/1.1 200") && answer.ends_with("certificate"), "{answer}");
    assert!(
        answer.contains("x-content-type-options: nosniff")
            && answer.contains("attachment; filename*=UTF-8''ket-qua.pdf")
    );
    let stage = stage.restart().await;
    assert!(get(&stage, path).await.ends_with("certificate"), "a link outlives the process");
    let guessed = format!("/tep/{}", "0".repeat(64));
    for wrong in [guessed.as_str(), "/tep/key", "/tep/..%2Fkey", "/tep/"] {
        assert!(get(&stage, wrong).await.starts_with("HTTP/1.1 404"), "{wrong}");
    }
    let token = path.strip_prefix("/tep/").unwrap();
    let note = stage.folder.path().join("state/results").join(format!("{token}.json"));
    let text = std::fs::read_to_string(&note).unwrap();
    let mut ended: serde_json::Value = serde_json::from_str(&text).unwrap();
    ended["expires_at"] = json!(1_000);
    std::fs::write(&note, ended.to_string()).unwrap();
    assert!(get(&stage, path).await.starts_with("HTTP/1.1 410"));
    for (name, age) in [("a", 25), ("b", 23)] {
        let begun = std::fs::File::create(stage.folder.path().join(format!("state/results/{name}.bin"))).unwrap();
        begun.set_modified(std::time::SystemTime::now() - Duration::from_secs(age * 3_600)).unwrap();
    }
    let stage = stage.restart().await;
    let mut kept = stage.kept("results");
    kept.sort();
    assert_eq!(kept, ["b.bin", "key"], "what has ended, and what was begun long ago, is removed");
    assert_eq!(stage.deliver(&event(2, event::DONE).delivery()).await, taken());
    assert!(
        desk.callbacks()[1].body["DanhSachGiayToKetQua"][0]["LinkFile"] != link.as_str(),
        "each delivery has its own"
    );
}

async fn raw_get(origin: &str, path: &str) -> String {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let mut stream = tokio::net::TcpStream::connect(origin.strip_prefix("http://").unwrap()).await.unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.unwrap();
    String::from_utf8_lossy(&answer).into_owned()
}

#[tokio::test]
async fn desk_and_land_system_talk_through_both_sides_as_if_there_were_nothing_between() {
    let folder = tempfile::tempdir().unwrap();
    let (desk, land) = (desk().await, LandSystem::start(folder.path(), any()).await.unwrap());
    let (near, far) = (Stage::of_desk(&desk, BY_VALUE), Stage::of_land(&land, ""));
    assert!(desk.hand_in(&near.base(), &file()).await.unwrap().success);
    assert_eq!(far.deliver(&near.door.delivery(0, "h99.30.01", "h99.21")).await, taken());
    let taken_in = land.file(FILE_CODE).unwrap();
    assert_eq!((taken_in.applicant.as_str(), taken_in.procedure.as_str()), ("Quàng Văn Pản", "1.012783"));
    let digests: Vec<&str> = taken_in.papers.iter().map(|paper| paper.sha256.as_str()).collect();
    let expected =
        [Digest::of(&[0xA5; 200_000]), Digest::of(b"tax"), Digest::of(b"tax")].map(|digest| digest.to_string());
    assert_eq!(digests, expected);
    let base = far.base();
    land.ask_supplement(&base, FILE_CODE, "Thiếu trích lục", true).await.unwrap();
    land.go_on(&base, FILE_CODE, "09/11/2026").await.unwrap();
    land.send_tax_notice(&base, FILE_CODE, b"notice").await.unwrap();
    land.finish(&base, FILE_CODE, &[("Giấy chứng nhận", b"certificate")]).await.unwrap();
    for place in 0..4 {
        assert_eq!(near.deliver(&far.door.delivery(place, "h99.21", "h99.30.01")).await, taken());
    }
    assert!(desk.until(PATIENCE, |callbacks| callbacks.len() == 4).await);
    let callbacks = desk.callbacks();
    assert_eq!(callbacks[0].body["GhiChu"], "Thiếu trích lục");
    assert_eq!(callbacks[1].body["NgayHenTraMoi"], "2026-11-09");
    assert_eq!(callbacks[2].body["DanhSachThongBaoThue"][0]["SoThongBaoThue"], "TB-0099/2026");
    assert_eq!(callbacks[2].files[0].sha256, Digest::of(b"notice").to_string());
    assert_eq!(callbacks[3].files[0].sha256, Digest::of(b"certificate").to_string());
}
