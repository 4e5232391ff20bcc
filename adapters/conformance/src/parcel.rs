//! Deliveries for the adapter under test: really signed envelopes with parts of every size.

use bytes::Bytes;
use gateway_model::Digest;
use gateway_model::hash::Hasher;
use gateway_model::id::{AgencyId, DeliveryId, EnvelopeId, EnvelopeKey};
use prost::Message as _;
use proto::v1;
use v1::envelope::Content;

use crate::Trouble;
use crate::identity::{GATEWAY, Identity, RECIPIENT, SENDER, now_seconds};
use crate::manifest::LetterContent;

/// Bytes of one piece of a download.
pub const CHUNK_BYTES: usize = 64 * 1024;

/// Type of the opaque content that no adapter takes.
pub const STRANGE_TYPE: &str = "vn.example.conformance.strange.v1";

/// One delivery, ready to be handed out.
#[derive(Clone, Debug)]
pub struct Parcel {
    /// Its id.
    pub id: String,
    /// The signed envelope.
    pub signed: v1::SignedEnvelope,
    /// The ACCEPTED receipt.
    pub receipt: Option<v1::Receipt>,
    /// SHA-256 of the sender's certificate.
    pub signer: Bytes,
    /// The parts.
    pub parts: Vec<Body>,
}

/// The bytes of a part, made while they are sent: the largest one takes no memory.
#[derive(Clone, Debug)]
pub struct Body {
    /// Their SHA-256.
    pub digest: Digest,
    /// How many there are.
    pub size: u64,
    block: Bytes,
}

/// What stands in the envelope of a parcel.
#[derive(Clone, Debug)]
pub struct Letter {
    /// Display name, size and block of each part.
    pub parts: Vec<(String, Body)>,
    /// Its subject.
    pub subject: String,
    /// Whether its content is of a type that no adapter takes.
    pub strange: bool,
}

impl Letter {
    /// A document with one small part.
    pub fn plain(subject: &str) -> Self {
        let part = ("trích lục.pdf".to_owned(), Body::random(1_000));
        Self { parts: vec![part], subject: subject.to_owned(), strange: false }
    }

    /// A document with these parts.
    pub fn with_parts(parts: Vec<(String, Body)>) -> Self {
        Self { parts, ..Self::plain("Chuyển hồ sơ đất đai") }
    }

    /// Signs it and makes it a delivery.
    ///
    /// # Errors
    /// When OpenSSL refuses.
    pub fn seal(self, identity: &Identity, content: LetterContent) -> Result<Parcel, Trouble> {
        let id = uuid::Uuid::now_v7();
        let key = EnvelopeKey { sender: agency(SENDER)?, id: EnvelopeId(*id.as_bytes()) };
        let delivery = DeliveryId::new(&key, &agency(RECIPIENT)?).to_string();
        let envelope = self.envelope(id, &delivery, content).encode_to_vec();
        let cms = identity.sign(&envelope)?;
        let event = v1::Event {
            schema: "lienthong.event.v1".to_owned(),
            kind: v1::EventKind::Accepted.into(),
            gateway: GATEWAY.to_owned(),
            at: Some(timestamp(now_seconds())),
            sender: SENDER.to_owned(),
            envelope_id: id.to_string(),
            envelope_sha256: Bytes::copy_from_slice(&Digest::of(&envelope).0),
            ..Default::default()
        };
        Ok(Parcel {
            id: delivery,
            signed: v1::SignedEnvelope {
                envelope: envelope.into(),
                signatures: vec![v1::Signature { cms: cms.into(), role: v1::SignatureRole::Agency.into() }],
            },
            receipt: identity.receipt(event.encode_to_vec().into()),
            signer: Bytes::copy_from_slice(&identity.sender_certificate.0),
            parts: self.parts.into_iter().map(|(_, body)| body).collect(),
        })
    }

