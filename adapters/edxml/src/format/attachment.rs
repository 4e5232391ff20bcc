//! Attachments: base64 text, and inside of it the raw file or a ZIP around it.
//!
//! A raw `.docx` is a ZIP too, and nothing in the package tells the two apart: a ZIP is opened only when it has exactly one entry whose
//! extension is that of the attachment's name. A name whose kind of file is no ZIP but whose bytes are one must be such a wrapping.

use std::io::{Cursor, Read as _};

use base64::Engine as _;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig};
use base64::engine::{DecodePaddingMode, general_purpose};

use super::fault::{Defect, Fault};

/// A file that grows to more than so many times its size in the ZIP, and to more than [`GROWTH_BYTES_FREE`], is a bomb.
const GROWTH_MAX: u64 = 200;
/// Growth below this many bytes is never a bomb.
const GROWTH_BYTES_FREE: u64 = 1024 * 1024;

/// Kinds of files that are ZIPs themselves.
const ZIP_KINDS: [&str; 29] = [
    "zip", "docx", "docm", "dotx", "dotm", "xlsx", "xlsm", "xlsb", "xltx", "pptx", "pptm", "ppsx", "potx", "vsdx",
    "odt", "ods", "odp", "odg", "odf", "jar", "epub", "asice", "asics", "sce", "scs", "kmz", "xps", "oxps", "dwfx",
];

