//! The readers of DER: elements, certificates, revocation lists and CMS.
#![no_main]

use gateway_verify::certificate::Certificate;
use gateway_verify::cms::CmsSignature;
use gateway_verify::der::Reader;
use gateway_verify::revocation::RevocationList;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let mut reader = Reader::new(bytes);
    let mut total = 0;
    while let Ok(element) = reader.any() {
        assert!(element.content.len() < element.raw.len());
        total += element.raw.len();
    }
    assert!(total <= bytes.len());
    let _ = Certificate::read(bytes);
    let _ = RevocationList::read(bytes);
    let _ = CmsSignature::read(bytes);
});
