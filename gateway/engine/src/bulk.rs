//! Actions on many deliveries: planned, looked at, approved where two persons are asked for, carried out, stopped.
//!
//! A plan is frozen to ids, never to a filter: what comes in later is not in it. It is a mark, kept with the leaf that says who planned it; how far
//! it is lives in memory and is kept when it ends. A plan that was being carried out when the process ended is stopped, and says so: what is done
//! stays done, and a new plan takes the rest.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use gateway_evidence::ActKind;
use gateway_model::id::{DeliveryId, OperatorId};
use gateway_model::{Reason, Refusal, Timestamp};
use gateway_store::mark::Mark;
use gateway_store::query::Query;
use gateway_store::{Store, StoreError};
use prost::Message as _;
use proto::v1;

use crate::operate::{Action, Operate};
use crate::steps::store::store_refusal;

/// How the names of their marks begin.
const MARKS: &str = "bulk/";
/// Deliveries of one plan.
pub const DELIVERIES_MAX: usize = 10_000;
/// Deliveries that did not move and are told.
pub const FAILURES_TOLD_MAX: usize = 500;
/// Plans remembered; the oldest are forgotten first.
const PLANS_MAX: usize = 100;
const PAGE_ROWS: usize = 500;

/// What is done to each delivery.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum BulkAction {
    /// [`Operate::retry`].
    Retry,
    /// [`Operate::hold`].
    Hold,
    /// [`Operate::release`].
    Release,
    /// [`Operate::give_back`].
    Return,
}

/// Where a plan is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum BulkStatus {
    /// Frozen; nothing has moved.
    Planned,
    /// Being carried out.
    Running,
    /// Every delivery has been tried.
    Done,
    /// A person, or a restart, stopped it.
    Stopped,
}

/// A plan.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct BulkPlan {
    /// Names it.
    pub id: String,
    /// What.
    pub action: BulkAction,
    /// Why; written into the audit of each delivery.
    pub note: String,
    /// Who planned it.
    pub planned_by: OperatorId,
    /// When.
    pub planned_at: Timestamp,
    /// The deliveries.
    pub deliveries: Arc<[DeliveryId]>,
    /// True when more fitted the filter than a plan takes.
    pub cut: bool,
    /// Where it is.
    pub status: BulkStatus,
    /// The second person, where one approved it.
    pub approved_by: Option<OperatorId>,
    /// Tried so far.
    pub tried: usize,
    /// Of these, moved.
    pub moved: usize,
    /// The first of those that did not move.
    pub failures: Vec<(DeliveryId, Reason)>,
}

/// All plans that are remembered.
#[derive(Debug, Default)]
pub(crate) struct Bulks(Mutex<BTreeMap<String, BulkPlan>>);

impl Bulks {
    /// Reads the plans. What was running is not any more.
    pub(crate) async fn load(&self, store: &dyn Store) -> Result<(), StoreError> {
        let marks = store.marks(MARKS, PLANS_MAX * 2).await?;
        let mut plans = self.plans();
        for (name, value) in marks {
            let Some(mut plan) = BulkPlan::decode(&value) else {
                tracing::error!(name, "a plan cannot be read; it is forgotten");
                continue;
            };
            if plan.status == BulkStatus::Running {
                plan.status = BulkStatus::Stopped;
            }
            plans.entry(plan.id.clone()).or_insert(plan);
        }
        Ok(())
    }

    fn plans(&self) -> MutexGuard<'_, BTreeMap<String, BulkPlan>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn get(&self, id: &str) -> Result<BulkPlan, Refusal> {
        let missing = || Refusal::new(Reason::NotFound).at("bulk_id").saw(id.chars().take(64).collect::<String>());
        self.plans().get(id).cloned().ok_or_else(missing)
    }

    /// Changes a plan under the lock, so that of two callers at once one is refused.
    fn change(&self, id: &str, change: impl FnOnce(&mut BulkPlan) -> Result<(), Refusal>) -> Result<BulkPlan, Refusal> {
        let mut plans = self.plans();
        let plan = plans.get_mut(id).ok_or_else(|| Refusal::new(Reason::NotFound).at("bulk_id"))?;
        change(plan)?;
        Ok(plan.clone())
    }
}

