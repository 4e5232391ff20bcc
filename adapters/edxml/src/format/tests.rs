//! Every dialect is read, every defect is named, no bomb goes off.

use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use gateway_model::Timestamp;
use proptest::prelude::*;

use super::fixtures::{PDF, Parts, other_order, package, standard, status, wrapped, zipped};
use super::*;

fn document(text: &str) -> Document {
    match read(text.as_bytes(), Limits::default()).unwrap() {
        Package::Document(document) => *document,
        Package::Status(status) => panic!("a status: {status:?}"),
    }
}

fn defect(text: &str) -> Option<Defect> {
    read(text.as_bytes(), Limits::default()).err().map(|fault| fault.defect)
}

fn skeleton_of(text: &str) -> (Skeleton, Vec<Vec<u8>>) {
    let document = document(text);
    let carried = |file: &Attachment| file.wrapped.clone().unwrap_or_else(|| file.file.clone());
    let parts: Vec<Vec<u8>> = document.attachments.iter().map(carried).collect();
    let texts: Vec<_> =
        document.attachments.iter().zip(&parts).map(|(file, part)| (file.span.clone(), part.as_slice())).collect();
    (Skeleton::of(text.as_bytes(), &texts), parts)
}

#[test]
fn the_layout_of_the_regulation_is_read() {
    let document = document(&standard());
    assert_eq!((document.from.id.as_str(), document.to.len()), ("H99.30.01", 2));
    assert_eq!(document.code(), "15/TTr-UBND");
    assert_eq!(document.subject, "Về việc sửa đường & cầu An Phú");
    assert_eq!((document.promulgated_on.as_str(), document.priority), ("2026-11-20", 2));
    assert_eq!(document.attachments[0].file, PDF);
    assert_eq!(document.signature, SignatureSeen::NotVerifiable);
}

#[test]
fn prefix_order_root_and_layering_do_not_matter() {
    let other = document(&other_order());
    assert_eq!((other.from.id.as_str(), other.to[0].id.as_str()), ("vxp.saas.03", "000.00.12.H99"));
    assert_eq!(other.attachments[0].file, PDF);
    let dossier = document(&wrapped());
    assert!(dossier.is_dossier());
    assert_eq!(dossier.attachments[0].name, "Đơn.pdf");
    assert_eq!(dossier.attachments[0].file, PDF);
    assert!(dossier.attachments[0].wrapped.is_some());
    let Package::Status(read) = read(status("03").as_bytes(), Limits::default()).unwrap() else { panic!("a document") };
    assert_eq!((read.code.as_str(), read.response_for.organ_id.as_str()), ("03", "H99.30.01"));
    assert_eq!(read.at.unwrap().to_string(), "2026-11-20T02:15:00Z");
}

#[test]
fn every_dialect_is_rebuilt_byte_for_byte_from_its_skeleton() {
    for text in [standard(), other_order(), wrapped()] {
        let (skeleton, parts) = skeleton_of(&text);
        assert_eq!(skeleton.parts().len(), 1, "the attachment is taken out");
        let read = Skeleton::decode(&skeleton.encode()).unwrap();
        let rebuilt = read.rebuild(|_| Some(parts[0].as_slice()), 1 << 20).unwrap();
        assert_eq!(String::from_utf8(rebuilt).unwrap(), text);
    }
    let text = status("05");
    let bare = Skeleton::of(text.as_bytes(), &[]);
    assert_eq!(bare.rebuild(|_| None, 1 << 20).unwrap(), text.as_bytes());
}

