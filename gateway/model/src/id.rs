//! Names of things, each its own type.

use std::fmt;
use std::sync::Arc;

use crate::hash::Digest;
use crate::limits;

/// Why a text is not an id.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum IdError {
    /// Empty or too long.
    #[error("an id has 1 to {max} bytes", max = limits::ID_BYTES_MAX)]
    Length,
    /// Not printable ASCII without spaces.
    #[error("an id has letters, digits and -._:/ only")]
    Character,
    /// Not a UUID in lower-case text form.
    #[error("an envelope id is a UUID in lower-case text form")]
    Uuid,
}

macro_rules! text_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Arc<str>);

        impl $name {
            /// Checks length and characters.
            ///
            /// # Errors
            /// When `text` is empty, too long, or has characters other than ASCII letters, digits and `-._:/`.
            pub fn parse(text: &str) -> Result<Self, IdError> {
                check_text(text).map(|()| Self(Arc::from(text)))
            }

            /// The text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

text_id! {
    /// Stable internal id of an agency; its codes are aliases.
    AgencyId
}
text_id! {
    /// Id of a gateway; also the origin of its evidence log.
    GatewayId
}
text_id! {
    /// Id of a system that submits for agencies.
    SystemId
}
text_id! {
    /// Id of an operator.
    OperatorId
}
text_id! {
    /// Id of a calendar; its versions share it.
    CalendarId
}

fn check_text(text: &str) -> Result<(), IdError> {
    if text.is_empty() || text.len() > limits::ID_BYTES_MAX {
        return Err(IdError::Length);
    }
    let fits = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_' | b':' | b'/');
    if text.bytes().all(fits) { Ok(()) } else { Err(IdError::Character) }
}

/// Id of an envelope: a UUID, unique per sender.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EnvelopeId(pub [u8; 16]);

impl EnvelopeId {
    /// Reads `xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx`, lower case only, so that one id has one spelling.
    ///
    /// # Errors
    /// [`IdError::Uuid`] for anything else, and for the nil UUID.
    pub fn parse(text: &str) -> Result<Self, IdError> {
        let bytes = text.as_bytes();
        if bytes.len() != 36 {
            return Err(IdError::Uuid);
        }
        let mut digits = [0u8; 32];
        let mut count = 0;
        for (position, &byte) in bytes.iter().enumerate() {
            match (position, byte) {
                (8 | 13 | 18 | 23, b'-') => {}
                (8 | 13 | 18 | 23, _) => return Err(IdError::Uuid),
                (_, b'0'..=b'9' | b'a'..=b'f') => {
                    digits[count] = byte;
                    count += 1;
                }
                _ => return Err(IdError::Uuid),
            }
        }
        let mut out = [0u8; 16];
        hex::decode_to_slice(digits, &mut out).map_err(|_| IdError::Uuid)?;
        if out == [0u8; 16] { Err(IdError::Uuid) } else { Ok(Self(out)) }
    }
}

impl fmt::Display for EnvelopeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let h = hex::encode(self.0);
        write!(f, "{}-{}-{}-{}-{}", &h[..8], &h[8..12], &h[12..16], &h[16..20], &h[20..])
    }
}

impl fmt::Debug for EnvelopeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

/// What makes an envelope the same envelope everywhere: its sender's internal id and its id.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct EnvelopeKey {
    /// Internal id of the sending agency.
    pub sender: AgencyId,
    /// The sender's id for the envelope.
    pub id: EnvelopeId,
}

impl fmt::Display for EnvelopeKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.sender, self.id)
    }
}

/// Names the delivery of one envelope to one recipient; the same at every gateway, in every attempt, after every restart.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DeliveryId(pub [u8; 16]);

impl DeliveryId {
    /// Derives the id.
    pub fn new(envelope: &EnvelopeKey, recipient: &AgencyId) -> Self {
        let digest = Digest::of_pieces(&[
            b"lienthong.delivery.v1\0",
            envelope.sender.as_str().as_bytes(),
            b"\0",
            &envelope.id.0,
            recipient.as_str().as_bytes(),
        ]);
        let mut out = [0u8; 16];
        out.copy_from_slice(&digest.0[..16]);
        Self(out)
    }

    /// Reads 32 lower-case hexadecimal digits.
    pub fn parse(text: &str) -> Option<Self> {
        let mut out = [0u8; 16];
        hex::decode_to_slice(text, &mut out).ok().map(|()| Self(out))
    }
}

impl fmt::Display for DeliveryId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl fmt::Debug for DeliveryId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_envelope_id_has_one_spelling() {
        let text = "0197a2b4-3c5d-7e6f-8a9b-0c1d2e3f4a5b";
        assert_eq!(EnvelopeId::parse(text).unwrap().to_string(), text);
        for bad in [
            &text.to_uppercase(),
            "{0197a2b4-3c5d-7e6f-8a9b-0c1d2e3f4a5b}",
            &text.replace('-', ""),
            "00000000-0000-0000-0000-000000000000",
        ] {
            assert_eq!(EnvelopeId::parse(bad), Err(IdError::Uuid), "{bad}");
        }
    }

    #[test]
    fn an_id_refuses_what_could_be_a_path_or_a_line_break() {
        for bad in ["", "a b", "a\nb", "ủy-ban", &"x".repeat(limits::ID_BYTES_MAX + 1)] {
            assert!(AgencyId::parse(bad).is_err(), "{bad:?}");
        }
    }
}
