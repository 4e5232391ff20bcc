//! A whole verification under empty trust: nothing is ever accepted.
#![no_main]

use std::sync::LazyLock;

use gateway_model::Timestamp;
use gateway_verify::{DetachedOptions, Trust, TrustSource, verify_detached};
use libfuzzer_sys::fuzz_target;

static TRUST: LazyLock<Option<Trust>> = LazyLock::new(|| Trust::new(TrustSource::default()).ok());

fuzz_target!(|bytes: &[u8]| {
    let Some(trust) = &*TRUST else { return };
    let options = DetachedOptions {
        at: Timestamp::from_seconds(1_790_000_000),
        require_signing_certificate: false,
        check_revocation: false,
    };
    assert!(verify_detached(b"content", bytes, trust, options).is_err());
});
