//! Tests of custody: a land file's way, what goes wrong on it, and laws that hold for any facts.

mod reading;

use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::day::Day;
use crate::id::DeliveryId;
use crate::procedure::{Limit, Procedure, ProcedureStep};
use crate::working_time::WorkingTime;

const HOUR: u64 = 3_600;

/// March 2026; the 2nd is a Monday.
fn at(text: &str) -> Timestamp {
    Timestamp::parse(&format!("2026-03-{text}:00+07:00")).unwrap()
}

fn day(text: &str) -> Day {
    Day::parse(&format!("2026-03-{text}")).unwrap()
}

fn agency(id: &str) -> AgencyId {
    AgencyId::parse(id).unwrap()
}

fn received(by: &str, when: &str) -> Fact {
    Fact::Received { agency: agency(by), at: at(when) }
}

fn handed_over(number: u8, from: &str, to: &str, step: &str, when: &str) -> Fact {
    let delivery = DeliveryId([number; 16]);
    Fact::HandedOver { delivery, from: agency(from), to: agency(to), step: step.to_owned(), at: at(when) }
}

fn delivered(number: u8, to: &str, when: &str) -> Fact {
    Fact::Delivered { delivery: DeliveryId([number; 16]), to: agency(to), at: at(when) }
}

fn said(by: &str, code: &str, when: &str, due_on: Option<&str>) -> Fact {
    let (at, code) = (at(when), code.to_owned());
    Fact::Said { by: agency(by), at, told_at: at, step: String::new(), code, due_on: due_on.map(day) }
}

/// The desk, then the land office, then the tax office, and back to the land office.
fn land_file() -> Vec<Fact> {
    vec![
        received("desk", "02T08:00"),
        handed_over(1, "desk", "land", "tham-dinh", "02T10:00"),
        delivered(1, "land", "02T10:30"),
        handed_over(2, "land", "tax", "thue", "03T10:30"),
        delivered(2, "tax", "03T11:00"),
        handed_over(3, "tax", "land", "ky", "05T11:00"),
        delivered(3, "land", "05T11:00"),
        said("land", "HOAN_THANH", "06T08:00", None),
    ]
}

fn procedure() -> Procedure {
    let step =
        |name: &str, hours| ProcedureStep { step: name.to_owned(), name: name.to_owned(), limit_hours: Some(hours) };
    Procedure {
        code: "1.012783".to_owned(),
        version: "1".to_owned(),
        valid_from: None,
        name: "Cấp lại Giấy chứng nhận".to_owned(),
        limit: Some(Limit::WorkingDays(5)),
        steps: vec![step("tiep-nhan", 4), step("tham-dinh", 16), step("thue", 8), step("ky", 4)],
    }
}

fn custody(facts: &[Fact], now: &str) -> Custody {
    let (time, procedure) = (WorkingTime::default(), procedure());
    Custody::of(facts, &Rules { time: &time, calendar: None, procedure: Some(&procedure) }, at(now))
}

fn hours(duration: Duration) -> f64 {
    duration.as_secs_f64() / HOUR as f64
}

#[test]
fn every_agency_has_its_line_with_its_own_time_and_the_way_apart() {
    let custody = custody(&land_file(), "09T08:00");
    let lines: Vec<_> = custody
        .holdings
        .iter()
        .map(|line| (line.agency.as_str(), line.step.as_str(), hours(line.used), hours(line.on_the_way), line.standing))
        .collect();
    let expected = [
        ("desk", "tiep-nhan", 2.0, 0.0, Standing::OnTime),
        ("land", "tham-dinh", 7.5, 0.5, Standing::Early),
        ("tax", "thue", 15.0, 0.5, Standing::Late),
        ("land", "ky", 0.5 + 3.5 + 0.5, 0.0, Standing::Late),
    ];
    assert_eq!(lines, expected);
    assert_eq!((hours(custody.used), custody.standing), (30.0, Standing::Early));
    assert_eq!(custody.due, Some(Due { at: at("09T08:00"), basis: DueBasis::Procedure }));
    assert_eq!(custody.left, Some(Left::Remaining(Duration::from_secs(7 * HOUR + HOUR / 2))));
    assert_eq!(custody.finished_at, Some(at("06T08:00")));
    assert!(custody.unknown.is_empty() && custody.held_by().next().is_none());
}