const ENGINE: GeneralPurpose = GeneralPurpose::new(
    &base64::alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// Encodes as a strict writer does: padded, unbroken.
pub(super) fn encode(bytes: &[u8]) -> String {
    general_purpose::STANDARD.encode(bytes)
}

/// Decodes the text between the tags; white space and CDATA around it are no part of it.
pub(super) fn decode(raw: &[u8], place: &str) -> Result<Vec<u8>, Fault> {
    let fault = || Fault::new(Defect::BaseInvalid, place);
    let body = trim(raw);
    let body = match body.strip_prefix(b"<![CDATA[") {
        Some(inner) => inner.strip_suffix(b"]]>").ok_or_else(fault)?,
        None => body,
    };
    let mut digits = Vec::with_capacity(body.len());
    let mut rest = body;
    while let Some((&byte, after)) = rest.split_first() {
        rest = after;
        match byte {
            b' ' | b'\t' | b'\r' | b'\n' => {}
            b'&' => rest = after_line_break(after).ok_or_else(fault)?,
            _ => digits.push(byte),
        }
    }
    ENGINE.decode(&digits).map_err(|_| fault())
}

/// Some writers put `&#13;` at each line end.
fn after_line_break(rest: &[u8]) -> Option<&[u8]> {
    let known: [&[u8]; 6] = [b"#13;", b"#10;", b"#xD;", b"#xA;", b"#xd;", b"#xa;"];
    known.iter().find_map(|reference| rest.strip_prefix(*reference))
}

fn trim(raw: &[u8]) -> &[u8] {
    raw.trim_ascii()
}

/// The file, and the ZIP it was wrapped in.
pub(super) fn unwrap(
    bytes: Vec<u8>,
    name: &str,
    file_bytes_max: u64,
    place: &str,
) -> Result<(Vec<u8>, Option<Vec<u8>>), Fault> {
    if !bytes.starts_with(b"PK\x03\x04") && !bytes.starts_with(b"PK\x05\x06") {
        return Ok((bytes, None));
    }
    let kind = extension(name);
    let may_be_raw = ZIP_KINDS.contains(&kind.as_str());
    match entry(&bytes, &kind, file_bytes_max, place) {
        Ok(file) => Ok((file, Some(bytes))),
        Err(fault) if may_be_raw && !matches!(fault.defect, Defect::ArchiveBomb | Defect::PackageTooLarge) => {
            Ok((bytes, None))
        }
        Err(fault) => Err(fault),
    }
}

fn entry(bytes: &[u8], kind: &str, file_bytes_max: u64, place: &str) -> Result<Vec<u8>, Fault> {
    let fault = |defect| Fault::new(defect, place);
    let broken = |_| fault(Defect::ArchiveBroken);
    let mut archive = zip::ZipArchive::new(Cursor::new(bytes)).map_err(broken)?;
    if archive.len() != 1 {
        return Err(fault(Defect::ArchiveManyEntries));
    }
    let file = archive.by_index(0).map_err(broken)?;
    let name = file.name().map_err(broken)?.into_owned();
    let is_plain = file.is_file() && !name.contains(['/', '\\', '\0']) && name != ".." && !name.is_empty();
    if !is_plain {
        return Err(fault(Defect::ArchivePath));
    }
    if extension(&name) != kind || kind.is_empty() {
        return Err(fault(Defect::ArchiveNameMismatch));
    }
    // The size in the directory is only the writer's word: what counts is what comes out.
    let growth = (bytes.len() as u64).saturating_mul(GROWTH_MAX).max(GROWTH_BYTES_FREE);
    let allowed = growth.min(file_bytes_max);
    let mut content = Vec::new();
    file.take(allowed.saturating_add(1)).read_to_end(&mut content).map_err(|_| fault(Defect::ArchiveBroken))?;
    match content.len() as u64 > allowed {
        // What has no room beside the other files of the package is no bomb.
        true if file_bytes_max < growth => Err(fault(Defect::PackageTooLarge)),
        true => Err(fault(Defect::ArchiveBomb)),
        false => Ok(content),
    }
}

fn extension(name: &str) -> String {
    name.rsplit_once('.').map(|(_, extension)| extension.trim().to_lowercase()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    pub(crate) fn zipped(entries: &[(&str, &[u8])]) -> Vec<u8> {
        let mut writer = zip::ZipWriter::new(Cursor::new(Vec::new()));
        for (name, bytes) in entries {
            writer.start_file(*name, zip::write::SimpleFileOptions::default()).unwrap();
            writer.write_all(bytes).unwrap();
        }
        writer.finish().unwrap().into_inner()
    }

    fn check(bytes: Vec<u8>, name: &str, expected: Result<&[u8], Defect>) {
        let seen = unwrap(bytes, name, 8 * 1024 * 1024, "Attachment 1");
        assert_eq!(seen.as_ref().map(|(file, _)| file.as_slice()).map_err(|fault| fault.defect), expected, "{name}");
    }

    #[test]
    fn a_zip_is_opened_only_around_the_one_file_that_was_named() {
        check(b"%PDF-1.7".to_vec(), "a.pdf", Ok(b"%PDF-1.7"));
        check(zipped(&[("x.pdf", b"%PDF-1.7")]), "a.PDF", Ok(b"%PDF-1.7"));
        check(zipped(&[("x.pdf", b"1"), ("y.pdf", b"2")]), "a.pdf", Err(Defect::ArchiveManyEntries));
        check(zipped(&[]), "a.pdf", Err(Defect::ArchiveManyEntries));
        check(zipped(&[("../x.pdf", b"1")]), "a.pdf", Err(Defect::ArchivePath));
        check(zipped(&[("a/x.pdf", b"1")]), "a.pdf", Err(Defect::ArchivePath));
        check(zipped(&[("x.exe", b"1")]), "a.pdf", Err(Defect::ArchiveNameMismatch));
        check(zipped(&[("x.docx", b"inner")]), "a.docx", Ok(b"inner"));
        let mut cut = zipped(&[("x.pdf", b"%PDF-1.7")]);
        cut.truncate(20);
        check(cut, "a.pdf", Err(Defect::ArchiveBroken));
    }

    #[test]
    fn a_document_that_is_a_zip_itself_stays_as_it_is() {
        let raw = zipped(&[("[Content_Types].xml", b"<Types/>"), ("word/document.xml", b"<w/>")]);
        check(raw.clone(), "a.docx", Ok(&raw));
        let archive = zipped(&[("x.pdf", b"1"), ("y.pdf", b"2")]);
        check(archive.clone(), "a.zip", Ok(&archive));
        for name in ["bản vẽ.vsdx", "mẫu.dotx", "hồ sơ ký số.sce", "ranh giới.KMZ"] {
            check(raw.clone(), name, Ok(&raw));
        }
    }

    #[test]
    fn a_bomb_is_refused_by_what_comes_out() {
        let zeros = vec![0; 16 * 1024 * 1024];
        check(zipped(&[("x.pdf", &zeros)]), "a.pdf", Err(Defect::ArchiveBomb));
        check(zipped(&[("x.docx", &zeros)]), "a.docx", Err(Defect::ArchiveBomb));
        let noise: Vec<u8> = (0..9 * 1024 * 1024u32).map(|n| n.wrapping_mul(2_654_435_761).to_be_bytes()[0]).collect();
        check(zipped(&[("x.pdf", &noise)]), "a.pdf", Err(Defect::PackageTooLarge));
    }

    #[test]
    fn base64_may_be_broken_into_lines_but_must_be_base64() {
        let check = |text: &str, expected: Option<&[u8]>| {
            assert_eq!(decode(text.as_bytes(), "x").ok().as_deref(), expected, "{text}");
        };
        check("aGVs\r\n bG8=", Some(b"hello"));
        check("aGVsbG8", Some(b"hello"));
        check("aGVs&#13;\nbG8=", Some(b"hello"));
        check("<![CDATA[aGVsbG8=]]>", Some(b"hello"));
        check("", Some(b""));
        check("aGVs*bG8=", None);
        check("aGVs&amp;bG8=", None);
        check("<b>aGVs</b>", None);
        check("aGVsb", None);
    }
}
