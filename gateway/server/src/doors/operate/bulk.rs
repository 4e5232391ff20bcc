//! Plans as operators see them.

use gateway_engine::bulk::{BulkAction, BulkPlan};
use gateway_engine::operate::Operate;
use gateway_model::Refusal;
use proto::v1;

use super::super::wire;
use super::asked;

/// Deliveries shown of a plan.
const SAMPLE_MAX: usize = 10;

/// Reads what is to be done.
pub(super) fn action(request: &v1::PlanBulkRequest) -> Result<BulkAction, Refusal> {
    BulkAction::from_wire(request.action()).ok_or_else(|| asked::malformed("action", "retry, hold, release or return"))
}

/// A plan.
pub(super) fn plan(operate: &Operate, plan: &BulkPlan) -> v1::BulkPlan {
    let number = |count: usize| u32::try_from(count).unwrap_or(u32::MAX);
    v1::BulkPlan {
        bulk_id: plan.id.clone(),
        action: plan.action.to_wire().into(),
        reason: plan.note.clone(),
        planned_by: plan.planned_by.to_string(),
        planned_at: Some(wire::timestamp(plan.planned_at)),
        count: number(plan.deliveries.len()),
        sample: plan.deliveries.iter().take(SAMPLE_MAX).map(ToString::to_string).collect(),
        status: plan.status.to_wire().into(),
        approved_by: plan.approved_by.as_ref().map(ToString::to_string).unwrap_or_default(),
        needs_approval: operate.needs_approval(plan),
        tried: number(plan.tried),
        moved: number(plan.moved),
        cut: plan.cut,
    }
}

/// The deliveries that did not move.
pub(super) fn failures(plan: &BulkPlan) -> Vec<v1::BulkFailure> {
    let failure = |(delivery, reason): &(gateway_model::id::DeliveryId, gateway_model::Reason)| v1::BulkFailure {
        delivery_id: delivery.to_string(),
        reason: reason.code().to_owned(),
    };
    plan.failures.iter().map(failure).collect()
}
