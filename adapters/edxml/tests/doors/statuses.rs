//! Statuses as systems really say them: out of order, again, as a refusal or a request of their own; and a dossier in a package.

use std::sync::Arc;

use adapters_sdk::Outcome;
use adapters_simulators::dms::{Dms, DmsOptions, DmsWay, Entry, SentPaper};
use adapters_simulators::edxml::Dialect;
use adapters_simulators::edxml::writing::{Paper, Saying, saying};
use proto::v1;
use proto::v1::envelope::Content;

use crate::stage::{Post, Running, code};

const COMMUNE: &str = "h99.30.01";
const DEPARTMENT: &str = "h99.12";

/// Two systems; the department's says nothing by itself.
struct Pair {
    post: Arc<Post>,
    commune: Dms,
    department: Dms,
    _adapters: [Running; 2],
}

async fn pair() -> Pair {
    let post = Post::new();
    let (first, at_commune) = post.open_server(COMMUNE).await;
    let (second, at_department) = post.open_server(DEPARTMENT).await;
    let mut commune = Dms::new(DmsOptions::new(code(COMMUNE), DmsWay::Hub(at_commune)));
    let options = DmsOptions::new(code(DEPARTMENT), DmsWay::Hub(at_department));
    let mut department = Dms::new(DmsOptions { announces: false, ..options });
    commune.start();
    department.start();
    Pair { post, commune, department, _adapters: [first, second] }
}

impl Pair {
    /// A paper on its way, and how it arrived.
    async fn paper(&self) -> (SentPaper, Entry) {
        let to_department = Paper { to: vec![code(DEPARTMENT).to_owned()], ..Paper::default() };
        let sent = self.commune.send(&to_department).await.unwrap();
        let arrived = self.department.wait_for_paper(&sent.document_id, "0").await.unwrap();
        (sent, arrived)
    }

    /// The statuses that the gateway has accepted, with their envelopes.
    fn statuses(&self) -> Vec<(String, v1::Envelope)> {
        let status = |envelope: v1::Envelope| match &envelope.content {
            Some(Content::Status(said)) => Some((said.code.clone(), envelope)),
            _ => None,
        };
        self.post.envelopes().into_iter().filter_map(status).collect()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn statuses_out_of_order_and_again_are_each_accepted_as_they_are_said() {
    let pair = pair().await;
    let (sent, arrived) = pair.paper().await;
    let said = [("06", "Xong"), ("03", "Đã tiếp nhận"), ("04", "Đã phân công"), ("03", "Đã tiếp nhận lại")];
    for (status, note) in said {
        pair.department.say(&arrived, status, note).await.unwrap();
    }
    let accepted = pair.statuses();
    let codes: Vec<&str> = accepted.iter().map(|(code, _)| code.as_str()).collect();
    assert_eq!(codes, ["06", "03", "04", "03"], "the order is the system's own affair");
    for (_, envelope) in &accepted {
        assert_eq!(envelope.in_reply_to.as_ref().unwrap().id, sent.doc_id);
    }
    assert_ne!(accepted[1].1.id, accepted[3].1.id, "the second 03 has other words: it is another status");
    pair.post.settled(5).await;
    let told = pair.commune.journal().into_iter().filter(|entry| !entry.is_sent).map(|entry| entry.seen);
    let mut notes: Vec<String> = told.map(|seen| seen.note).collect();
    let mut expected = said.map(|(_, note)| note.to_owned());
    notes.sort();
    expected.sort();
    assert_eq!(notes, expected, "the sender hears each of them once");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_that_the_system_says_by_itself_is_a_status_and_the_paper_stays_delivered() {
    let pair = pair().await;
    let (sent, arrived) = pair.paper().await;
    pair.department.say(&arrived, "02", "Không thuộc thẩm quyền").await.unwrap();
    let told = pair.commune.wait_for_status(&sent.document_id, "02").await.unwrap();
    assert_eq!((told.seen.from.as_str(), told.seen.note.as_str()), (code(DEPARTMENT), "Không thuộc thẩm quyền"));
    let accepted = pair.statuses();
    assert_eq!(accepted.len(), 1, "and none of ours beside it");
    assert_eq!((accepted[0].0.as_str(), accepted[0].1.from.as_str()), ("02", code(DEPARTMENT)));
    assert_eq!(pair.post.settled(2).await, [Outcome::Taken { receipt: None }, Outcome::Taken { receipt: None }]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_recall_that_is_asked_by_a_status_supersedes_the_paper_and_is_answered() {
    let pair = pair().await;
    let (sent, arrived) = pair.paper().await;
    // The sender asks the recipient, whom it names as the one to answer.
    let asking = Saying {
        to: code(DEPARTMENT).to_owned(),
        document_id: sent.document_id.clone(),
        code: sent.code.clone(),
        status: "13".to_owned(),
        note: "Sai số liệu".to_owned(),
        at: "2026/11/20 09:00:00".to_owned(),
    };
    let id = pair.commune.hand_over(saying(&asking, code(COMMUNE), Dialect::Standard).into()).await.unwrap();
    let asked = pair.department.wait_for_status(&sent.document_id, "13").await.unwrap();
    assert_eq!((asked.seen.from.as_str(), asked.seen.note.as_str()), (code(COMMUNE), "Sai số liệu"));
    pair.department.say(&arrived, "15", "Đồng ý").await.unwrap();
    pair.commune.wait_for_status(&sent.document_id, "15").await.unwrap();
    let envelopes = pair.post.envelopes();
    let request = envelopes.iter().find(|envelope| envelope.id == id).unwrap();
    let Some(Content::ChangeRequest(said)) = &request.content else { panic!("{request:?}") };
    assert_eq!((said.kind(), said.reason.as_str()), (v1::ChangeKind::Recall, "Sai số liệu"));
    assert_eq!(request.supersedes.as_ref().unwrap().id, sent.doc_id);
    let answer = envelopes.last().unwrap();
    let Some(Content::ChangeAnswer(said)) = &answer.content else { panic!("{answer:?}") };
    assert_eq!((said.verdict(), said.reason.as_str()), (v1::ChangeVerdict::Agreed, "Đồng ý"));
    assert_eq!(answer.in_reply_to.as_ref().unwrap().id, id, "the request is answered, not the paper");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_one_stop_dossier_in_a_package_is_a_dossier_with_its_file_code_and_its_day() {
    let pair = pair().await;
    let dossier = Paper {
        to: vec![code(DEPARTMENT).to_owned()],
        number: "H99.30.01-261120-0007".to_owned(),
        notation: String::new(),
        subject: "Cấp lại giấy chứng nhận".to_owned(),
        is_dossier: true,
        due: "2026/12/01".to_owned(),
        ..Paper::default()
    };
    let sent = pair.commune.send(&dossier).await.unwrap();
    let envelope = pair.post.envelopes().remove(0);
    assert_eq!(envelope.id, sent.doc_id);
    let Some(Content::Dossier(said)) = &envelope.content else { panic!("{envelope:?}") };
    assert_eq!((said.subject.as_str(), said.due_on.as_str()), ("Cấp lại giấy chứng nhận", "2026-12-01"));
    assert_eq!(envelope.case.unwrap().file_code, "H99.30.01-261120-0007");
    let arrived = pair.department.wait_for_paper(&sent.document_id, "0").await.unwrap();
    assert_eq!(arrived.seen.code, "H99.30.01-261120-0007");
}
