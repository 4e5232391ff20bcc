//! The way in, shared by the three doors: a package becomes a sealed envelope that the gateway accepts.
//!
//! The same package is the same envelope, however often it comes: its id is made of its bytes, the sealed bytes are kept until the answer,
//! and the answer afterwards.

use std::time::Duration;

use adapters_sdk::{AdapterError, Door, NewPart};
use bytes::Bytes;
use gateway_model::envelope::SignatureRole;
use gateway_model::{Digest, Reason, Refusal, Timestamp};
use prost::Message as _;
use proto::v1;
use tokio::sync::Mutex;

use crate::format::{self, Defect, Fault, Limits, Package};
use crate::ledger::{AcceptedBefore, KnownDocument, KnownEnvelope, Ledger, derived_id, id_of};
use crate::mapping::{self, CarriedPart, Meaning, Refers};
use crate::organs::Organs;
use adapters_sdk::disk;

/// Packages that wait for their answer at one time, by their key.
const LANES: usize = 16;

/// A package that is in.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct In {
    /// Id of its envelope.
    pub envelope_id: String,
    /// It had been accepted before.
    pub is_repeat: bool,
    /// What it is.
    pub told: Told,
}

/// What lists say about a package.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Told {
    pub from: String,
    pub to: Vec<String>,
    pub document_id: String,
    pub code: String,
    pub is_status: bool,
}

/// Why a package is not in.
#[derive(Debug)]
pub(crate) enum NotIn {
    /// It will not do.
    Defect(Fault),
    /// The gateway will not have it.
    Refused(Refusal),
    /// Not now.
    Busy(Refusal),
}

/// The way in.
pub(crate) struct Intake {
    pub organs: std::sync::Arc<Organs>,
    pub ledger: Ledger,
    pub limits: Limits,
    pub expires_in: Duration,
    lanes: [Mutex<()>; LANES],
}

impl Intake {
    pub(crate) fn new(organs: std::sync::Arc<Organs>, ledger: Ledger, limits: Limits, expires_in: Duration) -> Self {
        Self { organs, ledger, limits, expires_in, lanes: std::array::from_fn(|_| Mutex::new(())) }
    }

    /// Brings a package in; where the caller said who it is, the package has to say the same. The outer error is the adapter's own disk.
    ///
    /// # Cancellation
    /// Harmless: what was submitted is submitted again with the same bytes.
    pub(crate) async fn bring(
        self: &std::sync::Arc<Self>,
        package: Bytes,
        caller: Option<String>,
        door: &dyn Door,
    ) -> Result<Result<In, NotIn>, AdapterError> {
        let content = Digest::of(&package);
        let lane = usize::from(content.0[0]) % LANES;
        let _turn = self.lanes[lane].lock().await;
        let (intake, now) = (self.clone(), door.now());
        let prepared = disk::run(move || intake.prepare(&package, content, caller.as_deref(), now)).await??;
        let parcel = match prepared {
            Ok(Prepared::Known(known)) => return Ok(Ok(known)),
            Ok(Prepared::Parcel(parcel)) => parcel,
            Err(fault) => return Ok(Err(NotIn::Defect(fault))),
        };
        match hand_in(&parcel, door).await {
            Ok(sender) => {
                let intake = self.clone();
                disk::run(move || intake.remember(*parcel, &sender)).await?.map(Ok)
            }
            Err(refusal) if refusal.reason.is_retryable() => Ok(Err(NotIn::Busy(refusal))),
            Err(refusal) => {
                let (intake, key) = (self.clone(), parcel.key);
                disk::run(move || intake.ledger.unseal(&key)).await??;
                Ok(Err(NotIn::Refused(refusal)))
            }
        }
    }

    fn prepare(
        &self,
        bytes: &[u8],
        content: Digest,
        caller: Option<&str>,
        now: Timestamp,
    ) -> Result<Result<Prepared, Fault>, AdapterError> {
        let package = match format::read(bytes, self.limits) {
            Ok(package) => package,
            Err(fault) => return Ok(Err(fault)),
        };
        let meaning = match mapping::meaning(&package) {
            Ok(meaning) => meaning,
            Err(fault) => return Ok(Err(fault)),
        };
        let Some(sender) = self.organs.served(&meaning.from).filter(|organ| organ.sealer.is_some()) else {
            return Ok(Err(Fault::new(Defect::SenderForeign, "From/OrganId")));
        };
        let agency = sender.agency.as_str();
        if caller.is_some_and(|caller| self.organs.canonical(caller) != agency) {
            return Ok(Err(Fault::new(Defect::SenderForeign, "From/OrganId is not the caller")));
        }
        let key = Digest::of_pieces(&[b"lienthong.edxml.package.v1\0", agency.as_bytes(), b"\0", &content.0]);
        let told = told(&meaning, &package);
        if let Some(before) = self.ledger.accepted(&key)? {
            return Ok(Ok(Prepared::Known(In { envelope_id: before.envelope_id, is_repeat: true, told })));
        }
        let parts = match mapping::carry(package, bytes) {
            Ok(parts) => parts,
            Err(fault) => return Ok(Err(fault)),
        };
        let signed = match self.ledger.sealed(&key)? {
            Some(signed) => signed,
            None => {
                let envelope = self.envelope(&meaning, &key, &parts, now)?;
                let Some(sealer) = &sender.sealer else {
                    return Ok(Err(Fault::new(Defect::SenderForeign, "From/OrganId")));
                };
                let Ok(signed) = sealer.seal_at(&envelope, SignatureRole::SealedByAdapter, now) else {
                    return Ok(Err(Fault::new(Defect::PackageTooLarge, "envelope")));
                };
                // On the disk before it is submitted, so that the repeat after a crash has the same bytes.
                self.ledger.seal(&key, &signed)?;
                signed
            }
        };
        Ok(Ok(Prepared::Parcel(Box::new(Parcel { key, signed, parts, meaning, told }))))
    }

