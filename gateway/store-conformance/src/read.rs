//! Reading back: lists, histories and numbers.

use gateway_evidence::{Event, EventKind};
use gateway_model::id::DeliveryId;
use gateway_model::state::{DeliveryState, DeliveryStatus};
use gateway_model::{Digest, Reason, limits};
use gateway_store::query::{PageToken, Query};
use gateway_store::rows::{DeliverySummary, EnvelopeSeq};
use gateway_store::settle::Settle;
use gateway_store::{Pressure, accept::Accept};
use proto::v1;

use crate::fixture::{OTHER, agency, draft, envelope_id, gateway_id};
use crate::keep::part;
use crate::suite::{
    Suite, acceptance, at, back, change, delivery_id, foreign, key, lease_of, record, settlement, waiting,
};

/// What was never accepted is not there, whatever is asked.
pub async fn what_is_not_here_is_not_found(suite: Suite) {
    let here = suite.accept(1, "a", 0).await.seq;
    let nobody = EnvelopeSeq(1_000_000);
    let found = suite.store.envelopes_at(&[nobody, here, nobody]).await.unwrap();
    assert_eq!(found.iter().map(|row| (row.seq, &row.key)).collect::<Vec<_>>(), [(here, &key(1))]);
    assert!(suite.store.find(&key(2)).await.unwrap().is_none());
    assert!(suite.store.body(nobody).await.unwrap().is_none());
    assert!(suite.store.deliveries(nobody).await.unwrap().is_empty());
    assert!(suite.store.delivery(delivery_id(2)).await.unwrap().is_none());
    assert!(suite.store.events(nobody, None, 10).await.unwrap().is_empty());
    assert!(suite.store.by_file_code("H15.50-261008-0975", 10).await.unwrap().is_empty());
    assert!(suite.store.by_envelope_id(envelope_id(2)).await.unwrap().is_empty());
}

/// Events are told in the order in which they became known, whoever saw them, and can be followed from any of them.
pub async fn events_come_in_order_and_go_on_from_any_position(suite: Suite) {
    let (seq, lease) = suite.leased().await;
    let forwarded = DeliveryState::Forwarded { next: gateway_id(OTHER) };
    let theirs = Some(foreign(EventKind::Accepted, 1));
    suite.settle(Settle { foreign: theirs, ..settlement(lease, 1, forwarded) }).await;
    suite.accept(2, "a", 0).await;
    suite.store.record(record(1, foreign(EventKind::Delivered, 1), Vec::new())).await.unwrap();
    let events = suite.events(seq).await;
    use EventKind::{Accepted, Delivered, Forwarded, Recorded};
    assert_eq!(suite.history(seq).await, [Accepted, Accepted, Forwarded, Delivered, Recorded]);
    assert!(events.windows(2).all(|pair| pair[0].position < pair[1].position), "positions rise");
    for (index, event) in events.iter().enumerate() {
        assert_eq!(Event::decode(&event.receipt.event).unwrap().key(), key(1));
        let rest = suite.store.events(seq, Some(event.position), 100).await.unwrap();
        assert_eq!(rest.iter().map(|row| row.position).collect::<Vec<_>>(), positions(&events[index + 1..]));
    }
    let two = suite.store.events(seq, Some(events[0].position), 2).await.unwrap();
    assert_eq!(positions(&two), positions(&events[1..3]));
}

/// A case is the chain of envelopes with one file code.
pub async fn envelopes_are_found_by_file_code_the_oldest_first(suite: Suite) {
    for (number, file_code) in [(1, "H15-1"), (2, "H15-2"), (3, "H15-1"), (4, "")] {
        accept_in_case(&suite, number, file_code).await;
    }
    let found = |rows: Vec<gateway_store::rows::EnvelopeRow>| rows.into_iter().map(|row| row.key).collect::<Vec<_>>();
    assert_eq!(found(suite.store.by_file_code("H15-1", 10).await.unwrap()), [key(1), key(3)]);
    assert_eq!(found(suite.store.by_file_code("H15-1", 1).await.unwrap()), [key(1)]);
    assert!(suite.store.by_file_code("", 10).await.unwrap().is_empty(), "no file code is no case");
    assert!(suite.store.by_file_code("H15", 10).await.unwrap().is_empty(), "a file code is found as a whole");
}