impl Operate {
    /// Freezes what a filter finds now.
    ///
    /// # Errors
    /// [`Reason::RequestMalformed`] without a reason in words; [`Reason::NotFound`] when nothing fits; [`Reason::StoreUnavailable`].
    pub async fn plan_bulk(
        &self,
        operator: &OperatorId,
        action: BulkAction,
        filter: &Query,
        note: &str,
    ) -> Result<BulkPlan, Refusal> {
        crate::operate::check_note(note)?;
        let (deliveries, cut) = self.freeze(filter).await?;
        if deliveries.is_empty() {
            return Err(Refusal::new(Reason::NotFound).at("filter"));
        }
        let planned_at = self.engine().clock.now();
        let plan = BulkPlan {
            id: format!(
                "{:016x}{:08x}",
                planned_at.micros(),
                (self.engine().entropy.unit() * f64::from(u32::MAX)) as u32
            ),
            action,
            note: note.to_owned(),
            planned_by: operator.clone(),
            planned_at,
            deliveries: deliveries.into(),
            cut,
            status: BulkStatus::Planned,
            approved_by: None,
            tried: 0,
            moved: 0,
            failures: Vec::new(),
        };
        self.keep(&plan, Some((ActKind::BulkPlanned, operator))).await?;
        self.engine().bulks.plans().insert(plan.id.clone(), plan.clone());
        self.forget_old().await;
        Ok(plan)
    }

    /// Lets a second person approve a plan.
    ///
    /// # Errors
    /// [`Reason::NotFound`]; [`Reason::StateNotAllowed`] when it is not waiting, or was planned by the same person.
    pub async fn approve_bulk(&self, operator: &OperatorId, id: &str) -> Result<BulkPlan, Refusal> {
        let plan = self.engine().bulks.change(id, |plan| {
            if plan.status != BulkStatus::Planned || plan.planned_by == *operator {
                return Err(Refusal::new(Reason::StateNotAllowed)
                    .at("bulk_id")
                    .saw("another person approves, before it runs"));
            }
            plan.approved_by = Some(operator.clone());
            Ok(())
        })?;
        self.keep(&plan, Some((ActKind::BulkApproved, operator))).await?;
        Ok(plan)
    }

    /// Begins to carry a plan out, in the background.
    ///
    /// # Errors
    /// [`Reason::NotFound`]; [`Reason::StateNotAllowed`] when it ran already; [`Reason::SecondPersonNeeded`].
    pub async fn run_bulk(&self, operator: &OperatorId, id: &str) -> Result<BulkPlan, Refusal> {
        let two = self.engine().settings.bulk_needs_two;
        let plan = self.engine().bulks.change(id, |plan| {
            if plan.status != BulkStatus::Planned {
                return Err(Refusal::new(Reason::StateNotAllowed).at("bulk_id").saw("it ran already"));
            }
            if two && plan.approved_by.is_none() {
                return Err(Reason::SecondPersonNeeded.into());
            }
            plan.status = BulkStatus::Running;
            Ok(())
        })?;
        if let Err(refusal) = self.keep(&plan, Some((ActKind::BulkStarted, operator))).await {
            let back = |plan: &mut BulkPlan| {
                plan.status = BulkStatus::Planned;
                Ok(())
            };
            self.engine().bulks.change(id, back)?;
            return Err(refusal);
        }
        let (operate, operator, running) = (self.clone(), operator.clone(), plan.clone());
        self.engine().tasks.spawn(async move { operate.carry_out(&operator, running).await });
        Ok(plan)
    }

    /// Stops a plan that is being carried out; what is done stays done.
    ///
    /// # Errors
    /// [`Reason::NotFound`]; [`Reason::StateNotAllowed`] when it is not running.
    pub async fn stop_bulk(&self, operator: &OperatorId, id: &str) -> Result<BulkPlan, Refusal> {
        let plan = self.engine().bulks.change(id, |plan| {
            if plan.status != BulkStatus::Running {
                return Err(Refusal::new(Reason::StateNotAllowed).at("bulk_id").saw("it is not running"));
            }
            plan.status = BulkStatus::Stopped;
            Ok(())
        })?;
        self.keep(&plan, Some((ActKind::BulkStopped, operator))).await?;
        Ok(plan)
    }

