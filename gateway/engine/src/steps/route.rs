//! Route: where a delivery goes next. A pure walk over the directory.

use gateway_model::directory::{Directory, Serving};
use gateway_model::envelope::ResolvedRecipient;
use gateway_model::id::{AgencyId, DeliveryId, GatewayId};
use gateway_model::state::DeliveryState;
use gateway_model::{Reason, Refusal, Timestamp};
use gateway_store::accept::NewDelivery;
use gateway_store::rows::{DeliveryRow, EnvelopeRow};
use gateway_verify::{Snapshot, VerifiedEnvelope};

use crate::lane::{Destination, Place};
use crate::settings::Settings;
use crate::steps::accept::Admitted;
use crate::steps::deliver::Load;
use crate::{Core, Submission};

/// The way of a delivery from one gateway.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Way {
    /// There is one.
    To(Destination),
    /// There is none.
    Nowhere(Reason),
}

/// What is to be done with a delivery that is due.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Decision {
    /// Hand it over to where its lane leads.
    HandOver,
    /// Something else, for which nobody is asked.
    Instead(Instead),
}

/// What happens instead of a hand-over.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Instead {
    /// Its way has changed.
    Reroute(Destination),
    /// Its recipient has been succeeded.
    Succeed {
        /// By whom.
        successor: AgencyId,
        /// The way there.
        to: Destination,
    },
    /// It cannot go on.
    Hold(Reason),
    /// It is too late.
    Expire,
    /// The next gateway has it, and its final receipt is late.
    AwaitOverdue,
}

/// The way from `me` to the agency `serving`, for an envelope that passed `hops` before.
///
/// Up the ladder of gateways to the first that stands on the recipient's own ladder, or that the directory links directly to it; then down.
/// Never to a gateway that it has passed already: the directories of two gateways disagree then, and a person has to look.
pub fn way(directory: &Directory, me: &GatewayId, serving: &AgencyId, hops: &[GatewayId]) -> Way {
    let Some(target) = directory.gateway_of(serving) else { return Way::Nowhere(Reason::RouteMissing) };
    if target.id == *me {
        return Way::To(Destination::Agency(serving.clone()));
    }
    match next(directory, me, &target.id) {
        None => Way::Nowhere(Reason::RouteMissing),
        Some(next) if hops.contains(&next) => Way::Nowhere(Reason::RouteLoop),
        Some(next) => Way::To(Destination::Gateway(next)),
    }
}

fn next(directory: &Directory, me: &GatewayId, target: &GatewayId) -> Option<GatewayId> {
    let down = directory.ladder(target);
    let up = directory.ladder(me);
    // The first rung of our ladder from which the recipient's can be reached.
    let crossing = up.iter().position(|rung| {
        let stands = down.iter().any(|step| step.id == rung.id);
        stands || down.iter().any(|step| rung.direct_links.contains(&step.id))
    })?;
    if crossing > 0 {
        return up.get(1).map(|parent| parent.id.clone());
    }
    // From here: to the lowest rung of the recipient's ladder that is one step away, by the ladder itself or by a link.
    let here = up.first()?;
    let standing = down.iter().position(|step| step.id == *me);
    let below = down.iter().take(standing.unwrap_or(down.len())).enumerate();
    let mut reachable =
        below.filter(|(index, step)| standing == Some(index + 1) || here.direct_links.contains(&step.id));
    reachable.next().map(|(_, step)| step.id.clone())
}

/// The delivery rows of an envelope that is about to be kept: one a recipient that this hop is to serve.
pub(crate) fn at_acceptance(
    engine: &Core,
    submission: &Submission,
    admitted: &Admitted,
    verified: &VerifiedEnvelope,
) -> Result<Vec<NewDelivery>, Refusal> {
    let hops = submission.relay.as_ref().map(|relay| relay.hops.as_slice()).unwrap_or_default();
    let priority = verified.envelope().priority;
    let key = verified.key();
    let is_broadcast = verified.recipients().len() >= engine.settings.broadcast_from;
    let row = |recipient: &ResolvedRecipient| {
        let destination = match way(admitted.snapshot.directory(), &engine.gateway, &recipient.serving, hops) {
            Way::To(destination) => destination,
            // The walk holds it, with its leaf and its receipt for the way back.
            Way::Nowhere(_) => Destination::Nowhere,
        };
        let state = DeliveryState::Waiting { due: engine.clock.steady(), reason: None };
        let lane = match is_broadcast {
            true => destination.broadcast_lane(priority, &key.sender),
            false => destination.lane(priority, &key.sender),
        };
        NewDelivery { id: DeliveryId::new(key, &recipient.named), recipient: recipient.clone(), lane, state }
    };
    let recipients = asked(submission, verified.recipients())?;
    Ok(recipients.into_iter().map(row).collect())
}

