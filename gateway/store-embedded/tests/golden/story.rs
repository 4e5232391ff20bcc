//! What happens in a golden store: every kind of row, every way a delivery can end, receipts of both kinds, and an attachment.

use std::path::Path;

use gateway_evidence::EventKind;
use gateway_model::agency::Hop;
use gateway_model::id::SystemId;
use gateway_model::state::{DeliveryState, DeliveryStatus};
use gateway_model::{Digest, Reason, Timestamp};
use gateway_store::Store;
use gateway_store::accept::{Arrival, NewEnvelope, PartRef};
use gateway_store::change::Change;
use gateway_store::claim::{Claim, Lease, ReturnLease, ReturnWhat, Work};
use gateway_store::mark::Mark;
use gateway_store::parts::PartStore as _;
use gateway_store::record::Record;
use gateway_store::settle::{ReturnState, Settle, SettleReturn};
use gateway_store_conformance::fixture::{Fixture, OTHER, START, draft, gateway_id};
use gateway_store_conformance::suite::{
    acceptance, at, back, change, delivery_id, foreign, lane, lease_of, record, settlement, waiting,
};
use gateway_store_embedded::{EmbeddedStore, FileParts, PartLimits};
use proto::v1;

/// The attachment of the first envelope.
pub(crate) const PART: &[u8] = "Trích lục bản đồ địa chính, thửa đất số 7.".as_bytes();

/// What the record has to tell, so that a story which loses a chapter is noticed.
pub(crate) const TOLD: &[&str] = &[
    "kind=dossier",
    "file=H99.07-2026-0001",
    "arrived_from=gw-district",
    "status=waiting",
    "status=forwarded",
    "status=delivered",
    "status=refused",
    "status=held",
    "status=expired",
    "status=returned",
    "reason=PEER_UNREACHABLE",
    "event=accepted source=own",
    "event=accepted source=foreign",
    "event=recorded source=own",
    "body=purged",
    "return to=gw-district",
    "part bytes=",
    "mark pause/gateway:gw-district bytes=12",
];

/// The first envelope: a file with an attachment.
pub(crate) fn first() -> v1::Envelope {
    let part = v1::Part {
        name: "trích lục.pdf".to_owned(),
        media_type: "application/pdf".to_owned(),
        size: PART.len() as u64,
        sha256: Digest::of(PART).0.to_vec().into(),
        ..v1::Part::default()
    };
    let dossier = v1::Dossier { subject: "Đăng ký biến động đất đai".to_owned(), ..v1::Dossier::default() };
    v1::Envelope {
        case: Some(v1::Case { file_code: "H99.07-2026-0001".to_owned(), ..v1::Case::default() }),
        content: Some(v1::envelope::Content::Dossier(dossier)),
        parts: vec![part],
        ..draft(1)
    }
}

/// Writes the store and closes it.
pub(crate) async fn write(folder: &Path) {
    let fixture = Fixture::new();
    let store = EmbeddedStore::open(super::options(folder)).unwrap();
    upload(&folder.join("parts")).await;
    store.accept(acceptance(&fixture.sign(&first()))).await.unwrap();
    for number in 2..=9 {
        store.accept(acceptance(&fixture.envelope(number))).await.unwrap();
    }
    arrive_from_another_gateway(&store, &fixture).await;
    settle(&store).await;
    change_and_record(&store).await;
    returns(&store).await;
    assert_eq!(store.purge_bodies(at(1_000), 1).await.unwrap(), 1);
    store.close().await;
}

async fn upload(folder: &Path) {
    let limits = PartLimits { free_bytes_min: 0, ..PartLimits::default() };
    let parts = FileParts::open(folder, limits, || START).unwrap();
    let part = PartRef { digest: Digest::of(PART), size: PART.len() as u64 };
    let desk = Hop::System(SystemId::parse("one-stop-desk").unwrap());
    let mut upload = parts.begin(&desk, part, 0).await.unwrap();
    upload.write(PART.into()).await.unwrap();
    upload.finish().await.unwrap();
}

