//! Who held a file: facts out of a joined timeline, measured by the calendar and the procedure that the file keeps.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use gateway_evidence::{Event, EventKind};
use gateway_model::custody::{Custody, Fact, Holding, Pause, Rules, Sent, Standing, facts};
use gateway_model::day::Day;
use gateway_model::directory::Directory;
use gateway_model::envelope::ContentKind;
use gateway_model::id::{AgencyId, DeliveryId, EnvelopeId, EnvelopeKey};
use gateway_model::language::Language;
use gateway_model::{Timestamp, limits};
use gateway_register::File;
use gateway_store::rows::EnvelopeSeq;
use prost::Message as _;
use proto::v1;

use super::super::{Caller, Doors, wire};
use super::stuck::name;

/// Adds what only the body tells; a body that is no longer kept adds nothing.
pub(super) async fn add_body(doors: &Doors, seq: EnvelopeSeq, summary: &mut v1::EnvelopeSummary) {
    let Ok(Some(signed)) = doors.engine.store().body(seq).await else { return };
    // It was verified when it was kept.
    let Ok(signed) = v1::SignedEnvelope::decode(signed) else { return };
    let Ok(envelope) = v1::Envelope::decode(signed.envelope) else { return };
    summary.made_at = envelope.created_at;
    if let Some(case) = envelope.case {
        (summary.procedure_code, summary.step, summary.issuer) = (case.procedure_code, case.step, case.issuer);
    }
    match envelope.content {
        Some(v1::envelope::Content::Status(status)) => summary.said_at = status.at,
        Some(v1::envelope::Content::Dossier(dossier)) => {
            (summary.due_on, summary.dossier_state) = (dossier.due_on, dossier.state);
        }
        _ => {}
    }
}

/// The custody of the file that a timeline is about; `None` when it is about none, or about several.
pub(super) fn of(
    doors: &Doors,
    caller: &Caller,
    request: &v1::TimelineRequest,
    told: &v1::TimelineResponse,
) -> Option<v1::CaseCustody> {
    let code = match request.file_code.as_str() {
        "" => told.envelopes.first()?.file_code.clone(),
        code => code.to_owned(),
    };
    if code.is_empty() || told.envelopes.iter().any(|envelope| envelope.file_code != code) {
        return None;
    }
    let directory = caller.directory();
    let facts = all_facts(directory, told);
    let procedure = procedure(told);
    let rules = Rules::of(directory, procedure, &facts);
    let custody = Custody::of(&facts, &rules, doors.engine.clock().now());
    Some(Slip { directory, language: caller.language }.wire(code, procedure, &custody, &rules))
}

/// The files under a code as the register keeps them, out of what is known here: one, or one for each desk that several envelopes name as the
/// issuer of the code. A code under which nobody handed a file over stands for none.
pub(crate) fn files(directory: &Directory, code: &str, told: &v1::TimelineResponse, now: Timestamp) -> Vec<File> {
    let issuers: BTreeSet<String> = told.envelopes.iter().filter_map(|envelope| issuer(directory, envelope)).collect();
    if issuers.len() < 2 {
        return file(directory, code, told, issuers.first(), now).into_iter().collect();
    }
    let files = issuers.iter().filter_map(|desk| {
        let own = of_desk(directory, told, desk, &issuers);
        file(directory, code, &own, Some(desk), now)
    });
    files.collect()
}

fn file(
    directory: &Directory,
    code: &str,
    told: &v1::TimelineResponse,
    issuer: Option<&String>,
    now: Timestamp,
) -> Option<File> {
    let facts = all_facts(directory, told);
    let desk = facts.iter().filter_map(|fact| match fact {
        Fact::Received { agency, at } => Some((0, *at, agency)),
        Fact::HandedOver { from, at, .. } => Some((1, *at, from)),
        Fact::Promised { .. }
        | Fact::Delivered { .. }
        | Fact::NotDelivered { .. }
        | Fact::Aside { .. }
        | Fact::Said { .. } => None,
    });
    let (rank, _, desk) = desk.min()?;
    // Whoever handed it on here first need not be the desk: the envelope names it.
    let named = issuer.filter(|_| rank > 0).and_then(|name| AgencyId::parse(name).ok());
    let procedure = procedure(told);
    let rules = Rules::of(directory, procedure, &facts);
    let custody = Custody::of(&facts, &rules, now);
    Some(File {
        file_code: code.to_owned(),
        issuer: named.unwrap_or_else(|| desk.clone()),
        procedure_code: rules.procedure.map_or_else(|| procedure.to_owned(), |procedure| procedure.code.clone()),
        received_at: custody.received_at?,
        // While the clock stands still the due time moves with the clock.
        due_at: custody.due.filter(|_| custody.standing != Standing::Paused).map(|due| due.at),
        finished_at: custody.finished_at,
    })
}