#[test]
fn of_a_late_file_the_hop_is_named_that_went_furthest_beyond_its_step() {
    let mut facts = land_file();
    facts.pop();
    let custody = custody(&facts, "13T08:00");
    assert_eq!((custody.standing, custody.is_late()), (Standing::InWorkLate, true));
    assert_eq!(custody.left.map(Left::seconds), Some(-(4 * 7 * HOUR as i64 + 2 * HOUR as i64)));
    let hop = custody.slowest_hop().unwrap();
    assert_eq!((hop.holding.agency.as_str(), hop.holding.step.as_str(), hop.part), ("land", "ky", HopPart::Agency));
    assert_eq!(custody.held_by().map(|line| line.agency.as_str()).collect::<Vec<_>>(), ["land"]);
}

#[test]
fn the_way_is_named_when_nobody_else_used_the_time() {
    let facts = [received("desk", "02T08:00"), handed_over(1, "desk", "land", "tham-dinh", "02T08:30")];
    let custody = custody(&facts, "12T08:30");
    let hop = custody.slowest_hop().unwrap();
    assert_eq!((hop.holding.agency.as_str(), hop.part, hours(hop.used)), ("land", HopPart::Way, 60.0));
    assert_eq!(custody.holdings[1].whereabouts, Whereabouts::OnTheWay);
    assert_eq!((custody.holdings[1].since, custody.holdings[0].until), (None, Some(at("02T08:30"))));
}

#[test]
fn a_pause_stops_the_clock_and_moves_what_is_due() {
    let mut facts = land_file();
    facts.truncate(3);
    facts.push(said("land", "TAM_DUNG", "03T08:00", None));
    let paused = custody(&facts, "10T08:00");
    assert_eq!((paused.standing, hours(paused.used)), (Standing::Paused, 7.5));
    assert_eq!(paused.left, Some(Left::Remaining(Duration::from_secs(30 * HOUR))));
    assert_eq!(paused.holdings[1].standing, Standing::Paused);
    facts.push(said("land", "TIEP_TUC", "10T08:00", None));
    let resumed = custody(&facts, "11T08:00");
    assert_eq!((resumed.standing, hours(resumed.used)), (Standing::InWork, 15.0));
    assert_eq!(resumed.due.unwrap().at, at("16T08:00"), "five days and the five working days of the pause");
    assert_eq!(resumed.pauses[0].until, Some(at("10T08:00")));
    let line = &resumed.holdings[1];
    assert_eq!((hours(line.used), line.due_at), (12.5, Some(at("11T10:30"))));
}

#[test]
fn the_day_promised_at_the_end_of_a_pause_counts_and_a_day_off_moves() {
    let mut facts = land_file();
    facts.truncate(3);
    facts.push(Fact::Promised { by: agency("desk"), at: at("02T10:00"), day: day("05") });
    assert_eq!(custody(&facts, "03T08:00").due, Some(Due { at: at("05T17:00"), basis: DueBasis::Promised }));
    facts.push(Fact::Promised { by: agency("land"), at: at("02T11:00"), day: day("30") });
    assert_eq!(custody(&facts, "03T08:00").due.unwrap().at, at("05T17:00"), "only the desk promises");
    facts.extend([said("land", "5", "03T08:00", None), said("land", "TIEP_TUC", "04T08:00", Some("14"))]);
    assert_eq!(custody(&facts, "05T08:00").due.unwrap().at, at("16T17:00"), "the 14th is a Saturday");
}

#[test]
fn late_stays_late_when_the_clock_is_stopped_afterwards() {
    let facts = [received("desk", "02T08:00"), said("desk", "5", "10T08:00", None)];
    let late = custody(&facts, "20T08:00");
    assert_eq!(late.standing, Standing::InWorkLate);
    assert_eq!(late.due.unwrap().at, at("09T08:00"));
}

#[test]
fn what_ends_without_a_due_time_has_ended_and_no_more_is_said() {
    let time = WorkingTime::default();
    let facts = [received("desk", "02T08:00"), said("desk", "9", "03T08:00", None)];
    let custody = Custody::of(&facts, &Rules { time: &time, calendar: None, procedure: None }, at("04T08:00"));
    assert_eq!((custody.standing, custody.due, custody.left), (Standing::Ended, None, None));
    assert_eq!(custody.status.unwrap().code, "9");
}

#[test]
fn a_hand_over_that_fails_gives_the_file_back() {
    let mut facts = land_file();
    facts.truncate(2);
    facts.push(Fact::NotDelivered { delivery: DeliveryId([1; 16]), at: at("03T10:00") });
    let custody = custody(&facts, "03T11:00");
    let lost = &custody.holdings[1];
    assert_eq!((lost.whereabouts, hours(lost.on_the_way), hours(lost.used)), (Whereabouts::NeverArrived, 7.5, 0.0));
    let back = &custody.holdings[2];
    assert_eq!((back.agency.as_str(), back.arrival, hours(back.used)), ("desk", Arrival::CameBack, 1.0));
    facts.push(delivered(1, "land", "03T12:00"));
    let held = self::custody(&facts, "03T14:30");
    assert_eq!(held.held_by().map(|line| line.agency.as_str()).collect::<Vec<_>>(), ["land"], "its system has it");
}

