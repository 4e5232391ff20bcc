//! The faulty store is a store: it shows every behaviour while nothing fails, and fails exactly as it is told.

// A test backend: what does not go as it has to fails the test.
#![allow(clippy::unwrap_used)]

use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use gateway_model::note::NoteSigner;
use gateway_model::state::{DeliveryState, DeliveryStatus};
use gateway_model::{Reason, Timestamp};
use gateway_store::claim::{Claim, ReturnWhat};
use gateway_store::faulty::{Fault, Faults, FaultyStore, Gate, Step};
use gateway_store::mark::Mark;
use gateway_store::memory::MemoryStore;
use gateway_store::settle::{ReturnState, Settle, SettleReturn};
use gateway_store::{Pressure, Store, StoreError};
use gateway_store_conformance::suite::{
    LEASE, RETRY_MAX, acceptance, at, back, change, delivery_id, foreign, lane, lease_of, record, settlement, waiting,
};
use gateway_store_conformance::{Backend, Suite};

gateway_store_conformance::store_suite!(Faulty::default());

/// A memory store that outlives its faulty wrappers.
#[derive(Clone, Default)]
struct Faulty(Arc<Mutex<Inner>>);

#[derive(Default)]
struct Inner {
    memory: Option<Arc<MemoryStore>>,
    faults: Option<Faults>,
}

#[async_trait]
impl Backend for Faulty {
    async fn open(&self, signer: NoteSigner) -> Arc<dyn Store> {
        let mut inner = self.0.lock().unwrap();
        let memory = match &inner.memory {
            Some(memory) => Arc::new(memory.reopen()),
            None => Arc::new(MemoryStore::new(signer)),
        };
        let (store, faults) = FaultyStore::new(memory.clone());
        (inner.memory, inner.faults) = (Some(memory), Some(faults));
        Arc::new(store)
    }

    async fn open_at(&self, _: NoteSigner, now: Timestamp) -> Arc<dyn Store> {
        let mut inner = self.0.lock().unwrap();
        let memory = Arc::new(inner.memory.as_ref().unwrap().reopen_at(now, RETRY_MAX));
        let (store, faults) = FaultyStore::new(memory.clone());
        (inner.memory, inner.faults) = (Some(memory), Some(faults));
        Arc::new(store)
    }
}

/// A suite over a faulty store, with the handle of its faults.
async fn faulty() -> (Suite, Faults) {
    let backend = Faulty::default();
    let suite = Suite::new(backend.clone()).await;
    let faults = backend.0.lock().unwrap().faults.clone().unwrap();
    (suite, faults)
}

/// Everything that the steps of [`take`] need: envelope 1 leased, envelope 2 waiting, a return leased, envelope 3 due in lane `c`.
async fn prepared() -> (Suite, Faults, Prepared) {
    let (suite, faults) = faulty().await;
    let (_, lease) = suite.leased().await;
    suite.accept(2, "b", 0).await;
    let other = lease_of(&suite.claim("b", 0).await[0]);
    let returns = vec![back(ReturnWhat::ThisLeaf, 20)];
    suite.settle(Settle { returns, ..settlement(other, 1, waiting(900)) }).await;
    let (_, returning) = suite.claim_return("back", 20).await;
    suite.accept(3, "c", 0).await;
    (suite, faults, Prepared { lease, returning })
}

struct Prepared {
    lease: gateway_store::claim::Lease,
    returning: gateway_store::claim::ReturnLease,
}

/// Takes one step; the match makes sure that a new step is tried here as well.
async fn take(suite: &Suite, step: Step, prepared: &Prepared) -> Result<(), StoreError> {
    let store = &suite.store;
    match step {
        Step::Accept => store.accept(acceptance(&suite.fixture.envelope(4))).await.map(drop),
        Step::Settle => store.settle(settlement(prepared.lease, 2, DeliveryState::Delivered)).await.map(drop),
        Step::Change => {
            let held = DeliveryState::Held { reason: Reason::HeldByOperator };
            store.change(change(delivery_id(2), DeliveryStatus::Waiting, 2, held)).await.map(drop)
        }
        Step::Record => {
            let theirs = foreign(gateway_evidence::EventKind::Delivered, 1);
            store.record(record(1, theirs, Vec::new())).await.map(drop)
        }
        Step::Mark => {
            let (value, leaf) = (Some("on".into()), Some("who".into()));
            store.mark(Mark { name: "pause/a".to_owned(), value, leaf }).await.map(drop)
        }
        Step::SettleReturns => {
            let done = SettleReturn { lease: prepared.returning, to: ReturnState::Done };
            store.settle_returns(vec![done]).await
        }
        Step::Claim => {
            let claim = Claim { lanes: vec![(lane("c"), 10)], now: at(0), lease_until: at(0).plus(LEASE) };
            store.claim_due(claim).await.map(drop)
        }
        Step::Extend => store.extend(&[prepared.lease], at(0).plus(LEASE * 2)).await,
    }
}

