//! Reads a package: finds what it needs wherever producers put it, and refuses what could be read in two ways.

use std::collections::{HashMap, HashSet};

use gateway_model::limits;

use super::fault::{Defect, Fault};
use super::package::{
    Attachment, Business, BusinessKind, Document, Organ, Package, ResponseFor, SignatureSeen, Status,
};
use super::tree::{self, ENCODED, Node, Space};
use super::{attachment, day, secrecy};

/// Attachments of one package: each may be two parts of an envelope, and one part is the package's own.
pub const ATTACHMENTS_MAX: usize = (limits::PARTS_MAX - 1) / 2;
/// Bytes of an agency code.
const CODE_BYTES_MAX: usize = limits::ID_BYTES_MAX;

/// Bounds that a caller sets.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Bytes of the whole package.
    pub package_bytes_max: u64,
    /// Bytes of all unwrapped files together.
    pub file_bytes_max: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self { package_bytes_max: 64 * 1024 * 1024, file_bytes_max: limits::PART_BYTES_DEFAULT }
    }
}

/// Reads the bytes of a package.
///
/// # Errors
/// The first defect, with its place.
pub fn read(bytes: &[u8], limits: Limits) -> Result<Package, Fault> {
    if bytes.len() as u64 > limits.package_bytes_max {
        return Err(Fault::new(Defect::PackageTooLarge, format!("{} bytes", bytes.len())));
    }
    let root = tree::read(bytes)?;
    secrecy::check(&root)?;
    let header = match only(&root, "MessageHeader")? {
        Some(header) => Some(header),
        None => only(&root, "StatusCode")?.and_then(|code| parent_of(&root, code)),
    };
    let header = header.ok_or_else(|| not_edxml(&root))?;
    match (header.one("StatusCode")?, header.all("To").next()) {
        (Some(_), None) => status(header).map(|status| Package::Status(Box::new(status))),
        (Some(_), Some(_)) => Err(Fault::new(Defect::FieldRepeated, "StatusCode beside To")),
        (None, _) => document(bytes, &root, header, limits).map(|document| Package::Document(Box::new(document))),
    }
}

fn only<'a>(root: &'a Node, name: &str) -> Result<Option<&'a Node>, Fault> {
    match root.everywhere(name).as_slice() {
        [] => Ok(None),
        [one] => Ok(Some(one)),
        _ => Err(Fault::new(Defect::FieldRepeated, name)),
    }
}

fn parent_of<'a>(root: &'a Node, child: &Node) -> Option<&'a Node> {
    let mut found = None;
    root.visit(&mut |node| {
        if node.children.iter().any(|one| std::ptr::eq(one, child)) {
            found = Some(node);
        }
    });
    found
}

/// Says what it is instead.
fn not_edxml(root: &Node) -> Fault {
    let (mut is_soap, mut is_elsewhere) = (false, false);
    root.visit(&mut |node| {
        is_soap |= node.space == Space::Soap;
        is_elsewhere |= node.space == Space::Other && matches!(node.name.as_str(), "MessageHeader" | "StatusCode");
    });
    match (is_soap, is_elsewhere) {
        (true, _) => Fault::new(Defect::SoapForm, root.name.clone()),
        (false, true) => Fault::new(Defect::NamespaceWrong, "MessageHeader"),
        (false, false) => Fault::new(Defect::NotEdxml, root.name.clone()),
    }
}

fn status(header: &Node) -> Result<Status, Fault> {
    let from = header.one("From")?.ok_or_else(|| missing("From"))?;
    let response = header.one("ResponseFor")?.ok_or_else(|| missing("ResponseFor"))?;
    let code = required(header, "StatusCode")?;
    if code.len() > 8 || !code.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
        return Err(Fault::new(Defect::ValueUnknown, "StatusCode"));
    }
    let response_for = response_for(response)?;
    check_code(&response_for.organ_id, "ResponseFor/OrganId")?;
    Ok(Status {
        from: organ(from)?,
        response_for,
        code,
        description: text(header, "Description")?,
        at: day::local_time(&text(header, "Timestamp")?, "Timestamp")?,
    })
}