/// An id is unique for its sender only.
pub async fn envelopes_are_found_by_id_whoever_sent_them(suite: Suite) {
    suite.accept(1, "a", 0).await;
    let other = suite.fixture.sign(&v1::Envelope { from: "ward".to_owned(), ..draft(1) });
    suite.store.accept(acceptance(&other)).await.unwrap();
    suite.accept(2, "a", 0).await;
    let mut senders: Vec<_> =
        suite.store.by_envelope_id(envelope_id(1)).await.unwrap().into_iter().map(|row| row.key.sender).collect();
    senders.sort();
    assert_eq!(senders, [agency("commune"), agency("ward")]);
}

/// Pages follow one another without a gap or a repetition, the newest envelope first.
pub async fn a_list_gives_the_newest_first_in_pages_without_gaps(suite: Suite) {
    let mut expected = Vec::new();
    for number in 0..4 {
        let to = ["district", "province", "ward"].map(|agency| v1::Recipient { agency: agency.to_owned() });
        let envelope = suite.fixture.sign(&v1::Envelope { to: to.to_vec(), ..draft(number) });
        let accept = acceptance(&envelope);
        expected.insert(0, accept.deliveries.iter().map(|delivery| delivery.id).collect::<Vec<_>>());
        suite.store.accept(accept).await.unwrap();
    }
    let expected = expected.concat();
    for limit in [1, 2, 3, 5, 12, 100] {
        assert_eq!(all_pages(&suite, &Query { limit, ..Query::default() }).await, expected, "pages of {limit}");
    }
    let whole = suite.store.list(&Query { limit: 12, ..Query::default() }).await.unwrap();
    assert_eq!(whole.next, None, "nothing follows the last row");
}

/// Rows that come while somebody turns pages do not move the pages.
pub async fn new_rows_do_not_move_the_pages(suite: Suite) {
    for number in 0..4 {
        suite.accept(number, "a", 0).await;
    }
    let first = suite.store.list(&Query { limit: 2, ..Query::default() }).await.unwrap();
    suite.accept(4, "a", 0).await;
    let second = suite.store.list(&Query { limit: 2, after: first.next, ..Query::default() }).await.unwrap();
    assert_eq!(ids(&first.rows), [delivery_id(3), delivery_id(2)]);
    assert_eq!(ids(&second.rows), [delivery_id(1), delivery_id(0)]);
}

/// However many rows are asked for, a page stays a page.
pub async fn a_page_is_never_longer_than_its_bound(suite: Suite) {
    let envelope = suite.fixture.envelope(1);
    let bound = limits::PAGE_ROWS_MAX as usize;
    let deliveries = crate::accept::broadcast(&envelope, bound + 1);
    suite.store.accept(Accept { deliveries, ..acceptance(&envelope) }).await.unwrap();
    let page = suite.store.list(&Query { limit: usize::MAX, ..Query::default() }).await.unwrap();
    assert_eq!((page.rows.len(), page.next.is_some()), (bound, true));
    let rest = suite.store.list(&Query { limit: usize::MAX, after: page.next, ..Query::default() }).await.unwrap();
    assert_eq!((rest.rows.len(), rest.next), (1, None));
}