async fn arrive_from_another_gateway(store: &EmbeddedStore, fixture: &Fixture) {
    let envelope = fixture.envelope(10);
    let arrival = Arrival {
        received_at: at(5),
        arrived_from: Some(gateway_id(OTHER)),
        hops: vec![gateway_id(OTHER)],
        traceparent: Some("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01".to_owned()),
        first_accepted: Some(foreign(EventKind::Accepted, 10).bytes),
    };
    let mut accept = acceptance(&envelope);
    accept.envelope = NewEnvelope::new(&envelope, arrival);
    accept.deliveries[0].lane = lane("b");
    accept.deliveries[0].state = waiting(50);
    store.accept(accept).await.unwrap();
}

/// One delivery for each way a walk can end; the ninth only waits.
async fn settle(store: &EmbeddedStore) {
    let claim = Claim { lanes: vec![(lane("a"), 100)], now: at(1), lease_until: at(600) };
    let leased = store.claim_due(claim).await.unwrap();
    let lease = |number: u64| -> Lease {
        leased.iter().map(lease_of).find(|lease| lease.delivery == delivery_id(number)).unwrap()
    };
    let forwarded = Settle {
        foreign: Some(foreign(EventKind::Accepted, 1)),
        wake: Some(at(3_600)),
        ..settlement(lease(1), 2, DeliveryState::Forwarded { next: gateway_id(OTHER) })
    };
    let refused = Settle {
        returns: vec![back(ReturnWhat::ThisLeaf, 20)],
        ..settlement(lease(3), 2, DeliveryState::Refused { reason: Reason::AdapterRefused })
    };
    let deferred = DeliveryState::Waiting { due: at(90), reason: Some(Reason::PeerUnreachable) };
    let steps = [
        forwarded,
        settlement(lease(2), 2, DeliveryState::Delivered),
        refused,
        settlement(lease(4), 2, DeliveryState::Held { reason: Reason::AdapterMissing }),
        settlement(lease(5), 2, DeliveryState::Expired),
        Settle { leaf: None, ..settlement(lease(6), 2, deferred) },
        Settle {
            foreign: Some(foreign(EventKind::Accepted, 7)),
            wake: Some(at(3_600)),
            ..settlement(lease(7), 2, DeliveryState::Forwarded { next: gateway_id(OTHER) })
        },
    ];
    for step in steps {
        store.settle(step).await.unwrap();
    }
}

async fn change_and_record(store: &EmbeddedStore) {
    let returned = Change {
        returns: vec![back(ReturnWhat::ThisLeaf, 30)],
        ..change(delivery_id(8), DeliveryStatus::Waiting, 3, DeliveryState::Returned)
    };
    store.change(returned).await.unwrap();
    let told = Record {
        returns: vec![back(ReturnWhat::Foreign, 40)],
        ..record(7, foreign(EventKind::Delivered, 7), vec![(delivery_id(7), DeliveryState::Delivered)])
    };
    store.record(told).await.unwrap();
    for (name, value) in [("pause/gateway:gw-district", Some("let it sleep")), ("pause/agency:h99.30", None)] {
        let leaf = Some("what somebody did".into());
        store.mark(Mark { name: name.to_owned(), value: value.map(Into::into), leaf }).await.unwrap();
    }
}

/// Of three receipts on their way back one has arrived, one waits for another attempt and one is held.
async fn returns(store: &EmbeddedStore) {
    let claim = Claim { lanes: vec![(lane("back"), 100)], now: at(50), lease_until: at(600) };
    let leased = store.claim_due(claim).await.unwrap();
    let ends = [
        ReturnState::Done,
        ReturnState::Waiting { due: at(120), reason: Reason::PeerUnreachable },
        ReturnState::Held { reason: Reason::ReceiptInvalid },
    ];
    assert_eq!(leased.len(), ends.len());
    let mut settles = Vec::new();
    for (leased, to) in leased.iter().zip(ends) {
        let Work::Return(row) = &leased.work else { panic!("a delivery in the lane of returns") };
        settles.push(SettleReturn { lease: ReturnLease { id: row.id, token: leased.token }, to });
    }
    store.settle_returns(settles).await.unwrap();
}

/// When everything that waits is due.
pub(crate) const LATE: Timestamp = Timestamp::from_seconds(START.seconds() + 10_000);
