//! What is stuck, and incidents, in words.

use gateway_engine::incident::Incident;
use gateway_engine::operate::Operate;
use gateway_engine::stuck::{Board, StuckGroup};
use gateway_model::directory::Directory;
use gateway_model::id::AgencyId;
use gateway_model::language::Language;
use gateway_model::{Cause, Timestamp};
use proto::v1;

use super::super::{Caller, Doors, wire};

/// Files whose due times are looked up for one answer.
const FILES_ASKED_MAX: usize = 5_000;

/// The board, in a language, with the working time left by the calendar of whoever has to act.
pub(super) async fn list(doors: &Doors, caller: &Caller) -> v1::ListStuckResponse {
    let (operate, now) = (doors.engine.operate(), doors.engine.clock().now());
    let board = operate.stuck();
    let due = nearest_due(doors, &board).await;
    let groups = board.groups.iter().zip(due).map(|(group, due)| {
        let deadline = [group.deadline, due].into_iter().flatten().min();
        self::group(group, deadline, &operate, caller.directory(), now, caller.language)
    });
    v1::ListStuckResponse { as_of: board.as_of.map(wire::timestamp), groups: groups.collect(), cut: board.cut }
}

/// The nearest due time of the files that are stuck, group by group, as far as the register of files knows it.
async fn nearest_due(doors: &Doors, board: &Board) -> Vec<Option<Timestamp>> {
    let mut left = FILES_ASKED_MAX;
    let mut asked = |group: &StuckGroup| {
        let codes = group.files[..group.files.len().min(left)].to_vec();
        left -= codes.len();
        codes
    };
    let lists: Vec<Vec<String>> = board.groups.iter().map(&mut asked).collect();
    if lists.iter().all(Vec::is_empty) {
        return vec![None; lists.len()];
    }
    let count = lists.len();
    doors.register.with(move |register| register.nearest_due(&lists)).await.unwrap_or_else(|error| {
        tracing::warn!(%error, "the register of files could not be read: deadlines are those of the envelopes");
        vec![None; count]
    })
}

fn group(
    group: &StuckGroup,
    deadline: Option<Timestamp>,
    operate: &Operate,
    directory: &Directory,
    now: Timestamp,
    language: Language,
) -> v1::StuckGroup {
    let key = &group.key;
    let left = |deadline| operate.working_seconds_left(key.must_act.as_ref(), now, deadline);
    v1::StuckGroup {
        incident_id: key.incident_id(),
        cause: cause(key.cause).into(),
        reason: group.reason.code().to_owned(),
        destination: key.destination.clone(),
        must_act: key.must_act.as_ref().map(ToString::to_string).unwrap_or_default(),
        must_act_name: key.must_act.as_ref().map(|id| name(directory, id, language)).unwrap_or_default(),
        count: group.count,
        oldest: group.oldest.map(wire::timestamp),
        since: operate.incident_since(key).map(wire::timestamp),
        deadline: deadline.map(wire::timestamp),
        working_seconds_left: deadline.map_or(0, left),
        message: group.reason.message(language).to_owned(),
        next_step: group.reason.next_step(language).to_owned(),
        detail: group.detail.clone(),
        delivery_ids: group.sample.iter().map(ToString::to_string).collect(),
    }
}

/// An incident.
pub(super) fn incident(incident: Incident) -> v1::Incident {
    v1::Incident {
        incident_id: incident.id,
        cause: cause(incident.key.cause).into(),
        reason: incident.reason.code().to_owned(),
        destination: incident.key.destination,
        must_act: incident.key.must_act.map(|id| id.to_string()).unwrap_or_default(),
        opened_at: Some(wire::timestamp(incident.opened_at)),
        closed_at: incident.closed_at.map(wire::timestamp),
        count_max: incident.count_max,
    }
}

/// An agency's name in a language; its id when the directory does not know it.
pub(super) fn name(directory: &Directory, id: &AgencyId, language: Language) -> String {
    let Some(agency) = directory.agency(id) else { return id.to_string() };
    match (language, &agency.name_en) {
        (Language::En, name) if !name.is_empty() => name.clone(),
        (Language::En | Language::Vi, _) => agency.name.clone(),
    }
}

fn cause(cause: Cause) -> v1::StuckCause {
    match cause {
        Cause::PeerDown => v1::StuckCause::PeerDown,
        Cause::AdapterError => v1::StuckCause::AdapterError,
        Cause::NotPickedUp => v1::StuckCause::NotPickedUp,
        Cause::Certificate => v1::StuckCause::Certificate,
        Cause::Revocation => v1::StuckCause::Revocation,
        Cause::Held => v1::StuckCause::Held,
        Cause::Refused => v1::StuckCause::Refused,
        Cause::ReceiptOverdue => v1::StuckCause::ReceiptOverdue,
        Cause::Paused => v1::StuckCause::Paused,
        Cause::Gateway => v1::StuckCause::Gateway,
    }
}
