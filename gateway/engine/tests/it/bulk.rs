//! Plans of many that do not go to their end: stopped by a person, ended with the process, approved or stopped while the store is slow or full.

use std::collections::HashMap;

use gateway_engine::audit::{AuditQuery, Done};
use gateway_engine::bulk::{BulkAction, BulkPlan, BulkStatus};
use gateway_engine::operate::Operate;
use gateway_engine::settings::Settings;
use gateway_evidence::{ActKind, EventKind};
use gateway_model::Reason;
use gateway_model::id::OperatorId;
use gateway_model::state::DeliveryStatus;
use gateway_store::faulty::{Fault, Gate, Step};
use gateway_store::query::Query;
use tokio_util::sync::CancellationToken;

use crate::system::Node;
use crate::world::{COMMUNE, operator};

/// Deliveries of a plan.
const MANY: usize = 200;
/// Of these, moved when the store makes the next one wait.
const MOVED: usize = 20;

/// The marks of a plan that runs, counted from its start.
const STOPPED_MARK: usize = 2;
const ENDED_MARK: usize = 3;

fn waiting() -> Query {
    Query { statuses: vec![DeliveryStatus::Waiting], limit: 50, ..Query::default() }
}

fn second() -> OperatorId {
    OperatorId::parse("op-binh").unwrap()
}

/// A plan for everything that waits at a gateway: [`MANY`]. The system takes nothing, so that only the plan moves it.
async fn planned(node: &Node, action: BulkAction) -> BulkPlan {
    node.system.set_room(0);
    for number in 0..MANY {
        node.submit(number as u64, &["ward"]).await.unwrap();
    }
    let plan = node.engine.operate().plan_bulk(&operator(), action, &waiting(), "wrong annex").await.unwrap();
    assert_eq!((plan.deliveries.len(), plan.status, plan.cut), (MANY, BulkStatus::Planned, false));
    plan
}

/// From now on the calls with these numbers, counted from 1, meet these faults.
fn meet<const N: usize>(node: &Node, faults: [(Step, usize, Fault); N]) {
    let mut calls = HashMap::<Step, usize>::new();
    node.faults.script(move |step| {
        let call = calls.entry(step).or_default();
        *call += 1;
        faults.iter().find(|(at, number, _)| *at == step && number == call).map(|(.., fault)| fault.clone())
    });
}

async fn progress(operate: &Operate, plan: &BulkPlan) -> (BulkStatus, usize, usize) {
    let plan = operate.bulk(&plan.id).await.unwrap();
    (plan.status, plan.tried, plan.moved)
}

/// How many deliveries an operator has moved so.
async fn leaves(node: &Node, kind: EventKind) -> usize {
    let mut count = 0;
    for number in 0..MANY {
        count += node.events(number as u64).await.iter().filter(|event| event.kind == kind).count();
    }
    count
}

/// The acts about plans, the newest first: what, by whom, about what.
async fn acts(operate: &Operate) -> Vec<(ActKind, String, String)> {
    let page = operate.audit(&AuditQuery { limit: 1_000, ..AuditQuery::default() }).await.unwrap();
    let acts = page.entries.into_iter().filter_map(|entry| match entry.what {
        Done::Act(act) => Some((act.kind, act.operator.to_string(), act.subject)),
        Done::Event(_) => None,
    });
    acts.collect()
}

/// The next process on the same store, once it has read what was decided before.
async fn restart(node: &mut Node) {
    node.restart();
    let at_once = CancellationToken::new();
    at_once.cancel();
    node.engine.run(at_once).await;
}

/// Stops a plan while its delivery number [`MOVED`] + 1 is on its way into the store.
async fn check_stopped(action: BulkAction, leaf: EventKind) {
    let mut node = Node::new(COMMUNE);
    let plan = planned(&node, action).await;
    let operate = node.engine.operate();
    let too_early = operate.stop_bulk(&second(), &plan.id).await.unwrap_err();
    assert_eq!(too_early.reason, Reason::StateNotAllowed, "it does not run yet");
    let (next, ended) = (Gate::new(), Gate::new());
    meet(
        &node,
        [
            (Step::Change, MOVED + 1, Fault::WaitBefore(next.clone())),
            (Step::Mark, ENDED_MARK, Fault::WaitAfter(ended.clone())),
        ],
    );
    operate.run_bulk(&operator(), &plan.id).await.unwrap();
    next.arrival().await;
    assert_eq!(progress(&operate, &plan).await, (BulkStatus::Running, MOVED, MOVED));
    assert_eq!(operate.stop_bulk(&second(), &plan.id).await.unwrap().status, BulkStatus::Stopped);
    next.open();
    ended.arrival().await;
    ended.open();

    // What was under way is finished and counted; nothing after it was begun.
    let whole = (BulkStatus::Stopped, MOVED + 1, MOVED + 1);
    assert_eq!(progress(&operate, &plan).await, whole, "{action:?}");
    assert_eq!(leaves(&node, leaf).await, MOVED + 1, "{action:?}");
    for again in [operate.stop_bulk(&second(), &plan.id).await, operate.run_bulk(&operator(), &plan.id).await] {
        assert_eq!(again.unwrap_err().reason, Reason::StateNotAllowed, "a plan runs once and stops once");
    }
    let subject = format!("bulk:{} {} {MANY}", plan.id, action.as_str());
    let expected =
        [(ActKind::BulkStopped, "op-binh"), (ActKind::BulkStarted, "op-lan"), (ActKind::BulkPlanned, "op-lan")];
    assert_eq!(acts(&operate).await, expected.map(|(kind, who)| (kind, who.to_owned(), subject.clone())));
    restart(&mut node).await;
    assert_eq!(progress(&node.engine.operate(), &plan).await, whole, "{action:?} after a restart");
}