    fn envelope(&self, id: uuid::Uuid, delivery: &str, content: LetterContent) -> v1::Envelope {
        let now = now_seconds();
        let document = v1::Document {
            code: "12/UBND-ĐC".to_owned(),
            type_name: "Công văn".to_owned(),
            subject: self.subject.clone(),
            promulgated_on: "2026-11-22".to_owned(),
        };
        let dossier = v1::Dossier {
            subject: self.subject.clone(),
            state: "DA_TIEP_NHAN".to_owned(),
            due_on: "2026-12-22".to_owned(),
        };
        let opaque = v1::Opaque { r#type: STRANGE_TYPE.to_owned(), body: Bytes::from_static(b"?") };
        let part = |(name, body): &(String, Body)| v1::Part {
            name: name.clone(),
            media_type: "application/octet-stream".to_owned(),
            size: body.size,
            sha256: Bytes::copy_from_slice(&body.digest.0),
            role: String::new(),
        };
        v1::Envelope {
            schema: "lienthong.envelope.v1".to_owned(),
            id: id.to_string(),
            from: SENDER.to_owned(),
            to: vec![v1::Recipient { agency: RECIPIENT.to_owned() }],
            created_at: Some(timestamp(now)),
            expires_at: Some(timestamp(now + 3 * 86_400)),
            priority: v1::Priority::Normal.into(),
            case: (content == LetterContent::Dossier).then(|| self.case(delivery)),
            parts: self.parts.iter().map(part).collect(),
            content: Some(match content {
                _ if self.strange => Content::Opaque(opaque),
                LetterContent::Document => Content::Document(document),
                LetterContent::Dossier => Content::Dossier(dossier),
            }),
            ..Default::default()
        }
    }

    fn case(&self, delivery: &str) -> v1::Case {
        v1::Case {
            file_code: file_code(delivery),
            issuer: SENDER.to_owned(),
            procedure_code: "1.012753".to_owned(),
            step: "tiep-nhan".to_owned(),
        }
    }
}

impl Body {
    /// `size` bytes that no other part has.
    pub fn random(size: u64) -> Self {
        let length = usize::try_from(size).unwrap_or(CHUNK_BYTES).min(CHUNK_BYTES);
        let block: Vec<u8> = (0..length).map(|_| rand::random()).collect();
        Self::repeating(block.into(), size)
    }

    /// A text.
    pub fn of_text(text: &str) -> Self {
        let block = Bytes::copy_from_slice(text.as_bytes());
        let size = block.len() as u64;
        Self::repeating(block, size)
    }

    fn repeating(block: Bytes, size: u64) -> Self {
        let body = Self { digest: Digest([0; 32]), size, block };
        let mut hasher = Hasher::new();
        body.pieces(0).for_each(|piece| hasher.update(&piece));
        Self { digest: hasher.finish(), ..body }
    }

    /// The bytes from `offset` on, in pieces of at most 64 KiB.
    pub fn pieces(&self, offset: u64) -> impl Iterator<Item = Bytes> + Send + use<> {
        let (block, size) = (self.block.clone(), self.size);
        let mut at = offset.min(size);
        std::iter::from_fn(move || {
            let inside = usize::try_from(at.checked_rem(block.len() as u64)?).ok()?;
            let left = usize::try_from(size - at).unwrap_or(usize::MAX);
            let piece = block.slice(inside..block.len().min(inside.saturating_add(left)));
            at += piece.len() as u64;
            (!piece.is_empty()).then_some(piece)
        })
    }
}

/// Code of the one-stop file that a delivery brings.
pub fn file_code(delivery: &str) -> String {
    format!("{SENDER}-{delivery}")
}

/// A wire timestamp.
pub fn timestamp(seconds: i64) -> prost_types::Timestamp {
    prost_types::Timestamp { seconds, nanos: 0 }
}

/// The instant that lies `span` ahead, as exactly as a lease needs it.
pub fn moment_after(span: std::time::Duration) -> prost_types::Timestamp {
    prost_types::Timestamp::from(std::time::SystemTime::now() + span)
}

fn agency(text: &str) -> Result<AgencyId, Trouble> {
    AgencyId::parse(text).map_err(|cause| Trouble::Identity(cause.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_has_the_size_and_the_digest_that_it_says_from_any_offset() {
        for size in [0, 1, 65_535, 65_536, 65_537, 300_000] {
            let body = Body::random(size);
            let whole: Vec<u8> = body.pieces(0).flatten().collect();
            assert_eq!(whole.len() as u64, size);
            assert_eq!(Digest::of(&whole), body.digest);
            let from = size / 3;
            let tail: Vec<u8> = body.pieces(from).flatten().collect();
            assert_eq!(tail, whole[usize::try_from(from).unwrap_or_default()..], "{size}");
        }
    }
}
