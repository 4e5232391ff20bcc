//! Where work goes, and the names of the lanes that it waits in.
//!
//! A lane is `<kind>:<id>|<priority rank>|<sender>`; ids have neither `|` nor spaces. What a broadcast brings to an agency waits in a lane of its
//! own, `broadcast:<id>|<priority rank>|<sender>`, so that it has room of its own. What an operator sends by another gateway than the directory
//! says waits in `detour:<gateway>|<priority rank>|<sender>`, so that the walk does not turn it back. Receipts on their way back wait in `receipts:<gateway>`.

use gateway_model::envelope::Priority;
use gateway_model::id::{AgencyId, GatewayId};
use gateway_store::claim::Lane;

/// Where a piece of work goes.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Destination {
    /// To the system of an agency served here.
    Agency(AgencyId),
    /// To the next gateway.
    Gateway(GatewayId),
    /// Nowhere for now: the next gateway has it, and its final receipt is awaited.
    Awaiting(GatewayId),
    /// Nowhere for now: there is no way, and the delivery is held.
    Nowhere,
    /// Receipts back to a gateway.
    Receipts(GatewayId),
}

/// What can be down: everything that goes there waits together.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Party {
    /// The system of an agency served here.
    Agency(AgencyId),
    /// Another gateway.
    Gateway(GatewayId),
}

/// A lane, taken apart.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Place {
    /// Where its work goes.
    pub destination: Destination,
    /// How urgent its work is.
    pub priority: Priority,
    /// Whose work it is; `None` for receipts.
    pub sender: Option<AgencyId>,
    /// Whether it is one of very many of the same envelope.
    pub is_broadcast: bool,
    /// Whether an operator chose this way, whatever the directory says.
    pub is_detour: bool,
}

impl Destination {
    /// Who has to answer for work to go there; `None` when nobody has to.
    pub fn party(&self) -> Option<Party> {
        match self {
            Self::Agency(id) => Some(Party::Agency(id.clone())),
            Self::Gateway(id) | Self::Receipts(id) => Some(Party::Gateway(id.clone())),
            Self::Awaiting(_) | Self::Nowhere => None,
        }
    }

    /// The gateway that has, or is to get, what waits here.
    pub fn gateway(&self) -> Option<&GatewayId> {
        match self {
            Self::Gateway(id) | Self::Awaiting(id) => Some(id),
            Self::Agency(_) | Self::Nowhere | Self::Receipts(_) => None,
        }
    }

    /// The lane of one sender's deliveries of one priority to here.
    pub fn lane(&self, priority: Priority, sender: &AgencyId) -> Lane {
        match self {
            Self::Agency(id) => Lane::new(format!("agency:{id}|{}|{sender}", priority.rank())),
            Self::Gateway(id) => Lane::new(format!("gateway:{id}|{}|{sender}", priority.rank())),
            Self::Awaiting(id) => Lane::new(format!("awaiting:{id}|{}|{sender}", priority.rank())),
            Self::Nowhere => Lane::new(format!("nowhere:|{}|{sender}", priority.rank())),
            Self::Receipts(id) => Lane::new(format!("receipts:{id}")),
        }
    }

    /// The lane of what an envelope to very many recipients brings here. A gateway takes many recipients in one call, so its lane is no other.
    pub fn broadcast_lane(&self, priority: Priority, sender: &AgencyId) -> Lane {
        match self {
            Self::Agency(id) => Lane::new(format!("broadcast:{id}|{}|{sender}", priority.rank())),
            Self::Gateway(_) | Self::Awaiting(_) | Self::Nowhere | Self::Receipts(_) => self.lane(priority, sender),
        }
    }

    /// The lane of what an operator sends by `via`.
    pub fn detour(via: &GatewayId, priority: Priority, sender: &AgencyId) -> Lane {
        Lane::new(format!("detour:{via}|{}|{sender}", priority.rank()))
    }

    /// The lane of receipts back to `gateway`.
    pub fn receipts(gateway: &GatewayId) -> Lane {
        Lane::new(format!("receipts:{gateway}"))
    }