/// The recipients that the hop asks for: all from a system, those it names from a gateway.
pub(crate) fn asked<'a>(
    submission: &Submission,
    all: &'a [ResolvedRecipient],
) -> Result<Vec<&'a ResolvedRecipient>, Refusal> {
    let Some(relay) = &submission.relay else { return Ok(all.iter().collect()) };
    let by_name: std::collections::HashMap<&AgencyId, &ResolvedRecipient> =
        all.iter().map(|recipient| (&recipient.named, recipient)).collect();
    let mut recipients: Vec<&ResolvedRecipient> = Vec::with_capacity(relay.recipients.len().min(all.len()));
    let mut seen = std::collections::HashSet::new();
    for (index, id) in relay.recipients.iter().enumerate() {
        let too_far = || Refusal::new(Reason::RelayedTooFar).at(format!("recipients[{index}]")).saw(id.to_string());
        let recipient = by_name.get(id).ok_or_else(too_far)?;
        if seen.insert(id) {
            recipients.push(recipient);
        }
    }
    Ok(recipients)
}

/// Decides for each leased row; rows with the same decision go on together.
pub(crate) fn decide(engine: &Core, snapshot: &Snapshot, load: Load) -> Vec<(Decision, Load)> {
    let now = engine.clock.now();
    let mut decided: Vec<(Decision, Load)> = Vec::new();
    let (rows, empty) = load.unpack();
    for (row, lease) in rows {
        let place = &empty.place;
        let decision =
            decide_row(&row, &empty.envelope, place, snapshot.directory(), &engine.gateway, now, &engine.settings);
        match decided.iter_mut().find(|(known, _)| *known == decision) {
            Some((_, group)) => group.rows.push((row, lease)),
            None => decided.push((decision, empty.with(row, lease))),
        }
    }
    decided
}

/// Whether what an operator chose is still a neighbour, and not one that has had it.
fn is_way_on(directory: &Directory, me: &GatewayId, place: &Place, hops: &[GatewayId]) -> bool {
    matches!(&place.destination, Destination::Gateway(via) if directory.are_neighbours(me, via) && !hops.contains(via))
}

/// Decides what is to be done with a row that is due.
pub fn decide_row(
    row: &DeliveryRow,
    envelope: &EnvelopeRow,
    place: &Place,
    directory: &Directory,
    me: &GatewayId,
    now: Timestamp,
    settings: &Settings,
) -> Decision {
    let expires_at = envelope.header.expires_at;
    if let DeliveryState::Forwarded { .. } = row.state {
        let late = now >= expires_at.plus(settings.receipt_grace);
        return Decision::Instead(if late { Instead::Hold(Reason::ReceiptOverdue) } else { Instead::AwaitOverdue });
    }
    if now >= expires_at {
        // An answer may have been lost: the next gateway is asked once more. It gives its receipt again, or refuses what has expired.
        let may_have_it = matches!(place.destination, Destination::Gateway(_));
        return if may_have_it { Decision::HandOver } else { Decision::Instead(Instead::Expire) };
    }
    let successor = match directory.serving(&row.recipient.serving, now) {
        Serving::Itself => None,
        Serving::Successor(id) => Some(id),
        Serving::Ended => return Decision::Instead(Instead::Hold(Reason::RecipientEnded)),
        Serving::Unknown => return Decision::Instead(Instead::Hold(Reason::RecipientUnknown)),
    };
    let serving = successor.as_ref().unwrap_or(&row.recipient.serving);
    if successor.is_none() && place.is_detour && is_way_on(directory, me, place, &envelope.header.hops) {
        return Decision::HandOver;
    }
    match (way(directory, me, serving, &envelope.header.hops), successor) {
        (Way::Nowhere(reason), _) => Decision::Instead(Instead::Hold(reason)),
        (Way::To(to), Some(successor)) => Decision::Instead(Instead::Succeed { successor, to }),
        (Way::To(to), None) if to == place.destination => Decision::HandOver,
        (Way::To(to), None) => Decision::Instead(Instead::Reroute(to)),
    }
}
