//! The way out, shared by the three doors: an envelope becomes the package that the system gets.
//!
//! An envelope that came as a package leaves as that package, byte for byte, with our TraceHeader appended where one is configured; but only
//! when the package says what the envelope says, because the signature stands for the envelope. Any other envelope is written anew.

use std::sync::Arc;

use adapters_sdk::{AdapterError, Delivery, Outcome, Scope};
use bytes::Bytes;
use gateway_model::{Digest, Reason, Timestamp};
use prost::Message as _;
use proto::v1;
use tokio::io::AsyncReadExt as _;

use crate::format::{self, Fault, Limits, Organ, Skeleton, SkeletonError};
use crate::intake::known_document;
use crate::ledger::{KnownDocument, KnownEnvelope, Ledger, Role};
use crate::mapping::{self, Fresh, FreshError, SKELETON_ROLE};
use crate::organs::Organs;
use crate::room::{Room, Taken};
use adapters_sdk::disk;

/// Makes packages of deliveries.
pub(crate) struct Handover {
    pub organs: Arc<Organs>,
    pub ledger: Ledger,
    pub limits: Limits,
    /// OrganId of our TraceHeader; none is appended without one.
    pub trace_as: Option<String>,
    /// Memory for packages.
    pub room: Room,
}

/// A package for one recipient.
#[derive(Clone, Debug)]
pub(crate) struct Outgoing {
    pub bytes: Bytes,
    pub is_status: bool,
    pub from: String,
    /// The recipient's code as the package has it.
    pub to: String,
    pub document_id: String,
    /// The memory that it takes, for as long as anybody has it.
    pub room: Taken,
}

