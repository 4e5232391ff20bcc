//! A stream that is cut, damaged or out of order is noticed wherever it is.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use gateway_evidence::LogState;

use super::*;
use crate::archive::{Head, Return};
use crate::claim::Lane;

fn head() -> Record {
    Record::Head(Head {
        origin: "gw-commune".to_owned(),
        commits: 7,
        envelopes: 0,
        returns_numbered: 3,
        token_max: 0xffff_ffff,
        log: LogState::default(),
        note: None,
    })
}

fn returned(id: u64) -> Record {
    Record::Return(Return {
        id,
        to: gateway_model::id::GatewayId::parse("gw-district").unwrap(),
        lane: Lane::new("back"),
        wake: None,
        attempts: 2,
        reason: Some(gateway_model::Reason::ReceiptInvalid),
        receipt: "receipt".into(),
    })
}

fn mark(name: &str) -> Record {
    Record::Mark { name: name.to_owned(), value: "ngừng".into() }
}

fn written() -> Vec<u8> {
    let mut writer = Writer::new(Vec::new()).unwrap();
    for record in [head(), returned(1), returned(3), mark("a"), mark("b")] {
        writer.write(&record).unwrap();
    }
    let (bytes, written) = writer.finish().unwrap();
    assert_eq!((written.records, written.bytes), (5, bytes.len() as u64));
    bytes
}

fn read(bytes: &[u8]) -> Result<Vec<Record>, ArchiveError> {
    let mut reader = Reader::new(bytes)?;
    let mut records = Vec::new();
    while let Some(record) = reader.read()? {
        records.push(record);
    }
    assert_eq!(reader.ended().map(|ended| ended.bytes), Some(bytes.len() as u64));
    Ok(records)
}

#[test]
fn what_is_read_and_written_again_is_the_same() {
    let bytes = written();
    let mut writer = Writer::new(Vec::new()).unwrap();
    for record in read(&bytes).unwrap() {
        writer.write(&record).unwrap();
    }
    assert_eq!(writer.finish().unwrap().0, bytes);
}

#[test]
fn a_cut_anywhere_is_noticed() {
    let bytes = written();
    for keep in 0..bytes.len() {
        match read(&bytes[..keep]).unwrap_err() {
            ArchiveError::NotAnArchive => assert!(keep < 12, "cut to {keep}"),
            ArchiveError::Cut { .. } => assert!(keep >= 12, "cut to {keep}"),
            other => panic!("cut to {keep}: {other}"),
        }
    }
}

#[test]
fn a_flipped_bit_anywhere_is_noticed() {
    let bytes = written();
    for bit in 0..bytes.len() * 8 {
        let mut flipped = bytes.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        assert!(read(&flipped).is_err(), "bit {bit}");
    }
}

#[test]
fn what_follows_the_end_is_noticed() {
    let mut bytes = written();
    bytes.push(0);
    assert!(matches!(read(&bytes), Err(ArchiveError::Misplaced { .. })));
}

#[test]
fn a_record_that_is_missing_doubled_or_out_of_place_is_refused() {
    let misplaced = |records: &[Record]| {
        let mut writer = Writer::new(Vec::new()).unwrap();
        let written = records.iter().try_for_each(|record| writer.write(record));
        assert!(matches!(written, Err(ArchiveError::Misplaced { .. })), "{records:?}");
    };
    misplaced(&[mark("a")]);
    misplaced(&[head(), head()]);
    misplaced(&[head(), mark("a"), returned(1)]);
    misplaced(&[head(), mark("b"), mark("b")]);
    misplaced(&[head(), returned(2), returned(1)]);
    misplaced(&[head(), returned(4)]);
    misplaced(&[head(), Record::Body("body".into())]);
    assert!(Writer::new(Vec::new()).unwrap().finish().is_err(), "an archive has a head");
}

#[test]
fn another_file_and_a_newer_version_are_named() {
    assert!(matches!(read(b"SQLite format 3\0"), Err(ArchiveError::NotAnArchive)));
    let mut newer = written();
    newer[11] = 2;
    assert!(matches!(read(&newer), Err(ArchiveError::Newer { found: 2, known: 1 })));
}
