//! The skeleton of a package: its bytes with the attachments taken out, from which the original is rebuilt byte for byte.
//!
//! An attachment travels as a part of the envelope, once, however many packages carry it. Its base64 text is left out where encoding the
//! part again gives exactly that text; where it does not, the text stays. So the skeleton of a package that nothing can be taken out of is
//! the package itself.
//!
//! ```text
//! lienthong.edxml.skeleton.v1 LF
//! <size of the original> SP <SHA-256 of the original> SP <number of gaps> LF
//! <offset in the original> SP <SHA-256 of the part> SP <width of a line, 0 = unbroken> SP <line break: none|lf|crlf|ref> SP
//!     <white space before, in hexadecimal or -> SP <white space behind> LF            one such line a gap, in rising order
//! <the original's bytes without the gaps>
//! ```

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use gateway_model::Digest;

const HEAD: &str = "lienthong.edxml.skeleton.v1";
/// Gaps of one skeleton: one an attachment.
const GAPS_MAX: usize = 256;
/// Bytes of a skeleton's first lines.
const HEAD_BYTES_MAX: usize = 128 * 1024;
/// Bytes of white space around a text that are still worth telling.
const SPACE_BYTES_MAX: usize = 256;

/// A package without its attachments.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Skeleton {
    size: u64,
    digest: Digest,
    gaps: Vec<Gap>,
    rest: Vec<u8>,
}

/// A text that was left out.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Gap {
    offset: usize,
    part: Digest,
    layout: Layout,
}

/// How a base64 text is laid out.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Layout {
    width: usize,
    line_break: LineBreak,
    before: Vec<u8>,
    behind: Vec<u8>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum LineBreak {
    None,
    Lf,
    CrLf,
    /// `&#13;` and a line feed.
    Reference,
}

/// Why a package cannot be rebuilt.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum SkeletonError {
    /// Not a skeleton, or one that contradicts itself.
    #[error("the skeleton of the package is malformed")]
    Malformed,
    /// It names a part that the envelope does not have.
    #[error("the skeleton names a part that is not there")]
    PartMissing,
    /// What was rebuilt is not the original.
    #[error("the rebuilt package is not the original")]
    Different,
    /// The original would be larger than the bound.
    #[error("the rebuilt package would be larger than the bound")]
    TooLarge,
}

impl Skeleton {
    /// Takes out of `original` each text that its attachment gives again. `texts` are places of base64 text and the bytes they decode to.
    pub fn of(original: &[u8], texts: &[(std::ops::Range<usize>, &[u8])]) -> Self {
        let mut ordered: Vec<_> = texts.iter().collect();
        ordered.sort_by_key(|(span, _)| span.start);
        let (mut gaps, mut rest, mut from) = (Vec::new(), Vec::new(), 0);
        for (span, bytes) in ordered {
            let Some(text) = original.get(span.clone()).filter(|_| span.start >= from && gaps.len() < GAPS_MAX) else {
                continue;
            };
            let Some(layout) = Layout::of(text).filter(|layout| layout.write(bytes) == text) else { continue };
            rest.extend_from_slice(&original[from..span.start]);
            gaps.push(Gap { offset: span.start, part: Digest::of(bytes), layout });
            from = span.end;
        }
        rest.extend_from_slice(&original[from..]);
        Self { size: original.len() as u64, digest: Digest::of(original), gaps, rest }
    }

    /// The bytes that travel.
    pub fn encode(&self) -> Vec<u8> {
        let mut head = format!("{HEAD}\n{} {} {}\n", self.size, self.digest, self.gaps.len());
        for gap in &self.gaps {
            let layout = &gap.layout;
            head.push_str(&format!(
                "{} {} {} {} {} {}\n",
                gap.offset,
                gap.part,
                layout.width,
                layout.line_break.name(),
                space_text(&layout.before),
                space_text(&layout.behind)
            ));
        }
        [head.as_bytes(), &self.rest].concat()
    }

    /// Reads what travelled.
    ///
    /// # Errors
    /// [`SkeletonError::Malformed`].
    pub fn decode(bytes: &[u8]) -> Result<Self, SkeletonError> {
        let mut lines = Lines { bytes, read: 0 };
        if lines.next()? != HEAD {
            return Err(SkeletonError::Malformed);
        }
        let mut fields = lines.next()?.split(' ');
        let (size, digest, count) = (number(fields.next())?, digest(fields.next())?, number(fields.next())?);
        if count > GAPS_MAX as u64 || fields.next().is_some() {
            return Err(SkeletonError::Malformed);
        }
        let gaps = (0..count).map(|_| Gap::parse(lines.next()?)).collect::<Result<Vec<_>, _>>()?;
        Ok(Self { size, digest, gaps, rest: bytes[lines.read..].to_vec() })
    }

