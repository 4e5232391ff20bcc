//! Hands an envelope in at the gateway's door: sealed once, kept until it is accepted, repeated with the same bytes.

use adapters_sdk::seal::SealError;
use adapters_sdk::seal::describe::Description;
use adapters_sdk::{AdapterError, Door, NewPart};
use bytes::Bytes;
use gateway_model::envelope::SignatureRole;
use gateway_model::id::EnvelopeId;
use gateway_model::{Digest, Reason, Refusal, limits};

use crate::body::{Aside, BodyError};
use crate::disk;
use crate::state::State;

/// Bytes of a serialized `SignedEnvelope`, framing included.
const SIGNED_BYTES_MAX: u64 =
    (limits::ENVELOPE_BYTES_MAX + limits::SIGNATURES_MAX * limits::SIGNATURE_BYTES_MAX + 4_096) as u64;

/// What an envelope is made from.
pub(crate) struct Parcel {
    /// What it says; its parts are listed already.
    pub description: Description,
    /// The bytes of the parts that are files.
    pub asides: Vec<Aside>,
    /// The bytes of the part that is a text.
    pub text: Bytes,
}

/// How a hand-in went.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Handed {
    /// The gateway has it now.
    Now,
    /// It had it before.
    Before,
}

impl State {
    /// Hands in the envelope of that id, which `make` makes when it is not there yet. Durable when this returns.
    ///
    /// # Errors
    /// A [`Refusal`] of the gateway or of `make`, or a fault of our own disk.
    ///
    /// # Cancellation
    /// Harmless at any point: the same call again goes on with the same bytes.
    pub(crate) async fn hand_in(
        &self,
        door: &dyn Door,
        id: EnvelopeId,
        make: impl Future<Output = Result<Parcel, BodyError>> + Send,
    ) -> Result<Handed, BodyError> {
        let name = id.to_string();
        if self.journal.is_settled(&name) {
            return Ok(Handed::Before);
        }
        let path = self.sealed(&name);
        let kept = disk::run({
            let path = path.clone();
            move || disk::read_if_there(&path, SIGNED_BYTES_MAX)
        })
        .await??;
        if let Some(kept) = kept {
            match door.submit(kept.into()).await {
                Err(refusal) if refusal.reason.is_retryable() => return Err(refusal.into()),
                // It never got in, or too late: made anew it may.
                Err(refusal) if refusal.reason != Reason::EnvelopeIdReused => {
                    tracing::info!(envelope_id = %id, reason = %refusal.reason, "a sealed envelope is made anew");
                }
                _ => return self.settle(door, name, Handed::Before).await,
            }
        }
        let parcel = make.await?;
        let signed = self.seal(&parcel, door).await?;
        for aside in &parcel.asides {
            upload(door, aside).await?;
        }
        let text = NewPart { digest: Digest::of(&parcel.text), size: parcel.text.len() as u64 };
        door.upload(text, Box::new(std::io::Cursor::new(parcel.text.clone()))).await?;
        // On the disk before it is submitted, so that the repeat after a crash has the same bytes.
        disk::run({
            let (path, signed) = (path.clone(), signed.clone());
            move || disk::replace(&path, &signed)
        })
        .await??;
        match door.submit(signed).await {
            Ok(_) => self.settle(door, name, Handed::Now).await,
            // The id comes from the content: the gateway has this content, and we forgot that it has.
            Err(refusal) if refusal.reason == Reason::EnvelopeIdReused => self.settle(door, name, Handed::Before).await,
            Err(refusal) => {
                if !refusal.reason.is_retryable() {
                    disk::run(move || disk::remove(&path)).await??;
                }
                Err(refusal.into())
            }
        }
    }

    /// Beside the async tasks: a token takes its time.
    async fn seal(&self, parcel: &Parcel, door: &dyn Door) -> Result<Bytes, BodyError> {
        let (sealer, envelope, now) = (self.sealer.clone(), parcel.description.envelope(), door.now());
        let sealed = disk::run(move || sealer.seal_at(&envelope, SignatureRole::SealedByAdapter, now)).await?;
        Ok(sealed.map_err(|fault| {
            let is_too_large = matches!(fault, SealError::EnvelopeTooLarge { .. });
            let reason = if is_too_large { Reason::EnvelopeTooLarge } else { Reason::AdapterFailed };
            Refusal::new(reason).at("seal").saw(fault.to_string())
        })?)
    }

    async fn settle(&self, door: &dyn Door, name: String, handed: Handed) -> Result<Handed, BodyError> {
        let path = self.sealed(&name);
        self.journal.settle(name, door.now()).await?;
        disk::run(move || disk::remove(&path)).await??;
        Ok(handed)
    }
}

async fn upload(door: &dyn Door, aside: &Aside) -> Result<(), BodyError> {
    let file = tokio::fs::File::open(aside.path()).await.map_err(disk::at(aside.path()))?;
    Ok(door.upload(NewPart { digest: aside.digest, size: aside.size }, Box::new(file)).await?)
}

impl From<BodyError> for Refusal {
    /// What a caller is told: a fault of our own disk is told as such, without its paths.
    fn from(error: BodyError) -> Self {
        match error {
            BodyError::Refused(refusal) => refusal,
            BodyError::Disk(fault) => disk_refusal(&fault),
        }
    }
}

/// Our own disk does not do its part: the caller may repeat.
pub(crate) fn disk_refusal(fault: &AdapterError) -> Refusal {
    tracing::error!(%fault, "the adapter's own disk does not take what came in");
    Refusal::new(Reason::StoreUnavailable)
}
