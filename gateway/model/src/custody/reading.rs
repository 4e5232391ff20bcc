//! What an accepted envelope says of the file it belongs to.

use super::{Fact, Meaning};
use crate::day::Day;
use crate::envelope::ContentKind;
use crate::id::{AgencyId, DeliveryId};
use crate::time::Timestamp;

/// An envelope of a file, as the first gateway accepted it, with the names resolved.
#[derive(Clone, Copy, Debug)]
pub struct Sent<'e> {
    /// Sender.
    pub from: &'e AgencyId,
    /// Its deliveries and who gets each.
    pub to: &'e [(DeliveryId, AgencyId)],
    /// `Case.issuer`: the desk that issued the file code; `None` when it is empty, which means the sender.
    pub issuer: Option<&'e AgencyId>,
    /// `Case.step`.
    pub step: &'e str,
    /// Which arm of `content`.
    pub kind: ContentKind,
    /// `Status.code` or `Dossier.state`, raw.
    pub code: &'e str,
    /// `Status.at`, when there is one.
    pub said_at: Option<Timestamp>,
    /// `Dossier.due_on`, when it is a day ([`Day::parse`]).
    pub due_on: Option<Day>,
    /// `created_at`.
    pub made_at: Timestamp,
    /// When the first gateway accepted it: the time of its ACCEPTED event, or of the `first_accepted` receipt that a relay passed on.
    pub accepted_at: Timestamp,
}

/// What an envelope tells of its file. What is neither a Dossier nor a Status moves nothing, but must be told nevertheless, so that its
/// deliveries are not taken for the file's.
///
/// Deliveries and their ends are facts of their own: DELIVERED, REFUSED, EXPIRED and RETURNED events.
pub fn facts(sent: &Sent<'_>) -> Vec<Fact> {
    match sent.kind {
        ContentKind::Dossier => dossier(sent),
        ContentKind::Status => asides(sent).chain([said(sent, None)]).collect(),
        ContentKind::Document | ContentKind::ChangeRequest | ContentKind::ChangeAnswer | ContentKind::Opaque => {
            asides(sent).collect()
        }
    }
}

fn asides(sent: &Sent<'_>) -> impl Iterator<Item = Fact> {
    sent.to.iter().map(|(delivery, _)| Fact::Aside { delivery: *delivery, at: sent.accepted_at })
}

fn dossier(sent: &Sent<'_>) -> Vec<Fact> {
    let meaning = Meaning::of(sent.step, sent.code);
    if !meaning.hands_over() {
        return asides(sent).chain([said(sent, sent.due_on)]).collect();
    }
    let mut facts = Vec::new();
    if sent.issuer.is_none_or(|issuer| issuer == sent.from) {
        // A clock that is ahead does not receive a file after it was handed over.
        facts.push(Fact::Received { agency: sent.from.clone(), at: sent.made_at.min(sent.accepted_at) });
    }
    facts.extend(sent.due_on.map(|day| Fact::Promised { by: sent.from.clone(), at: sent.accepted_at, day }));
    if !sent.code.is_empty() {
        facts.push(said(sent, None));
    }
    facts.extend(sent.to.iter().map(|(delivery, to)| Fact::HandedOver {
        delivery: *delivery,
        from: sent.from.clone(),
        to: to.clone(),
        step: sent.step.to_owned(),
        at: sent.accepted_at,
    }));
    facts
}

fn said(sent: &Sent<'_>, due_on: Option<Day>) -> Fact {
    Fact::Said {
        by: sent.from.clone(),
        at: sent.said_at.map_or(sent.accepted_at, |at| latest_meant(at).min(sent.accepted_at)),
        told_at: sent.accepted_at,
        step: sent.step.to_owned(),
        code: sent.code.to_owned(),
        due_on,
    }
}

/// The latest instant that a system may have meant: one that tells days, minutes or seconds tells their beginnings, and what it did for a file that
/// it got within the same was done after it got it.
fn latest_meant(said_at: Timestamp) -> Timestamp {
    const SECOND: i64 = 1_000_000;
    const MINUTE: i64 = 60 * SECOND;
    const DAY: i64 = 24 * 60 * MINUTE;
    let told = match said_at.micros() {
        _ if said_at == Day::of(said_at).start() => DAY,
        at if at.rem_euclid(MINUTE) == 0 => MINUTE,
        at if at.rem_euclid(SECOND) == 0 => SECOND,
        _ => 1,
    };
    Timestamp::from_micros(said_at.micros().saturating_add(told - 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_day_a_minute_and_a_second_mean_all_of_themselves() {
        let check = |said: &str, meant: &str| {
            let (said, meant) = (Timestamp::parse(said).unwrap(), Timestamp::parse(meant).unwrap());
            assert_eq!(latest_meant(said), meant, "{said}");
        };
        check("2026-11-22T00:00:00+07:00", "2026-11-22T23:59:59.999999+07:00");
        check("2026-11-22T09:30:00+07:00", "2026-11-22T09:30:59.999999+07:00");
        check("2026-11-22T09:30:05+07:00", "2026-11-22T09:30:05.999999+07:00");
        check("2026-11-22T09:30:05.25+07:00", "2026-11-22T09:30:05.25+07:00");
    }
}