fn document(bytes: &[u8], root: &Node, header: &Node, limits: Limits) -> Result<Document, Fault> {
    let from = organ(header.one("From")?.ok_or_else(|| missing("From"))?)?;
    let promulgation = header.one("PromulgationInfo")?;
    let other = header.one("OtherInfo")?;
    let code = header.one("Code")?;
    let within = |node: Option<&Node>, name: &str| node.map_or(Ok(String::new()), |node| text(node, name));
    Ok(Document {
        from,
        to: recipients(header)?,
        document_id: required(header, "DocumentId")?,
        code_number: within(code, "CodeNumber")?,
        code_notation: within(code, "CodeNotation")?,
        place: within(promulgation, "Place")?,
        promulgated_on: day::day(&within(promulgation, "PromulgationDate")?, "PromulgationInfo/PromulgationDate")?,
        type_name: within(header.one("DocumentType")?, "TypeName")?,
        subject: text(header, "Subject")?,
        content: text(header, "Content")?,
        due_on: day::day(&text(header, "DueDate")?, "DueDate")?,
        priority: priority(&within(other, "Priority")?)?,
        response_for: header.all("ResponseFor").map(response_for).collect::<Result<_, _>>()?,
        application_type: text(header, "ApplicationType")?,
        business: business(root)?,
        attachments: attachments(bytes, root, limits)?,
        signature: signature(root),
    })
}

fn recipients(header: &Node) -> Result<Vec<Organ>, Fault> {
    let to: Vec<Organ> = header.all("To").map(organ).collect::<Result<_, _>>()?;
    if to.is_empty() {
        return Err(Fault::new(Defect::RecipientMissing, "To"));
    }
    if to.len() > limits::RECIPIENTS_MAX {
        return Err(Fault::new(Defect::TooManyRecipients, format!("{} To", to.len())));
    }
    let mut seen = HashSet::new();
    match to.iter().all(|organ| seen.insert(organ.id.as_str())) {
        true => Ok(to),
        false => Err(Fault::new(Defect::FieldRepeated, "To/OrganId")),
    }
}

fn organ(node: &Node) -> Result<Organ, Fault> {
    let id = required(node, "OrganId")?;
    check_code(&id, &format!("{}/OrganId", node.name))?;
    Ok(Organ { id, name: text(node, "OrganName")? })
}

/// Whether somebody has the code is for the directory to say, and its grammar is nobody's business; only what no directory can hold is
/// refused here.
fn check_code(code: &str, place: &str) -> Result<(), Fault> {
    let fits = |c: char| !c.is_whitespace() && !c.is_control();
    match !code.is_empty() && code.len() <= CODE_BYTES_MAX && code.chars().all(fits) {
        true => Ok(()),
        false => Err(Fault::new(Defect::CodeInvalid, place)),
    }
}

fn response_for(node: &Node) -> Result<ResponseFor, Fault> {
    let code = match node.one("Code")? {
        Some(code) if !code.children.is_empty() => {
            let (number, notation) = (text(code, "CodeNumber")?, text(code, "CodeNotation")?);
            if notation.is_empty() { number } else { format!("{number}/{notation}") }
        }
        Some(code) => code.text.clone(),
        None => String::new(),
    };
    Ok(ResponseFor {
        organ_id: text(node, "OrganId")?,
        code,
        promulgated_on: day::day(&text(node, "PromulgationDate")?, "ResponseFor/PromulgationDate")?,
        document_id: text(node, "DocumentId")?,
    })
}

fn priority(text: &str) -> Result<u8, Fault> {
    match text {
        "" => Ok(0),
        _ => text
            .parse::<u8>()
            .ok()
            .filter(|rank| *rank <= 4)
            .ok_or_else(|| Fault::new(Defect::ValueUnknown, "OtherInfo/Priority")),
    }
}

fn business(root: &Node) -> Result<Business, Fault> {
    let Some(node) = only(root, "Bussiness")? else { return Ok(Business::default()) };
    let kind = match text(node, "BussinessDocType")?.as_str() {
        "" | "0" => BusinessKind::New,
        "1" => BusinessKind::Recall,
        "2" => BusinessKind::Update,
        "3" => BusinessKind::Replace,
        _ => return Err(Fault::new(Defect::ValueUnknown, "Bussiness/BussinessDocType")),
    };
    let replaced: Vec<String> = match node.one("ReplacementInfoList")? {
        Some(list) => {
            list.all("ReplacementInfo").map(|info| text(info, "DocumentId")).collect::<Result<Vec<_>, _>>()?
        }
        None => Vec::new(),
    };
    let document_id = text(node, "DocumentId")?;
    let replaced: Vec<String> = replaced.into_iter().filter(|id| !id.is_empty()).collect();
    match kind {
        BusinessKind::Update if document_id.is_empty() => Err(missing("Bussiness/DocumentId")),
        BusinessKind::Replace if replaced.is_empty() => Err(missing("ReplacementInfo/DocumentId")),
        BusinessKind::New | BusinessKind::Recall | BusinessKind::Update | BusinessKind::Replace => {
            Ok(Business { kind, reason: text(node, "BussinessDocReason")?, document_id, replaced })
        }
    }
}

