//! The head of a log (C2SP tlog-checkpoint): origin, tree size and root hash, a line each, signed as a note.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use gateway_model::Digest;
use gateway_model::note::{self, VerifierKey};

use crate::EvidenceError;

/// What a checkpoint says.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Checkpoint {
    /// The log: the id of its gateway.
    pub origin: String,
    /// Leaves.
    pub size: u64,
    /// The root over them.
    pub root: Digest,
}

impl Checkpoint {
    /// Opens a signed checkpoint of the log `origin`.
    ///
    /// # Errors
    /// [`EvidenceError::Note`], [`EvidenceError::Malformed`], [`EvidenceError::OtherOrigin`].
    pub fn open(signed: &str, origin: &str, keys: &[VerifierKey]) -> Result<Self, EvidenceError> {
        let checkpoint = Self::parse(note::open(signed, keys)?)?;
        if checkpoint.origin == origin { Ok(checkpoint) } else { Err(EvidenceError::OtherOrigin) }
    }

    /// Reads the text under the signature. One checkpoint has one text.
    ///
    /// # Errors
    /// [`EvidenceError::Malformed`].
    pub fn parse(text: &str) -> Result<Self, EvidenceError> {
        let checkpoint = read(text).ok_or(EvidenceError::Malformed { what: "checkpoint" })?;
        if checkpoint.text() == text { Ok(checkpoint) } else { Err(EvidenceError::Malformed { what: "checkpoint" }) }
    }

    /// The text to be signed; ends in a line feed.
    pub fn text(&self) -> String {
        format!("{}\n{}\n{}\n", self.origin, self.size, BASE64.encode(self.root.0))
    }
}

fn read(text: &str) -> Option<Checkpoint> {
    let mut lines = text.lines();
    let (origin, size, root) = (lines.next()?, lines.next()?, lines.next()?);
    let root = Digest::from_slice(&BASE64.decode(root).ok()?)?;
    let known = !origin.is_empty() && lines.next().is_none();
    known.then_some(Checkpoint { origin: origin.to_owned(), size: size.parse().ok()?, root })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_checkpoint_has_one_text() {
        let checkpoint = Checkpoint { origin: "gw-a".into(), size: 7, root: Digest::of(b"root") };
        let text = checkpoint.text();
        assert_eq!(Checkpoint::parse(&text), Ok(checkpoint));
        for bad in [
            text.replace("\n7\n", "\n07\n"),
            text.replace("\n7\n", "\n+7\n"),
            text.replace('\n', "\r\n"),
            text.trim_end().to_owned(),
            format!("{text}extension\n"),
            text.replace("gw-a", ""),
            text.replace('=', ""),
        ] {
            assert_eq!(Checkpoint::parse(&bad), Err(EvidenceError::Malformed { what: "checkpoint" }), "{bad:?}");
        }
    }
}
