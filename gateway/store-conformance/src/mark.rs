//! Marks: what operators decide is kept by name, with the leaf that says so, and outlives a restart.

use bytes::Bytes;
use gateway_store::mark::{Mark, NAME_BYTES_MAX, VALUE_BYTES_MAX};
use gateway_store::{Conflict, StoreError};

use crate::Suite;

fn mark(name: &str, value: Option<&'static str>, leaf: Option<&'static str>) -> Mark {
    Mark { name: name.to_owned(), value: value.map(Bytes::from), leaf: leaf.map(Bytes::from) }
}

/// The value is what was set last, and the leaf is in the log.
pub async fn a_mark_is_kept_with_its_leaf_until_it_is_taken_away(suite: Suite) {
    let store = &suite.store;
    let receipt = store.mark(mark("pause/a", Some("one"), Some("first"))).await.unwrap().unwrap();
    assert_eq!((&receipt.event[..], receipt.leaf_index), (&b"first"[..], 0));
    assert_eq!(store.mark(mark("pause/a", Some("two"), None)).await.unwrap(), None);
    assert_eq!(store.marks("pause/", 10).await.unwrap(), [("pause/a".to_owned(), Bytes::from("two"))]);
    let gone = store.mark(mark("pause/a", None, Some("second"))).await.unwrap().unwrap();
    assert_eq!(gone.leaf_index, 1);
    assert_eq!(store.marks("", 10).await.unwrap(), []);
    assert_eq!(store.mark(mark("pause/a", None, None)).await.unwrap(), None, "what is not there is not there");
}

/// Names that begin alike are found together, in order, and no more than were asked for.
pub async fn marks_are_found_by_how_their_names_begin(suite: Suite) {
    for name in ["pause/b", "bulk/1", "pause/a", "pausf"] {
        suite.store.mark(mark(name, Some("x"), None)).await.unwrap();
    }
    let names = async |prefix: &str, limit| {
        let marks = suite.store.marks(prefix, limit).await.unwrap();
        marks.into_iter().map(|(name, _)| name).collect::<Vec<_>>()
    };
    assert_eq!(names("pause/", 10).await, ["pause/a", "pause/b"]);
    assert_eq!(names("pause/", 1).await, ["pause/a"]);
    assert_eq!(names("", 10).await, ["bulk/1", "pause/a", "pause/b", "pausf"]);
}

/// Marks survive a restart.
pub async fn marks_are_there_after_a_restart(suite: Suite) {
    suite.store.mark(mark("pause/a", Some("one"), Some("leaf"))).await.unwrap();
    let suite = suite.reopen().await;
    assert_eq!(suite.store.marks("", 10).await.unwrap(), [("pause/a".to_owned(), Bytes::from("one"))]);
    assert_eq!(suite.log_size().await, 1);
}

/// Names and values have bounds.
pub async fn a_mark_beyond_its_bounds_is_refused(suite: Suite) {
    let long_name = Mark { name: "x".repeat(NAME_BYTES_MAX + 1), value: None, leaf: None };
    let no_name = Mark { name: String::new(), value: None, leaf: None };
    let long_value = Mark { name: "x".to_owned(), value: Some(vec![0; VALUE_BYTES_MAX + 1].into()), leaf: None };
    for mark in [long_name, no_name, long_value] {
        let refused = suite.store.mark(mark).await;
        assert!(matches!(refused, Err(StoreError::Conflict(Conflict::TooLarge))), "{refused:?}");
    }
    assert_eq!(suite.log_size().await, 0);
}

/// Whoever follows the log sees every leaf once, in order, with what it is about.
pub async fn leaves_are_followed_from_anywhere(suite: Suite) {
    let first = suite.accept(1, "a", 0).await;
    suite.store.mark(mark("pause/a", Some("one"), Some("act"))).await.unwrap();
    let second = suite.accept(2, "a", 0).await;
    let leaves = suite.store.leaves(0, 10).await.unwrap();
    let abouts: Vec<_> = leaves.iter().map(|leaf| (leaf.index, leaf.envelope)).collect();
    assert_eq!(abouts, [(0, Some(first.seq)), (1, None), (2, Some(second.seq))]);
    assert_eq!(leaves[0].bytes, first.receipt.event);
    assert_eq!(suite.store.leaves(1, 1).await.unwrap(), leaves[1..2]);
    assert_eq!(suite.store.leaves(3, 10).await.unwrap(), []);
    let row = suite.store.envelope(second.seq).await.unwrap().unwrap();
    assert_eq!(row.accepted_leaf, 2);
}
