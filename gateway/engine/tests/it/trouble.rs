//! Senders whose envelopes are turned away for their trust: who has to act.

use gateway_model::{Cause, Reason};

use crate::system::Node;
use crate::world::{COMMUNE, WORLD, draft, envelope};

/// Cause, place, who has to act, and how many.
async fn board(node: &Node) -> Vec<(Cause, String, String, u64)> {
    node.engine.look().await.unwrap();
    let board = node.engine.operate().stuck();
    let told = board.groups.iter().map(|group| {
        let must_act = group.key.must_act.as_ref().map(ToString::to_string).unwrap_or_default();
        (group.key.cause, group.key.destination.clone(), must_act, group.count)
    });
    told.collect()
}

#[tokio::test]
async fn a_stale_revocation_list_is_one_cause_for_all_senders_and_no_sender_has_to_act() {
    let node = Node::new(COMMUNE);
    let stale = WORLD.changed(|content| {
        content.version = 2;
        content.crls[0] = WORLD.stale_crl();
    });
    node.trust.replace(stale).unwrap();
    for (number, from) in [(1, "commune"), (2, "ward"), (3, "ward")] {
        let mut draft = draft(number, &["district"]);
        draft.from = from.to_owned();
        let refused = node.submit_bytes(WORLD.sign(&draft)).await.unwrap_err();
        assert_eq!(refused.reason, Reason::RevocationStale);
    }
    let board_then = board(&node).await;
    let owner = "commune";
    // Whoever runs the gateway has to act, whose directory brings the lists.
    assert_eq!(board_then, [(Cause::Revocation, String::new(), owner.to_owned(), 3)]);

    // A directory with a newer list may mend it; the next refusal would tell that it does not.
    node.trust.replace(WORLD.changed(|content| content.version = 3)).unwrap();
    assert!(board(&node).await.is_empty());
    node.submit_bytes(envelope(4, &["ward"])).await.unwrap();
    assert!(board(&node).await.is_empty());
}
