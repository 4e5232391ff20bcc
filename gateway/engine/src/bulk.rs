//! Actions on many deliveries: planned, looked at, approved where two persons are asked for, carried out, stopped.
//!
//! A plan is frozen to ids, never to a filter: what comes in later is not in it. It is a mark, kept with the leaf that says who planned it; how far
//! it is lives in memory and is kept when it ends. A plan that was being carried out when the process ended is stopped, and says so: what is done
//! stays done, and a new plan takes the rest. Of several nodes on one store one carries a plan out; each of them shows it, approves it and
//! stops it; how far it is, the others learn at its end.

mod plan;

use std::collections::{BTreeMap, HashSet};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use gateway_evidence::ActKind;
use gateway_model::id::{DeliveryId, OperatorId};
use gateway_model::{Reason, Refusal};
use gateway_store::mark::Mark;
use gateway_store::query::Query;
use gateway_store::{Store, StoreError};

use crate::operate::{Action, Operate};
use crate::steps::store::store_refusal;

pub use plan::{BulkAction, BulkPlan, BulkStatus};

/// How the names of their marks begin.
const MARKS: &str = "bulk/";
/// Deliveries of one plan.
pub const DELIVERIES_MAX: usize = 10_000;
/// Deliveries that did not move and are told.
pub const FAILURES_TOLD_MAX: usize = 500;
/// Plans remembered; the oldest are forgotten first.
const PLANS_MAX: usize = 100;
const PAGE_ROWS: usize = 500;

/// How long a node that is gone keeps the right to carry a plan out.
const RIGHT: Duration = Duration::from_secs(60);
/// After so many deliveries the node that carries a plan out hears whether another one has stopped it.
const HEAR_EVERY: usize = 20;

/// All plans that are remembered.
#[derive(Debug, Default)]
pub(crate) struct Bulks(Mutex<Known>);

#[derive(Debug, Default)]
struct Known {
    plans: BTreeMap<String, BulkPlan>,
    /// Those that this process carries out: it knows more of them than what is kept.
    ours: HashSet<String>,
}

/// The name of a plan's mark; its right has the same.
fn mark_of(id: &str) -> String {
    format!("{MARKS}{id}")
}

impl Bulks {
    /// Reads the plans. What this node was carrying out when it ended is stopped.
    pub(crate) async fn load(&self, store: &dyn Store) -> Result<(), StoreError> {
        self.load_from(store, MARKS, PLANS_MAX * 2).await
    }

    async fn load_from(&self, store: &dyn Store, names: &str, limit: usize) -> Result<(), StoreError> {
        let (marks, node) = (store.marks(names, limit).await?, store.node().unwrap_or_default());
        let mut known = self.known();
        let Known { plans, ours } = &mut *known;
        plans.retain(|id, _| ours.contains(id) || !mark_of(id).starts_with(names));
        for (name, value) in marks {
            let Some(mut plan) = BulkPlan::decode(&value) else {
                tracing::error!(name, "a plan cannot be read; it is forgotten");
                continue;
            };
            if plan.status == BulkStatus::Running && plan.node == node {
                plan.status = BulkStatus::Stopped;
            }
            plans.entry(plan.id.clone()).or_insert(plan);
        }
        Ok(())
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn get(&self, id: &str) -> Result<BulkPlan, Refusal> {
        let missing = || Refusal::new(Reason::NotFound).at("bulk_id").saw(id.chars().take(64).collect::<String>());
        self.known().plans.get(id).cloned().ok_or_else(missing)
    }

    /// Changes a plan under the lock, so that of two callers at once one is refused.
    fn change(&self, id: &str, change: impl FnOnce(&mut BulkPlan) -> Result<(), Refusal>) -> Result<BulkPlan, Refusal> {
        let mut known = self.known();
        let Known { plans, ours } = &mut *known;
        let plan = plans.get_mut(id).ok_or_else(|| Refusal::new(Reason::NotFound).at("bulk_id"))?;
        change(plan)?;
        if plan.status == BulkStatus::Running {
            ours.insert(plan.id.clone());
        }
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
            node: String::new(),
        };
        self.keep(&plan, Some((ActKind::BulkPlanned, operator))).await?;
        self.engine().bulks.known().plans.insert(plan.id.clone(), plan.clone());
        self.forget_old().await;
        Ok(plan)
    }

