//! Hostile bytes and clumsy texts: nothing panics, nothing changed is believed.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod pki;

use std::path::Path;
use std::sync::OnceLock;

use gateway_directory::{Source, issue, open};
use gateway_model::note::NoteSigner;
use gateway_model::time::Timestamp;
use pki::{Folder, authority};
use proptest::prelude::*;

const ISSUED: Timestamp = Timestamp::from_seconds(1_790_000_000);

proptest! {
    #[test]
    fn any_bytes_are_refused_without_a_panic(bytes in proptest::collection::vec(any::<u8>(), 0..512)) {
        let (_, signer) = signed();
        prop_assert!(open(&bytes, &[signer.verifier().clone()], ISSUED).is_err());
    }

    #[test]
    fn a_signed_directory_with_any_one_bit_flipped_is_refused(at in any::<proptest::sample::Index>(), bit in 0u8..8) {
        let (bytes, signer) = signed();
        let mut flipped = bytes.clone();
        let index = at.index(flipped.len());
        flipped[index] ^= 1 << bit;
        prop_assert!(open(&flipped, &[signer.verifier().clone()], ISSUED).is_err(), "byte {} bit {}", index, bit);
    }

    #[test]
    fn a_signed_directory_cut_anywhere_is_refused(at in any::<proptest::sample::Index>()) {
        let (bytes, signer) = signed();
        prop_assert!(open(&bytes[..at.index(bytes.len())], &[signer.verifier().clone()], ISSUED).is_err());
    }

    #[test]
    fn a_source_with_any_line_broken_gives_faults_with_lines_or_is_read(line in 0usize..12, junk in "[ -~]{0,20}") {
        let mut lines: Vec<&str> = SOURCE.lines().collect();
        let at = line % lines.len();
        lines[at] = &junk;
        if let Err(faults) = Source::parse(&lines.join("\n"), Path::new("agencies.toml")) {
            prop_assert!(!faults.is_empty());
            prop_assert!(faults.iter().all(|fault| (1..=lines.len() + 1).contains(&fault.line)), "{:?}", faults);
        }
    }
}

fn signed() -> &'static (Vec<u8>, NoteSigner) {
    static SIGNED: OnceLock<(Vec<u8>, NoteSigner)> = OnceLock::new();
    SIGNED.get_or_init(|| {
        let (folder, signer) = (Folder::new(), authority("authority"));
        let source = Source::read(&folder.source(SOURCE)).unwrap();
        (issue(&source, Some(1), ISSUED, &signer).unwrap(), signer)
    })
}

const SOURCE: &str = r#"schema = "lienthong.directory-source.v1"
valid_for = "1h"
[[gateway]]
id = "gw"
address = "https://127.0.0.1:7101"
[[agency]]
id = "h99"
name = "Ủy ban nhân dân tỉnh Hòa Giang"
codes = ["H99", "000.00.00.H99"]
level = "tỉnh"
gateway = "gw"
"#;
