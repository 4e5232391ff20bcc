//! A plan: what, which, why, who, and how far; and how it is kept.

use std::sync::Arc;

use bytes::Bytes;
use gateway_model::id::{DeliveryId, OperatorId};
use gateway_model::{Reason, Timestamp};
use prost::Message as _;
use proto::v1;

/// What is done to each delivery.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum BulkAction {
    /// [`crate::operate::Operate::retry`].
    Retry,
    /// [`crate::operate::Operate::hold`].
    Hold,
    /// [`crate::operate::Operate::release`].
    Release,
    /// [`crate::operate::Operate::give_back`].
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
    /// The first of those that did not move; known to the node that carries it out.
    pub failures: Vec<(DeliveryId, Reason)>,
    /// The node that carries it out, among several on one store; empty where there is one.
    pub node: String,
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
    pub(super) fn encode(&self) -> Bytes {
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
            node: self.node.clone(),
        };
        wire.encode_to_vec().into()
    }

    pub(super) fn decode(bytes: &[u8]) -> Option<Self> {
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
            node: wire.node,
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
            node: "a".to_owned(),
        };
        assert_eq!(BulkPlan::decode(&plan.encode()), Some(plan));
        assert_eq!(BulkPlan::decode(b"x"), None);
    }
}