/// Each filter keeps what it names and nothing else, alone and together.
pub async fn each_filter_of_a_list_keeps_what_it_names(suite: Suite) {
    let refused = DeliveryState::Refused { reason: Reason::AdapterRefused };
    // 1 is delivered, 2 is refused and belongs to a case, 3 waits, comes later and is from the ward.
    for (number, state) in [(1, DeliveryState::Delivered), (2, refused)] {
        accept_in_case(&suite, number, if number == 2 { "H15-2" } else { "" }).await;
        let lease = lease_of(&suite.claim("a", 0).await[0]);
        suite.settle(settlement(lease, 1, state)).await;
    }
    let attached = Digest::of(b"plan");
    let third = suite.fixture.sign(&v1::Envelope { from: "ward".to_owned(), parts: vec![part(&attached)], ..draft(3) });
    let (mut accept, digest) = (acceptance(&third), third.digest());
    accept.envelope = gateway_store::accept::NewEnvelope::new(&third, later(60));
    accept.deliveries[0].recipient.serving = agency("province");
    let third = accept.deliveries[0].id;
    suite.store.accept(accept).await.unwrap();

    let (first, second) = (delivery_id(1), delivery_id(2));
    let query = || Query { limit: 10, ..Query::default() };
    let checks = [
        (query(), vec![third, second, first]),
        (Query { statuses: vec![DeliveryStatus::Delivered], ..query() }, vec![first]),
        (Query { statuses: vec![DeliveryStatus::Waiting, DeliveryStatus::Refused], ..query() }, vec![third, second]),
        (Query { sender: Some(agency("ward")), ..query() }, vec![third]),
        (Query { recipient: Some(agency("district")), ..query() }, vec![third, second, first]),
        (Query { recipient: Some(agency("province")), ..query() }, vec![third]),
        (Query { recipient: Some(agency("commune")), ..query() }, vec![]),
        (Query { file_code: Some("H15-2".to_owned()), ..query() }, vec![second]),
        (Query { envelope_id: Some(envelope_id(1)), ..query() }, vec![first]),
        (Query { reason: Some(Reason::AdapterRefused), ..query() }, vec![second]),
        (Query { reason: Some(Reason::AdapterFailed), ..query() }, vec![]),
        (Query { since: Some(at(60)), ..query() }, vec![third]),
        (Query { until: Some(at(60)), ..query() }, vec![second, first]),
        (Query { since: Some(at(0)), until: Some(at(61)), ..query() }, vec![third, second, first]),
        (Query { code: Some("2/UBND-VP".to_owned()), ..query() }, vec![second]),
        (Query { code: Some("/UBND-VP".to_owned()), ..query() }, vec![]),
        (Query { digest: Some(digest), ..query() }, vec![third]),
        (Query { digest: Some(attached), ..query() }, vec![third]),
        (Query { digest: Some(Digest::of(b"no plan")), ..query() }, vec![]),
        (Query { digest: Some(digest), code: Some("2/UBND-VP".to_owned()), ..query() }, vec![]),
        (Query { sender: Some(agency("commune")), reason: Some(Reason::AdapterRefused), ..query() }, vec![second]),
        (Query { sender: Some(agency("ward")), reason: Some(Reason::AdapterRefused), ..query() }, vec![]),
    ];
    for (query, expected) in checks {
        assert_eq!(ids(&suite.store.list(&query).await.unwrap().rows), expected, "{query:?}");
        assert_eq!(all_pages(&suite, &Query { limit: 1, ..query.clone() }).await, expected, "by one: {query:?}");
    }
}

/// The numbers that operators and alarms look at.
pub async fn the_counts_follow_every_step(suite: Suite) {
    let told = |counts: gateway_store::query::Counts| {
        (counts.envelopes, counts.waiting, counts.forwarded, counts.held, counts.returns, counts.log_size)
    };
    assert_eq!(told(suite.store.counts().await.unwrap()), (0, 0, 0, 0, 0, 0));
    for number in 1..4 {
        suite.accept(number, "a", number).await;
    }
    assert_eq!(told(suite.store.counts().await.unwrap()), (3, 3, 0, 0, 0, 3));
    let claimed = suite.claim("a", 10).await;
    assert_eq!(told(suite.store.counts().await.unwrap()), (3, 3, 0, 0, 0, 3), "a lease changes no status");
    let forwarded = DeliveryState::Forwarded { next: gateway_id(OTHER) };
    suite.settle(settlement(lease_of(&claimed[0]), 11, forwarded)).await;
    let returns = vec![back(gateway_store::claim::ReturnWhat::ThisLeaf, 20)];
    suite.settle(Settle { returns, ..settlement(lease_of(&claimed[1]), 11, DeliveryState::Delivered) }).await;
    let held = DeliveryState::Held { reason: Reason::HeldByOperator };
    suite.store.change(change(delivery_id(3), DeliveryStatus::Waiting, 12, held)).await.unwrap();
    assert_eq!(told(suite.store.counts().await.unwrap()), (3, 0, 1, 1, 1, 6));
    suite.store.change(change(delivery_id(3), DeliveryStatus::Held, 13, waiting(13))).await.unwrap();
    assert_eq!(told(suite.store.counts().await.unwrap()), (3, 1, 1, 0, 1, 7));
}

