//! A load that never gives up: every envelope is repeated, byte for byte, until it is acknowledged.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::Context as _;
use gateway_cli::local::Local;
use gateway_model::id::AgencyId;
use proto::v1;
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::sender::Sender;

/// Every so many envelopes one is sent again although it was acknowledged.
const REPEAT_EVERY: usize = 4;
/// Rest of a sender between two envelopes: a steady load, not a flood, so that reconciling stays short.
const PACE: Duration = Duration::from_millis(5);

/// Longest wait for an acknowledgement while nobody does anything to the gateways.
const PATIENCE: Duration = Duration::from_secs(60);

/// What the senders wrote down: the ids that were acknowledged, with the receipt each got.
pub type Journal = Vec<(String, v1::Receipt)>;

/// Running senders.
pub struct Load {
    enough: Arc<AtomicBool>,
    /// How many envelopes have been acknowledged.
    acknowledged: watch::Sender<usize>,
    tasks: JoinSet<anyhow::Result<Journal>>,
}

impl Load {
    /// Starts `senders` of `from`, each with one envelope at a time to `to`.
    ///
    /// # Errors
    /// When a sender cannot connect.
    pub async fn start(local: &Local, from: &AgencyId, to: &AgencyId, senders: usize) -> anyhow::Result<Self> {
        Self::start_at(local, from, to, senders, PACE).await
    }

    /// The same with a longer rest of each sender between two envelopes, for a load that lasts.
    ///
    /// # Errors
    /// When a sender cannot connect.
    pub async fn start_at(
        local: &Local,
        from: &AgencyId,
        to: &AgencyId,
        senders: usize,
        pace: Duration,
    ) -> anyhow::Result<Self> {
        let (enough, acknowledged) = (Arc::new(AtomicBool::new(false)), watch::Sender::new(0));
        let mut tasks = JoinSet::new();
        for _ in 0..senders {
            let sender = Sender::connect(local, from).await?;
            tasks.spawn(send(sender, to.clone(), Arc::clone(&enough), acknowledged.clone(), pace));
        }
        Ok(Self { enough, acknowledged, tasks })
    }

    /// Waits until one more envelope has been acknowledged.
    ///
    /// # Errors
    /// When none is for a minute.
    pub async fn one_more(&self) -> anyhow::Result<()> {
        let mut acknowledged = self.acknowledged.subscribe();
        tokio::time::timeout(PATIENCE, acknowledged.changed()).await.context("nothing is acknowledged")??;
        Ok(())
    }

    /// Lets each sender finish the envelope at hand, and gives what was acknowledged.
    ///
    /// # Errors
    /// When a sender was refused for good.
    pub async fn finish(mut self) -> anyhow::Result<Journal> {
        self.enough.store(true, Ordering::SeqCst);
        let mut journal = Vec::new();
        while let Some(done) = self.tasks.join_next().await {
            journal.extend(done??);
        }
        Ok(journal)
    }
}

async fn send(
    sender: Sender,
    to: AgencyId,
    enough: Arc<AtomicBool>,
    acknowledged: watch::Sender<usize>,
    pace: Duration,
) -> anyhow::Result<Journal> {
    let mut journal = Vec::new();
    let mut client = sender.client.clone();
    while !enough.load(Ordering::SeqCst) {
        let envelope = sender.envelope(&[&to]);
        let request = sender.sign(&envelope)?;
        let receipt = submit_until_acknowledged(&mut client, request.clone()).await?;
        if journal.len() % REPEAT_EVERY == 0 {
            // A sender that did not hear the answer; here it did, so that the journal knows the first receipt.
            submit_until_acknowledged(&mut client, request).await?;
        }
        journal.push((envelope.id, receipt));
        acknowledged.send_modify(|count| *count += 1);
        // The rest is the load itself: a steady rate.
        tokio::time::sleep(pace).await;
    }
    Ok(journal)
}

async fn submit_until_acknowledged(
    client: &mut v1::submit_service_client::SubmitServiceClient<tonic::transport::Channel>,
    request: v1::SubmitRequest,
) -> anyhow::Result<v1::Receipt> {
    loop {
        match client.submit(request.clone()).await {
            Ok(answer) => return Ok(answer.into_inner().receipt.unwrap_or_default()),
            // What a sender does when the gateway is away: wait a little, send the same again.
            Err(status) if is_passing(status.code()) => tokio::time::sleep(Duration::from_millis(10)).await,
            Err(status) => return Err(status.into()),
        }
    }
}

/// The gateway is away or asks to wait; a connection that broke shows as one of these too.
fn is_passing(code: tonic::Code) -> bool {
    use tonic::Code;
    matches!(
        code,
        Code::Unavailable
            | Code::ResourceExhausted
            | Code::Unknown
            | Code::Cancelled
            | Code::DeadlineExceeded
            | Code::Internal
    )
}