#[test]
fn who_does_not_take_it_gives_it_back() {
    let mut facts = land_file();
    facts.truncate(3);
    facts.push(said("land", "02", "02T14:00", None));
    let custody = custody(&facts, "02T15:00");
    assert_eq!(custody.held_by().map(|line| line.agency.as_str()).collect::<Vec<_>>(), ["desk"]);
    assert_eq!(custody.holdings[1].until, Some(at("02T14:00")));
}

#[test]
fn finished_counts_from_a_holder_only_where_the_code_is_of_one_document() {
    let mut facts = land_file();
    facts.truncate(5);
    facts.push(said("land", "06", "04T08:00", None));
    assert_eq!(custody(&facts, "04T09:00").finished_at, None, "the land office has given it to the tax office");
    facts.push(said("tax", "06", "04T08:30", None));
    assert_eq!(custody(&facts, "04T09:00").finished_at, Some(at("04T08:30")));
}

#[test]
fn several_at_once_hold_it_side_by_side() {
    let facts = [
        received("desk", "02T08:00"),
        handed_over(1, "desk", "land", "", "02T10:00"),
        handed_over(2, "desk", "tax", "", "02T10:00"),
        delivered(1, "land", "02T10:00"),
    ];
    let custody = custody(&facts, "02T11:00");
    assert_eq!(custody.held_by().map(|line| line.agency.as_str()).collect::<Vec<_>>(), ["land", "tax"]);
    assert!(custody.unknown.is_empty());
}

#[test]
fn what_is_missing_is_told_and_not_made_up() {
    assert_eq!(custody(&[], "02T08:00").received_at, None);
    let mut facts = land_file();
    facts.remove(0);
    let without_receipt = custody(&facts, "09T08:00");
    assert_eq!(without_receipt.unknown, [Unknown::Receipt, Unknown::HowItCame(agency("desk"))]);
    assert_eq!(without_receipt.received_at, Some(at("02T10:00")));
    let (first, used) = (&without_receipt.holdings[0], Duration::ZERO);
    assert_eq!((first.since, first.until, first.used), (None, Some(at("02T10:00")), used));
    let mut facts = land_file();
    facts.drain(3..5);
    let gap = custody(&facts, "09T08:00");
    assert_eq!(gap.unknown, [Unknown::HowItCame(agency("tax"))]);
    let orphan = custody(&[delivered(9, "tax", "03T08:00")], "04T08:00");
    assert_eq!((orphan.holdings[0].arrival, orphan.holdings[0].from.clone()), (Arrival::Unknown, None));
    let mut facts = land_file();
    facts.push(handed_over(4, "land", "desk", "", "06T09:00"));
    assert_eq!(custody(&facts, "09T08:00").unknown, [Unknown::WentOn(at("06T09:00"))]);
    let many = vec![received("desk", "02T08:00"); crate::limits::CASE_FACTS_MAX + 1];
    assert_eq!(custody(&many, "09T08:00").unknown, [Unknown::More]);
}

#[test]
fn words_of_one_day_are_in_the_order_in_which_they_were_told() {
    let midnight = at("04T00:00");
    let word = |code: &str, told: &str| Fact::Said {
        by: agency("land"),
        at: midnight,
        told_at: at(told),
        step: String::new(),
        code: code.to_owned(),
        due_on: None,
    };
    for facts in [
        [word("TAM_DUNG", "05T09:00"), word("TIEP_TUC", "05T10:00")],
        [word("TIEP_TUC", "05T10:00"), word("TAM_DUNG", "05T09:00")],
    ] {
        let all = [&[received("desk", "02T08:00")][..], &facts].concat();
        assert_eq!(custody(&all, "06T08:00").standing, Standing::InWork);
    }
}

#[test]
fn what_is_said_of_the_time_before_the_receipt_counts_from_the_receipt() {
    let facts = [received("desk", "02T08:00"), said("desk", "5", "02T00:00", None)];
    assert_eq!(custody(&facts, "03T08:00").pauses[0].since, at("02T08:00"));
}