    /// Lets a second person approve a plan.
    ///
    /// # Errors
    /// [`Reason::NotFound`]; [`Reason::StateNotAllowed`] when it is not waiting for an approval, or was planned by the same person.
    pub async fn approve_bulk(&self, operator: &OperatorId, id: &str) -> Result<BulkPlan, Refusal> {
        self.read_again(&mark_of(id), 1).await?;
        let mut plan = self.engine().bulks.get(id)?;
        if plan.status != BulkStatus::Planned || plan.approved_by.is_some() || plan.planned_by == *operator {
            return Err(Refusal::new(Reason::StateNotAllowed)
                .at("bulk_id")
                .saw("another person approves, once, before it runs"));
        }
        plan.approved_by = Some(operator.clone());
        // In the log first: an approval that is not kept is none.
        self.keep(&plan, Some((ActKind::BulkApproved, operator))).await?;
        self.engine().bulks.change(id, |known| {
            known.approved_by.clone_from(&plan.approved_by);
            Ok(())
        })
    }

    /// Begins to carry a plan out, in the background.
    ///
    /// # Errors
    /// [`Reason::NotFound`]; [`Reason::StateNotAllowed`] when it ran already; [`Reason::SecondPersonNeeded`].
    pub async fn run_bulk(&self, operator: &OperatorId, id: &str) -> Result<BulkPlan, Refusal> {
        self.read_again(&mark_of(id), 1).await?;
        let (two, store) = (self.engine().settings.bulk_needs_two, &self.engine().store);
        let node = store.node().unwrap_or_default();
        let ran = || Refusal::new(Reason::StateNotAllowed).at("bulk_id").saw("it ran already");
        let plan = self.engine().bulks.change(id, |plan| {
            if plan.status != BulkStatus::Planned {
                return Err(ran());
            }
            if two && plan.approved_by.is_none() {
                return Err(Reason::SecondPersonNeeded.into());
            }
            (plan.status, plan.node) = (BulkStatus::Running, node.to_owned());
            Ok(())
        })?;
        if let Err(refusal) = self.begin(&plan, operator).await {
            let back = |plan: &mut BulkPlan| {
                plan.status = BulkStatus::Planned;
                Ok(())
            };
            self.engine().bulks.known().ours.remove(&plan.id);
            self.engine().bulks.change(id, back)?;
            return Err(refusal);
        }
        let (operate, operator, running) = (self.of_plan(), operator.clone(), plan.clone());
        self.engine().tasks.spawn(async move { operate.carry_out(&operator, running).await });
        Ok(plan)
    }

    /// Takes the right to carry a plan out, and says so in the log.
    async fn begin(&self, plan: &BulkPlan, operator: &OperatorId) -> Result<(), Refusal> {
        let right = self.engine().store.duty(&mark_of(&plan.id), RIGHT).await;
        if !right.map_err(|error| store_refusal(self.engine(), &error))? {
            return Err(Refusal::new(Reason::StateNotAllowed).at("bulk_id").saw("it runs at another node"));
        }
        self.keep(plan, Some((ActKind::BulkStarted, operator))).await
    }

    /// Stops a plan that is being carried out; what is done stays done.
    ///
    /// # Errors
    /// [`Reason::NotFound`]; [`Reason::StateNotAllowed`] when it is not running.
    pub async fn stop_bulk(&self, operator: &OperatorId, id: &str) -> Result<BulkPlan, Refusal> {
        self.read_again(&mark_of(id), 1).await?;
        let plan = self.engine().bulks.change(id, |plan| {
            if plan.status != BulkStatus::Running {
                return Err(Refusal::new(Reason::StateNotAllowed).at("bulk_id").saw("it is not running"));
            }
            plan.status = BulkStatus::Stopped;
            Ok(())
        })?;
        self.keep(&plan, Some((ActKind::BulkStopped, operator))).await?;
        // What was under way may have ended, and been kept, before the stop was: how far it came is kept once more.
        let now = self.engine().bulks.get(id)?;
        if now != plan {
            self.keep(&now, None).await?;
        }
        Ok(now)
    }