/// What the steps of [`take`] change, as text.
async fn seen(suite: &Suite) -> String {
    let (counts, due) = (suite.store.counts().await.unwrap(), suite.store.due_lanes(at(0), 10).await.unwrap());
    let run_out = suite.store.due_lanes(at(LEASE.as_secs()), 10).await.unwrap();
    format!("{counts:?} {due:?} {run_out:?}")
}

#[tokio::test]
async fn a_fault_before_a_step_leaves_nothing_behind() {
    for step in Step::ALL {
        for fault in [Fault::Unavailable, Fault::Full, Fault::UnknownBefore] {
            let (suite, faults, prepared) = prepared().await;
            let before = seen(&suite).await;
            faults.next(step, fault.clone());
            let error = take(&suite, step, &prepared).await.unwrap_err();
            let told = match fault {
                Fault::Unavailable => matches!(error, StoreError::Unavailable { .. }),
                Fault::Full => matches!(error, StoreError::Full),
                _ => matches!(error, StoreError::Unknown { .. }),
            };
            assert!(told, "{step:?} {fault:?}: {error}");
            assert_eq!(seen(&suite).await, before, "{step:?} {fault:?}");
            take(&suite, step, &prepared).await.unwrap();
            assert_ne!(seen(&suite).await, before, "{step:?} happens when it is taken again");
            assert_eq!(faults.met().len(), 1);
        }
    }
}

#[tokio::test]
async fn a_fault_after_a_step_leaves_all_of_it_behind() {
    for step in Step::ALL {
        let (suite, faults, prepared) = prepared().await;
        let before = seen(&suite).await;
        faults.next(step, Fault::UnknownAfter);
        let error = take(&suite, step, &prepared).await.unwrap_err();
        assert!(matches!(error, StoreError::Unknown { .. }), "{step:?}: {error}");
        assert_ne!(seen(&suite).await, before, "{step:?}");
    }
}

#[tokio::test]
async fn a_gate_holds_a_step_before_or_its_answer_after() {
    for step in Step::ALL {
        for is_after in [false, true] {
            let (suite, faults, prepared) = prepared().await;
            let before = seen(&suite).await;
            let gate = Gate::new();
            let fault = if is_after { Fault::WaitAfter(gate.clone()) } else { Fault::WaitBefore(gate.clone()) };
            faults.next(step, fault);
            let suite = Arc::new(suite);
            let other = suite.clone();
            let call = tokio::spawn(async move { take(&other, step, &prepared).await });
            gate.arrival().await;
            assert!(!call.is_finished());
            assert_eq!(seen(&suite).await != before, is_after, "{step:?}");
            gate.open();
            call.await.unwrap().unwrap();
            assert_ne!(seen(&suite).await, before, "{step:?}");
        }
    }
}

#[tokio::test]
async fn a_script_decides_where_the_queue_is_silent_until_the_store_is_healed() {
    let (suite, faults) = faulty().await;
    let mut calls = 0;
    faults.script(move |step| {
        calls += 1;
        (step == Step::Accept && calls % 2 == 1).then_some(Fault::Full)
    });
    faults.next(Step::Accept, Fault::Unavailable);
    let accept = || suite.store.accept(acceptance(&suite.fixture.envelope(1)));
    assert!(matches!(accept().await, Err(StoreError::Unavailable { .. })), "the queue comes first");
    assert!(matches!(accept().await, Err(StoreError::Full)));
    assert!(!accept().await.unwrap().duplicate);
    assert!(matches!(accept().await, Err(StoreError::Full)));
    faults.heal();
    assert!(accept().await.unwrap().duplicate);
}

#[tokio::test]
async fn a_refused_step_stays_refused_when_its_answer_gets_lost() {
    let (suite, faults) = faulty().await;
    faults.next(Step::Change, Fault::UnknownAfter);
    let change = change(delivery_id(9), DeliveryStatus::Waiting, 1, waiting(1));
    assert!(matches!(suite.store.change(change).await, Err(StoreError::Conflict(_))));
}

#[tokio::test]
async fn pressure_is_told_as_it_was_set() {
    let (suite, faults) = faulty().await;
    let busy = Pressure::Busy { reason: Reason::StoreFull, retry_after: std::time::Duration::from_secs(30) };
    faults.press(Some(busy));
    assert_eq!(suite.store.pressure(), busy);
    faults.press(None);
    assert_eq!(suite.store.pressure(), Pressure::Free);
}
