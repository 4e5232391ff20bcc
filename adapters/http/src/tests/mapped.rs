//! A system posts the body that it has, and a table says what it means.

use proto::v1;

use super::*;

const TABLE: &str = r#"
[in.body]
to = "$noiNhan"
kind = "dossier"
subject = "$hoSo.trichYeu"
file_code = "$hoSo.soBienNhan"
due_on = "$hoSo.ngayHenTra"
priority = "$doKhan"
state = "$$moi"
parts = "$tep"
[in.body.part]
name = "$ten"
content = "$noiDung"
role = "$loai"
"#;

fn theirs() -> Value {
    json!({
        "noiNhan": "H99.50",
        "doKhan": "1",
        "hoSo": { "trichYeu": "Hồ sơ đăng ký biến động", "soBienNhan": "H99.50.05.13-261008-0975", "ngayHenTra": "2026-11-09" },
        "tep": [{ "ten": "đơn.pdf", "noiDung": STANDARD.encode("content"), "loai": 7, "kichThuoc": 7 }],
        "nguoiNop": { "cccd": "099000000001" },
    })
}

#[tokio::test]
async fn a_body_of_the_systems_own_is_read_by_the_table_and_what_is_not_named_is_not_read() {
    let desk = Desk::open(TABLE).await;
    let (status, answer) = desk.post("k-1", &theirs()).await;
    assert_eq!((status, answer["receipt"]["kind"].as_str()), (201, Some("ACCEPTED")), "{answer}");
    let envelope = desk.door.envelope(0);
    let Some(v1::envelope::Content::Dossier(dossier)) = &envelope.content else { panic!("{envelope:?}") };
    assert_eq!((dossier.subject.as_str(), dossier.state.as_str()), ("Hồ sơ đăng ký biến động", "$moi"));
    assert_eq!(envelope.case.as_ref().unwrap().file_code, "H99.50.05.13-261008-0975");
    assert_eq!((envelope.to[0].agency.as_str(), envelope.priority), ("H99.50", 2));
    let part = &envelope.parts[0];
    assert_eq!((part.name.as_str(), part.role.as_str()), ("đơn.pdf", "7"));
    assert_eq!(desk.door.uploaded.lock().unwrap()[&Digest::of(b"content")], "content");
    assert_eq!(desk.post("k-1", &theirs()).await, (200, answer), "the repeat has its answer");
}

#[tokio::test]
async fn a_fault_is_told_at_the_systems_own_field_and_without_what_stands_there() {
    let desk = Desk::open(TABLE).await;
    let check = async |change: fn(&mut Value), field: &str| {
        let mut body = theirs();
        change(&mut body);
        let (status, told) = desk.post("k", &body).await;
        assert_eq!((status, told["field"].as_str().unwrap_or_default()), (400, field), "{told}");
        assert!(!told.to_string().contains("099000000001"), "{told}");
    };
    check(|body| drop(body["hoSo"].as_object_mut().unwrap().remove("trichYeu")), "hoSo.trichYeu").await;
    check(|body| body["hoSo"] = json!("099000000001"), "hoSo.trichYeu").await;
    check(|body| body["hoSo"]["soBienNhan"] = json!(["099000000001"]), "hoSo.soBienNhan").await;
    check(|body| body["noiNhan"] = json!([1]), "noiNhan").await;
    check(|body| body["doKhan"] = json!("099000000001 khẩn"), "doKhan").await;
    check(|body| body["doKhan"] = json!(9), "priority").await;
    check(|body| body["tep"] = json!({}), "tep").await;
    check(|body| body["tep"][0]["ten"] = Value::Null, "parts[0].ten").await;
    check(|body| body["tep"][0]["noiDung"] = json!("*"), "parts[0].content").await;
    check(|body| *body = json!([]), "hoSo.trichYeu").await;
    assert_eq!(desk.post_bytes("k", b"{").await.1["field"], "body");
    assert!(desk.door.submitted.lock().unwrap().is_empty());
}

#[tokio::test]
async fn the_description_is_that_of_the_systems_own_body() {
    let desk = Desk::open(TABLE).await;
    let (_, document) = desk.get("/openapi.json", "").await;
    let body = &document["components"]["schemas"]["Envelope"]["properties"];
    assert_eq!(body["hoSo"]["properties"]["trichYeu"]["description"], "→ subject");
    assert_eq!(body["tep"]["items"]["properties"]["noiDung"]["contentEncoding"], "base64");
    assert!(body.get("subject").is_none() && body.get("kind").is_none(), "{body}");
}

#[test]
fn a_table_that_cannot_work_is_told_in_words() {
    let check = |table: &str, expected: &str| {
        let problem = crate::door::mapping::Mapping::read(&table.parse().unwrap()).unwrap_err();
        assert!(problem.contains(expected), "{table}: {problem}");
    };
    check("to = \"$a\"", "\"subject\"");
    check("subject = \"x\"", "\"to\"");
    check("to = \"$a\"\nsubject = \"$b\"\ntitle = \"$c\"", "known: id, from");
    check("to = \"$a\"\nsubject = \"$b..c\"", "empty name");
    check("to = 7\nsubject = \"$b\"", "list of texts");
    check("to = \"$a\"\nsubject = \"$b\"\nkind = \"letter\"", "document, dossier and status");
    check("to = \"$a\"\nsubject = \"$b\"\npart = 1", "no table");
    check("to = \"$a\"\nsubject = \"$b\"\nparts = \"$p\"\n[part]\ncontent = \"$c\"", "\"name\"");
}
