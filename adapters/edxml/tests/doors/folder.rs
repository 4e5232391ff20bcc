//! The drop folder: a system that writes and reads files.

use std::path::Path;
use std::time::{Duration, SystemTime};

use adapters_simulators::dms::{Dms, DmsOptions, DmsWay};
use adapters_simulators::edxml::Dialect;
use adapters_simulators::edxml::writing::{Paper, paper};
use gateway_model::{Reason, Refusal};

use crate::stage::{Post, code};

const COMMUNE: &str = "h99.30.01";
const DEPARTMENT: &str = "h99.12";
const FOLDER: &str = "door = \"folder\"\npoll_interval = \"100ms\"";

fn files(folder: &std::path::Path) -> Vec<String> {
    let mut names: Vec<String> =
        std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

fn to_department() -> Paper {
    Paper { to: vec![code(DEPARTMENT).to_owned()], ..Paper::default() }
}

#[tokio::test(flavor = "multi_thread")]
async fn papers_and_statuses_go_from_folder_to_folder() {
    let post = Post::new();
    let _first = post.open(COMMUNE, FOLDER).await;
    let _second = post.open(DEPARTMENT, FOLDER).await;
    let dms = |agency: &str, dialect| DmsOptions {
        dialect,
        ..DmsOptions::new(code(agency), DmsWay::Folder(post.path(agency)))
    };
    let mut commune = Dms::new(dms(COMMUNE, Dialect::Bare));
    let mut department = Dms::new(dms(DEPARTMENT, Dialect::Zipped));
    commune.start();
    department.start();
    let sent = commune.send(&to_department()).await.unwrap();
    let arrived = department.wait_for_paper(&sent.document_id, "0").await.unwrap();
    department.say(&arrived, "03", "Đã tiếp nhận").await.unwrap();
    commune.wait_for_status(&sent.document_id, "03").await.unwrap();
    commune.wait_for_status(&sent.document_id, "01").await.unwrap();
    post.until(|_| files(&post.path(COMMUNE).join("outgoing")).is_empty()).await;
    assert_eq!(files(&post.path(COMMUNE).join("sent")).len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_will_not_do_lies_in_quarantine_with_its_reason_and_what_is_busy_waits() {
    let post = Post::new();
    let _adapter = post.open(COMMUNE, FOLDER).await;
    let dms = Dms::new(DmsOptions::new(code(COMMUNE), DmsWay::Folder(post.path(COMMUNE))));
    let outgoing = post.path(COMMUNE).join("outgoing");
    std::fs::write(outgoing.join("hỏng.edxml"), "<a><b></a>").unwrap();
    std::fs::write(outgoing.join("ghi chú.txt"), "not a package").unwrap();
    let quarantine = post.path(COMMUNE).join("quarantine");
    // On its way out of the folder the package is for a moment in quarantine twice.
    post.until(|_| files(&outgoing) == ["ghi chú.txt"] && files(&quarantine).len() == 2).await;
    let names = files(&quarantine);
    assert_eq!(names.len(), 2, "{names:?}");
    assert!(names.iter().all(|name| name.starts_with("hỏng-")));
    assert_eq!(std::fs::read_to_string(quarantine.join(&names[0])).unwrap(), "<a><b></a>");
    assert!(std::fs::read_to_string(quarantine.join(&names[1])).unwrap().starts_with("EDXML_NOT_WELL_FORMED"));

    post.refuses(Refusal::new(Reason::RecipientUnknown));
    dms.send(&to_department()).await.unwrap();
    post.until(|_| files(&quarantine).len() == 4).await;

    post.refuses(Refusal::new(Reason::Overloaded).retry_after(Duration::from_millis(300)));
    dms.send(&to_department()).await.unwrap();
    post.until(|post| post.envelopes().len() == 1).await;
    post.until(|_| files(&outgoing) == ["ghi chú.txt"]).await;
    assert_eq!(files(&quarantine).len(), 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn files_that_are_too_large_are_kept_each_by_itself_though_they_have_one_name() {
    let post = Post::new();
    let _adapter = post.open(COMMUNE, &format!("{FOLDER}\npackage_bytes_max = 1024")).await;
    let (outgoing, quarantine) = (post.path(COMMUNE).join("outgoing"), post.path(COMMUNE).join("quarantine"));
    for letter in ["a", "b"] {
        std::fs::write(outgoing.join("lớn.edxml"), letter.repeat(2_000)).unwrap();
        post.until(|_| files(&outgoing).is_empty()).await;
    }
    let kept = files(&quarantine);
    let packages: Vec<&String> = kept.iter().filter(|name| name.ends_with(".edxml")).collect();
    assert_eq!((packages.len(), kept.len()), (2, 4), "{kept:?}");
}

fn age(file: &Path, days: u64) {
    let file = std::fs::File::options().append(true).open(file).unwrap();
    file.set_modified(SystemTime::now() - Duration::from_secs(days * 86_400)).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_sent_long_ago_is_removed_and_what_was_refused_or_not_taken_yet_never() {
    let post = Post::new();
    let adapter = post.open(COMMUNE, FOLDER).await;
    let at = |name: &str| post.path(COMMUNE).join(name);
    let (outgoing, sent, quarantine) = (at("outgoing"), at("sent"), at("quarantine"));
    let drop = |id: &str| {
        let package = paper(&to_department(), code(COMMUNE), id, "2026/11/20 08:00:00", Dialect::Standard);
        let file = outgoing.join(format!("{id}.edxml"));
        std::fs::write(&file, package).unwrap();
        // Its system keeps the time at which it was written.
        age(&file, 999);
    };
    std::fs::write(outgoing.join("hỏng.edxml"), "<a><b></a>").unwrap();
    drop("a");
    post.until(|_| files(&outgoing).is_empty() && files(&sent).len() == 1 && files(&quarantine).len() == 2).await;
    adapter.crash(&post, COMMUNE).await;
    let adapter = post.open(COMMUNE, FOLDER).await;
    drop("b");
    post.until(|_| files(&sent).len() == 2).await;
    assert_eq!(files(&quarantine).len(), 2, "what was set aside today stays");
    adapter.crash(&post, COMMUNE).await;
    for folder in [&sent, &quarantine] {
        files(folder).iter().filter(|name| !name.starts_with('b')).for_each(|name| age(&folder.join(name), 181));
    }
    post.refuses(Refusal::new(Reason::Overloaded).retry_after(Duration::from_secs(3_600)));
    drop("c");
    let _again = post.open(COMMUNE, FOLDER).await;
    post.until(|_| files(&sent).len() == 1).await;
    assert_eq!(files(&quarantine).len(), 2, "what was refused may be the only copy");
    assert!(files(&sent)[0].starts_with('b'), "it was sent today, however old it is");
    assert_eq!(files(&outgoing), ["c.edxml"], "what waits for the gateway is nobody's to remove");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_answer_and_a_restart_make_one_envelope() {
    let post = Post::new();
    let adapter = post.open(COMMUNE, FOLDER).await;
    *post.lost_answers.lock().unwrap() = 1;
    let dms = Dms::new(DmsOptions::new(code(COMMUNE), DmsWay::Folder(post.path(COMMUNE))));
    dms.send(&to_department()).await.unwrap();
    post.until(|post| post.envelopes().len() == 1).await;
    adapter.crash(&post, COMMUNE).await;
    let _again = post.open(COMMUNE, FOLDER).await;
    post.until(|_| files(&post.path(COMMUNE).join("sent")).len() == 1).await;
    assert_eq!(post.envelopes().len(), 1);
}