#[test]
fn each_defect_is_named() {
    let check = |text: &str, expected: Defect| assert_eq!(defect(text), Some(expected), "{text:.300}");
    let with = |parts: Parts<'_>| package(&parts);
    check(&format!("\n{}", standard()), Defect::StrayBytes);
    check(&format!("x{}", standard()), Defect::StrayBytes);
    check(&format!("{}x", standard()), Defect::StrayBytes);
    check(&format!("{}<a/>", standard()), Defect::StrayBytes);
    check(&with(Parts { reference: "<edXML:x xlink:href=\"cid:tep-1\"/>", ..Parts::new() }), Defect::PrefixUnbound);
    check(&with(Parts { date: "2026/02/30", ..Parts::new() }), Defect::DateImpossible);
    check(&with(Parts { date: "20/11/2026", ..Parts::new() }), Defect::DateImpossible);
    check(&with(Parts { from: "H99 30", ..Parts::new() }), Defect::CodeInvalid);
    check(&with(Parts { from: "", ..Parts::new() }), Defect::FieldMissing);
    check(&with(Parts { document_id: "", ..Parts::new() }), Defect::FieldMissing);
    check(&with(Parts { to: &[], ..Parts::new() }), Defect::RecipientMissing);
    check(&with(Parts { to: &["H99.12", "H99.12"], ..Parts::new() }), Defect::FieldRepeated);
    check(&with(Parts { attachment: "????", ..Parts::new() }), Defect::BaseInvalid);
    check(&with(Parts { attachment_id: "tep-2", ..Parts::new() }), Defect::AttachmentMissing);
    check(&with(Parts { header: "<edXML:Subject>Hai</edXML:Subject>", ..Parts::new() }), Defect::FieldRepeated);
    check(
        &with(Parts { header: "<edXML:TyperNotation>Mật</edXML:TyperNotation>", ..Parts::new() }),
        Defect::SecrecyMark,
    );
    check(&with(Parts { header: "<edXML:Content>&nbsp;</edXML:Content>", ..Parts::new() }), Defect::EntityUnknown);
    check(
        &with(Parts {
            business: "<edXML:Bussiness><edXML:BussinessDocType>7</edXML:BussinessDocType></edXML:Bussiness>",
            ..Parts::new()
        }),
        Defect::ValueUnknown,
    );
    check(
        &with(Parts {
            business: "<edXML:Bussiness><edXML:BussinessDocType>2</edXML:BussinessDocType></edXML:Bussiness>",
            ..Parts::new()
        }),
        Defect::FieldMissing,
    );
    let many = STANDARD.encode(zipped(&[("a.pdf", b"1"), ("b.pdf", b"2")]));
    check(&with(Parts { attachment: &many, ..Parts::new() }), Defect::ArchiveManyEntries);
    let path = STANDARD.encode(zipped(&[("../a.pdf", b"1")]));
    check(&with(Parts { attachment: &path, ..Parts::new() }), Defect::ArchivePath);
    check(&standard().replace("QCVN_102_2016", "QCVN_102_2017"), Defect::NamespaceWrong);
    check(
        "<s:Envelope xmlns:s=\"http://schemas.xmlsoap.org/soap/envelope/\"><s:Header><MessageHeader/></s:Header></s:Envelope>",
        Defect::SoapForm,
    );
    check("<html/>", Defect::NotEdxml);
    check("", Defect::NotEdxml);
    check(&standard().replace("utf-8", "windows-1258"), Defect::EncodingUnsupported);
    check(&standard().replace("</edXML>", ""), Defect::NotWellFormed);
    check(&status("???"), Defect::ValueUnknown);
    check(&status("03").replace("2026/11/20 09:15:00", "2026/02/30 09:15:00"), Defect::DateImpossible);
    check(&standard().replace("edXML:Priority>2", "edXML:Priority>9"), Defect::ValueUnknown);
    let utf16: Vec<u8> = standard().encode_utf16().flat_map(u16::to_le_bytes).collect();
    assert_eq!(read(&utf16, Limits::default()).unwrap_err().defect, Defect::EncodingUnsupported);
    assert_eq!(read(b"<a>\xff</a>", Limits::default()).unwrap_err().defect, Defect::EncodingUnsupported);
    let small = Limits { package_bytes_max: 100, ..Limits::default() };
    assert_eq!(read(standard().as_bytes(), small).unwrap_err().defect, Defect::PackageTooLarge);
}

