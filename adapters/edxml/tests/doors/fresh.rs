//! Envelopes that never were packages, and papers that change earlier ones.

use std::sync::Arc;

use adapters_simulators::dms::{Dms, DmsOptions, DmsWay};
use adapters_simulators::edxml::Dialect;
use adapters_simulators::edxml::writing::Paper;
use proto::v1;
use proto::v1::envelope::Content;

use crate::stage::{Post, Running, code};

const DEPARTMENT: &str = "h99.12";
const PROVINCE: &str = "h99";
const COMMUNE: &str = "h99.30.01";

/// The department's system behind a drop folder that also knows how the province is written.
async fn department() -> (Arc<Post>, Dms, Running) {
    let post = Post::new();
    let organ = format!("[[organ]]\nagency = \"{PROVINCE}\"\ncodes = [\"{}\"]\nname = \"UBND tỉnh\"", code(PROVINCE));
    let adapter = post.open(DEPARTMENT, &format!("door = \"folder\"\npoll_interval = \"100ms\"\n{organ}")).await;
    let mut dms = Dms::new(DmsOptions::new(code(DEPARTMENT), DmsWay::Folder(post.path(DEPARTMENT))));
    dms.start();
    (post, dms, adapter)
}

fn to_department(id: &str, content: Content) -> v1::Envelope {
    v1::Envelope {
        id: id.to_owned(),
        to: vec![v1::Recipient { agency: DEPARTMENT.to_owned() }],
        content: Some(content),
        ..v1::Envelope::default()
    }
}

const ONE: &str = "0197a2b4-3c5d-7e6f-8a9b-0c1d2e3f4a5b";
const TWO: &str = "0197a2b4-3c5d-7e6f-8a9b-0c1d2e3f4a5c";
const THREE: &str = "0197a2b4-3c5d-7e6f-8a9b-0c1d2e3f4a5d";

#[tokio::test(flavor = "multi_thread")]
async fn an_envelope_that_never_was_a_package_names_agencies_as_the_system_knows_them_and_is_answered() {
    let (post, dms, _adapter) = department().await;
    let document = Content::Document(v1::Document {
        code: "12/UBND-VP".into(),
        type_name: "Công văn".into(),
        subject: "Về việc sửa đường & cầu".into(),
        promulgated_on: "2026-11-20".into(),
    });
    post.write(
        PROVINCE,
        to_department(ONE, document),
        &[("Công văn.pdf", b"%PDF-1.7 mot"), ("phụ lục.pdf", b"%PDF-1.7 hai")],
    );
    let arrived = dms.wait_for_paper(ONE, "0").await.unwrap();
    assert_eq!(
        (arrived.seen.from.as_str(), arrived.seen.to.as_slice()),
        (code(PROVINCE), [code(DEPARTMENT).to_owned()].as_slice())
    );
    assert_eq!((arrived.seen.code.as_str(), arrived.seen.subject.as_str()), ("12/UBND-VP", "Về việc sửa đường & cầu"));
    let files: Vec<(&str, &[u8])> =
        arrived.seen.files.iter().map(|(name, bytes)| (name.as_str(), bytes.as_slice())).collect();
    assert_eq!(files, [("Công văn.pdf", b"%PDF-1.7 mot".as_slice()), ("phụ lục.pdf", b"%PDF-1.7 hai".as_slice())]);
    dms.say(&arrived, "03", "Đã tiếp nhận").await.unwrap();
    post.until(|post| {
        post.envelopes().iter().any(|e| matches!(&e.content, Some(Content::Status(s)) if s.code == "03"))
    })
    .await;
    let envelopes = post.envelopes();
    let said = envelopes.iter().find(|e| matches!(&e.content, Some(Content::Status(s)) if s.code == "03")).unwrap();
    assert_eq!(said.in_reply_to.as_ref().unwrap().id, ONE);
    assert_eq!(said.to[0].agency, code(PROVINCE));
}

