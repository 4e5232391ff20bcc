//! Another organisation's hub: we poll it and push to it.

use std::time::Duration;

use adapters_sdk::Outcome;
use adapters_simulators::dms::{Dms, DmsOptions, DmsWay};
use adapters_simulators::edxml::Dialect;
use adapters_simulators::edxml::writing::{Paper, Saying, paper, saying};
use adapters_simulators::hub::{Hub, HubFaults};
use bytes::Bytes;

use crate::stage::{Post, Running, SECRET, code};

const COMMUNE: &str = "h99.30.01";
const DEPARTMENT: &str = "h99.12";

/// The department sits behind another organisation's hub; the commune has our door.
async fn stage() -> (std::sync::Arc<Post>, Hub, Dms, [Running; 2]) {
    let post = Post::new();
    let hub = Hub::start("lien-thong", SECRET).await.unwrap();
    let (first, at_commune) = post.open_server(COMMUNE).await;
    let url = hub.access().url;
    let origin = url.trim_end_matches("/api");
    let table = format!(
        "door = \"hub-client\"\npoll_interval = \"100ms\"\n[hub]\nurl = \"{url}\"\nsystem_id = \"lien-thong\"\nsecret_file = \"secret\"\npoll_as = [\"{}\"]\n[outbound]\nallow = [{{ origin = \"{origin}\", private = true }}]\n",
        code(COMMUNE)
    );
    let second = post.open(DEPARTMENT, &table).await;
    let mut commune = Dms::new(DmsOptions::new(code(COMMUNE), DmsWay::Hub(at_commune)));
    commune.start();
    (post, hub, commune, [first, second])
}