    fn envelope(
        &self,
        meaning: &Meaning,
        key: &Digest,
        parts: &[CarriedPart],
        now: Timestamp,
    ) -> Result<v1::Envelope, AdapterError> {
        let find = |refers: &Option<Refers>| refers.as_ref().map(|refers| self.reference(refers)).transpose();
        let references = (find(&meaning.in_reply_to)?, find(&meaning.supersedes)?);
        let described = parts.iter().map(|carried| carried.part.clone()).collect();
        Ok(meaning.envelope(id_of(key).to_string(), now, now.plus(self.expires_in), references, described))
    }

    /// The envelope that a package refers to: as remembered, or by an id that is derived alike everywhere.
    fn reference(&self, refers: &Refers) -> Result<v1::Reference, AdapterError> {
        use crate::ledger::Role;
        let canonical = self.organs.canonical(&refers.sender);
        let roles: &[Role] = match refers.role {
            Role::Change => &[Role::Change, Role::Document],
            // An update or a replacement is a document of its own, too.
            Role::Document => &[Role::Document, Role::Change],
        };
        for role in roles {
            for name in [canonical, refers.sender.as_str()] {
                if let Some(known) = self.ledger.envelope(name, &refers.document_id, *role)? {
                    let sha256 = Digest::from_hex(&known.digest).map(|digest| digest.0.to_vec().into());
                    let sha256 = sha256.unwrap_or_default();
                    return Ok(v1::Reference { sender: known.sender, id: known.id, sha256 });
                }
            }
        }
        Ok(v1::Reference {
            sender: refers.sender.clone(),
            id: derived_id(&refers.sender, &refers.document_id).to_string(),
            ..v1::Reference::default()
        })
    }

    fn remember(&self, parcel: Parcel, sender: &str) -> Result<In, AdapterError> {
        let envelope_id = id_of(&parcel.key).to_string();
        let bytes = v1::SignedEnvelope::decode(parcel.signed.as_ref()).map(|signed| signed.envelope);
        let digest = bytes.map(|bytes| Digest::of(&bytes).to_string()).unwrap_or_default();
        let meaning = &parcel.meaning;
        if let Some(role) = meaning.role {
            let known = KnownEnvelope { sender: meaning.from.clone(), id: envelope_id.clone(), digest };
            self.ledger.remember(&[sender, &meaning.from], role, &known, &known_document(meaning))?;
        }
        self.ledger.accept(&parcel.key, &AcceptedBefore { envelope_id: envelope_id.clone() })?;
        Ok(In { envelope_id, is_repeat: false, told: parcel.told })
    }
}

/// The document that a package is about, as others name it.
pub(crate) fn known_document(meaning: &Meaning) -> KnownDocument {
    let own = meaning.supersedes.as_ref().map_or(&meaning.from, |earlier| &earlier.sender);
    KnownDocument {
        organ_id: own.clone(),
        document_id: meaning.document_id.clone(),
        code: meaning.code.clone(),
        promulgated_on: meaning.promulgated_on.clone(),
    }
}

enum Prepared {
    Known(In),
    Parcel(Box<Parcel>),
}

struct Parcel {
    key: Digest,
    signed: Bytes,
    parts: Vec<CarriedPart>,
    meaning: Meaning,
    told: Told,
}

/// Uploads the parts and submits; the sender's internal id.
async fn hand_in(parcel: &Parcel, door: &dyn Door) -> Result<String, Refusal> {
    for carried in &parcel.parts {
        let part = NewPart { digest: carried.digest, size: carried.bytes.len() as u64 };
        door.upload(part, Box::new(std::io::Cursor::new(carried.bytes.clone()))).await?;
    }
    let submitted = door.submit(parcel.signed.clone()).await?;
    match submitted.key.id == id_of(&parcel.key) {
        true => Ok(submitted.key.sender.to_string()),
        false => Err(Refusal::new(Reason::AdapterFailed).saw("the gateway answered for another envelope")),
    }
}

fn told(meaning: &Meaning, package: &Package) -> Told {
    Told {
        from: meaning.from.clone(),
        to: meaning.to.clone(),
        document_id: meaning.document_id.clone(),
        code: meaning.code.clone(),
        is_status: matches!(package, Package::Status(_)),
    }
}