    /// A plan as it stands.
    ///
    /// # Errors
    /// [`Reason::NotFound`].
    pub fn bulk(&self, id: &str) -> Result<BulkPlan, Refusal> {
        self.engine().bulks.get(id)
    }

    /// The plans, newest first.
    pub fn bulks(&self) -> Vec<BulkPlan> {
        self.engine().bulks.plans().values().rev().cloned().collect()
    }

    /// Whether a plan needs a second person before it runs.
    pub fn needs_approval(&self, plan: &BulkPlan) -> bool {
        self.engine().settings.bulk_needs_two && plan.status == BulkStatus::Planned && plan.approved_by.is_none()
    }

    async fn freeze(&self, filter: &Query) -> Result<(Vec<DeliveryId>, bool), Refusal> {
        let (mut ids, mut after) = (Vec::new(), None);
        loop {
            let page = self.list(&Query { limit: PAGE_ROWS, after, ..filter.clone() }).await?;
            ids.extend(page.rows.iter().map(|row| row.delivery.id));
            after = page.next;
            if ids.len() > DELIVERIES_MAX || after.is_none() {
                let cut = ids.len() > DELIVERIES_MAX || after.is_some();
                ids.truncate(DELIVERIES_MAX);
                return Ok((ids, cut));
            }
        }
    }

    async fn carry_out(&self, operator: &OperatorId, plan: BulkPlan) {
        for delivery in plan.deliveries.iter() {
            let goes_on = self.engine().bulks.get(&plan.id).is_ok_and(|plan| plan.status == BulkStatus::Running);
            if !goes_on || self.engine().is_draining() {
                break;
            }
            let action = Action { operator: operator.clone(), delivery: *delivery, note: plan.note.clone() };
            let result = match plan.action {
                BulkAction::Retry => self.retry(&action).await,
                BulkAction::Hold => self.hold(&action).await,
                BulkAction::Release => self.release(&action).await,
                BulkAction::Return => self.give_back(&action).await,
            };
            let counted = self.engine().bulks.change(&plan.id, |plan| {
                plan.tried += 1;
                match result {
                    Ok(_) => plan.moved += 1,
                    Err(refusal) if plan.failures.len() < FAILURES_TOLD_MAX => {
                        plan.failures.push((*delivery, refusal.reason));
                    }
                    Err(_) => {}
                }
                Ok(())
            });
            if counted.is_err() {
                return;
            }
        }
        let ended = self.engine().bulks.change(&plan.id, |plan| {
            let whole = plan.tried == plan.deliveries.len();
            plan.status = if whole { BulkStatus::Done } else { BulkStatus::Stopped };
            Ok(())
        });
        if let Ok(plan) = ended
            && let Err(refusal) = self.keep(&plan, None).await
        {
            tracing::warn!(bulk = %plan.id, %refusal, "how a plan ended could not be kept");
        }
    }

    /// Keeps a plan, with the leaf of who did what.
    async fn keep(&self, plan: &BulkPlan, by: Option<(ActKind, &OperatorId)>) -> Result<(), Refusal> {
        let leaf = by.map(|(kind, operator)| {
            let subject = format!("bulk:{} {} {}", plan.id, plan.action.as_str(), plan.deliveries.len());
            self.engine().act(kind, operator, subject, plan.note.clone()).encode()
        });
        let mark = Mark { name: format!("{MARKS}{}", plan.id), value: Some(plan.encode()), leaf };
        let kept = self.engine().store.mark(mark).await;
        kept.map(drop).map_err(|error| store_refusal(self.engine(), &error))
    }

    async fn forget_old(&self) {
        let mut old = Vec::new();
        {
            let mut plans = self.engine().bulks.plans();
            while plans.len() > PLANS_MAX {
                let Some((id, _)) = plans.pop_first() else { break };
                old.push(id);
            }
        }
        for id in old {
            let mark = Mark { name: format!("{MARKS}{id}"), value: None, leaf: None };
            if let Err(error) = self.engine().store.mark(mark).await {
                tracing::warn!(%error, bulk = id, "an old plan could not be forgotten");
            }
        }
    }
}

