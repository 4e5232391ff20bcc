//! C2SP signed notes: text with Ed25519 signature lines. Checkpoints and directories are signed this way.
//!
//! Format (c2sp.org/signed-note): the text ends in a line feed; then an empty line; then one or more lines
//! `— <key name> <base64(4-byte key hash || signature)>`. The key hash is the first four bytes of
//! SHA-256(name || "\n" || 0x01 || public key). A verifier key is written `<name>+<hash hex>+<base64(0x01 || public key)>`.

use std::fmt;

use aws_lc_rs::signature::{ED25519, Ed25519KeyPair, KeyPair, UnparsedPublicKey};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;

use crate::hash::Digest;

const ALGORITHM_ED25519: u8 = 0x01;
const SIGNATURES_MAX: usize = 16;
const NOTE_BYTES_MAX: usize = 64 * 1024;

/// Why a note does not hold.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum NoteError {
    /// Not a signed note.
    #[error("not a signed note")]
    Malformed,
    /// Not a verifier key.
    #[error("not a verifier key of the form name+hash+base64")]
    Key,
    /// Not an Ed25519 private key in PKCS#8.
    #[error("not an Ed25519 private key in PKCS#8 form")]
    PrivateKey,
    /// No signature by any of the known keys.
    #[error("no signature by a known key")]
    Unsigned,
    /// A signature line by a known key does not verify.
    #[error("a signature by a known key does not verify")]
    Invalid,
}

/// A public key that verifies notes, with its name.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct VerifierKey {
    name: String,
    public: [u8; 32],
}

impl VerifierKey {
    /// Puts a name and a raw Ed25519 public key together.
    ///
    /// # Errors
    /// [`NoteError::Key`] when the name is empty or has spaces or a plus sign.
    pub fn new(name: &str, public: [u8; 32]) -> Result<Self, NoteError> {
        if name.is_empty() || name.contains(|c: char| c.is_whitespace() || c == '+') {
            return Err(NoteError::Key);
        }
        Ok(Self { name: name.to_owned(), public })
    }

    /// Reads `name+hash+base64`.
    ///
    /// # Errors
    /// [`NoteError::Key`] when the form, the hash or the algorithm is off.
    pub fn parse(text: &str) -> Result<Self, NoteError> {
        let mut pieces = text.splitn(3, '+');
        let (Some(name), Some(hash), Some(key)) = (pieces.next(), pieces.next(), pieces.next()) else {
            return Err(NoteError::Key);
        };
        let raw = BASE64.decode(key).map_err(|_| NoteError::Key)?;
        let Some((&ALGORITHM_ED25519, public)) = raw.split_first() else { return Err(NoteError::Key) };
        let key = Self::new(name, public.try_into().map_err(|_| NoteError::Key)?)?;
        if hex::encode(key.hash()) == hash { Ok(key) } else { Err(NoteError::Key) }
    }

    /// The name on signature lines.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The raw public key.
    pub fn public(&self) -> &[u8; 32] {
        &self.public
    }

    fn hash(&self) -> [u8; 4] {
        let digest = Digest::of_pieces(&[self.name.as_bytes(), b"\n", &[ALGORITHM_ED25519], &self.public]);
        [digest.0[0], digest.0[1], digest.0[2], digest.0[3]]
    }
}

impl fmt::Display for VerifierKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut raw = vec![ALGORITHM_ED25519];
        raw.extend_from_slice(&self.public);
        write!(f, "{}+{}+{}", self.name, hex::encode(self.hash()), BASE64.encode(raw))
    }
}

impl fmt::Debug for VerifierKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

/// A private key that signs notes under a name.
pub struct NoteSigner {
    key: Ed25519KeyPair,
    verifier: VerifierKey,
}

impl NoteSigner {
    /// Takes an Ed25519 private key in PKCS#8 DER.
    ///
    /// # Errors
    /// [`NoteError::PrivateKey`] or [`NoteError::Key`].
    pub fn from_pkcs8(name: &str, der: &[u8]) -> Result<Self, NoteError> {
        let key = Ed25519KeyPair::from_pkcs8_maybe_unchecked(der).map_err(|_| NoteError::PrivateKey)?;
        let public = key.public_key().as_ref().try_into().map_err(|_| NoteError::PrivateKey)?;
        Ok(Self { key, verifier: VerifierKey::new(name, public)? })
    }

    /// The key that verifies what this one signs.
    pub fn verifier(&self) -> &VerifierKey {
        &self.verifier
    }

    /// Signs `text`, which ends in a line feed, and gives the whole note.
    pub fn sign(&self, text: &str) -> String {
        debug_assert!(text.ends_with('\n'), "the text of a note ends in a line feed");
        format!("{text}\n{}", self.line(text))
    }