/// The desk that an envelope names as the issuer of its file's code: its id, or the name itself when nobody knows it.
fn issuer(directory: &Directory, envelope: &v1::EnvelopeSummary) -> Option<String> {
    let name = Some(envelope.issuer.as_str()).filter(|name| !name.is_empty())?;
    let at = envelope.accepted_at.as_ref().and_then(instant).unwrap_or(Timestamp::MAX);
    Some(directory.agency_named_at(name, at).map_or_else(|| name.to_owned(), |agency| agency.id.to_string()))
}

/// What belongs to one of several desks that issued the same code: what names it, what it sent, and what those said who had it from there.
fn of_desk(
    directory: &Directory,
    told: &v1::TimelineResponse,
    desk: &String,
    issuers: &BTreeSet<String>,
) -> v1::TimelineResponse {
    let names = |envelope: &v1::EnvelopeSummary| match issuer(directory, envelope) {
        Some(issuer) => issuer == *desk,
        None => envelope.sender == *desk,
    };
    let serves = |envelope: &v1::EnvelopeSummary, agency: &String| {
        envelope.deliveries.iter().any(|delivery| delivery.recipient == *agency)
    };
    let from_there =
        |agency: &String| told.envelopes.iter().any(|envelope| names(envelope) && serves(envelope, agency));
    let belongs = |envelope: &&v1::EnvelopeSummary| {
        let says_nothing = envelope.issuer.is_empty() && !issuers.contains(&envelope.sender);
        names(envelope) || (says_nothing && from_there(&envelope.sender))
    };
    let envelopes = told.envelopes.iter().filter(belongs).cloned().collect();
    v1::TimelineResponse { envelopes, entries: told.entries.clone(), ..v1::TimelineResponse::default() }
}

fn procedure(told: &v1::TimelineResponse) -> &str {
    let codes = told.envelopes.iter().map(|envelope| envelope.procedure_code.as_str());
    codes.into_iter().find(|code| !code.is_empty()).unwrap_or_default()
}

fn all_facts(directory: &Directory, told: &v1::TimelineResponse) -> Vec<Fact> {
    let events: Vec<Event> =
        told.entries.iter().filter_map(|entry| Event::decode(&entry.receipt.as_ref()?.event).ok()).collect();
    let mut accepted: HashMap<EnvelopeKey, Timestamp> = HashMap::new();
    for event in events.iter().filter(|event| event.kind == EventKind::Accepted) {
        let first = accepted.entry(event.key()).or_insert(event.at);
        *first = (*first).min(event.at);
    }
    // One envelope, as several gateways know it: each tells of the deliveries that it serves.
    let mut envelopes: BTreeMap<EnvelopeKey, (&v1::EnvelopeSummary, BTreeMap<String, AgencyId>)> = BTreeMap::new();
    for summary in &told.envelopes {
        let Some(key) = key(summary) else { continue };
        let (fullest, recipients) = envelopes.entry(key).or_insert((summary, BTreeMap::new()));
        if fullest.made_at.is_none() {
            *fullest = summary;
        }
        for (named, state) in summary.recipients.iter().zip(&summary.deliveries) {
            if let Ok(serving) = AgencyId::parse(&state.recipient) {
                recipients.insert(named.clone(), serving);
            }
        }
    }
    let mut all = Vec::new();
    for (key, (summary, recipients)) in &envelopes {
        let Some(accepted_at) = accepted.get(key).copied() else { continue };
        all.extend(sent(directory, key, summary, recipients, accepted_at));
    }
    // Of an envelope that is not known here, nobody can say whether it carried the file.
    let known =
        events.iter().filter(|event| envelopes.contains_key(&event.key()) && accepted.contains_key(&event.key()));
    all.extend(known.flat_map(|event| ends(directory, event)));
    all.truncate(limits::CASE_FACTS_MAX + 1);
    all
}

fn sent(
    directory: &Directory,
    key: &EnvelopeKey,
    summary: &v1::EnvelopeSummary,
    recipients: &BTreeMap<String, AgencyId>,
    accepted_at: Timestamp,
) -> Vec<Fact> {
    let deliveries = recipients
        .iter()
        .filter_map(|(named, serving)| Some((DeliveryId::new(key, &AgencyId::parse(named).ok()?), serving.clone())));
    let deliveries: Vec<_> = deliveries.collect();
    // A letter about a file moves nothing, but its delivery must be known for what it is.
    let kind = ContentKind::parse(&summary.kind).unwrap_or(ContentKind::Opaque);
    let code = if kind == ContentKind::Dossier { &summary.dossier_state } else { &summary.code };
    let issuer = Some(summary.issuer.as_str()).filter(|issuer| !issuer.is_empty());
    // An issuer that nobody knows is still not the sender.
    let unknown = AgencyId::parse("issuer-unknown").ok();
    let issuer = issuer
        .and_then(|name| directory.agency_named_at(name, accepted_at).map(|agency| &agency.id).or(unknown.as_ref()));
    facts(&Sent {
        from: &key.sender,
        issuer,
        to: &deliveries,
        step: &summary.step,
        kind,
        code,
        said_at: summary.said_at.as_ref().and_then(instant),
        due_on: Day::parse(&summary.due_on),
        made_at: summary.made_at.as_ref().and_then(instant).unwrap_or(accepted_at),
        accepted_at,
    })
}

