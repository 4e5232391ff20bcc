//! News of a file as an envelope to the agency that sent it: the event in words that any agency reads, the callback itself in a part.

use adapters_sdk::seal::describe::{Content, Description};
use gateway_model::envelope::{Case as EnvelopeCase, Part, Priority, Reference};
use gateway_model::id::EnvelopeId;
use gateway_model::{Digest, Timestamp};

use crate::body::Aside;
use crate::event::{self, EventFile, LandEvent};
use crate::hand_in::Parcel;
use crate::journal::Case;
use crate::state::State;
use crate::vocabulary::Callback;

/// What there is to tell.
pub(super) struct News<'a> {
    /// The file, and whom to tell.
    pub case: &'a Case,
    /// As the land system says it.
    pub callback: Callback,
    /// Step of the case.
    pub step: &'static str,
    /// As any agency reads it.
    pub content: Content,
    /// Which parts are which files of the callback.
    pub files: Vec<EventFile>,
    /// The files.
    pub parts: Vec<Part>,
    /// Their bytes.
    pub asides: Vec<Aside>,
}

impl News<'_> {
    /// The envelope of that id, ready to be sealed.
    pub(super) fn parcel(self, state: &State, id: EnvelopeId, now: Timestamp) -> Parcel {
        let Self { case, callback, step, content, files, mut parts, asides } = self;
        let text: bytes::Bytes = LandEvent::new(callback, files).write().into();
        parts.insert(0, event::part(event::PART_NAME, event::PART_ROLE, text.len() as u64, Digest::of(&text)));
        let issuer = if case.issuer.is_empty() { case.partner.clone() } else { case.issuer.clone() };
        let description = Description {
            id,
            from: state.agency.to_string(),
            to: vec![case.partner.clone()],
            created_at: now,
            expires_at: now.plus(state.expires_in),
            priority: Priority::Normal,
            in_reply_to: EnvelopeId::parse(&case.envelope).ok().map(|id| Reference {
                sender: case.partner.clone(),
                id,
                digest: Digest::from_hex(&case.digest),
            }),
            supersedes: None,
            case: Some(EnvelopeCase {
                file_code: case.file_code.clone(),
                issuer,
                procedure_code: case.procedure.clone(),
                step: step.to_owned(),
            }),
            content,
            parts,
        };
        Parcel { description, asides, text }
    }
}
