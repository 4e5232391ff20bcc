//! A small tree of XML, read within bounds from a stranger's bytes.
//!
//! No DTD, no entities besides the five of XML and character references, nothing outside is opened. The text of the attachments is not
//! copied: the tree keeps where it stands.

use std::ops::Range;

use quick_xml::Reader;
use quick_xml::events::{BytesRef, BytesStart, Event};

use super::fault::{Defect, Fault};

/// The namespace of QCVN 102:2016/BTTTT.
pub const NAMESPACE: &str = "http://www.mic.gov.vn/TBT/QCVN_102_2016";
/// Elements in elements.
pub const DEPTH_MAX: usize = 32;
/// Elements of one package: 4,096 recipients of nine elements each, and all the rest.
pub const ELEMENTS_MAX: usize = 65_536;
/// Attributes of one element.
pub const ATTRIBUTES_MAX: usize = 32;
/// Bytes of the text of one element, and of one attribute.
pub const TEXT_BYTES_MAX: usize = 64 * 1024;

/// The element whose text is an attachment.
pub(super) const ENCODED: &str = "ContentTransferEncoded";

/// In which namespace an element is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Space {
    /// That of edXML.
    Edxml,
    /// That of SOAP, or of the form before 2016.
    Soap,
    /// Any other, or none.
    Other,
}

/// An element.
#[derive(Debug)]
pub(super) struct Node {
    /// Name without prefix.
    pub name: String,
    /// Prefix with its colon; empty when there is none.
    pub prefix: String,
    /// Namespace.
    pub space: Space,
    /// Attributes by name without prefix; declarations of namespaces are left out.
    pub attributes: Vec<(String, String)>,
    /// Own text, trimmed; empty for attachments.
    pub text: String,
    /// Elements inside, in their order.
    pub children: Vec<Self>,
    /// From the first byte of the start tag to behind the last of the end tag.
    pub outer: Range<usize>,
    /// Between the tags.
    pub inner: Range<usize>,
}

impl Node {
    /// The children of edXML with this name.
    pub fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a Self> {
        self.children.iter().filter(move |child| child.space == Space::Edxml && child.name == name)
    }

    /// The one child of edXML with this name.
    ///
    /// # Errors
    /// [`Defect::FieldRepeated`].
    pub fn one<'a>(&'a self, name: &'a str) -> Result<Option<&'a Self>, Fault> {
        let mut found = self.all(name);
        let first = found.next();
        match found.next() {
            Some(_) => Err(Fault::new(Defect::FieldRepeated, format!("{}/{name}", self.name))),
            None => Ok(first),
        }
    }

    /// Every element of edXML with this name, at any depth.
    pub fn everywhere<'a>(&'a self, name: &str) -> Vec<&'a Self> {
        let mut found = Vec::new();
        self.visit(&mut |node| {
            if node.space == Space::Edxml && node.name == name {
                found.push(node);
            }
        });
        found
    }

    /// Calls `see` with this element and all inside. The depth is bounded by [`DEPTH_MAX`].
    pub fn visit<'a>(&'a self, see: &mut impl FnMut(&'a Self)) {
        see(self);
        self.children.iter().for_each(|child| child.visit(see));
    }
}

/// Reads a package's tree.
///
/// # Errors
/// The first thing that is not as it has to be.
pub(super) fn read(bytes: &[u8]) -> Result<Node, Fault> {
    let (text, skipped) = as_text(bytes)?;
    let mut builder = Builder::new(skipped);
    let mut reader = Reader::from_str(text);
    reader.config_mut().check_comments = true;
    loop {
        let before = position(&reader, skipped);
        let event = reader
            .read_event()
            .map_err(|_| Fault::new(Defect::NotWellFormed, format!("byte {}", position(&reader, skipped))))?;
        let after = position(&reader, skipped);
        match event {
            Event::Start(start) => builder.open(&start, before, after)?,
            Event::Empty(start) => {
                builder.open(&start, before, after)?;
                builder.close(after, after)?;
            }
            Event::End(_) => builder.close(before, after)?,
            Event::Text(text) => builder.text(&text.xml10_content(), before)?,
            Event::CData(text) => builder.text(&text.xml10_content(), before)?,
            Event::GeneralRef(reference) => builder.reference(&reference, before)?,
            Event::DocType(_) => return Err(Fault::new(Defect::Doctype, format!("byte {before}"))),
            Event::Decl(declaration) => check_encoding(declaration.encoding().and_then(Result::ok).as_deref())?,
            Event::Comment(_) | Event::PI(_) => {}
            Event::Eof => return builder.finish(),
        }
    }
}

