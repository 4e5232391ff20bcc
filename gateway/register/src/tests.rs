//! The register by itself.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use gateway_model::id::EnvelopeId;

use super::*;

const DAY: i64 = 86_400;
/// Monday, 08:00 at UTC+7.
const MONDAY: i64 = 1_767_574_800;

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_seconds(seconds)
}

fn agency(id: &str) -> AgencyId {
    AgencyId::parse(id).unwrap()
}

fn file(code: &str, due: Option<i64>, finished: Option<i64>) -> File {
    File {
        file_code: code.to_owned(),
        issuer: agency("h99.30"),
        procedure_code: "1.012783".to_owned(),
        received_at: at(MONDAY),
        due_at: due.map(at),
        finished_at: finished.map(at),
    }
}

fn batch(files: Vec<File>, next: u64) -> Batch {
    let last = Some(Digest::of(&next.to_be_bytes()));
    let file_codes = files.iter().map(|file| file.file_code.clone()).collect();
    Batch { file_codes, files, words: Vec::new(), cursor: Cursor { next, last } }
}

fn everything(by: Dimension) -> Query {
    Query { since: Timestamp::MIN, until: Timestamp::MAX, by, issuers: None }
}

fn counts(register: &Register, now: i64) -> Counts {
    let rows = register.statistics(&everything(Dimension::Issuer), at(now)).unwrap();
    rows.iter().fold(Counts::default(), |mut sum, row| {
        sum.add(&row.counts);
        sum
    })
}

#[test]
fn every_file_stands_in_one_column_and_the_columns_make_up_what_was_received() {
    let folder = tempfile::tempdir().unwrap();
    let register = Register::new(folder.path());
    let due = MONDAY + 4 * DAY + 9 * 3_600;
    let files = vec![
        // The due day begins at midnight of UTC+7, which is 17:00 of the day before at UTC.
        file("a", Some(due), Some(due - 17 * 3_600 - 1)),
        file("b", Some(due), Some(due - 17 * 3_600)),
        file("c", Some(due), Some(due)),
        file("d", Some(due), Some(due + 1)),
        file("e", None, Some(due)),
        file("f", None, None),
        file("g", Some(due), None),
    ];
    register.put(0, &batch(files, 7)).unwrap();
    let expected = Counts { received: 7, early: 1, on_time: 2, late: 1, ended: 1, in_work: 2, in_work_late: 0 };
    assert_eq!(counts(&register, due), expected);
    assert_eq!(counts(&register, due + 1), Counts { in_work: 1, in_work_late: 1, ..expected });
    let sum = expected.early + expected.on_time + expected.late + expected.ended + expected.in_work;
    assert_eq!(sum, expected.received);
}

#[test]
fn a_period_begins_at_its_first_instant_and_ends_before_its_last_and_months_are_those_of_the_zone() {
    let folder = tempfile::tempdir().unwrap();
    let register = Register::new(folder.path());
    // The last second of January and the first of February, at UTC+7.
    let february = Timestamp::parse("2026-02-01T00:00:00+07:00").unwrap();
    let january = Timestamp::from_micros(february.micros() - 1);
    let of =
        |code: &str, issuer: &str, received_at| File { issuer: agency(issuer), received_at, ..file(code, None, None) };
    register.put(0, &batch(vec![of("a", "h1", january), of("b", "h2", february)], 2)).unwrap();
    let keys = |query: Query| {
        let rows = register.statistics(&query, february).unwrap();
        rows.into_iter().map(|row| (row.key, row.counts.received)).collect::<Vec<_>>()
    };
    let by_month = everything(Dimension::Month);
    assert_eq!(keys(by_month.clone()), [("2026-01".to_owned(), 1), ("2026-02".to_owned(), 1)]);
    assert_eq!(keys(Query { until: february, ..by_month.clone() }), [("2026-01".to_owned(), 1)]);
    assert_eq!(keys(Query { since: february, ..by_month.clone() }), [("2026-02".to_owned(), 1)]);
    let only = |id: &str| Query { issuers: Some(vec![agency(id)]), ..everything(Dimension::Procedure) };
    assert_eq!(keys(only("h2")), [("1.012783".to_owned(), 1)]);
    assert_eq!(keys(only("h3")), []);
    assert_eq!(keys(Query { issuers: Some(Vec::new()), ..by_month }), []);
}

#[test]
fn a_batch_is_kept_with_its_place_and_once_only() {
    let folder = tempfile::tempdir().unwrap();
    let register = Register::new(folder.path());
    let first = batch(vec![file("a", None, None), file("b", None, None)], 3);
    register.put(0, &first).unwrap();
    assert_eq!(register.cursor().unwrap(), first.cursor);
    // A batch that was kept already changes nothing, nor does one that leaves a gap.
    for begins in [0, 4] {
        let moved = register.put(begins, &batch(vec![file("c", None, None)], 9)).unwrap_err();
        assert!(matches!(moved, RegisterError::Moved { stands: 3, begins: b } if b == begins), "{moved}");
    }
    assert_eq!((counts(&register, MONDAY).received, register.cursor().unwrap().next), (2, 3));
    // A file that is looked at again replaces what was kept, also when its desk turns out to be another.
    let other = File { issuer: agency("h99.31"), ..file("a", None, Some(MONDAY)) };
    register.put(3, &batch(vec![other], 4)).unwrap();
    assert_eq!(counts(&register, MONDAY), Counts { received: 2, ended: 1, in_work: 1, ..Counts::default() });
    drop(register);
    let again = Register::new(folder.path());
    assert_eq!((counts(&again, MONDAY).received, again.cursor().unwrap().next), (2, 4));
}

