//! The reader of envelopes, and the promise that what it reads is within bounds.
#![no_main]

use gateway_model::limits;
use gateway_verify::wire::read_envelope;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(envelope) = read_envelope(bytes) {
        assert!((1..=limits::RECIPIENTS_MAX).contains(&envelope.to.len()));
        assert!(envelope.parts.len() <= limits::PARTS_MAX);
        assert!(envelope.created_at < envelope.expires_at);
    }
});