/// The ends of deliveries.
fn ends(directory: &Directory, event: &Event) -> Vec<Fact> {
    let (key, at) = (event.key(), event.at);
    let facts = event.recipients.iter().filter_map(|named| {
        let delivery = DeliveryId::new(&key, named);
        match event.kind {
            EventKind::Delivered => {
                let to = match directory.serving(named, at) {
                    gateway_model::directory::Serving::Successor(successor) => successor,
                    _ => named.clone(),
                };
                Some(Fact::Delivered { delivery, to, at })
            }
            EventKind::Refused | EventKind::Expired | EventKind::Returned => Some(Fact::NotDelivered { delivery, at }),
            _ => None,
        }
    });
    facts.collect()
}

fn key(summary: &v1::EnvelopeSummary) -> Option<EnvelopeKey> {
    let (sender, id) = (AgencyId::parse(&summary.sender).ok()?, EnvelopeId::parse(&summary.envelope_id).ok()?);
    Some(EnvelopeKey { sender, id })
}

fn instant(at: &prost_types::Timestamp) -> Option<Timestamp> {
    Timestamp::from_parts(at.seconds, at.nanos)
}

/// Writes a custody down, with the names in a language.
struct Slip<'a> {
    directory: &'a Directory,
    language: Language,
}

impl Slip<'_> {
    fn wire(&self, code: String, procedure: &str, custody: &Custody, rules: &Rules<'_>) -> v1::CaseCustody {
        v1::CaseCustody {
            file_code: code,
            procedure_code: procedure.to_owned(),
            procedure_name: rules.procedure.map(|procedure| procedure.name.clone()).unwrap_or_default(),
            procedure_version: rules.procedure.map(|procedure| procedure.version.clone()).unwrap_or_default(),
            received_at: custody.received_at.map(wire::timestamp),
            due_at: custody.due.map(|due| wire::timestamp(due.at)),
            finished_at: custody.finished_at.map(wire::timestamp),
            standing: standing(custody.standing).into(),
            working_seconds_used: custody.used.as_secs(),
            working_seconds_left: custody.left.map_or(0, gateway_model::custody::Left::seconds),
            holdings: custody.holdings.iter().map(|holding| self.holding(holding)).collect(),
            pauses: custody.pauses.iter().map(pause).collect(),
            calendar: rules
                .calendar
                .map(|calendar| format!("{} {}", calendar.id, calendar.version))
                .unwrap_or_default(),
            business_status: custody.status.as_ref().map(|status| status.code.clone()).unwrap_or_default(),
            business_status_by: custody.status.as_ref().map(|status| status.by.to_string()).unwrap_or_default(),
        }
    }

    fn holding(&self, holding: &Holding) -> v1::Holding {
        v1::Holding {
            agency: holding.agency.to_string(),
            agency_name: name(self.directory, &holding.agency, self.language),
            from: holding.from.as_ref().map(ToString::to_string).unwrap_or_default(),
            step: holding.step.clone(),
            since: holding.since.map(wire::timestamp),
            until: holding.until.map(wire::timestamp),
            due_at: holding.due_at.map(wire::timestamp),
            working_seconds_used: holding.used.as_secs(),
            working_seconds_allowed: holding.allowed.map_or(0, |allowed| allowed.as_secs()),
            standing: standing(holding.standing).into(),
            working_seconds_on_the_way: holding.on_the_way.as_secs(),
        }
    }
}

fn pause(pause: &Pause) -> v1::CasePause {
    v1::CasePause {
        agency: pause.agency.to_string(),
        since: Some(wire::timestamp(pause.since)),
        until: pause.until.map(wire::timestamp),
        code: pause.code.clone(),
    }
}

fn standing(standing: Standing) -> v1::CaseStanding {
    match standing {
        Standing::InWork => v1::CaseStanding::InWork,
        Standing::InWorkLate => v1::CaseStanding::InWorkLate,
        Standing::Paused => v1::CaseStanding::Paused,
        Standing::Early => v1::CaseStanding::Early,
        Standing::OnTime => v1::CaseStanding::OnTime,
        Standing::Late => v1::CaseStanding::Late,
        Standing::Ended => v1::CaseStanding::Ended,
    }
}

#[cfg(test)]
mod tests;
