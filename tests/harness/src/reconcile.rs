//! The oracle of a queue: lost = unexpected = duplicated = 0 between the senders' journal and the receivers'.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use gateway_cli::local::Local;
use gateway_model::agency::OperatorRole;
use gateway_model::id::{AgencyId, GatewayId};
use prost::Message as _;
use proto::v1;
use proto::v1::operate_service_client::OperateServiceClient;

use crate::load::Journal;

/// What does not add up.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Difference {
    /// Acknowledged and not delivered.
    pub lost: BTreeSet<String>,
    /// Accepted or delivered more than once by some gateway's own log.
    pub doubled: BTreeSet<String>,
    /// Acknowledged with a receipt that the gateway does not have.
    pub disowned: BTreeSet<String>,
}

impl Difference {
    /// Whether everything adds up.
    pub fn is_nothing(&self) -> bool {
        *self == Self::default()
    }
}

/// Waits until every acknowledged envelope is in the recipient's folder, or nothing moves any more for `patience`.
///
/// # Errors
/// When the folder cannot be read.
pub async fn settle(folder: &Path, journal: &Journal, patience: Duration) -> anyhow::Result<BTreeSet<String>> {
    let wanted: BTreeSet<&String> = journal.iter().map(|(id, _)| id).collect();
    let mut delivered = delivered_ids(folder)?;
    let mut moved = Instant::now();
    while !wanted.iter().all(|id| delivered.contains(*id)) && moved.elapsed() < patience {
        // Waiting for real processes to act; the loop ends by what they did, and by patience only when something is lost.
        tokio::time::sleep(Duration::from_millis(100)).await;
        let now = delivered_ids(folder)?;
        if now.len() > delivered.len() {
            moved = Instant::now();
        }
        delivered = now;
    }
    Ok(delivered)
}

/// The ids of the envelopes in a drop folder.
///
/// # Errors
/// When the folder or an envelope in it cannot be read.
pub fn delivered_ids(folder: &Path) -> anyhow::Result<BTreeSet<String>> {
    let incoming = folder.join("incoming");
    if !incoming.exists() {
        return Ok(BTreeSet::new());
    }
    let mut ids = BTreeSet::new();
    for entry in std::fs::read_dir(&incoming)? {
        let entry = entry?;
        if entry.file_name().to_string_lossy().starts_with('.') {
            continue;
        }
        let bytes = std::fs::read(entry.path().join("envelope.bin"))
            .with_context(|| format!("{:?} is not whole", entry.path()))?;
        let signed = v1::SignedEnvelope::decode(bytes.as_slice())?;
        ids.insert(v1::Envelope::decode(signed.envelope)?.id);
    }
    Ok(ids)
}

/// Compares the senders' journal with the recipient's folder and with every gateway's own log.
///
/// # Errors
/// When a gateway does not answer.
pub async fn reconcile(
    local: &Local,
    sender: &AgencyId,
    journal: &Journal,
    delivered: &BTreeSet<String>,
) -> anyhow::Result<Difference> {
    let mut difference = Difference::default();
    for (id, _) in journal {
        if !delivered.contains(id) {
            difference.lost.insert(id.clone());
        }
    }
    let acknowledged_by = &local.province.agency(sender).context("no such agency")?.gateway;
    let mut reconciled = BTreeSet::new();
    for gateway in &local.gateways {
        // Nodes of one gateway have one log.
        if !reconciled.insert(&gateway.id) {
            continue;
        }
        let mut log = Log::open(local, &gateway.id).await?;
        for (id, receipt) in journal {
            let events = log.own_events(sender, id).await?;
            let mut counts: BTreeMap<i32, usize> = BTreeMap::new();
            for event in &events {
                *counts.entry(event.kind).or_default() += 1;
            }
            let of = |kind: v1::EventKind| counts.get(&(kind as i32)).copied().unwrap_or(0);
            if of(v1::EventKind::Accepted) > 1 || of(v1::EventKind::Delivered) > 1 {
                difference.doubled.insert(id.clone());
            }
            if gateway.id == *acknowledged_by && !log.has(receipt) {
                difference.disowned.insert(id.clone());
            }
        }
    }
    Ok(difference)
}

/// One gateway's log, as an operator sees it.
struct Log {
    client: OperateServiceClient<tonic::transport::Channel>,
    last: Vec<v1::Receipt>,
}

impl Log {
    async fn open(local: &Local, gateway: &GatewayId) -> anyhow::Result<Self> {
        let channel = local.operator_profile(gateway, OperatorRole::Viewer)?.open().await?;
        Ok(Self { client: OperateServiceClient::new(channel), last: Vec::new() })
    }

    async fn own_events(&mut self, sender: &AgencyId, id: &str) -> anyhow::Result<Vec<v1::Event>> {
        let request = v1::TimelineRequest {
            sender: sender.to_string(),
            envelope_id: id.to_owned(),
            only_here: true,
            ..v1::TimelineRequest::default()
        };
        let timeline = match self.client.timeline(request).await {
            Ok(answer) => answer.into_inner(),
            Err(status) if status.code() == tonic::Code::NotFound => v1::TimelineResponse::default(),
            Err(status) => return Err(status.into()),
        };
        self.last =
            timeline.entries.iter().filter(|entry| entry.local).filter_map(|entry| entry.receipt.clone()).collect();
        self.last.iter().map(|receipt| Ok(v1::Event::decode(receipt.event.clone())?)).collect()
    }

    fn has(&self, receipt: &v1::Receipt) -> bool {
        self.last.contains(receipt)
    }
}