/// A store that has room and works lets the door open.
pub async fn an_idle_store_may_take_more(suite: Suite) {
    assert_eq!(suite.store.pressure(), Pressure::Free);
    assert!(suite.store.counts().await.unwrap().free_bytes > 0);
}

/// Every delivery of a query, page by page.
async fn all_pages(suite: &Suite, query: &Query) -> Vec<DeliveryId> {
    let mut found = Vec::new();
    let mut after: Option<PageToken> = None;
    for _ in 0..100 {
        let page = suite.store.list(&Query { after, ..query.clone() }).await.unwrap();
        assert!(page.rows.len() <= query.limit, "a page of {} rows", page.rows.len());
        found.extend(ids(&page.rows));
        after = page.next;
        if after.is_none() {
            return found;
        }
    }
    panic!("the pages do not end");
}

async fn accept_in_case(suite: &Suite, number: u64, file_code: &str) {
    let case = v1::Case { file_code: file_code.to_owned(), ..v1::Case::default() };
    let envelope = suite.fixture.sign(&v1::Envelope { case: Some(case), ..draft(number) });
    suite.store.accept(acceptance(&envelope)).await.unwrap();
}

/// An arrival `seconds` after the start.
fn later(seconds: u64) -> gateway_store::accept::Arrival {
    gateway_store::accept::Arrival {
        received_at: at(seconds),
        arrived_from: None,
        hops: Vec::new(),
        traceparent: None,
        first_accepted: None,
    }
}

fn ids(rows: &[DeliverySummary]) -> Vec<DeliveryId> {
    rows.iter().map(|row| row.delivery.id).collect()
}

fn positions(events: &[gateway_store::rows::EventRow]) -> Vec<u64> {
    events.iter().map(|event| event.position).collect()
}

/// What waits is counted by lane, leased or not, deliveries and receipts alike; what is over is not.
pub async fn the_loads_of_lanes_follow_what_waits(suite: Suite) {
    let loads = async || {
        let loads = suite.store.lane_loads().await.unwrap();
        let mut loads: Vec<_> = loads.into_iter().map(|load| (load.lane.as_str().to_owned(), load.rows)).collect();
        loads.sort();
        loads
    };
    assert!(loads().await.is_empty());
    suite.accept(1, "a", 0).await;
    suite.accept(2, "a", 50).await;
    suite.accept(3, "b", 0).await;
    assert_eq!(loads().await, [("a".to_owned(), 2), ("b".to_owned(), 1)]);
    let lease = lease_of(&suite.claim("a", 0).await[0]);
    assert_eq!(loads().await, [("a".to_owned(), 2), ("b".to_owned(), 1)], "leased work still waits");
    let returns = vec![back(gateway_store::claim::ReturnWhat::ThisLeaf, 20)];
    suite.settle(Settle { returns, ..settlement(lease, 1, DeliveryState::Delivered) }).await;
    assert_eq!(loads().await, [("a".to_owned(), 1), ("b".to_owned(), 1), ("back".to_owned(), 1)]);
    let held = DeliveryState::Held { reason: Reason::HeldByOperator };
    suite.store.change(change(delivery_id(3), DeliveryStatus::Waiting, 1, held)).await.unwrap();
    assert_eq!(loads().await, [("a".to_owned(), 1), ("back".to_owned(), 1)]);
}

/// The first rows of a lane, with their envelopes.
pub async fn what_waits_in_a_lane_is_told_the_earliest_first(suite: Suite) {
    for (number, due) in [(1, 30), (2, 10), (3, 20)] {
        suite.accept(number, "a", due).await;
    }
    suite.accept(4, "b", 0).await;
    let ids = async |limit| {
        let rows = suite.store.waiting_in(&crate::suite::lane("a"), limit).await.unwrap();
        rows.into_iter().map(|row| (row.delivery.id, row.envelope.key.clone())).collect::<Vec<_>>()
    };
    let all = [2, 3, 1].map(|number| (delivery_id(number), key(number)));
    assert_eq!(ids(10).await, all);
    assert_eq!(ids(2).await, all[..2]);
    assert!(suite.store.waiting_in(&crate::suite::lane("nowhere"), 10).await.unwrap().is_empty());
}