#[tokio::test(flavor = "multi_thread")]
async fn dossiers_statuses_recalls_and_answers_have_their_package_too() {
    let (post, dms, _adapter) = department().await;
    let dossier = Content::Dossier(v1::Dossier {
        subject: "Cấp lại giấy chứng nhận".into(),
        due_on: "2026-12-01".into(),
        state: String::new(),
    });
    let mut envelope = to_department(ONE, dossier);
    envelope.case = Some(v1::Case { file_code: "H99.30.01-261120-0007".into(), ..v1::Case::default() });
    post.write(PROVINCE, envelope, &[]);
    let arrived = dms.wait_for_paper(ONE, "0").await.unwrap();
    assert_eq!(arrived.seen.code, "H99.30.01-261120-0007");
    let text = String::from_utf8(arrived.package.to_vec()).unwrap();
    assert!(text.contains("<edXML:ApplicationType>MCDT_DT<") && text.contains("<edXML:DueDate>2026/12/01<"), "{text}");

    let recall = Content::ChangeRequest(v1::ChangeRequest {
        kind: v1::ChangeKind::Recall.into(),
        reason: "Sai số liệu".into(),
    });
    let mut envelope = to_department(TWO, recall);
    let earlier = v1::Reference { sender: PROVINCE.into(), id: ONE.into(), ..v1::Reference::default() };
    envelope.supersedes = Some(earlier.clone());
    post.write(PROVINCE, envelope, &[]);
    let asked = dms.wait_for_paper(ONE, "1").await.unwrap();
    assert_eq!(asked.seen.note, "Sai số liệu");
    dms.say(&asked, "16", "Đã làm").await.unwrap();
    post.until(|post| post.envelopes().iter().any(|e| matches!(e.content, Some(Content::ChangeAnswer(_))))).await;
    let envelopes = post.envelopes();
    let answer = envelopes.iter().find(|e| matches!(e.content, Some(Content::ChangeAnswer(_)))).unwrap();
    assert_eq!(answer.in_reply_to.as_ref().unwrap().id, TWO, "the recall is answered, not the paper");

    let status = Content::Status(v1::Status { code: "06".into(), description: "Xong".into(), at: None });
    let mut envelope = to_department(THREE, status);
    let own = v1::Reference { sender: DEPARTMENT.into(), id: ONE.into(), ..v1::Reference::default() };
    envelope.in_reply_to = Some(own);
    post.write(PROVINCE, envelope, &[]);
    let heard = dms.wait_for_status(ONE, "06").await.unwrap();
    assert_eq!((heard.seen.from.as_str(), heard.seen.answered.as_str()), (code(PROVINCE), code(DEPARTMENT)));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_edxml_has_no_word_for_is_refused() {
    let (post, _dms, _adapter) = department().await;
    let opaque = Content::Opaque(v1::Opaque { r#type: "vn.thu.nghiem".into(), ..v1::Opaque::default() });
    post.write(PROVINCE, to_department(ONE, opaque), &[]);
    let outcome = post.settled(1).await.remove(0);
    assert!(
        matches!(&outcome, adapters_sdk::Outcome::Refused { detail, .. } if detail.contains("no word")),
        "{outcome:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_update_and_a_replacement_name_the_earlier_paper_and_are_papers_themselves() {
    let post = Post::new();
    let (_first, at_commune) = post.open_server(COMMUNE).await;
    let (_second, at_department) = post.open_server(DEPARTMENT).await;
    let mut commune =
        Dms::new(DmsOptions { dialect: Dialect::Zipped, ..DmsOptions::new(code(COMMUNE), DmsWay::Hub(at_commune)) });
    let mut department = Dms::new(DmsOptions::new(code(DEPARTMENT), DmsWay::Hub(at_department)));
    commune.start();
    department.start();
    let to = vec![code(DEPARTMENT).to_owned()];
    let first = commune.send(&Paper { to: to.clone(), ..Paper::default() }).await.unwrap();
    department.wait_for_paper(&first.document_id, "0").await.unwrap();
    for (business, kind) in [(2, v1::ChangeKind::Update), (3, v1::ChangeKind::Replace)] {
        let changed = Paper {
            to: to.clone(),
            business,
            reason: "Bổ sung phụ lục".to_owned(),
            earlier: first.document_id.clone(),
            ..Paper::default()
        };
        let sent = commune.send(&changed).await.unwrap();
        let arrived = department.wait_for_paper(&sent.document_id, &business.to_string()).await.unwrap();
        assert_eq!(
            (arrived.seen.earlier.as_slice(), arrived.seen.files.len()),
            ([first.document_id.clone()].as_slice(), 1)
        );
        department.say(&arrived, "03", "Đã tiếp nhận").await.unwrap();
        commune.wait_for_status(&sent.document_id, "03").await.unwrap();
        let envelopes = post.envelopes();
        let change = envelopes.iter().find(|e| e.id == sent.doc_id).unwrap();
        let Some(Content::ChangeRequest(asked)) = &change.content else { panic!("{change:?}") };
        assert_eq!((asked.kind(), asked.reason.as_str()), (kind, "Bổ sung phụ lục"));
        assert_eq!(change.supersedes.as_ref().unwrap().id, first.doc_id);
        let said =
            envelopes.iter().rev().find(|e| matches!(&e.content, Some(Content::Status(s)) if s.code == "03")).unwrap();
        assert_eq!(said.in_reply_to.as_ref().unwrap().id, sent.doc_id, "the status is about the new paper");
    }
}