#[tokio::test]
async fn a_plan_that_is_stopped_finishes_what_is_under_way_and_moves_nothing_more() {
    check_stopped(BulkAction::Hold, EventKind::Held).await;
    check_stopped(BulkAction::Retry, EventKind::Retried).await;
}

#[tokio::test]
async fn how_far_a_stopped_plan_came_is_kept_although_the_stop_itself_is_kept_later() {
    let mut node = Node::new(COMMUNE);
    let plan = planned(&node, BulkAction::Hold).await;
    let operate = node.engine.operate();
    let (next, stopped, ended) = (Gate::new(), Gate::new(), Gate::new());
    meet(
        &node,
        [
            (Step::Change, MOVED + 1, Fault::WaitBefore(next.clone())),
            (Step::Mark, STOPPED_MARK, Fault::WaitBefore(stopped.clone())),
            (Step::Mark, ENDED_MARK, Fault::WaitAfter(ended.clone())),
        ],
    );
    operate.run_bulk(&operator(), &plan.id).await.unwrap();
    next.arrival().await;
    let end_first = async {
        stopped.arrival().await;
        next.open();
        ended.arrival().await;
        ended.open();
        stopped.open();
    };
    let who = second();
    let (told, ()) = tokio::join!(operate.stop_bulk(&who, &plan.id), end_first);
    assert_eq!(told.unwrap().status, BulkStatus::Stopped);
    let whole = (BulkStatus::Stopped, MOVED + 1, MOVED + 1);
    assert_eq!(progress(&operate, &plan).await, whole);
    restart(&mut node).await;
    assert_eq!(progress(&node.engine.operate(), &plan).await, whole, "after a restart");
}

#[tokio::test]
async fn a_plan_whose_process_ends_is_stopped_and_a_new_one_takes_the_rest() {
    let mut node = Node::new(COMMUNE);
    let plan = planned(&node, BulkAction::Hold).await;
    let next = Gate::new();
    meet(&node, [(Step::Change, MOVED + 1, Fault::WaitBefore(next.clone()))]);
    node.engine.operate().run_bulk(&operator(), &plan.id).await.unwrap();
    next.arrival().await;
    restart(&mut node).await;
    let operate = node.engine.operate();
    assert_eq!(operate.bulk(&plan.id).await.unwrap().status, BulkStatus::Stopped);
    assert_eq!(leaves(&node, EventKind::Held).await, MOVED);
    let again = operate.run_bulk(&operator(), &plan.id).await.unwrap_err();
    assert_eq!(again.reason, Reason::StateNotAllowed);
    let rest = operate.plan_bulk(&operator(), BulkAction::Hold, &waiting(), "the rest").await.unwrap();
    assert_eq!(rest.deliveries.len(), MANY - MOVED);
}

#[tokio::test]
async fn an_approval_that_is_not_kept_is_none() {
    let node = Node::with(COMMUNE, Settings { bulk_needs_two: true, ..Settings::default() }, None);
    let plan = planned(&node, BulkAction::Hold).await;
    let operate = node.engine.operate();
    node.faults.next(Step::Mark, Fault::Full);
    assert_eq!(operate.approve_bulk(&second(), &plan.id).await.unwrap_err().reason, Reason::StoreFull);
    assert_eq!(operate.run_bulk(&operator(), &plan.id).await.unwrap_err().reason, Reason::SecondPersonNeeded);
    assert_eq!(leaves(&node, EventKind::Held).await, 0);
    operate.approve_bulk(&second(), &plan.id).await.unwrap();
    operate.run_bulk(&operator(), &plan.id).await.unwrap();
    let kinds: Vec<_> = acts(&operate).await.into_iter().map(|(kind, who, _)| (kind, who)).collect();
    assert_eq!(kinds[1], (ActKind::BulkApproved, "op-binh".to_owned()), "one approval, before the start: {kinds:?}");
    assert_eq!(kinds.len(), 3);
}