/// The bytes as text, and how many bytes of a byte order mark were passed over.
fn as_text(bytes: &[u8]) -> Result<(&str, usize), Fault> {
    if bytes.starts_with(&[0xFF, 0xFE]) || bytes.starts_with(&[0xFE, 0xFF]) || bytes.starts_with(&[b'<', 0]) {
        return Err(Fault::new(Defect::EncodingUnsupported, "UTF-16"));
    }
    let (body, skipped) = match bytes.strip_prefix(b"\xEF\xBB\xBF") {
        Some(body) => (body, 3),
        None => (bytes, 0),
    };
    let text = std::str::from_utf8(body)
        .map_err(|fault| Fault::new(Defect::EncodingUnsupported, format!("byte {}", skipped + fault.valid_up_to())))?;
    let trimmed = text.trim_start_matches([' ', '\t', '\r', '\n']);
    let is_shifted = trimmed.len() < text.len() && trimmed.starts_with("<?xml");
    if !trimmed.starts_with('<') || is_shifted {
        let what = if trimmed.is_empty() { Defect::NotEdxml } else { Defect::StrayBytes };
        return Err(Fault::new(what, "byte 0"));
    }
    match body.iter().position(|&byte| byte < 0x20 && !matches!(byte, b'\t' | b'\n' | b'\r')) {
        Some(at) => Err(Fault::new(Defect::NotWellFormed, format!("byte {}", skipped + at))),
        None => Ok((text, skipped)),
    }
}

fn check_encoding(declared: Option<&str>) -> Result<(), Fault> {
    match declared {
        Some(name) if !["utf-8", "utf8", "us-ascii"].contains(&name.to_ascii_lowercase().as_str()) => {
            Err(Fault::new(Defect::EncodingUnsupported, "encoding"))
        }
        _ => Ok(()),
    }
}

fn position(reader: &Reader<&[u8]>, skipped: usize) -> usize {
    skipped + usize::try_from(reader.buffer_position()).unwrap_or(usize::MAX - 8)
}

struct Builder {
    open: Vec<Node>,
    root: Option<Node>,
    elements: usize,
    /// Prefix, namespace and the depth at which it was declared.
    bindings: Vec<(String, Space, usize)>,
    start: usize,
}

impl Builder {
    fn new(start: usize) -> Self {
        Self { open: Vec::new(), root: None, elements: 0, bindings: Vec::new(), start }
    }

    fn open(&mut self, tag: &BytesStart<'_>, before: usize, after: usize) -> Result<(), Fault> {
        if self.root.is_some() {
            return Err(Fault::new(Defect::StrayBytes, format!("byte {before}")));
        }
        self.elements += 1;
        let place = |what: &str| format!("{what} at byte {before}");
        if self.elements > ELEMENTS_MAX {
            return Err(Fault::new(Defect::TooManyElements, place("element")));
        }
        let depth = self.open.len() + 1;
        if depth > DEPTH_MAX {
            return Err(Fault::new(Defect::TooDeep, place("element")));
        }
        let attributes = self.attributes(tag, depth, before)?;
        let full = tag.name().into_inner();
        let (prefix, name) = full.split_once(':').unwrap_or(("", full));
        let space = self.resolve(prefix).ok_or_else(|| Fault::new(Defect::PrefixUnbound, place("element")))?;
        self.open.push(Node {
            name: name.chars().take(128).collect(),
            prefix: if prefix.is_empty() { String::new() } else { format!("{prefix}:") },
            space,
            attributes,
            text: String::new(),
            children: Vec::new(),
            outer: before..after,
            inner: after..after,
        });
        Ok(())
    }