    /// Adds a signature to a note that others have signed; theirs are not checked.
    ///
    /// # Errors
    /// [`NoteError::Malformed`] when it is no note, has all the signatures that a note may have, or this key has signed it already.
    pub fn cosign(&self, note: &str) -> Result<String, NoteError> {
        let (text, lines) = split(note)?;
        let is_ours = open(note, std::slice::from_ref(&self.verifier)) != Err(NoteError::Unsigned);
        if is_ours || lines.lines().count() >= SIGNATURES_MAX {
            return Err(NoteError::Malformed);
        }
        Ok(format!("{note}{}", self.line(text)))
    }

    fn line(&self, text: &str) -> String {
        let mut raw = self.verifier.hash().to_vec();
        raw.extend_from_slice(self.key.sign(text.as_bytes()).as_ref());
        format!("— {} {}\n", self.verifier.name, BASE64.encode(raw))
    }
}

impl fmt::Debug for NoteSigner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "NoteSigner({})", self.verifier)
    }
}

/// Checks a note and gives its text. One good signature by one of `keys` is enough; a bad one by any of them refuses the note.
///
/// # Errors
/// See [`NoteError`].
pub fn open<'a>(note: &'a str, keys: &[VerifierKey]) -> Result<&'a str, NoteError> {
    let (text, lines) = split(note)?;
    let mut signed = false;
    for (count, line) in lines.lines().enumerate() {
        if count >= SIGNATURES_MAX {
            return Err(NoteError::Malformed);
        }
        let (name, encoded) =
            line.strip_prefix("— ").and_then(|rest| rest.split_once(' ')).ok_or(NoteError::Malformed)?;
        let raw = BASE64.decode(encoded).map_err(|_| NoteError::Malformed)?;
        let (hash, signature) = raw.split_at_checked(4).ok_or(NoteError::Malformed)?;
        for key in keys.iter().filter(|key| key.name == name && key.hash() == hash) {
            let public = UnparsedPublicKey::new(&ED25519, &key.public);
            public.verify(text.as_bytes(), signature).map_err(|_| NoteError::Invalid)?;
            signed = true;
        }
    }
    if signed { Ok(text) } else { Err(NoteError::Unsigned) }
}

/// The text of a note and its signature lines.
fn split(note: &str) -> Result<(&str, &str), NoteError> {
    if note.len() > NOTE_BYTES_MAX || !note.ends_with('\n') {
        return Err(NoteError::Malformed);
    }
    let split = note.rfind("\n\n").ok_or(NoteError::Malformed)?;
    Ok((&note[..=split], &note[split + 2..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn signer(name: &str) -> NoteSigner {
        let document = Ed25519KeyPair::generate_pkcs8(&aws_lc_rs::rand::SystemRandom::new()).unwrap();
        NoteSigner::from_pkcs8(name, document.as_ref()).unwrap()
    }

    #[test]
    fn a_note_opens_with_its_key_and_with_no_other() {
        let (ours, other) = (signer("gw-a"), signer("gw-a"));
        let note = ours.sign("gw-a\n7\nroot\n");
        assert_eq!(open(&note, &[other.verifier().clone(), ours.verifier().clone()]), Ok("gw-a\n7\nroot\n"));
        assert_eq!(open(&note, &[other.verifier().clone()]), Err(NoteError::Unsigned));
        assert_eq!(open(&note.replace("\n7\n", "\n8\n"), &[ours.verifier().clone()]), Err(NoteError::Invalid));
    }

    #[test]
    fn a_second_signature_stands_beside_the_first_and_none_stands_twice() {
        let (first, second, other) = (signer("authority"), signer("binh"), signer("binh"));
        let note = first.sign("text\n");
        let both = second.cosign(&note).unwrap();
        for key in [first.verifier(), second.verifier()] {
            assert_eq!(open(&both, std::slice::from_ref(key)), Ok("text\n"));
        }
        assert_eq!(open(&both, &[other.verifier().clone()]), Err(NoteError::Unsigned));
        assert_eq!(open(&note, &[second.verifier().clone()]), Err(NoteError::Unsigned));
        assert_eq!(second.cosign(&both), Err(NoteError::Malformed));
        assert_eq!(first.cosign(&both), Err(NoteError::Malformed));
        assert_eq!(second.cosign("not a note"), Err(NoteError::Malformed));
        let full =
            (0..SIGNATURES_MAX - 1).fold(note, |note, number| signer(&number.to_string()).cosign(&note).unwrap());
        assert_eq!(second.cosign(&full), Err(NoteError::Malformed));
    }

    #[test]
    fn a_verifier_key_survives_its_text_form() {
        let key = signer("gw-h18.example").verifier().clone();
        assert_eq!(VerifierKey::parse(&key.to_string()), Ok(key.clone()));
        assert_eq!(VerifierKey::parse(&key.to_string().replace("gw-h18", "gw-h19")), Err(NoteError::Key));
    }
}