    /// The kind, for metrics.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Agency(_) => "agency",
            Self::Gateway(_) => "gateway",
            Self::Awaiting(_) => "awaiting",
            Self::Nowhere => "nowhere",
            Self::Receipts(_) => "receipts",
        }
    }
}

impl Place {
    /// Takes a lane's name apart; `None` when no engine made it.
    pub fn of(lane: &Lane) -> Option<Self> {
        let (kind, rest) = lane.as_str().split_once(':')?;
        if kind == "receipts" {
            let destination = Destination::Receipts(GatewayId::parse(rest).ok()?);
            return Some(Self {
                destination,
                priority: Priority::Normal,
                sender: None,
                is_broadcast: false,
                is_detour: false,
            });
        }
        let mut pieces = rest.rsplitn(3, '|');
        let sender = AgencyId::parse(pieces.next()?).ok()?;
        let priority = pieces.next()?.parse().ok().and_then(Priority::from_rank)?;
        let id = pieces.next()?;
        let destination = match kind {
            "agency" | "broadcast" => Destination::Agency(AgencyId::parse(id).ok()?),
            "gateway" | "detour" => Destination::Gateway(GatewayId::parse(id).ok()?),
            "awaiting" => Destination::Awaiting(GatewayId::parse(id).ok()?),
            "nowhere" => Destination::Nowhere,
            _ => return None,
        };
        let (is_broadcast, is_detour) = (kind == "broadcast", kind == "detour");
        Some(Self { destination, priority, sender: Some(sender), is_broadcast, is_detour })
    }
}

impl std::fmt::Display for Party {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Agency(id) => write!(f, "agency:{id}"),
            Self::Gateway(id) => write!(f, "gateway:{id}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lane_says_where_its_work_goes() {
        let sender = AgencyId::parse("xa:kim/son").unwrap();
        let gateway = GatewayId::parse("gw-a.example:8443").unwrap();
        for destination in [
            Destination::Agency(AgencyId::parse("H15.50").unwrap()),
            Destination::Gateway(gateway.clone()),
            Destination::Awaiting(gateway.clone()),
            Destination::Nowhere,
        ] {
            let lane = destination.lane(Priority::Express, &sender);
            let sender = Some(sender.clone());
            let place =
                Place { destination, priority: Priority::Express, sender, is_broadcast: false, is_detour: false };
            assert_eq!(Place::of(&lane), Some(place));
        }
        assert_eq!(Place::of(&Destination::receipts(&gateway)).unwrap().destination, Destination::Receipts(gateway));
    }

    #[test]
    fn a_broadcast_waits_apart_where_each_recipient_is_a_call_of_its_own() {
        let sender = AgencyId::parse("H15").unwrap();
        let agency = Destination::Agency(AgencyId::parse("H15.50").unwrap());
        let place = Place::of(&agency.broadcast_lane(Priority::Urgent, &sender)).unwrap();
        assert!(place.is_broadcast && place.destination == agency && place.priority == Priority::Urgent);
        let gateway = Destination::Gateway(GatewayId::parse("gw").unwrap());
        assert_eq!(gateway.broadcast_lane(Priority::Urgent, &sender), gateway.lane(Priority::Urgent, &sender));
    }

    #[test]
    fn a_detour_goes_to_its_gateway_and_is_known_as_one() {
        let (via, sender) = (GatewayId::parse("gw").unwrap(), AgencyId::parse("H15").unwrap());
        let place = Place::of(&Destination::detour(&via, Priority::Normal, &sender)).unwrap();
        assert!(place.is_detour && place.destination == Destination::Gateway(via));
    }

    #[test]
    fn a_name_that_no_engine_made_is_no_lane() {
        for name in ["", "agency:a", "agency:a|9|b", "agency:|0|b", "mail:a|0|b", "receipts:"] {
            assert_eq!(Place::of(&Lane::new(name)), None, "{name}");
        }
    }
}