/// Why there is no package.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Stop {
    /// The envelope cannot be read; the gateway checked it, so this is ours.
    #[error("the envelope cannot be read")]
    Envelope,
    /// Its skeleton is not one.
    #[error(transparent)]
    Skeleton(#[from] SkeletonError),
    /// What was rebuilt is no package that may travel.
    #[error("the package inside of the envelope: {0}")]
    Package(Fault),
    /// Somebody signed one thing and packed another.
    #[error("the package inside of the envelope does not say what the envelope says")]
    Contradiction,
    /// No package can say it.
    #[error(transparent)]
    Fresh(#[from] FreshError),
    /// Larger than the system takes.
    #[error("the package would be larger than {0} bytes")]
    TooLarge(u64),
    /// The gateway's own copy of a part cannot be read now.
    #[error("a part cannot be read: {0}")]
    Source(#[source] std::io::Error),
    /// The adapter's disk.
    #[error(transparent)]
    Disk(#[from] AdapterError),
}

impl Stop {
    /// What the engine is told.
    pub(crate) fn outcome(self) -> Outcome {
        let detail = self.to_string();
        match self {
            Self::Source(_) => Outcome::Deferred {
                reason: Reason::StoreUnavailable,
                detail,
                retry_after: None,
                scope: Scope::Delivery,
            },
            Self::Disk(_) => Outcome::Deferred {
                reason: Reason::AdapterUnavailable,
                detail,
                retry_after: None,
                scope: Scope::Destination,
            },
            Self::Envelope
            | Self::Skeleton(_)
            | Self::Package(_)
            | Self::Contradiction
            | Self::Fresh(_)
            | Self::TooLarge(_) => Outcome::Refused { reason: Reason::AdapterRefused, detail },
        }
    }
}

impl Handover {
    /// The package of a delivery. The second time it has the same bytes.
    pub(crate) async fn package(self: &Arc<Self>, delivery: &Delivery) -> Result<Outgoing, Stop> {
        let signed = v1::SignedEnvelope::decode(delivery.signed.as_ref()).map_err(|_| Stop::Envelope)?;
        let envelope = v1::Envelope::decode(signed.envelope.as_ref()).map_err(|_| Stop::Envelope)?;
        let total: u64 = envelope.parts.iter().fold(0, |sum, part| sum.saturating_add(part.size));
        if total > self.limits.file_bytes_max {
            return Err(Stop::TooLarge(self.limits.file_bytes_max));
        }
        let room = self.room.take(total).await?;
        let mut files = Vec::with_capacity(envelope.parts.len());
        for part in &envelope.parts {
            files.push((part.clone(), read_part(delivery, part).await?));
        }
        let task = Task {
            handover: self.clone(),
            at: accepted_at(delivery),
            recipient: self.recipient(delivery, &envelope),
            sender: delivery.key.sender.to_string(),
            digest: delivery.digest,
            envelope,
            room,
        };
        disk::run(move || task.run(files)).await?
    }

    /// A document that nobody remembers is one that never was a package: its DocumentId is its envelope's id.
    pub(crate) fn document_of(&self, reference: Option<&v1::Reference>) -> Result<Option<KnownDocument>, AdapterError> {
        let Some(reference) = reference else { return Ok(None) };
        let canonical = self.organs.canonical(&reference.sender);
        for name in [canonical, reference.sender.as_str()] {
            if let Some(known) = self.ledger.document(name, &reference.id)? {
                return Ok(Some(known));
            }
        }
        Ok(Some(KnownDocument {
            organ_id: reference.sender.clone(),
            document_id: reference.id.clone(),
            code: String::new(),
            promulgated_on: String::new(),
        }))
    }

    /// How the envelope names the recipient of this delivery.
    fn recipient(&self, delivery: &Delivery, envelope: &v1::Envelope) -> String {
        let named = delivery.recipients.first().map(|recipient| recipient.named.as_str()).unwrap_or_default();
        let mut written = envelope.to.iter().map(|to| to.agency.as_str());
        match envelope.to.as_slice() {
            [only] => only.agency.clone(),
            _ => written.find(|code| self.organs.canonical(code) == named).unwrap_or(named).to_owned(),
        }
    }
}

struct Task {
    handover: Arc<Handover>,
    envelope: v1::Envelope,
    recipient: String,
    sender: String,
    digest: Digest,
    at: Timestamp,
    room: Taken,
}

impl Task {
    fn run(self, files: Vec<(v1::Part, Vec<u8>)>) -> Result<Outgoing, Stop> {
        let skeleton = files.iter().find(|(part, _)| part.role == SKELETON_ROLE);
        let skeleton = skeleton.map(|(_, bytes)| Skeleton::decode(bytes)).transpose()?;
        let from = self.envelope.from.as_str();
        // A package that was one names agencies as its writer did; a new one as the system knows them.
        let organs = &self.handover.organs;
        let (written, to) = match &skeleton {
            Some(_) => (from.to_owned(), self.recipient.clone()),
            None => (organs.written(from).to_owned(), organs.written(&self.recipient).to_owned()),
        };
        let (bytes, known, role, is_status) = match skeleton {
            Some(skeleton) => self.original(&skeleton, &files)?,
            None => self.fresh(files, &to)?,
        };
        if let Some(role) = role {
            let envelope = KnownEnvelope {
                sender: from.to_owned(),
                id: self.envelope.id.clone(),
                digest: self.digest.to_string(),
            };
            self.handover.ledger.remember(&[&self.sender, from, &written], role, &envelope, &known)?;
        }
        Ok(Outgoing {
            bytes: bytes.into(),
            is_status,
            from: written,
            to,
            document_id: known.document_id,
            room: self.room,
        })
    }

    fn original(
        &self,
        skeleton: &Skeleton,
        files: &[(v1::Part, Vec<u8>)],
    ) -> Result<(Vec<u8>, KnownDocument, Option<Role>, bool), Stop> {
        let find = |digest: &Digest| {
            let found = files.iter().find(|(part, _)| part.sha256.as_ref() == digest.0.as_slice());
            found.map(|(_, bytes)| bytes.as_slice())
        };
        let original = skeleton.rebuild(find, self.handover.limits.package_bytes_max)?;
        let package = format::read(&original, self.handover.limits).map_err(Stop::Package)?;
        let is_status = matches!(package, format::Package::Status(_));
        let meaning = mapping::meaning(&package).map_err(Stop::Package)?;
        if !meaning.is_said_by(&self.envelope) {
            return Err(Stop::Contradiction);
        }
        let traced = match &self.handover.trace_as {
            Some(organ) => format::append_trace(&original, organ, self.at).map_err(Stop::Package)?,
            None => original,
        };
        Ok((traced, known_document(&meaning), meaning.role, is_status))
    }

    fn fresh(
        &self,
        files: Vec<(v1::Part, Vec<u8>)>,
        recipient: &str,
    ) -> Result<(Vec<u8>, KnownDocument, Option<Role>, bool), Stop> {
        use v1::envelope::Content;
        let content = self.envelope.content.as_ref();
        let role = match content {
            Some(Content::Document(_) | Content::Dossier(_)) => Some(Role::Document),
            Some(Content::ChangeRequest(_)) => Some(Role::Change),
            Some(Content::Status(_) | Content::ChangeAnswer(_) | Content::Opaque(_)) | None => None,
        };
        let source = Fresh {
            answered: self.handover.document_of(self.envelope.in_reply_to.as_ref())?,
            superseded: self.handover.document_of(self.envelope.supersedes.as_ref())?,
            envelope: &self.envelope,
            files,
            recipient: recipient.to_owned(),
            at: self.at,
        };
        let organs = &self.handover.organs;
        let organ = |code: &str| Organ { id: organs.written(code).to_owned(), name: organs.name(code) };
        let (bytes, known) = mapping::fresh(source, &organ)?;
        if bytes.len() as u64 > self.handover.limits.package_bytes_max {
            return Err(Stop::TooLarge(self.handover.limits.package_bytes_max));
        }
        let is_status = matches!(content, Some(Content::Status(_) | Content::ChangeAnswer(_)));
        Ok((bytes, known, role, is_status))
    }
}

async fn read_part(delivery: &Delivery, part: &v1::Part) -> Result<Vec<u8>, Stop> {
    let digest = Digest::from_slice(&part.sha256).ok_or(Stop::Envelope)?;
    let reader = delivery.parts.open(&digest, 0).await.map_err(Stop::Source)?;
    let mut bytes = Vec::new();
    reader.take(part.size.saturating_add(1)).read_to_end(&mut bytes).await.map_err(Stop::Source)?;
    match bytes.len() as u64 == part.size && Digest::of(&bytes) == digest {
        true => Ok(bytes),
        false => {
            Err(Stop::Source(std::io::Error::new(std::io::ErrorKind::InvalidData, "not the bytes it was stored as")))
        }
    }
}

/// When this gateway took the envelope: the same in every attempt, so that the package has the same bytes.
pub(crate) fn accepted_at(delivery: &Delivery) -> Timestamp {
    let receipt = v1::Receipt::decode(delivery.receipt.as_ref()).unwrap_or_default();
    let event = v1::Event::decode(receipt.event.as_ref()).unwrap_or_default();
    let at = event.at.and_then(|at| Timestamp::from_parts(at.seconds, at.nanos));
    at.unwrap_or(delivery.envelope.created_at)
}
