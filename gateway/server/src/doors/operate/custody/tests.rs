//! Which files the register keeps under a code.

use std::time::Duration;

use gateway_model::agency::Agency;
use gateway_model::directory::DirectoryContent;
use gateway_model::id::GatewayId;
use gateway_model::time::Validity;

use super::*;

const CODE: &str = "H99.30-260302-0001";
const MORNING: Timestamp = Timestamp::from_seconds(1_772_416_800);

/// What a gateway knows, envelope by envelope, an hour apart.
#[derive(Default)]
struct Told(v1::TimelineResponse);

impl Told {
    fn envelope(mut self, sender: &str, to: &str, set: impl FnOnce(&mut v1::EnvelopeSummary)) -> Self {
        let number = self.0.envelopes.len() as u64;
        let at = MORNING.plus(Duration::from_secs(3_600 * number));
        let id = format!("019a0000-0000-7000-8000-0000000000{number:02x}");
        let mut summary = v1::EnvelopeSummary {
            sender: sender.to_owned(),
            envelope_id: id.clone(),
            file_code: CODE.to_owned(),
            accepted_at: Some(wire::timestamp(at)),
            made_at: Some(wire::timestamp(at)),
            kind: "dossier".to_owned(),
            recipients: vec![to.to_owned()],
            deliveries: vec![v1::DeliveryState { recipient: to.to_owned(), ..v1::DeliveryState::default() }],
            ..v1::EnvelopeSummary::default()
        };
        set(&mut summary);
        let event = Event {
            kind: EventKind::Accepted,
            gateway: GatewayId::parse("gw").unwrap(),
            at,
            sender: AgencyId::parse(sender).unwrap(),
            envelope_id: EnvelopeId::parse(&id).unwrap(),
            envelope_digest: gateway_model::Digest::of(id.as_bytes()),
            recipients: Vec::new(),
            reason: None,
            counterpart: String::new(),
            attempt: 0,
            rests_on: None,
            verification: None,
            note: String::new(),
        };
        let receipt = v1::Receipt { event: event.encode(), ..v1::Receipt::default() };
        self.0.envelopes.push(summary);
        self.0.entries.push(v1::TimelineEntry { receipt: Some(receipt), local: true });
        self
    }

    fn status(self, sender: &str, to: &str, code: &str) -> Self {
        self.envelope(sender, to, |summary| {
            (summary.kind, summary.code) = ("status".to_owned(), code.to_owned());
        })
    }

    fn files(&self) -> Vec<File> {
        files(&directory(), CODE, &self.0, MORNING.plus(Duration::from_secs(86_400)))
    }
}

fn directory() -> Directory {
    let agency = |id: &str| Agency {
        id: AgencyId::parse(id).unwrap(),
        name: id.to_owned(),
        name_en: String::new(),
        codes: vec![id.to_uppercase()],
        parent: None,
        level: "xã".to_owned(),
        validity: Validity::ALWAYS,
        succeeded_by: Vec::new(),
        signers: Vec::new(),
        gateway: None,
    };
    let content = DirectoryContent {
        agencies: ["h99.30", "h99.31", "h99.21"].map(agency).into(),
        ..DirectoryContent::empty(1, MORNING, Timestamp::MAX)
    };
    Directory::new(content).unwrap()
}

fn promised(summary: &mut v1::EnvelopeSummary) {
    (summary.due_on, summary.procedure_code) = ("2026-03-20".to_owned(), "1.012783".to_owned());
}

fn issued_by(issuer: &'static str) -> impl Fn(&mut v1::EnvelopeSummary) {
    move |summary| summary.issuer = issuer.to_owned()
}

#[test]
fn a_file_has_its_desk_its_procedure_and_its_days() {
    let told = Told::default().envelope("h99.30", "h99.21", promised).status("h99.30", "h99.21", "10");
    let [file] = <[File; 1]>::try_from(told.files()).unwrap();
    assert_eq!((file.issuer.as_str(), file.procedure_code.as_str(), file.received_at), ("h99.30", "1.012783", MORNING));
    assert_eq!(file.due_at.map(Day::of), Day::parse("2026-03-20"));
    assert_eq!(file.finished_at, Some(MORNING.plus(Duration::from_secs(3_600))));
}

#[test]
fn while_the_clock_stands_still_nothing_is_due() {
    let told = Told::default().envelope("h99.30", "h99.21", promised).status("h99.30", "h99.21", "5");
    let standing = |told: &Told| told.files().remove(0).due_at.is_some();
    assert!(!standing(&told), "a supplement is awaited");
    assert!(standing(&told.status("h99.30", "h99.21", "4")), "and has come");
}

#[test]
fn a_letter_about_a_file_is_no_file() {
    let letter = |summary: &mut v1::EnvelopeSummary| summary.kind = "document".to_owned();
    assert_eq!(Told::default().envelope("h99.30", "h99.21", letter).files(), []);
}

#[test]
fn whoever_hands_a_file_on_is_not_its_desk() {
    let told = Told::default().envelope("h99.21", "h99.31", issued_by("H99.30"));
    assert_eq!(told.files()[0].issuer.as_str(), "h99.30");
}

#[test]
fn one_code_of_two_desks_is_two_files_and_each_has_its_own_end() {
    let told = Told::default()
        .envelope("h99.30", "h99.21", issued_by("H99.30"))
        .envelope("h99.31", "h99.21", issued_by("h99.31"))
        .status("h99.31", "h99.21", "10");
    let ends: Vec<_> = told.files().into_iter().map(|file| (file.issuer.to_string(), file.finished_at)).collect();
    let end = MORNING.plus(Duration::from_secs(2 * 3_600));
    assert_eq!(ends, [("h99.30".to_owned(), None), ("h99.31".to_owned(), Some(end))]);
}