    /// Declares namespaces and gives the other attributes.
    fn attributes(
        &mut self,
        tag: &BytesStart<'_>,
        depth: usize,
        before: usize,
    ) -> Result<Vec<(String, String)>, Fault> {
        let fault = |defect| Fault::new(defect, format!("attribute at byte {before}"));
        let (mut plain, mut names) = (Vec::new(), Vec::new());
        for (count, attribute) in tag.attributes().with_checks(false).enumerate() {
            if count >= ATTRIBUTES_MAX {
                return Err(fault(Defect::TooManyAttributes));
            }
            let attribute = attribute.map_err(|_| fault(Defect::NotWellFormed))?;
            let name = attribute.key.into_inner();
            if attribute.value.len() > TEXT_BYTES_MAX {
                return Err(fault(Defect::TextTooLong));
            }
            let value = quick_xml::escape::unescape(&attribute.value).map_err(|_| fault(Defect::EntityUnknown))?;
            if names.contains(&name.to_owned()) {
                return Err(fault(Defect::NotWellFormed));
            }
            names.push(name.to_owned());
            match (name, name.split_once(':')) {
                ("xmlns", _) => self.bindings.push((String::new(), space_of(&value), depth)),
                (_, Some(("xmlns", prefix))) => self.bindings.push((prefix.to_owned(), space_of(&value), depth)),
                _ => plain.push((name.to_owned(), value.into_owned())),
            }
        }
        for (name, _) in &mut plain {
            if let Some((prefix, local)) = name.split_once(':') {
                self.resolve(prefix).ok_or_else(|| fault(Defect::PrefixUnbound))?;
                *name = local.to_owned();
            }
        }
        Ok(plain)
    }

    fn resolve(&self, prefix: &str) -> Option<Space> {
        let bound = self.bindings.iter().rev().find(|(name, ..)| name == prefix).map(|(_, space, _)| *space);
        match prefix {
            "" | "xml" => Some(bound.unwrap_or(Space::Other)),
            _ => bound,
        }
    }

    fn close(&mut self, before: usize, after: usize) -> Result<(), Fault> {
        let depth = self.open.len();
        self.bindings.retain(|(.., declared)| *declared < depth);
        let malformed = || Fault::new(Defect::NotWellFormed, format!("byte {before}"));
        let mut node = self.open.pop().ok_or_else(malformed)?;
        node.inner.end = before.max(node.inner.start);
        node.outer.end = after;
        node.text = node.text.trim().to_owned();
        match self.open.last_mut() {
            Some(parent) => parent.children.push(node),
            None => self.root = Some(node),
        }
        Ok(())
    }

    fn text(&mut self, text: &str, before: usize) -> Result<(), Fault> {
        match self.open.last_mut() {
            None if text.trim().is_empty() || before < self.start => Ok(()),
            None => Err(Fault::new(Defect::StrayBytes, format!("byte {before}"))),
            Some(node) if node.name == ENCODED => Ok(()),
            Some(node) if node.text.len() + text.len() > TEXT_BYTES_MAX => {
                // White space between elements is no text.
                if text.trim().is_empty() { Ok(()) } else { Err(Fault::new(Defect::TextTooLong, node.name.clone())) }
            }
            Some(node) => {
                node.text.push_str(text);
                Ok(())
            }
        }
    }

    fn reference(&mut self, reference: &BytesRef<'_>, before: usize) -> Result<(), Fault> {
        let fault = |defect| Fault::new(defect, format!("byte {before}"));
        let character = match reference.resolve_char_ref() {
            Ok(Some(character)) => character,
            Ok(None) => match reference.xml10_content().as_ref() {
                "lt" => '<',
                "gt" => '>',
                "amp" => '&',
                "apos" => '\'',
                "quot" => '"',
                _ => return Err(fault(Defect::EntityUnknown)),
            },
            Err(_) => return Err(fault(Defect::NotWellFormed)),
        };
        if character.is_control() && !matches!(character, '\t' | '\n' | '\r') {
            return Err(fault(Defect::NotWellFormed));
        }
        self.text(character.encode_utf8(&mut [0; 4]), before)
    }

    fn finish(self) -> Result<Node, Fault> {
        match self.root {
            Some(root) if self.open.is_empty() => Ok(root),
            _ => Err(Fault::new(Defect::NotWellFormed, "end of file")),
        }
    }
}

fn space_of(uri: &str) -> Space {
    match uri.trim() {
        NAMESPACE => Space::Edxml,
        "http://schemas.xmlsoap.org/soap/envelope/" | "http://www.w3.org/2003/05/soap-envelope" => Space::Soap,
        _ => Space::Other,
    }
}