#[test]
fn no_bomb_goes_off_and_each_is_refused_quickly() {
    let check = |text: String, expected: Defect| {
        let begun = Instant::now();
        assert_eq!(defect(&text), Some(expected), "{text:.200}");
        assert!(begun.elapsed() < Duration::from_secs(5), "{expected} took {:?}", begun.elapsed());
    };
    let laughs: String = (1..20).map(|n| format!("<!ENTITY l{n} \"&l{0};&l{0};\">", n - 1)).collect();
    check(format!("<!DOCTYPE a [<!ENTITY l0 \"ha\">{laughs}]><a>&l19;</a>"), Defect::Doctype);
    check("<!DOCTYPE a SYSTEM \"file:///etc/passwd\"><a/>".to_owned(), Defect::Doctype);
    check(
        "<?xml version=\"1.0\"?><!DOCTYPE a PUBLIC \"x\" \"http://127.0.0.1:9/x.dtd\"><a/>".to_owned(),
        Defect::Doctype,
    );
    let include = "<xi:include xmlns:xi=\"http://www.w3.org/2001/XInclude\" href=\"file:///etc/passwd\"/>";
    check(format!("<a>{include}</a>"), Defect::NotEdxml);
    check(format!("{}{}", "<a>".repeat(100_000), "</a>".repeat(100_000)), Defect::TooDeep);
    let attributes: String = (0..1_000_000).map(|n| format!(" a{n}=\"\"")).collect();
    check(format!("<a{attributes}/>"), Defect::TooManyAttributes);
    let namespaces: String = (0..100_000).map(|n| format!(" xmlns:a{n}=\"\"")).collect();
    check(format!("<a{namespaces}/>"), Defect::TooManyAttributes);
    check(format!("<a>{}</a>", "<b/>".repeat(1_000_000)), Defect::TooManyElements);
    check(format!("<a>{}</a>", "x".repeat(10_000_000)), Defect::TextTooLong);
    let attachments = "<edXML:Attachment><edXML:ContentTransferEncoded/></edXML:Attachment>".repeat(10_000);
    check(package(&Parts { header: &attachments, ..Parts::new() }), Defect::TooManyAttachments);
    let to: Vec<String> = (0..5_000).map(|n| format!("H99.{n}")).collect();
    let to: Vec<&str> = to.iter().map(String::as_str).collect();
    check(package(&Parts { to: &to, ..Parts::new() }), Defect::TooManyRecipients);
    let zeros = STANDARD.encode(zipped(&[("a.pdf", &vec![0; 16 << 20])]));
    check(package(&Parts { attachment: &zeros, ..Parts::new() }), Defect::ArchiveBomb);
}

#[test]
fn what_is_written_is_read_again_as_the_same() {
    let document = Document { signature: SignatureSeen::Absent, ..document(&standard()) };
    let at = Timestamp::from_seconds(1_795_000_000);
    let written = String::from_utf8(write_document(&document, at)).unwrap();
    let mut again = super::tests::document(&written);
    again.attachments[0].span = document.attachments[0].span.clone();
    assert_eq!(again, document);
    let Package::Status(said) = read(status("06").as_bytes(), Limits::default()).unwrap() else { panic!("a document") };
    let written = write_status(&said, at);
    let Package::Status(again) = read(&written, Limits::default()).unwrap() else { panic!("a document") };
    assert_eq!(again, said);
}

#[test]
fn a_hub_appends_its_trace_and_changes_nothing_else() {
    let at = local_time("2026/11/20 10:00:00", "x").unwrap().unwrap();
    for text in [standard(), other_order()] {
        let appended = String::from_utf8(append_trace(text.as_bytes(), "W99 & Co", at).unwrap()).unwrap();
        let prefix = if text.contains("edXML:TraceHeader") { "edXML:" } else { "" };
        let ours = format!(
            "<{prefix}TraceHeader><{prefix}OrganId>W99 &amp; Co</{prefix}OrganId><{prefix}Timestamp>2026/11/20 10:00:00</{prefix}Timestamp></{prefix}TraceHeader>"
        );
        assert_eq!(appended.replacen(&ours, "", 1), text);
        assert_eq!(document(&appended).attachments[0].file, PDF);
    }
    assert_eq!(append_trace(status("03").as_bytes(), "W99", at).unwrap(), status("03").as_bytes());
}

#[test]
fn a_hand_over_to_a_hub_names_one_recipient() {
    let kept = String::from_utf8(keep_recipient(standard().as_bytes(), "000.00.00.H99").unwrap()).unwrap();
    let kept = document(&kept);
    assert_eq!((kept.to.len(), kept.to[0].id.as_str()), (1, "000.00.00.H99"));
    assert_eq!(keep_recipient(standard().as_bytes(), "H12").unwrap(), standard().as_bytes());
}

proptest! {
    #[test]
    fn reading_damaged_packages_never_panics(at in 0usize..3_000, byte in any::<u8>(), cut in 0usize..3_500) {
        let mut bytes = standard().into_bytes();
        let at = at % bytes.len();
        bytes[at] = byte;
        bytes.truncate(cut.max(1));
        drop(read(&bytes, Limits::default()));
        drop(append_trace(&bytes, "W99", Timestamp::from_seconds(0)));
        drop(keep_recipient(&bytes, "H99.12"));
    }
}
