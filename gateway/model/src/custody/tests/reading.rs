//! Tests of reading: envelopes as the adapters make them, and the file that they tell of.

use std::time::Duration;

use super::*;
use crate::envelope::ContentKind;

#[test]
fn an_envelope_is_read_by_what_it_says() {
    let (desk, land, to) = (agency("desk"), agency("land"), [(DeliveryId([1; 16]), agency("land"))]);
    let dossier = Sent {
        from: &desk,
        to: &to,
        issuer: None,
        step: "tiep-nhan",
        kind: ContentKind::Dossier,
        code: "DA_TIEP_NHAN",
        said_at: None,
        due_on: Some(day("09")),
        made_at: at("02T08:00"),
        accepted_at: at("02T08:01"),
    };
    let kinds = |sent: &Sent<'_>| {
        facts(sent)
            .iter()
            .map(|fact| match fact {
                Fact::Received { .. } => "received",
                Fact::Promised { .. } => "promised",
                Fact::HandedOver { .. } => "handed over",
                Fact::Said { .. } => "said",
                Fact::Aside { .. } => "aside",
                Fact::Delivered { .. } | Fact::NotDelivered { .. } => "delivered",
            })
            .collect::<Vec<_>>()
    };
    assert_eq!(kinds(&dossier), ["received", "promised", "said", "handed over"]);
    assert_eq!(kinds(&Sent { issuer: Some(&land), ..dossier }), ["promised", "said", "handed over"]);
    assert_eq!(kinds(&Sent { step: "bo-sung", code: "DA_BO_SUNG", ..dossier }), ["aside", "said"]);
    assert_eq!(kinds(&Sent { kind: ContentKind::Document, ..dossier }), ["aside"]);
    let status = Sent { kind: ContentKind::Status, code: "5", ..dossier };
    let said_at = |said_at| match facts(&Sent { said_at, ..status }).as_slice() {
        [Fact::Aside { .. }, Fact::Said { at, .. }] => *at,
        other => panic!("{other:?}"),
    };
    assert_eq!(said_at(Some(at("03T08:00"))), at("02T08:01"), "the future is not believed");
    assert_eq!(said_at(Some(at("02T00:00"))), at("02T08:01"), "today's midnight is today");
    let within_the_minute = Duration::from_micros(59_999_999);
    assert_eq!(said_at(Some(at("01T09:00"))), at("01T09:00").plus(within_the_minute));
}

/// An envelope between the desk and the land office, as the land adapter makes it.
struct Told {
    from: &'static str,
    to: &'static str,
    step: &'static str,
    kind: ContentKind,
    code: &'static str,
    said_at: Option<&'static str>,
    due_on: Option<&'static str>,
    accepted_at: &'static str,
}

impl Told {
    fn facts(&self, number: u8) -> Vec<Fact> {
        let (from, desk, to) = (agency(self.from), agency("desk"), [(DeliveryId([number; 16]), agency(self.to))]);
        let accepted_at = at(self.accepted_at);
        let mut told = facts(&Sent {
            from: &from,
            issuer: (self.from != "desk").then_some(&desk),
            to: &to,
            step: self.step,
            kind: self.kind,
            code: self.code,
            said_at: self.said_at.map(at),
            due_on: self.due_on.map(day),
            made_at: accepted_at,
            accepted_at,
        });
        let delivered_at = accepted_at.plus(Duration::from_secs(60));
        told.push(Fact::Delivered { delivery: to[0].0, to: to[0].1.clone(), at: delivered_at });
        told
    }
}

#[test]
fn a_land_file_as_its_adapters_tell_it_is_early_and_its_pause_is_nobodys_time() {
    use ContentKind::{Dossier, Status};
    let told = |from, step, kind, code, said_at, due_on, accepted_at| {
        let to = if from == "desk" { "land" } else { "desk" };
        Told { from, to, step, kind, code, said_at, due_on, accepted_at }
    };
    let way = [
        told("desk", "tiep-nhan", Dossier, "DA_TIEP_NHAN", None, Some("09"), "02T08:00"),
        told("land", "chuyen-ho-so", Status, "5", Some("02T09:00"), None, "02T09:01"),
        told("land", "yeu-cau-bo-sung", Status, "TAM_DUNG", Some("03T00:00"), None, "03T10:00"),
        told("desk", "bo-sung", Dossier, "DA_BO_SUNG", None, Some("13"), "05T10:00"),
        told("land", "nhan-bo-sung", Dossier, "TIEP_TUC", None, Some("16"), "05T14:00"),
        told("land", "ket-qua-thue", Status, "KET_QUA_THUE", None, None, "06T09:00"),
        told("land", "ket-thuc", Status, "HOAN_THANH", Some("12T00:00"), None, "12T08:00"),
        told("desk", "tra-ket-qua", Dossier, "DA_TRA_KET_QUA", None, None, "13T08:00"),
    ];
    let all: Vec<Fact> = way.iter().zip(1u8..).flat_map(|(told, number)| told.facts(number)).collect();
    let custody = custody(&all, "20T08:00");
    assert_eq!(custody.unknown, []);
    let holders: Vec<_> = custody.holdings.iter().map(|line| (line.agency.as_str(), line.step.as_str())).collect();
    assert_eq!(holders, [("desk", ""), ("land", "tiep-nhan")], "words about a file do not move it");
    let pauses: Vec<_> = custody.pauses.iter().map(|pause| (pause.since, pause.until)).collect();
    assert_eq!(pauses, [(at("03T10:00"), Some(at("05T10:00")))]);
    assert_eq!(custody.due, Some(Due { at: at("16T17:00"), basis: DueBasis::Promised }));
    assert_eq!((custody.finished_at, custody.standing), (Some(at("12T08:00")), Standing::Early));
    assert_eq!(hours(custody.used), 7.5 * 8.0 - 7.5 * 2.0, "eight days, two of them waiting for the citizen");
    assert_eq!(custody.status.map(|status| status.code).as_deref(), Some("DA_TRA_KET_QUA"));
}
