//! What other nodes of the store see: a sender that is turned away at one of them is nothing that the others know. The node that opens and closes
//! incidents adds it to what it sees itself.

use std::time::Duration;

use bytes::Bytes;
use gateway_model::Timestamp;
use gateway_store::StoreError;
use gateway_store::mark::Mark;
use prost::Message as _;
use proto::v1;

use super::{Board, GROUPS_MAX, GroupKey, StuckGroup};
use crate::Core;

/// How the names of their marks begin.
const MARKS: &str = "board/";
/// Nodes whose boards are read.
const NODES_MAX: usize = 64;
/// What a node saw longer ago than this it does not see any more: it tells every few seconds.
const FRESH: Duration = Duration::from_secs(20);

/// Tells what this node sees.
pub(super) async fn tell(engine: &Core, board: &Board) -> Result<(), StoreError> {
    let Some(node) = engine.store.node() else { return Ok(()) };
    let name = format!("{MARKS}{node}");
    if board.groups.is_empty() && engine.store.marks(&name, 1).await?.is_empty() {
        return Ok(());
    }
    let value = (!board.groups.is_empty()).then(|| encode(board, engine.clock.now()));
    engine.store.mark(Mark { name, value, leaf: None }).await.map(drop)
}

/// What this node sees with what the others have told.
pub(super) async fn with_others(engine: &Core, board: &Board) -> Result<Board, StoreError> {
    let mut whole = board.clone();
    let Some(node) = engine.store.node() else { return Ok(whole) };
    let own = format!("{MARKS}{node}");
    let now = engine.clock.now();
    for (name, value) in engine.store.marks(MARKS, NODES_MAX).await? {
        let Some(theirs) = decode(&value).filter(|theirs| name != own && is_fresh(theirs, now)) else { continue };
        whole.cut |= theirs.cut;
        for group in theirs.groups {
            if let Some(known) = whole.groups.iter_mut().find(|known| known.key == group.key) {
                known.count = known.count.max(group.count);
            } else if whole.groups.len() < GROUPS_MAX {
                whole.groups.push(group);
            } else {
                whole.cut = true;
            }
        }
    }
    Ok(whole)
}

fn is_fresh(board: &Board, now: Timestamp) -> bool {
    board.as_of.is_some_and(|as_of| now.since(as_of) < FRESH)
}

fn encode(board: &Board, now: Timestamp) -> Bytes {
    let (seconds, nanos) = now.to_parts();
    let groups = board.groups.iter().map(|group| v1::BoardGroupMark {
        cause: group.key.cause.as_str().to_owned(),
        reason: group.reason.code().to_owned(),
        destination: group.key.destination.clone(),
        must_act: group.key.must_act.as_ref().map(ToString::to_string).unwrap_or_default(),
        by_reason: group.key.reason.is_some(),
        count: group.count,
        detail: group.detail.clone(),
    });
    let as_of = Some(prost_types::Timestamp { seconds, nanos });
    v1::BoardMark { as_of, cut: board.cut, groups: groups.collect() }.encode_to_vec().into()
}

fn decode(bytes: &[u8]) -> Option<Board> {
    let wire = v1::BoardMark::decode(bytes).ok()?;
    let at = wire.as_of?;
    // A cause that only a newer version knows is that node's to show.
    let groups = wire.groups.into_iter().filter_map(group).collect();
    Some(Board { as_of: Timestamp::from_parts(at.seconds, at.nanos), groups, cut: wire.cut, ..Board::default() })
}

fn group(wire: v1::BoardGroupMark) -> Option<StuckGroup> {
    let named = (wire.cause.as_str(), wire.reason.as_str());
    let (key, reason) = GroupKey::of_mark(named, wire.destination, &wire.must_act, wire.by_reason)?;
    let (count, detail) = (wire.count, wire.detail);
    Some(StuckGroup { key, reason, count, oldest: None, deadline: None, detail, sample: Vec::new(), files: Vec::new() })
}

#[cfg(test)]
mod tests {
    use gateway_model::id::AgencyId;
    use gateway_model::{Cause, Reason};

    use super::*;

    #[test]
    fn a_board_is_read_as_it_is_told_and_not_believed_for_long() {
        let group = StuckGroup {
            key: GroupKey {
                cause: Cause::Certificate,
                destination: "agency:x1".to_owned(),
                must_act: AgencyId::parse("x1").ok(),
                reason: Some(Reason::CertificateExpired),
            },
            reason: Reason::CertificateExpired,
            count: 3,
            oldest: None,
            deadline: None,
            detail: "seen".to_owned(),
            sample: Vec::new(),
            files: Vec::new(),
        };
        let now = Timestamp::from_seconds(1_790_000_000);
        let told = Board { as_of: Some(now), groups: vec![group], cut: true, ..Board::default() };
        let read = decode(&encode(&told, now)).unwrap();
        assert_eq!((&read.groups, read.cut, read.as_of), (&told.groups, true, Some(now)));
        assert!(is_fresh(&read, now.plus(FRESH / 2)) && !is_fresh(&read, now.plus(FRESH)));
        assert!(decode(b"\xff").is_none());
    }
}
