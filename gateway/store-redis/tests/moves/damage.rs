//! Each index of a store in Redis, damaged: it is named, and made anew from the records. A damaged record is named, and nothing is touched.

use gateway_store::soundness::Rebuilt;

use crate::{Place, archive};

/// Damages one thing, and says what has to be found.
struct Damage {
    what: &'static str,
    words: Vec<String>,
    /// A finding begins with this.
    found: &'static str,
}

/// Some names that the golden store has.
struct Names {
    first_delivery: String,
}

fn damages(place: &Place) -> Vec<Damage> {
    let key = |name: &str| place.key(name);
    let damage = |what, words: &[&str], found| Damage {
        what,
        words: words.iter().map(|word| (*word).to_owned()).collect(),
        found,
    };
    let names = Names { first_delivery: "d0000000000060000".to_owned() };
    let item = names.first_delivery.as_str();
    vec![
        damage("a lane loses work", &["ZREM", &key("lane:a"), item], "STORE_INDEX_MISSING lane:a"),
        damage("work wakes at another time", &["ZADD", &key("lane:a"), "5", item], "STORE_INDEX_WRONG lane:a"),
        damage(
            "a lane has work that is none",
            &["ZADD", &key("lane:a"), "5", "d0000000000020000"],
            "STORE_INDEX_STRAY lane:a",
        ),
        damage("a lane that nobody knows", &["ZADD", &key("lane:zz"), "5", item], "STORE_INDEX_STRAY lane:zz"),
        damage("the lanes are gone", &["DEL", &key("lanes")], "STORE_INDEX_MISSING lanes"),
        damage("a lane comes too late", &["ZADD", &key("lanes"), "9e15", "a"], "STORE_INDEX_WRONG lanes"),
        damage("a status is gone", &["DEL", &key("status:2")], "STORE_INDEX_MISSING status:2"),
        damage(
            "a status has one too many",
            &["ZADD", &key("status:2"), "0", "ffffffffffff0000"],
            "STORE_INDEX_STRAY status:2",
        ),
        damage("the memory of duplicates is gone", &["DEL", &key("ids")], "STORE_INDEX_MISSING ids"),
        damage(
            "the memory of duplicates has one too many",
            &["HSET", &key("ids"), "0123456789abcdef", "x"],
            "STORE_INDEX_WRONG ids",
        ),
        damage("the index of deliveries is gone", &["DEL", &key("dids")], "STORE_INDEX_MISSING dids"),
        damage(
            "a delivery that is none",
            &["HSET", &key("dids"), "0123456789abcdef", "0000000000010000"],
            "STORE_INDEX_STRAY dids",
        ),
        damage("a file is gone", &["DEL", &key("file:H99.07-2026-0001")], "STORE_INDEX_MISSING file:H99.07-2026-0001"),
        damage(
            "a file has one too many",
            &["RPUSH", &key("file:H99.07-2026-0001"), "000000000002"],
            "STORE_INDEX_STRAY file:H99.07-2026-0001",
        ),
        damage("a file that nobody knows", &["RPUSH", &key("file:X"), "000000000002"], "STORE_INDEX_STRAY file:X"),
        damage("what is finished is gone", &["DEL", &key("finished")], "STORE_INDEX_MISSING finished"),
        damage(
            "what waits is finished",
            &["ZADD", &key("finished"), "5", "000000000006"],
            "STORE_INDEX_STRAY finished",
        ),
        damage("parts are gone", &["DEL", &key("parts")], "STORE_INDEX_MISSING parts"),
        damage("a part has too many names", &["HINCRBY", &key("parts"), "x", "3"], "STORE_COUNTER_WRONG parts"),
        damage(
            "a lease on nothing",
            &["HSET", &key("leases"), "d0000000000ff0000", "7:n:5:a"],
            "STORE_INDEX_STRAY leases",
        ),
        damage("the names of marks are gone", &["DEL", &key("marknames")], "STORE_INDEX_MISSING marknames"),
        damage("a mark that is none", &["ZADD", &key("marknames"), "0", "zz"], "STORE_INDEX_STRAY marknames"),
        damage(
            "a receipt that is in no history",
            &["HSET", &key("e:000000000002"), "fzz", "1"],
            "STORE_INDEX_STRAY envelope 2",
        ),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn every_damaged_index_is_named_and_made_anew_from_the_records() {
    let archive = archive().await;
    let place = Place::new();
    place.import(&archive).await.unwrap();
    for Damage { what, words, found } in damages(&place) {
        place.ask(&words.iter().map(String::as_str).collect::<Vec<_>>());
        let findings = place.findings().await;
        assert!(findings.iter().any(|finding| finding.starts_with(found)), "{what}: {found} in {findings:?}");
        let offline = place.offline().await;
        let rebuilt = offline.rebuild().await.unwrap();
        offline.close().await;
        match rebuilt {
            Rebuilt::Mended { mended, after, .. } => {
                assert!(!mended.is_empty(), "{what}");
                assert_eq!(after.findings, [], "{what}");
            }
            Rebuilt::Refused(report) => panic!("{what}: {:?}", report.findings),
        }
        assert!(place.export().await == archive, "{what}: no record has changed");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_record_is_named_and_nothing_is_touched() {
    let archive = archive().await;
    let records = [
        ("an envelope", "e:000000000002", "h", "STORE_RECORD_DAMAGED envelope 2"),
        ("its state", "e:000000000002", "s", "STORE_RECORD_DAMAGED the state of envelope 2"),
        ("a delivery", "e:000000000002", "d0000", "STORE_RECORD_DAMAGED delivery 0 of envelope 2"),
        ("an event", "e:000000000002", "e00000001", "STORE_RECORD_DAMAGED event 1 of envelope 2"),
        ("a leaf", "log:0", "3", "STORE_RECORD_DAMAGED leaf 3"),
        ("a checkpoint", "log:0", "n4", "STORE_RECORD_MISSING checkpoint over 4 leaves"),
        ("a mark", "marks", "pause/gateway:gw-district", "STORE_RECORD_DAMAGED mark"),
    ];
    for (what, key, field, found) in records {
        let place = Place::new();
        place.import(&archive).await.unwrap();
        place.ask(&["HSET", &place.key(key), field, "not what was written"]);
        place.ask(&["DEL", &place.key("lanes")]);
        let findings = place.findings().await;
        assert!(findings.iter().any(|finding| finding.starts_with(found)), "{what}: {found} in {findings:?}");
        let offline = place.offline().await;
        let rebuilt = offline.rebuild().await.unwrap();
        offline.close().await;
        assert!(matches!(rebuilt, Rebuilt::Refused(_)), "{what}");
        assert_eq!(place.ask(&["EXISTS", &place.key("lanes")]), redis::Value::Int(0), "{what}: nothing was touched");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_is_gone_or_another_is_named() {
    let archive = archive().await;
    let place = Place::new();
    place.import(&archive).await.unwrap();
    let bodies = format!("{}:body:*", place.prefix);
    let found: Vec<String> = redis::from_redis_value(place.ask(&["KEYS", &bodies])).unwrap();
    place.ask(&["SET", &found[0], "another"]);
    place.ask(&["DEL", &found[1]]);
    let findings = place.findings().await;
    let named = findings.iter().filter(|finding| finding.starts_with("STORE_RECORD_DAMAGED the body of envelope"));
    assert_eq!(named.count(), 2, "{findings:?}");
}