impl BulkAction {
    /// Every action.
    pub const ALL: [Self; 4] = [Self::Retry, Self::Hold, Self::Release, Self::Return];

    /// Name in the audit.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Retry => "retry",
            Self::Hold => "hold",
            Self::Release => "release",
            Self::Return => "return",
        }
    }

    /// As it stands on the wire.
    pub fn to_wire(self) -> v1::BulkAction {
        match self {
            Self::Retry => v1::BulkAction::Retry,
            Self::Hold => v1::BulkAction::Hold,
            Self::Release => v1::BulkAction::Release,
            Self::Return => v1::BulkAction::Return,
        }
    }

    /// Reads it off the wire.
    pub fn from_wire(wire: v1::BulkAction) -> Option<Self> {
        Self::ALL.into_iter().find(|action| action.to_wire() == wire)
    }
}

impl BulkStatus {
    const ALL: [Self; 4] = [Self::Planned, Self::Running, Self::Done, Self::Stopped];

    /// As it stands on the wire.
    pub fn to_wire(self) -> v1::BulkStatus {
        match self {
            Self::Planned => v1::BulkStatus::Planned,
            Self::Running => v1::BulkStatus::Running,
            Self::Done => v1::BulkStatus::Done,
            Self::Stopped => v1::BulkStatus::Stopped,
        }
    }
}

impl BulkPlan {
    fn encode(&self) -> Bytes {
        let (seconds, nanos) = self.planned_at.to_parts();
        let wire = v1::BulkMark {
            bulk_id: self.id.clone(),
            action: self.action.to_wire().into(),
            note: self.note.clone(),
            planned_by: self.planned_by.to_string(),
            planned_at: Some(prost_types::Timestamp { seconds, nanos }),
            deliveries: self.deliveries.iter().flat_map(|id| id.0).collect::<Vec<u8>>().into(),
            cut: self.cut,
            status: self.status.to_wire().into(),
            approved_by: self.approved_by.as_ref().map(ToString::to_string).unwrap_or_default(),
            tried: u32::try_from(self.tried).unwrap_or(u32::MAX),
            moved: u32::try_from(self.moved).unwrap_or(u32::MAX),
        };
        wire.encode_to_vec().into()
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        let wire = v1::BulkMark::decode(bytes).ok()?;
        let deliveries: Option<Vec<DeliveryId>> =
            wire.deliveries.chunks(size_of::<DeliveryId>()).map(|id| id.try_into().ok().map(DeliveryId)).collect();
        let at = wire.planned_at?;
        Some(Self {
            action: BulkAction::from_wire(wire.action())?,
            status: BulkStatus::ALL.into_iter().find(|status| status.to_wire() == wire.status())?,
            note: wire.note,
            planned_by: OperatorId::parse(&wire.planned_by).ok()?,
            planned_at: Timestamp::from_parts(at.seconds, at.nanos)?,
            deliveries: deliveries?.into(),
            cut: wire.cut,
            approved_by: match wire.approved_by.as_str() {
                "" => None,
                id => Some(OperatorId::parse(id).ok()?),
            },
            tried: wire.tried as usize,
            moved: wire.moved as usize,
            failures: Vec::new(),
            id: wire.bulk_id,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plan_is_read_as_it_is_kept() {
        let plan = BulkPlan {
            id: "00ab".to_owned(),
            action: BulkAction::Return,
            note: "gửi nhầm".to_owned(),
            planned_by: OperatorId::parse("an").unwrap(),
            planned_at: Timestamp::from_seconds(1_790_000_000),
            deliveries: (0..3).map(|number| DeliveryId([number; 16])).collect(),
            cut: true,
            status: BulkStatus::Stopped,
            approved_by: Some(OperatorId::parse("binh").unwrap()),
            tried: 2,
            moved: 1,
            failures: Vec::new(),
        };
        assert_eq!(BulkPlan::decode(&plan.encode()), Some(plan));
        assert_eq!(BulkPlan::decode(b"x"), None);
    }
}
