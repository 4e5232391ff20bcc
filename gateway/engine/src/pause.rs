//! Pauses: what an operator lets nothing more go to, until it is resumed. Kept as marks, so that a restart changes nothing.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use gateway_evidence::{Act, ActKind};
use gateway_model::id::{AgencyId, GatewayId, OperatorId};
use gateway_model::{Reason, Refusal, Timestamp};
use gateway_store::mark::Mark;
use gateway_store::{Store, StoreError};

use crate::Core;
use crate::lane::{Destination, Party};
use crate::operate::{Operate, check_note};
use crate::steps::store::store_refusal;

/// How the names of their marks begin.
const MARKS: &str = "pause/";
/// Pauses at one time.
const PAUSES_MAX: usize = 10_000;

/// What can be paused.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Pausable {
    /// A gateway, or an agency served here.
    Party(Party),
    /// An adapter with all of its agencies, by its name in the configuration.
    Adapter(String),
}

/// A pause.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Pause {
    /// Who paused it.
    pub operator: OperatorId,
    /// Why.
    pub note: String,
    /// Since when.
    pub since: Timestamp,
}

/// The pauses in force.
#[derive(Debug, Default)]
pub(crate) struct Pauses(Mutex<Known>);

#[derive(Debug, Default)]
struct Known {
    pauses: HashMap<Pausable, Pause>,
    /// How often this node has changed them: what was read before a change does not undo it.
    changes: u64,
}

impl Pausable {
    /// Reads `gateway:<id>`, `agency:<id>` or `adapter:<name>`.
    ///
    /// # Errors
    /// [`Reason::RequestMalformed`].
    pub fn parse(text: &str) -> Result<Self, Refusal> {
        let malformed = || {
            let wanted = "gateway:<gateway id>, agency:<agency id> or adapter:<adapter name> is expected";
            Refusal::new(Reason::RequestMalformed).at("destination").saw(wanted)
        };
        let (kind, id) = text.split_once(':').ok_or_else(malformed)?;
        match kind {
            "gateway" => Ok(Self::Party(Party::Gateway(GatewayId::parse(id).map_err(|_| malformed())?))),
            "agency" => Ok(Self::Party(Party::Agency(AgencyId::parse(id).map_err(|_| malformed())?))),
            "adapter" if !id.is_empty() && id.len() <= 128 => Ok(Self::Adapter(id.to_owned())),
            _ => Err(malformed()),
        }
    }
}

impl std::fmt::Display for Pausable {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Party(party) => party.fmt(f),
            Self::Adapter(name) => write!(f, "adapter:{name}"),
        }
    }
}

impl Pauses {
    /// Reads what is in force; another node of the same store may have changed it.
    pub(crate) async fn load(&self, store: &dyn Store) -> Result<(), StoreError> {
        let (mut pauses, changes) = (HashMap::new(), self.known().changes);
        for (name, value) in store.marks(MARKS, PAUSES_MAX).await? {
            let subject = name.strip_prefix(MARKS).and_then(|name| Pausable::parse(name).ok());
            let (Some(subject), Ok(act)) = (subject, Act::decode(&value)) else {
                tracing::error!(name, "a pause cannot be read; it is not in force");
                continue;
            };
            pauses.insert(subject, Pause { operator: act.operator, note: act.note, since: act.at });
        }
        let mut known = self.known();
        if known.changes == changes {
            known.pauses = pauses;
        }
        Ok(())
    }

    /// The pause of one subject itself.
    pub(crate) fn of(&self, subject: &Pausable) -> Option<Pause> {
        self.known().pauses.get(subject).cloned()
    }

    /// Why nothing goes to a destination: its own pause, or that of its adapter.
    pub(crate) fn before(&self, engine: &Core, destination: &Destination) -> Option<(Pausable, Pause)> {
        let known = self.known();
        let all = &known.pauses;
        if all.is_empty() {
            return None;
        }
        let party = destination.party()?;
        let adapter = match &party {
            Party::Agency(agency) => engine.adapters.by_agency.get(agency).cloned().map(Pausable::Adapter),
            Party::Gateway(_) => None,
        };
        let subjects = [Some(Pausable::Party(party)), adapter].into_iter().flatten();
        subjects.into_iter().find_map(|subject| all.get(&subject).map(|pause| (subject.clone(), pause.clone())))
    }

