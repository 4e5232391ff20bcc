//! Signs a webhook as Standard Webhooks says: HMAC-SHA-256 over `id.timestamp.body`, one signature for each secret.

use std::path::Path;

use adapters_sdk::AdapterError;
use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// Bytes of a secret, at least and at most.
const SECRET_BYTES: std::ops::RangeInclusive<usize> = 24..=64;
const FILE_BYTES_MAX: u64 = 1_024;

/// A secret that both sides know.
pub struct Secret(hmac::Key);

impl Secret {
    /// Reads `whsec_` and base64 from the first line of a file.
    ///
    /// # Errors
    /// When there is none, or one of fewer than 24 or more than 64 bytes.
    pub fn read(path: &Path) -> Result<Self, AdapterError> {
        let text = crate::disk::read_text(path, FILE_BYTES_MAX)?;
        Self::parse(text.lines().next().unwrap_or_default()).ok_or_else(|| {
            let wanted = "holds no secret: \"whsec_\" and the base64 of 24 to 64 random bytes on its first line";
            AdapterError::Other(format!("{}: {wanted}", path.display()))
        })
    }

    /// Reads `whsec_` and base64.
    pub fn parse(text: &str) -> Option<Self> {
        let bytes = STANDARD.decode(text.trim().strip_prefix("whsec_")?).ok()?;
        SECRET_BYTES.contains(&bytes.len()).then(|| Self(hmac::Key::new(hmac::HMAC_SHA256, &bytes)))
    }
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secret")
    }
}

/// The value of `webhook-signature`: with several secrets, a receiver that knows any of them is content.
pub fn header(secrets: &[Secret], id: &str, timestamp: i64, body: &[u8]) -> String {
    let one = |secret: &Secret| {
        let mut context = hmac::Context::with_key(&secret.0);
        context.update(format!("{id}.{timestamp}.").as_bytes());
        context.update(body);
        format!("v1,{}", STANDARD.encode(context.sign()))
    };
    secrets.iter().map(one).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signature_is_the_hmac_of_id_time_and_body_once_for_each_secret() {
        let secret = || Secret::parse("whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3").unwrap();
        let one = header(&[secret()], "msg_1", 1_791_432_000, b"{\"a\":1}");
        let key = hmac::Key::new(hmac::HMAC_SHA256, b"0123456789abcdef01234567");
        let tag = hmac::sign(&key, b"msg_1.1791432000.{\"a\":1}");
        assert_eq!(one, format!("v1,{}", STANDARD.encode(tag)));
        assert_eq!(header(&[secret(), secret()], "msg_1", 1_791_432_000, b"{\"a\":1}"), format!("{one} {one}"));
        assert_ne!(header(&[secret()], "msg_2", 1_791_432_000, b"{\"a\":1}"), one);
    }

    #[test]
    fn a_secret_is_long_enough_and_never_shown() {
        for bad in ["", "whsec_", "whsec_c2hvcnQ=", "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3", "whsec_***"] {
            assert!(Secret::parse(bad).is_none(), "{bad}");
        }
        let secret = Secret::parse("whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3").unwrap();
        assert_eq!(format!("{secret:?}"), "Secret");
    }
}
