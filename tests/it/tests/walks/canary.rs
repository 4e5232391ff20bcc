//! Canaries: secrets of the configuration, and a citizen's name and number in subjects, files, names and answers, are carried over three gateways and
//! every kind of adapter, refused, delayed and looked at. Afterwards they are nowhere but where they belong.
//!
//! Where they belong is decided by what operators need: they find a message by its file code and see *that message* (search, timeline, trace,
//! `msg ls`, `msg show`, and the papers printed of a file), so its subject and its file code stand there. What tells about everything (what is
//! stuck, incidents, peers, adapters, trust, bulk plans, statistics, audit, health, alarms) has neither. What is inside of parts, the names of
//! files, and secrets, stand nowhere.

#[path = "canary/search.rs"]
mod search;
#[path = "canary/stage.rs"]
mod stage;
#[path = "canary/systems.rs"]
mod systems;

use proto::v1;
use search::{Canary, Findings, find};
use stage::Stage;

/// Twelve digits as a citizen's number has; no province has the number 099.
const CITIZEN: &str = "099242004242";
/// Nobody's name.
const PERSON: &str = "Chim Hoàng Yến Bốn Hai";
const FILE_NAME: &str = "to-khai-chim-hoang-yen-4242.pdf";
const CONTENT: &str = "canary-part-content-0424242";
/// What a careless worker says of its failure; operators read it with what is stuck, and nobody else.
const WORDS: &str = "canary-words-of-a-worker-4242";
const FILE_CODE: &str = "H99.30.01-261122-4242";

#[tokio::test(flavor = "multi_thread")]
async fn canaries_are_found_only_where_they_belong() {
    let mut stage = Stage::open().await;
    stage.walk().await;
    let screens = stage.screens();
    let commands = stage.commands();
    stage.stop();

    let people = [CITIZEN, PERSON].map(Canary::of).to_vec();
    let inside = [FILE_NAME, CONTENT].map(Canary::of).to_vec();
    let secrets = stage.secrets();
    let code = vec![Canary::of(FILE_CODE)];
    let everything = [people.clone(), inside.clone(), secrets.clone(), code.clone()].concat();
    let never = [inside, secrets].concat();
    let outside = [everything.clone(), vec![Canary::of(WORDS)]].concat();

    let mut findings = Findings::default();
    let mut logs = 0;
    for (name, bytes) in stage.logs() {
        logs += bytes.len();
        findings.look(&format!("the log {name}"), &bytes, &outside);
    }
    assert!(logs > 100_000, "logs at debug level are long: {logs} bytes");
    assert!(stage.collector.spans().len() >= 15, "spans are exported: {}", stage.collector.spans().len());
    findings.look("exported spans", &stage.collector.raw(), &outside);
    for (name, page) in &stage.metrics {
        findings.look(&format!("the metrics of {name}"), page.as_bytes(), &outside);
    }
    assert!(!stage.alarms().is_empty(), "there were alarms");
    findings.look("alarms", stage.alarms().as_bytes(), &outside);
    findings.look("leaves of the evidence log", &stage.leaves, &outside);
    for (place, text) in screens.iter().chain(&commands) {
        let of_a_message = stage::OF_A_MESSAGE.iter().any(|begin| place.starts_with(begin));
        findings.look(place, text.as_bytes(), if of_a_message { &never } else { &everything });
    }
    findings.settle();

    // It was there to be found: otherwise this test could not fail.
    let timeline = &screens.iter().find(|(place, _)| place.starts_with("console /timeline")).unwrap().1;
    assert!(find(timeline.as_bytes(), CITIZEN), "an operator sees the message: {timeline}");
    let there = |place: &std::path::Path, what: &str| stage::files(place).iter().any(|(_, bytes)| find(bytes, what));
    let stores = stage.federation.local.folder.join("stores");
    assert!(there(&stores, CONTENT) && there(&stores, PERSON), "gateways keep what they carry");
}

/// What a sender says of its envelope, with canaries wherever words can stand.
fn dossier(envelope: v1::Envelope) -> v1::Envelope {
    let case = v1::Case {
        file_code: FILE_CODE.to_owned(),
        procedure_code: "1.012783".to_owned(),
        step: format!("thẩm định hồ sơ của {PERSON}"),
        ..v1::Case::default()
    };
    let subject = format!("Đăng ký biến động của {PERSON}, số {CITIZEN}");
    let dossier = v1::Dossier { subject, state: format!("đã nhận của {PERSON}"), ..v1::Dossier::default() };
    v1::Envelope { case: Some(case), content: Some(v1::envelope::Content::Dossier(dossier)), ..envelope }
}