    /// The parts that are needed to rebuild the original.
    pub fn parts(&self) -> Vec<Digest> {
        self.gaps.iter().map(|gap| gap.part).collect()
    }

    /// SHA-256 of the original.
    pub fn digest(&self) -> Digest {
        self.digest
    }

    /// Rebuilds the original and checks that it is.
    ///
    /// # Errors
    /// See [`SkeletonError`].
    pub fn rebuild<'a>(
        &self,
        part: impl Fn(&Digest) -> Option<&'a [u8]>,
        bytes_max: u64,
    ) -> Result<Vec<u8>, SkeletonError> {
        if self.size > bytes_max {
            return Err(SkeletonError::TooLarge);
        }
        let (mut out, mut taken) = (Vec::new(), 0usize);
        for gap in &self.gaps {
            let wanted = gap.offset.checked_sub(out.len()).ok_or(SkeletonError::Malformed)?;
            let end = taken.checked_add(wanted).ok_or(SkeletonError::Malformed)?;
            out.extend_from_slice(self.rest.get(taken..end).ok_or(SkeletonError::Malformed)?);
            taken = end;
            out.extend_from_slice(&gap.layout.write(part(&gap.part).ok_or(SkeletonError::PartMissing)?));
            if out.len() as u64 > self.size {
                return Err(SkeletonError::Different);
            }
        }
        out.extend_from_slice(&self.rest[taken..]);
        match out.len() as u64 == self.size && Digest::of(&out) == self.digest {
            true => Ok(out),
            false => Err(SkeletonError::Different),
        }
    }
}

impl Gap {
    fn parse(line: &str) -> Result<Self, SkeletonError> {
        let fields: Vec<&str> = line.split(' ').collect();
        let &[offset, part, width, line_break, before, behind] = fields.as_slice() else {
            return Err(SkeletonError::Malformed);
        };
        let small = |text| number(Some(text)).and_then(|n| usize::try_from(n).map_err(|_| SkeletonError::Malformed));
        let layout = Layout {
            width: small(width)?,
            line_break: LineBreak::parse(line_break)?,
            before: space(before)?,
            behind: space(behind)?,
        };
        let is_broken = layout.line_break != LineBreak::None;
        if is_broken != (layout.width > 0) || !layout.width.is_multiple_of(4) {
            return Err(SkeletonError::Malformed);
        }
        Ok(Self { offset: small(offset)?, part: digest(Some(part))?, layout })
    }
}

impl Layout {
    /// The layout that `text` seems to have; whether it has it is for writing to show.
    fn of(text: &[u8]) -> Option<Self> {
        let core = text.trim_ascii();
        let start = text.len() - text.trim_ascii_start().len();
        let (before, behind) = (text[..start].to_vec(), text[start + core.len()..].to_vec());
        if before.len() > SPACE_BYTES_MAX || behind.len() > SPACE_BYTES_MAX {
            return None;
        }
        let first = core.iter().position(|byte| matches!(byte, b'\r' | b'\n' | b'&'));
        let (width, line_break) = match first.map(|at| (at, &core[at..])) {
            None => (0, LineBreak::None),
            Some((at, rest)) if rest.starts_with(b"\r\n") => (at, LineBreak::CrLf),
            Some((at, rest)) if rest.starts_with(b"\n") => (at, LineBreak::Lf),
            Some((at, rest)) if rest.starts_with(b"&#13;\n") => (at, LineBreak::Reference),
            Some(_) => return None,
        };
        (width % 4 == 0 && (width > 0 || line_break == LineBreak::None)).then_some(Self {
            width,
            line_break,
            before,
            behind,
        })
    }

    fn write(&self, bytes: &[u8]) -> Vec<u8> {
        let encoded = STANDARD.encode(bytes);
        let mut out = self.before.clone();
        match self.width {
            0 => out.extend_from_slice(encoded.as_bytes()),
            width => {
                for (index, line) in encoded.as_bytes().chunks(width).enumerate() {
                    if index > 0 {
                        out.extend_from_slice(self.line_break.bytes());
                    }
                    out.extend_from_slice(line);
                }
            }
        }
        out.extend_from_slice(&self.behind);
        out
    }
}

impl LineBreak {
    const ALL: [Self; 4] = [Self::None, Self::Lf, Self::CrLf, Self::Reference];

    fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Lf => "lf",
            Self::CrLf => "crlf",
            Self::Reference => "ref",
        }
    }

    fn bytes(self) -> &'static [u8] {
        match self {
            Self::None => b"",
            Self::Lf => b"\n",
            Self::CrLf => b"\r\n",
            Self::Reference => b"&#13;\n",
        }
    }

    fn parse(name: &str) -> Result<Self, SkeletonError> {
        Self::ALL.into_iter().find(|one| one.name() == name).ok_or(SkeletonError::Malformed)
    }
}