    /// A change of this node has been kept.
    fn learn(&self, subject: &Pausable, pause: Option<Pause>) {
        let mut known = self.known();
        known.changes += 1;
        match pause {
            Some(pause) => known.pauses.insert(subject.clone(), pause),
            None => known.pauses.remove(subject),
        };
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Core {
    /// Pauses, or resumes, and says so in the log: one commit.
    pub(crate) async fn set_pause(&self, subject: &Pausable, act: Act) -> Result<Option<Pause>, StoreError> {
        let leaf = act.encode();
        let pause = match act.kind {
            ActKind::Paused => Some(Pause { operator: act.operator, note: act.note, since: act.at }),
            _ => None,
        };
        let value = pause.as_ref().map(|_| leaf.clone());
        self.store.mark(Mark { name: format!("{MARKS}{subject}"), value, leaf: Some(leaf) }).await?;
        self.pauses.learn(subject, pause.clone());
        Ok(pause)
    }
}

impl Operate {
    /// Lets nothing more go to a gateway, an adapter or an agency until it is resumed.
    ///
    /// # Errors
    /// [`Reason::RequestMalformed`] without a reason in words; [`Reason::NotFound`] when there is no such destination here;
    /// [`Reason::StoreUnavailable`].
    pub async fn pause(&self, subject: &Pausable, operator: &OperatorId, note: &str) -> Result<Pause, Refusal> {
        check_note(note)?;
        self.check_subject(subject)?;
        let act = self.act(ActKind::Paused, operator, subject.to_string(), note.to_owned());
        let paused = self.engine().set_pause(subject, act).await;
        let paused = paused.map_err(|error| store_refusal(self.engine(), &error))?;
        paused.ok_or_else(|| Reason::NotFound.into())
    }

    /// Ends a pause.
    ///
    /// # Errors
    /// [`Reason::RequestMalformed`] without a reason in words; [`Reason::StateNotAllowed`] when it is not paused;
    /// [`Reason::StoreUnavailable`].
    pub async fn resume(&self, subject: &Pausable, operator: &OperatorId, note: &str) -> Result<(), Refusal> {
        check_note(note)?;
        // Another node may have paused it a moment ago.
        let engine = self.engine();
        engine.pauses.load(engine.store.as_ref()).await.map_err(|error| store_refusal(engine, &error))?;
        if self.paused(subject).is_none() {
            return Err(Refusal::new(Reason::StateNotAllowed).at("destination").saw(subject.to_string()));
        }
        let act = self.act(ActKind::Resumed, operator, subject.to_string(), note.to_owned());
        let resumed = self.engine().set_pause(subject, act).await;
        resumed.map(drop).map_err(|error| store_refusal(self.engine(), &error))
    }

    /// The pause of a subject, when it is paused itself.
    pub fn paused(&self, subject: &Pausable) -> Option<Pause> {
        self.engine().pauses.of(subject)
    }

    /// Why nothing goes to a destination: its own pause, or that of its adapter.
    pub fn pause_before(&self, destination: &Destination) -> Option<Pause> {
        self.engine().pauses.before(self.engine(), destination).map(|(_, pause)| pause)
    }

    fn check_subject(&self, subject: &Pausable) -> Result<(), Refusal> {
        let adapters = &self.engine().adapters;
        let is_here = match subject {
            Pausable::Adapter(name) => adapters.by_name.contains_key(name),
            Pausable::Party(Party::Agency(agency)) => adapters.by_agency.contains_key(agency),
            Pausable::Party(Party::Gateway(gateway)) => {
                let snapshot = self.engine().trust.current();
                snapshot.is_some_and(|snapshot| snapshot.directory().are_neighbours(&self.engine().gateway, gateway))
            }
        };
        let missing = || Refusal::new(Reason::NotFound).at("destination").saw(subject.to_string());
        if is_here { Ok(()) } else { Err(missing()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_subject_is_read_as_it_is_written_and_nothing_else_is_one() {
        for text in ["gateway:gw-huyen.example:8443", "agency:H15.50", "adapter:mot-cua"] {
            assert_eq!(Pausable::parse(text).unwrap().to_string(), text);
        }
        for text in ["", "gateway", "gateway:", "adapter:", "agency:a b", "peer:x"] {
            assert_eq!(Pausable::parse(text).unwrap_err().reason, Reason::RequestMalformed, "{text}");
        }
    }
}