fn from_department(id: &str) -> Bytes {
    let to_commune = Paper { to: vec![code(COMMUNE).to_owned()], ..Paper::default() };
    paper(&to_commune, code(DEPARTMENT), id, "2026/11/20 08:00:00", Dialect::Bare).into()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_hub_holds_for_us_is_fetched_and_confirmed_only_when_it_is_durable() {
    let (post, hub, commune, _adapters) = stage().await;
    *post.lost_answers.lock().unwrap() = 1;
    hub.fault(HubFaults { internal_errors: 1, lost_confirmations: 1, ..HubFaults::default() });
    hub.put(code(COMMUNE), from_department("công văn/1"));
    let arrived = commune.wait_for_paper("công văn/1", "0").await.unwrap();
    assert_eq!(arrived.seen.from, code(DEPARTMENT));
    assert!(hub.wait_until(|held| held[0].confirmations.contains(&"done".to_owned())).await);
    assert_eq!(commune.journal().iter().filter(|entry| !entry.is_sent).count(), 1);
    // The commune's 01 goes the other way.
    assert!(hub.wait_until(|held| held.iter().any(|one| one.to == code(DEPARTMENT) && one.status_code == "01")).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_defect_package_is_confirmed_as_rejected_only_when_it_lies_in_quarantine() {
    let (post, hub, commune, _adapters) = stage().await;
    let bad = String::from_utf8(from_department("x").to_vec()).unwrap().replace("2026/11/20</", "2026/02/30</");
    hub.put(code(COMMUNE), bad.into());
    hub.put(code(COMMUNE), from_department("y"));
    assert!(hub.wait_until(|held| held[0].confirmations == ["rejection"]).await);
    let names: Vec<_> = std::fs::read_dir(post.path(DEPARTMENT).join("quarantine")).unwrap().collect();
    assert_eq!(names.len(), 2, "the package and its reason");
    commune.wait_for_paper("y", "0").await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_answer_of_the_hub_makes_one_package_there_and_each_hand_over_names_one_recipient() {
    let (post, hub, commune, _adapters) = stage().await;
    hub.fault(HubFaults { lost_answers: 1, ..HubFaults::default() });
    let both = Paper { to: vec![code(DEPARTMENT).to_owned(), code("h99").to_owned()], ..Paper::default() };
    let sent = commune.send(&both).await.unwrap();
    assert_eq!(post.settled(1).await[0], Outcome::Taken { receipt: None });
    let held: Vec<_> = hub.journal().into_iter().filter(|one| one.document_id == sent.document_id).collect();
    assert_eq!(held.len(), 1, "one package for one recipient");
    assert_eq!(held[0].to, code(DEPARTMENT));
    let said = Saying {
        to: code(COMMUNE).to_owned(),
        document_id: sent.document_id.clone(),
        code: sent.code.clone(),
        status: "03".to_owned(),
        note: "Đã tiếp nhận".to_owned(),
        at: "2026/11/20 09:00:00".to_owned(),
    };
    hub.put(code(COMMUNE), saying(&said, code(DEPARTMENT), Dialect::Standard).into());
    commune.wait_for_status(&sent.document_id, "03").await.unwrap();
    let envelopes = post.envelopes();
    assert_eq!(envelopes.last().unwrap().in_reply_to.as_ref().unwrap().id, envelopes[0].id);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hub_that_is_down_defers_and_one_that_refuses_is_final() {
    let (post, hub, commune, _adapters) = stage().await;
    hub.fault(HubFaults { internal_errors: 8, slow: Duration::from_millis(1), ..HubFaults::default() });
    let to_department = Paper { to: vec![code(DEPARTMENT).to_owned()], ..Paper::default() };
    let sent = commune.send(&to_department).await.unwrap();
    assert!(hub.wait_until(|held| held.iter().any(|one| one.document_id == sent.document_id)).await);
    post.settled(1).await;
    // What a hub says once may pass; what it says again and again it means.
    hub.fault(HubFaults { refusals: 4, ..HubFaults::default() });
    let sent = commune.send(&to_department).await.unwrap();
    assert!(hub.wait_until(|held| held.iter().any(|one| one.document_id == sent.document_id)).await);
    hub.fault(HubFaults { refusals: 5, ..HubFaults::default() });
    commune.send(&to_department).await.unwrap();
    let is_refused = |outcome: &Outcome| matches!(outcome, Outcome::Refused { detail, .. } if detail.contains("E42"));
    post.until(|post| post.outcomes().iter().any(is_refused)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_package_that_the_hub_gives_broken_is_asked_for_ever_more_seldom_and_told_to_the_operator() {
    let (post, hub, commune, _adapters) = stage().await;
    hub.put_broken(code(COMMUNE), from_department("x"));
    hub.put(code(COMMUNE), from_department("y"));
    commune.wait_for_paper("y", "0").await.unwrap();
    for number in 0..12 {
        let id = format!("z{number}");
        hub.put(code(COMMUNE), from_department(&id));
        commune.wait_for_paper(&id, "0").await.unwrap();
    }
    let asked = hub.journal()[0].fetches;
    assert!((1..12).contains(&asked), "asked for {asked} times in more than 12 rounds");
    let names: Vec<_> = std::fs::read_dir(post.path(DEPARTMENT).join("quarantine")).unwrap().collect();
    assert_eq!(names.len(), 1, "the reason");
    let reason = std::fs::read_to_string(names[0].as_ref().unwrap().path()).unwrap();
    assert!(reason.starts_with("HUB_PACKAGE_UNREADABLE") && reason.contains("Tiếng Việt"), "{reason}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hub_that_cannot_be_asked_what_it_has_gets_nothing_for_the_moment() {
    let (post, hub, commune, _adapters) = stage().await;
    hub.fault(HubFaults { lists_fail: 1, lost_answers: 1, ..HubFaults::default() });
    let to_department = Paper { to: vec![code(DEPARTMENT).to_owned()], ..Paper::default() };
    let sent = commune.send(&to_department).await.unwrap();
    assert_eq!(post.settled(1).await[0], Outcome::Taken { receipt: None });
    let held = hub.journal().into_iter().filter(|one| one.document_id == sent.document_id).count();
    assert_eq!(held, 1, "a lost answer is found out by what was seen before");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hub_whose_list_of_what_was_sent_is_too_long_to_be_read_still_gets_its_papers() {
    // It was too long from the beginning, or only when the answer had been lost.
    for lists_short in [0, 1] {
        let (post, hub, commune, _adapters) = stage().await;
        let list_bytes_more = 17 * 1024 * 1024;
        hub.fault(HubFaults { lists_short, list_bytes_more, lost_answers: 1, ..HubFaults::default() });
        let to_department = Paper { to: vec![code(DEPARTMENT).to_owned()], ..Paper::default() };
        let sent = commune.send(&to_department).await.unwrap();
        assert_eq!(post.settled(1).await[0], Outcome::Taken { receipt: None });
        let held = |id: &str| hub.journal().into_iter().filter(|one| one.document_id == id).count();
        assert_eq!(held(&sent.document_id), 2, "nobody can tell whether it arrived: it is sent again");
        let next = commune.send(&to_department).await.unwrap();
        post.settled(2).await;
        assert_eq!(held(&next.document_id), 1, "the way out is open");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_package_from_an_agency_of_somebody_else_is_rejected_with_its_reason_and_nothing_is_accepted() {
    let (post, hub, _commune, _adapters) = stage().await;
    let to_commune = Paper { to: vec![code(COMMUNE).to_owned()], ..Paper::default() };
    for (number, foreign) in [code("h99"), "vxp.saas.03"].into_iter().enumerate() {
        let package = paper(&to_commune, foreign, "x", "2026/11/20 08:00:00", Dialect::Bare);
        hub.put(code(COMMUNE), package.into());
        assert!(hub.wait_until(|held| held.get(number).is_some_and(|one| one.confirmations == ["rejection"])).await);
    }
    let quarantine = post.path(DEPARTMENT).join("quarantine");
    let (_, kept) = adapters_sdk::quarantine::look(quarantine, 10).await.unwrap();
    let reasons: Vec<&str> = kept.iter().map(|one| one.reason.as_str()).collect();
    assert_eq!(reasons, ["EDXML_SENDER_FOREIGN", "EDXML_SENDER_FOREIGN"]);
    assert!(post.envelopes().is_empty());
}
