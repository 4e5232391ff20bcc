//! Who has to act: the agency behind a gateway, a sender, a recipient.

use std::collections::HashMap;

use gateway_model::directory::Directory;
use gateway_model::id::{AgencyId, GatewayId};

/// Steps up the tree at most: longer only where the links lead in a circle.
const STEPS_MAX: usize = 64;

/// Who runs which gateway, as far as it was asked during one look: lanes are many, gateways few, and finding out walks over all agencies.
#[derive(Default)]
pub(super) struct Owners(HashMap<GatewayId, Option<AgencyId>>);

impl Owners {
    /// The agency that runs a gateway, by a directory that is the same at each call.
    pub(super) fn of(&mut self, directory: &Directory, gateway: &GatewayId) -> Option<AgencyId> {
        if let Some(known) = self.0.get(gateway) {
            return known.clone();
        }
        let owner = of_gateway(directory, gateway);
        self.0.insert(gateway.clone(), owner.clone());
        owner
    }
}

/// The agency that runs a gateway: of those that name it as theirs, the one that stands highest, by id where two stand alike.
fn of_gateway(directory: &Directory, gateway: &GatewayId) -> Option<AgencyId> {
    let named = directory.content().agencies.iter().filter(|agency| agency.gateway.as_ref() == Some(gateway));
    named.min_by_key(|agency| (steps_up(directory, &agency.id), &agency.id)).map(|agency| agency.id.clone())
}

fn steps_up(directory: &Directory, id: &AgencyId) -> usize {
    let mut at = directory.agency(id);
    for steps in 0..STEPS_MAX {
        let Some(parent) = at.and_then(|agency| agency.parent.as_ref()) else { return steps };
        at = directory.agency(parent);
    }
    STEPS_MAX
}
