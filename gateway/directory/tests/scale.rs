//! A nation's directory, 125,000 agencies, is read, issued, opened and looked up. Times are printed (`--nocapture`), not asserted.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod pki;

use std::fmt::Write as _;
use std::time::Instant;

use gateway_directory::{Source, issue, open};
use gateway_model::id::AgencyId;
use gateway_model::time::Timestamp;
use pki::{Folder, authority};

const PROVINCES: usize = 34;
const AGENCIES: usize = 125_000;
const ISSUED: Timestamp = Timestamp::from_seconds(1_790_000_000);

#[test]
fn a_nation_of_125_000_agencies_is_issued_and_opened() {
    let (folder, signer) = (Folder::new(), authority("authority"));
    let path = folder.source("");
    let text = nation();
    let source = timed("read the source", || Source::parse(&text, &path)).unwrap();
    let bytes = timed("issue", || issue(&source, Some(1), ISSUED, &signer)).unwrap();
    let opened = timed("open", || open(&bytes, &[signer.verifier().clone()], ISSUED)).unwrap();
    println!("{} MiB of source, {} MiB signed", text.len() >> 20, bytes.len() >> 20);
    assert_eq!(opened.directory.content().agencies.len(), AGENCIES);
    timed("resolve every agency and its gateway", || {
        for index in 0..AGENCIES {
            let agency = opened.directory.agency_named(&format!("000.{index:06}.X00")).unwrap();
            assert_eq!(agency.id, AgencyId::parse(&id(index)).unwrap());
            let gateway = opened.directory.gateway_of(&agency.id).unwrap();
            assert_eq!(gateway.id.as_str(), format!("gw-{}", index % PROVINCES));
        }
    });
}

/// Provinces, each with a gateway; everybody else three levels below one of them.
fn nation() -> String {
    let mut text = String::from("schema = \"lienthong.directory-source.v1\"\nvalid_for = \"30d\"\n");
    for province in 0..PROVINCES {
        let port = 7_100 + province;
        writeln!(text, "[[gateway]]\nid = \"gw-{province}\"\naddress = \"https://127.0.0.1:{port}\"").unwrap();
    }
    for index in 0..AGENCIES {
        let name = format!("Ủy ban nhân dân đơn vị số {index}");
        writeln!(text, "[[agency]]\nid = \"{}\"\nname = \"{name}\"\nlevel = \"xã\"", id(index)).unwrap();
        writeln!(text, "codes = [\"X00.{index:06}\", \"000.{index:06}.X00\"]").unwrap();
        match index {
            province if province < PROVINCES => writeln!(text, "gateway = \"gw-{province}\"").unwrap(),
            district if district < PROVINCES * 21 => {
                writeln!(text, "parent = \"{}\"", id(district % PROVINCES)).unwrap()
            }
            unit => writeln!(text, "parent = \"{}\"", id(PROVINCES + unit % PROVINCES)).unwrap(),
        }
    }
    text
}

fn id(index: usize) -> String {
    format!("unit-{index}")
}

fn timed<T>(what: &str, work: impl FnOnce() -> T) -> T {
    let start = Instant::now();
    let result = work();
    println!("{what}: {} ms", start.elapsed().as_millis());
    result
}
