//! What is remembered over restarts, cut-off lines, full disks and full journals.

use super::*;

const NOW: Timestamp = Timestamp::from_seconds(1_791_432_000);

fn case(code: &str, stage: Stage) -> Case {
    Case {
        file_code: code.to_owned(),
        partner: "xa-an-phu".to_owned(),
        envelope: "0197a2b4-3c5d-7e6f-8a9b-0c1d2e3f4a5b".to_owned(),
        digest: String::new(),
        issuer: String::new(),
        procedure: "1.012783".to_owned(),
        stage,
        at: NOW.seconds(),
    }
}

#[tokio::test]
async fn what_was_asked_is_known_again_after_a_restart_until_it_is_settled() {
    let folder = tempfile::tempdir().unwrap();
    let journal = Journal::open(folder.path(), NOW).unwrap();
    assert_eq!(journal.ask("d1", NOW).await.unwrap(), Asked::First);
    drop(journal);
    let journal = Journal::open(folder.path(), NOW).unwrap();
    assert_eq!(journal.ask("d1", NOW).await.unwrap(), Asked::Again);
    assert_eq!(journal.ask("d2", NOW).await.unwrap(), Asked::First);
    journal.settle("d1".to_owned(), NOW).await.unwrap();
    assert_eq!(journal.book().entries(), 2, "the note of what is settled takes no room");
    drop(journal);
    let journal = Journal::open(folder.path(), NOW).unwrap();
    assert!(journal.is_settled("d1") && !journal.is_settled("d2"));
    assert_eq!(journal.book().entries(), 2);
}

#[tokio::test]
async fn what_was_kept_is_there_after_a_restart_and_two_adapters_cannot_share_it() {
    let folder = tempfile::tempdir().unwrap();
    let journal = Journal::open(folder.path(), NOW).unwrap();
    journal.keep(case("A-1", Stage::Asked)).await.unwrap();
    journal.keep(case("A-1", Stage::Taken)).await.unwrap();
    journal.settle("d1".to_owned(), NOW).await.unwrap();
    assert!(Journal::open(folder.path(), NOW).err().unwrap().to_string().contains("in use"));
    drop(journal);
    let journal = Journal::open(folder.path(), NOW).unwrap();
    assert_eq!(journal.case("A-1"), Some(case("A-1", Stage::Taken)));
    assert!(journal.is_settled("d1") && !journal.is_settled("d2"));
}

#[tokio::test]
async fn a_line_cut_off_at_the_end_is_dropped_and_damage_anywhere_else_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("journal.log");
    let journal = Journal::open(folder.path(), NOW).unwrap();
    for code in ["A-1", "A-2", "A-3"] {
        journal.keep(case(code, Stage::Taken)).await.unwrap();
    }
    drop(journal);
    let whole = std::fs::read(&path).unwrap();
    std::fs::write(&path, &whole[..whole.len() - 9]).unwrap();
    let journal = Journal::open(folder.path(), NOW).unwrap();
    assert_eq!((journal.len(), journal.case("A-3")), (2, None));
    journal.keep(case("A-4", Stage::Taken)).await.unwrap();
    drop(journal);
    assert_eq!(Journal::open(folder.path(), NOW).unwrap().len(), 3, "the next line stands after the whole ones");
    let mut flipped = whole.clone();
    flipped[40] ^= 1;
    std::fs::write(&path, &flipped).unwrap();
    assert!(Journal::open(folder.path(), NOW).err().unwrap().to_string().contains("line 1: is damaged"));
}

#[tokio::test]
async fn the_file_does_not_grow_with_what_is_replaced_or_too_old() {
    let folder = tempfile::tempdir().unwrap();
    let record = |at: i64| Record::Settled { id: format!("old-{at}"), at };
    let old = NOW.minus(MEMORY).seconds() - 10;
    let lines: Vec<u8> = (0..20).flat_map(|at| line(&record(old - at)).unwrap()).collect();
    let repeated = line(&Record::Case(case("A-1", Stage::Taken))).unwrap().repeat(DEAD_LINES_MAX + 100);
    std::fs::write(folder.path().join("journal.log"), [lines, repeated].concat()).unwrap();
    let journal = Journal::open(folder.path(), NOW).unwrap();
    assert!(!journal.is_settled(&format!("old-{old}")));
    assert_eq!(journal.case("A-1"), Some(case("A-1", Stage::Taken)));
    let bytes = std::fs::metadata(folder.path().join("journal.log")).unwrap().len();
    assert!(bytes < 1_000, "{bytes}");
    journal.keep(case("A-2", Stage::Asked)).await.unwrap();
    drop(journal);
    assert_eq!(Journal::open(folder.path(), NOW).unwrap().len(), 2);
}

#[tokio::test]
async fn a_line_that_could_not_be_written_is_cut_off_and_the_next_one_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("journal.log");
    let journal = Journal::open(folder.path(), NOW).unwrap();
    journal.keep(case("A-1", Stage::Taken)).await.unwrap();
    // As on a full disk: the write fails, and a piece of the line is there.
    journal.book().file = File::open(&path).unwrap();
    assert!(journal.keep(case("A-2", Stage::Taken)).await.is_err());
    let piece = &line(&Record::Case(case("A-2", Stage::Taken))).unwrap()[..20];
    std::fs::write(&path, [std::fs::read(&path).unwrap().as_slice(), piece].concat()).unwrap();
    assert!(journal.check().is_ok(), "it heals by itself");
    journal.keep(case("A-3", Stage::Taken)).await.unwrap();
    journal.book().soundness = Soundness::Broken;
    assert!(journal.keep(case("A-4", Stage::Taken)).await.is_err());
    assert!(journal.check().unwrap_err().to_string().contains("restart"));
    drop(journal);
    let journal = Journal::open(folder.path(), NOW).unwrap();
    let there = ["A-1", "A-2", "A-3", "A-4"].map(|code| journal.case(code).is_some());
    assert_eq!(there, [true, false, true, false]);
}

#[tokio::test]
async fn a_full_journal_forgets_what_is_too_old_and_takes_nothing_new_only_when_all_of_it_matters() {
    let folder = tempfile::tempdir().unwrap();
    let journal = Journal::open(folder.path(), NOW).unwrap();
    journal.book().entries_max = 2;
    journal.settle("old".to_owned(), NOW.minus(MEMORY).minus(Duration::from_secs(1))).await.unwrap();
    for id in ["one", "two"] {
        journal.settle(id.to_owned(), NOW).await.unwrap();
    }
    assert!(!journal.is_settled("old") && journal.is_settled("two"));
    assert!(journal.settle("three".to_owned(), NOW).await.unwrap_err().to_string().contains("full"));
    drop(journal);
    assert!(Journal::open(folder.path(), NOW).unwrap().is_settled("two"));
}

#[test]
fn open_files_are_never_forgotten_however_old() {
    let folder = tempfile::tempdir().unwrap();
    let mut long_ago = case("A-1", Stage::Taken);
    long_ago.at = 0;
    let mut ended = case("A-2", Stage::Ended);
    ended.at = 0;
    let lines = [Record::Case(long_ago), Record::Case(ended)].map(|record| line(&record).unwrap());
    std::fs::write(folder.path().join("journal.log"), lines.concat().repeat(DEAD_LINES_MAX)).unwrap();
    let journal = Journal::open(folder.path(), NOW).unwrap();
    assert!(journal.case("A-1").is_some() && journal.case("A-2").is_none());
}