fn any_fact() -> impl Strategy<Value = Fact> {
    let who = || prop_oneof!["desk", "land", "tax"].prop_map(|id| agency(&id));
    let when = || (0i64..400).prop_map(|hours| Timestamp::from_seconds(at("02T08:00").seconds() + hours * 1_800));
    let delivery = || (0u8..6).prop_map(|number| DeliveryId([number; 16]));
    let code = prop_oneof!["TAM_DUNG", "TIEP_TUC", "HOAN_THANH", "02", "06", "4", "99"];
    let due = proptest::option::of((0i64..30).prop_map(|ahead| day("02").plus(ahead)));
    prop_oneof![
        (who(), when()).prop_map(|(agency, at)| Fact::Received { agency, at }),
        (who(), when(), 0i64..30).prop_map(|(by, at, ahead)| Fact::Promised { by, at, day: day("02").plus(ahead) }),
        (delivery(), who(), who(), when()).prop_map(|(delivery, from, to, at)| Fact::HandedOver {
            delivery,
            from,
            to,
            step: "thue".to_owned(),
            at
        }),
        (delivery(), who(), when()).prop_map(|(delivery, to, at)| Fact::Delivered { delivery, to, at }),
        (delivery(), when()).prop_map(|(delivery, at)| Fact::NotDelivered { delivery, at }),
        (delivery(), when()).prop_map(|(delivery, at)| Fact::Aside { delivery, at }),
        (who(), when(), code, due).prop_map(|(by, at, code, due_on)| Fact::Said {
            by,
            at,
            told_at: at,
            step: String::new(),
            code,
            due_on
        }),
    ]
}

/// A file that goes from hand to hand, with pauses, and may end.
fn any_way() -> impl Strategy<Value = Vec<Fact>> {
    let hops = proptest::collection::vec((1u64..40, 0u64..20, 0u64..3), 0..10);
    hops.prop_map(|hops| {
        let mut now = at("02T08:00");
        let mut facts = vec![Fact::Received { agency: agency("a0"), at: now }];
        for (number, (held, way, what)) in hops.into_iter().enumerate() {
            now = now.plus(Duration::from_secs(held * HOUR));
            if what > 0 {
                let code = if what == 1 { "TAM_DUNG" } else { "TIEP_TUC" }.to_owned();
                let by = agency("a0");
                facts.push(Fact::Said { by, at: now, told_at: now, step: String::new(), code, due_on: None });
                now = now.plus(Duration::from_secs(held * HOUR / 2));
            }
            let delivery = DeliveryId([number as u8; 16]);
            let (from, to) = (agency(&format!("a{number}")), agency(&format!("a{}", number + 1)));
            facts.push(Fact::HandedOver { delivery, from, to: to.clone(), step: String::new(), at: now });
            now = now.plus(Duration::from_secs(way * HOUR));
            facts.push(Fact::Delivered { delivery, to, at: now });
        }
        facts
    })
}

proptest! {
    #[test]
    fn any_facts_in_any_order_and_twice_tell_the_same(facts in proptest::collection::vec(any_fact(), 0..25).prop_flat_map(|facts| (Just(facts.clone()), Just(facts).prop_shuffle()))) {
        let (facts, shuffled) = facts;
        let once = custody(&facts, "20T08:00");
        let twice = custody(&[&shuffled[..], &facts[..]].concat(), "20T08:00");
        prop_assert_eq!(once.standing, twice.standing);
        prop_assert_eq!(once.used, twice.used);
        prop_assert_eq!(once.due, twice.due);
        prop_assert_eq!(once.finished_at, twice.finished_at);
        prop_assert_eq!(once.holdings, twice.holdings);
    }

    #[test]
    fn a_line_never_ends_before_it_begins_and_an_ended_file_is_nobodys(facts in proptest::collection::vec(any_fact(), 0..25)) {
        let custody = custody(&facts, "20T08:00");
        for line in &custody.holdings {
            prop_assert!(line.since.zip(line.until).is_none_or(|(since, until)| since <= until), "{:?}", line);
            prop_assert!(line.since.zip(line.handed_over_at).is_none_or(|(since, at)| at <= since), "{:?}", line);
        }
        prop_assert!(custody.finished_at.is_none() || custody.held_by().next().is_none());
        prop_assert!(custody.pauses.windows(2).all(|two| two[0].until.is_some_and(|until| until <= two[1].since)));
    }

    #[test]
    fn on_a_way_from_hand_to_hand_the_lines_use_all_the_time_there_was(facts in any_way(), after in 0u64..100) {
        let (time, last) = (WorkingTime::default(), facts.iter().map(Fact::at).max().unwrap());
        let now = last.plus(Duration::from_secs(after * HOUR));
        let custody = Custody::of(&facts, &Rules { time: &time, calendar: None, procedure: None }, now);
        let lines: Duration = custody.holdings.iter().map(|line| line.used + line.on_the_way).sum();
        prop_assert_eq!(lines, custody.used);
        prop_assert!(custody.unknown.is_empty());
        prop_assert_eq!(custody.held_by().count(), 1);
    }
}