#[test]
fn one_code_of_two_desks_is_two_files() {
    let folder = tempfile::tempdir().unwrap();
    let register = Register::new(folder.path());
    let other = File { issuer: agency("h99.31"), ..file("a", None, None) };
    register.put(0, &batch(vec![file("a", None, None), other], 1)).unwrap();
    assert_eq!(counts(&register, MONDAY).received, 2);
}

#[test]
fn the_nearest_due_time_is_that_of_a_file_which_is_still_open() {
    let folder = tempfile::tempdir().unwrap();
    let register = Register::new(folder.path());
    let files =
        vec![file("a", Some(10), Some(5)), file("b", Some(30), None), file("c", Some(20), None), file("d", None, None)];
    register.put(0, &batch(files, 4)).unwrap();
    let list = |codes: &[&str]| codes.iter().map(|code| (*code).to_owned()).collect::<Vec<_>>();
    let asked = [list(&["a", "b", "c", "d", "unknown"]), list(&["b"]), list(&["a", "d"]), Vec::new()];
    assert_eq!(register.nearest_due(&asked).unwrap(), [Some(at(20)), Some(at(30)), None, None]);
}

#[test]
fn words_come_back_as_they_were_told() {
    let folder = tempfile::tempdir().unwrap();
    let register = Register::new(folder.path());
    let key = |last: u8| EnvelopeKey {
        sender: agency("h99.30"),
        id: EnvelopeId::parse(&format!("019a0000-0000-7000-8000-0000000000{last:02x}")).unwrap(),
    };
    let words = vec![(key(1), b"one".to_vec()), (key(2), b"two".to_vec())];
    register.put(0, &Batch { words, ..batch(Vec::new(), 1) }).unwrap();
    let found = register.words(&[key(2), key(3)]).unwrap();
    assert_eq!(found, HashMap::from([(key(2), b"two".to_vec())]));
}

#[test]
fn a_register_that_cannot_be_used_is_followed_anew() {
    for damage in ["another format", "another database", "not a database", "a page of it"] {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(DATABASE);
        let register = Register::new(folder.path());
        let files = (0..2_000).map(|number| file(&format!("file {number}"), None, None)).collect();
        register.put(0, &batch(files, 5)).unwrap();
        drop(register);
        match damage {
            "another format" => Connection::open(&path).unwrap().pragma_update(None, "user_version", 99).unwrap(),
            "another database" => Connection::open(&path).unwrap().pragma_update(None, "application_id", 7).unwrap(),
            "not a database" => std::fs::write(&path, "this is no database at all").unwrap(),
            _ => {
                let mut bytes = std::fs::read(&path).unwrap();
                let (begin, end) = (bytes.len() / 2, bytes.len() / 2 + 8_192);
                bytes[begin..end].fill(0xa5);
                std::fs::write(&path, bytes).unwrap();
            }
        }
        let register = Register::new(folder.path());
        assert_eq!(register.cursor().unwrap(), Cursor::default(), "{damage}");
        assert_eq!(counts(&register, MONDAY).received, 0, "{damage}");
        register.put(0, &batch(vec![file("a", None, None)], 1)).unwrap();
        assert_eq!(counts(&register, MONDAY).received, 1, "{damage}");
    }
}

#[test]
fn what_is_damaged_while_it_is_open_is_told_and_followed_anew() {
    let folder = tempfile::tempdir().unwrap();
    let register = Register::new(folder.path());
    register.put(0, &batch(vec![file("a", None, None)], 1)).unwrap();
    // A row that nobody of ours has written.
    register.with(|connection| connection.execute("DELETE FROM follows", [])).unwrap();
    assert!(matches!(register.cursor().unwrap_err(), RegisterError::Damaged { .. }));
    assert_eq!(register.cursor().unwrap(), Cursor::default());
    assert_eq!(counts(&register, MONDAY).received, 0);
    // Whoever follows learns that the place has moved.
    let moved = register.put(1, &batch(Vec::new(), 2)).unwrap_err();
    assert!(matches!(moved, RegisterError::Moved { stands: 0, begins: 1 }));
}

#[test]
fn a_cleared_register_begins_at_the_first_leaf() {
    let folder = tempfile::tempdir().unwrap();
    let register = Register::new(folder.path());
    register.put(0, &batch(vec![file("a", None, None)], 1)).unwrap();
    register.clear().unwrap();
    assert_eq!((register.cursor().unwrap(), counts(&register, MONDAY)), (Cursor::default(), Counts::default()));
}