struct Lines<'a> {
    bytes: &'a [u8],
    read: usize,
}

impl<'a> Lines<'a> {
    fn next(&mut self) -> Result<&'a str, SkeletonError> {
        let end = self.bytes.len().min(HEAD_BYTES_MAX);
        let rest = self.bytes.get(self.read..end).ok_or(SkeletonError::Malformed)?;
        let length = rest.iter().position(|&byte| byte == b'\n').ok_or(SkeletonError::Malformed)?;
        self.read += length + 1;
        std::str::from_utf8(&rest[..length]).map_err(|_| SkeletonError::Malformed)
    }
}

fn number(text: Option<&str>) -> Result<u64, SkeletonError> {
    let text = text.filter(|text| text.len() <= 12 && text.bytes().all(|byte| byte.is_ascii_digit()));
    text.and_then(|text| text.parse().ok()).ok_or(SkeletonError::Malformed)
}

fn digest(text: Option<&str>) -> Result<Digest, SkeletonError> {
    text.and_then(Digest::from_hex).ok_or(SkeletonError::Malformed)
}

fn space_text(bytes: &[u8]) -> String {
    if bytes.is_empty() { "-".to_owned() } else { hex::encode(bytes) }
}

fn space(text: &str) -> Result<Vec<u8>, SkeletonError> {
    let bytes = if text == "-" { Vec::new() } else { hex::decode(text).map_err(|_| SkeletonError::Malformed)? };
    match bytes.len() <= SPACE_BYTES_MAX && bytes.trim_ascii().is_empty() {
        true => Ok(bytes),
        false => Err(SkeletonError::Malformed),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn check(text: &[u8], bytes: &[u8], gaps: usize) {
        let original = [b"<a>".as_slice(), text, b"</a>"].concat();
        let skeleton = Skeleton::of(&original, &[(3..3 + text.len(), bytes)]);
        assert_eq!(skeleton.gaps.len(), gaps, "{:?}", String::from_utf8_lossy(text));
        let read = Skeleton::decode(&skeleton.encode()).unwrap();
        assert_eq!(read.rebuild(|_| Some(bytes), 1 << 20).unwrap(), original);
    }

    #[test]
    fn a_text_is_taken_out_where_it_can_be_given_again_and_stays_where_it_cannot() {
        let bytes = vec![7u8; 100];
        let plain = STANDARD.encode(&bytes);
        let broken = |width: usize, by: &str| {
            plain.as_bytes().chunks(width).map(|c| std::str::from_utf8(c).unwrap()).collect::<Vec<_>>().join(by)
        };
        check(plain.as_bytes(), &bytes, 1);
        check(format!("\n  {plain}\r\n").as_bytes(), &bytes, 1);
        check(broken(76, "\r\n").as_bytes(), &bytes, 1);
        check(broken(64, "\n").as_bytes(), &bytes, 1);
        check(broken(76, "&#13;\n").as_bytes(), &bytes, 1);
        check(plain.trim_end_matches('=').as_bytes(), &bytes, 0);
        check(broken(75, "\n").as_bytes(), &bytes, 0);
        check(broken(76, " ").as_bytes(), &bytes, 0);
        check(format!("<![CDATA[{plain}]]>").as_bytes(), &bytes, 0);
    }

    #[test]
    fn a_skeleton_that_lies_is_refused() {
        let original = b"<a>aGVsbG8=</a>";
        let skeleton = Skeleton::of(original, &[(3..11, b"hello")]);
        assert_eq!(skeleton.rebuild(|_| None, 100), Err(SkeletonError::PartMissing));
        assert_eq!(skeleton.rebuild(|_| Some(b"other"), 100), Err(SkeletonError::Different));
        assert_eq!(skeleton.rebuild(|_| Some(b"hello"), 5), Err(SkeletonError::TooLarge));
        let text = String::from_utf8(skeleton.encode()).unwrap();
        for (good, bad) in [("v1", "v2"), (" 1\n", " 300\n"), ("none", "tab"), ("\n3 ", "\n900 "), (" - -", " 41 -")] {
            let read = Skeleton::decode(text.replacen(good, bad, 1).as_bytes());
            assert!(read.and_then(|s| s.rebuild(|_| Some(b"hello"), 100)).is_err(), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn reading_any_bytes_never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
            if let Ok(skeleton) = Skeleton::decode(&bytes) {
                drop(skeleton.rebuild(|_| Some(b"x"), 1_000));
            }
        }
    }
}