fn attachments(bytes: &[u8], root: &Node, limits: Limits) -> Result<Vec<Attachment>, Fault> {
    let nodes = root.everywhere("Attachment");
    if nodes.len() > ATTACHMENTS_MAX {
        return Err(Fault::new(Defect::TooManyAttachments, format!("{} Attachment", nodes.len())));
    }
    let mut manifest = manifest(root)?;
    let mut seen = HashSet::new();
    let mut attachments = Vec::with_capacity(nodes.len());
    let mut room = limits.file_bytes_max;
    for (index, node) in nodes.iter().enumerate() {
        let place = format!("Attachment {}", index + 1);
        let id = content_id(node)?;
        if !id.is_empty() && !seen.insert(id.clone()) {
            return Err(Fault::new(Defect::AttachmentRepeated, place));
        }
        let described = manifest.remove(&id).unwrap_or_default();
        let read = attachment(bytes, node, described, room, &place)?;
        room = room.saturating_sub(read.file.len() as u64);
        attachments.push(read);
    }
    match manifest.is_empty() {
        true => Ok(attachments),
        false => Err(Fault::new(Defect::AttachmentMissing, format!("{} Reference", manifest.len()))),
    }
}

/// What the manifest says, by ContentId.
fn manifest(root: &Node) -> Result<HashMap<String, Described>, Fault> {
    let mut manifest = HashMap::new();
    let list = only(root, "edXMLManifest")?.or(only(root, "Manifest")?);
    for reference in list.into_iter().flat_map(|list| list.all("Reference")) {
        let id = content_id(reference)?;
        let described = Described {
            name: text(reference, "AttachmentName")?,
            content_type: text(reference, "ContentType")?,
            description: text(reference, "Description")?,
        };
        if manifest.insert(id, described).is_some() {
            return Err(Fault::new(Defect::AttachmentRepeated, "Reference"));
        }
    }
    Ok(manifest)
}

#[derive(Default)]
struct Described {
    name: String,
    content_type: String,
    description: String,
}

/// ContentId or `href`, with or without `cid:`.
fn content_id(node: &Node) -> Result<String, Fault> {
    let written = text(node, "ContentId")?;
    let href = node.attributes.iter().find(|(name, _)| name == "href").map(|(_, value)| value.trim().to_owned());
    let id = if written.is_empty() { href.unwrap_or_default() } else { written };
    let has_scheme = id.get(..4).is_some_and(|scheme| scheme.eq_ignore_ascii_case("cid:"));
    Ok(if has_scheme { id[4..].to_owned() } else { id })
}

fn attachment(bytes: &[u8], node: &Node, described: Described, room: u64, place: &str) -> Result<Attachment, Fault> {
    let encoded = node.one(ENCODED)?.ok_or_else(|| missing(&format!("{place}/{ENCODED}")))?;
    let raw = bytes.get(encoded.inner.clone()).unwrap_or_default();
    let or = |own: String, other: String| if own.is_empty() { other } else { own };
    let name = or(text(node, "AttachmentName")?, described.name);
    let decoded = attachment::decode(raw, place)?;
    if decoded.len() as u64 > room {
        return Err(Fault::new(Defect::PackageTooLarge, place));
    }
    let (file, wrapped) = attachment::unwrap(decoded, &name, room, place)?;
    Ok(Attachment {
        name,
        content_type: or(text(node, "ContentType")?, described.content_type),
        description: or(text(node, "Description")?, described.description),
        file,
        wrapped,
        span: encoded.inner.clone(),
    })
}

/// In any namespace: producers put it into the wrong one.
fn signature(root: &Node) -> SignatureSeen {
    let mut seen = SignatureSeen::Absent;
    root.visit(&mut |node| {
        if matches!(node.name.as_str(), "Signature" | "DigitalSignature") {
            seen = SignatureSeen::NotVerifiable;
        }
    });
    seen
}

fn text(node: &Node, name: &str) -> Result<String, Fault> {
    let found = node.one(name)?.map(|child| child.text.clone()).unwrap_or_default();
    match found.len() > limits::TEXT_BYTES_MAX {
        true => Err(Fault::new(Defect::TextTooLong, format!("{}/{name}", node.name))),
        false => Ok(found),
    }
}

fn required(node: &Node, name: &str) -> Result<String, Fault> {
    let found = text(node, name)?;
    if found.is_empty() { Err(missing(&format!("{}/{name}", node.name))) } else { Ok(found) }
}

fn missing(place: &str) -> Fault {
    Fault::new(Defect::FieldMissing, place)
}