    /// A plan as it stands.
    ///
    /// # Errors
    /// [`Reason::NotFound`]; [`Reason::StoreUnavailable`].
    pub async fn bulk(&self, id: &str) -> Result<BulkPlan, Refusal> {
        self.read_again(&mark_of(id), 1).await?;
        self.engine().bulks.get(id)
    }

    /// The plans, newest first.
    ///
    /// # Errors
    /// [`Reason::StoreUnavailable`].
    pub async fn bulks(&self) -> Result<Vec<BulkPlan>, Refusal> {
        self.read_again(MARKS, PLANS_MAX * 2).await?;
        Ok(self.engine().bulks.known().plans.values().rev().cloned().collect())
    }

    /// Another node of the same store may have planned, approved or ended something: all plans whose marks begin so are read again.
    async fn read_again(&self, names: &str, limit: usize) -> Result<(), Refusal> {
        let engine = self.engine();
        if engine.store.node().is_none() {
            return Ok(());
        }
        let read = engine.bulks.load_from(engine.store.as_ref(), names, limit).await;
        read.map_err(|error| store_refusal(engine, &error))
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
        for (number, delivery) in plan.deliveries.iter().enumerate() {
            if number % HEAR_EVERY == 0 && !self.may_go_on(&plan.id).await {
                break;
            }
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
        let Ok(mut ended) = self.engine().bulks.get(&plan.id) else { return };
        let whole = ended.tried == ended.deliveries.len();
        ended.status = if whole { BulkStatus::Done } else { BulkStatus::Stopped };
        // Kept before it is shown: whoever reads that it is over reads the same at every node.
        if let Err(refusal) = self.keep(&ended, None).await {
            tracing::warn!(bulk = %plan.id, %refusal, "how a plan ended could not be kept");
        }
        let mut known = self.engine().bulks.known();
        known.ours.remove(&plan.id);
        known.plans.insert(plan.id.clone(), ended);
    }

    /// Whether a plan that is carried out here is still this node's: another one may have stopped it.
    async fn may_go_on(&self, id: &str) -> bool {
        let store = &self.engine().store;
        if store.node().is_none() {
            return true;
        }
        let (name, engine) = (mark_of(id), self.engine());
        let Ok(true) = store.duty(&name, RIGHT).await else { return false };
        let kept = store.marks(&name, 1).await.ok().and_then(|marks| marks.into_iter().next());
        let is_stopped =
            kept.and_then(|(_, value)| BulkPlan::decode(&value)).is_some_and(|plan| plan.status == BulkStatus::Stopped);
        !is_stopped && !engine.is_draining()
    }

    /// Keeps a plan, with the leaf of who did what.
    async fn keep(&self, plan: &BulkPlan, by: Option<(ActKind, &OperatorId)>) -> Result<(), Refusal> {
        let leaf = by.map(|(kind, operator)| {
            let subject = format!("bulk:{} {} {}", plan.id, plan.action.as_str(), plan.deliveries.len());
            self.act(kind, operator, subject, plan.note.clone()).encode()
        });
        let mark = Mark { name: mark_of(&plan.id), value: Some(plan.encode()), leaf };
        let kept = self.engine().store.mark(mark).await;
        kept.map(drop).map_err(|error| store_refusal(self.engine(), &error))
    }

    async fn forget_old(&self) {
        let mut old = Vec::new();
        {
            let mut known = self.engine().bulks.known();
            while known.plans.len() > PLANS_MAX {
                let Some((id, _)) = known.plans.pop_first() else { break };
                old.push(id);
            }
        }
        for id in old {
            let mark = Mark { name: mark_of(&id), value: None, leaf: None };
            if let Err(error) = self.engine().store.mark(mark).await {
                tracing::warn!(%error, bulk = id, "an old plan could not be forgotten");
            }
        }
    }
}
