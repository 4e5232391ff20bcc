//! Walks JSON byte by byte and takes its long texts out, decoding them from base64.

use base64::Engine as _;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};

/// A text of more bytes is put aside.
const TEXT_BYTES_MAX: usize = 16 * 1024;

/// What is to be done with a text that is put aside.
#[derive(PartialEq, Eq, Debug)]
pub(super) enum Piece {
    /// One begins.
    Begin,
    /// It goes on.
    Data(Vec<u8>),
    /// It is over.
    End {
        /// Whether all of it was base64.
        is_base64: bool,
    },
}

/// The walk.
pub(super) struct Scanner {
    /// The JSON without its long texts.
    pub json: Vec<u8>,
    mark: String,
    count: usize,
    state: State,
}

enum State {
    Outside,
    /// In a text that is still short, which begins at this place of the JSON.
    Short {
        from: usize,
        escape: Escape,
    },
    /// In a text that is put aside.
    Aside {
        escape: Escape,
        decoder: Decoder,
    },
}

/// Where in an escape the walk stands.
#[derive(Clone, Copy)]
enum Escape {
    None,
    Backslash,
    /// `\u` and so many of its four digits.
    Unicode(u8, u32),
}

impl Scanner {
    /// Starts; `mark` and a number stand for what is put aside.
    pub(super) fn new(mark: &str) -> Self {
        Self { json: Vec::new(), mark: mark.to_owned(), count: 0, state: State::Outside }
    }

    /// Whether no text is open.
    pub(super) fn is_whole(&self) -> bool {
        matches!(self.state, State::Outside)
    }

    /// Walks on.
    pub(super) fn push(&mut self, chunk: &[u8]) -> Vec<Piece> {
        let mut pieces = Vec::new();
        for &byte in chunk {
            self.step(byte, &mut pieces);
        }
        if let State::Aside { decoder, .. } = &mut self.state {
            pieces.extend(decoder.take_whole().map(Piece::Data));
        }
        pieces
    }

    fn step(&mut self, byte: u8, pieces: &mut Vec<Piece>) {
        match &mut self.state {
            State::Outside => {
                self.json.push(byte);
                if byte == b'"' {
                    self.state = State::Short { from: self.json.len(), escape: Escape::None };
                }
            }
            State::Short { from, escape } => {
                let from = *from;
                self.json.push(byte);
                match escape.step(byte) {
                    Step::End => self.state = State::Outside,
                    Step::Within | Step::Character(_) if self.json.len() - from > TEXT_BYTES_MAX => {
                        self.state = self.put_aside(from);
                        pieces.push(Piece::Begin);
                    }
                    Step::Within | Step::Character(_) => {}
                }
            }
            State::Aside { escape, decoder } => match escape.step(byte) {
                Step::Within => {}
                Step::Character(c) => decoder.push(c),
                Step::End => {
                    let (rest, is_base64) = decoder.finish();
                    pieces.extend(rest.map(Piece::Data));
                    pieces.push(Piece::End { is_base64 });
                    self.json.extend(format!("{}:{}\"", self.mark, self.count).into_bytes());
                    self.count += 1;
                    self.state = State::Outside;
                }
            },
        }
    }

    /// The text that began at `from` has grown long: what was kept of it is decoded instead.
    fn put_aside(&mut self, from: usize) -> State {
        let (mut escape, mut decoder) = (Escape::None, Decoder::default());
        for byte in self.json.drain(from..) {
            if let Step::Character(c) = escape.step(byte) {
                decoder.push(c);
            }
        }
        State::Aside { escape, decoder }
    }
}

enum Step {
    /// Part of an escape.
    Within,
    /// A character of the text; what no base64 has comes as a byte that base64 does not have either.
    Character(u8),
    /// The closing quote.
    End,
}

/// A byte that no base64 has.
const FOREIGN: u8 = 0;

impl Escape {
    fn step(&mut self, byte: u8) -> Step {
        match (*self, byte) {
            (Self::None, b'"') => Step::End,
            (Self::None, b'\\') => {
                *self = Self::Backslash;
                Step::Within
            }
            (Self::None, byte) => Step::Character(byte),
            (Self::Backslash, b'u') => {
                *self = Self::Unicode(0, 0);
                Step::Within
            }
            (Self::Backslash, byte) => {
                *self = Self::None;
                // Line breaks in base64 and the slash, which some writers escape.
                Step::Character(if matches!(byte, b'n' | b'r' | b't') { b'\n' } else { byte })
            }
            (Self::Unicode(count, value), byte) => {
                let value = value * 16 + char::from(byte).to_digit(16).unwrap_or(0);
                if count < 3 {
                    *self = Self::Unicode(count + 1, value);
                    return Step::Within;
                }
                *self = Self::None;
                Step::Character(u8::try_from(value).unwrap_or(FOREIGN))
            }
        }
    }
}

/// Base64 with or without padding at its end.
pub(super) fn engine() -> GeneralPurpose {
    let config = GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);
    GeneralPurpose::new(&STANDARD, config)
}

/// Decodes base64 that comes in pieces.
#[derive(Default)]
struct Decoder {
    text: Vec<u8>,
    is_broken: bool,
}

impl Decoder {
    fn push(&mut self, byte: u8) {
        if !byte.is_ascii_whitespace() && !self.is_broken {
            self.text.push(byte);
        }
    }

    /// What can be decoded without the end: whole groups of four, of which the last may be the end and stays.
    fn take_whole(&mut self) -> Option<Vec<u8>> {
        let whole = self.text.len().saturating_sub(1) / 4 * 4;
        let rest = self.text.split_off(whole);
        let text = std::mem::replace(&mut self.text, rest);
        if text.contains(&b'=') {
            self.is_broken = true;
            return None;
        }
        self.decode(&text)
    }

    fn finish(&mut self) -> (Option<Vec<u8>>, bool) {
        let text = std::mem::take(&mut self.text);
        let rest = self.decode(&text);
        (rest, !self.is_broken)
    }

    fn decode(&mut self, text: &[u8]) -> Option<Vec<u8>> {
        if self.is_broken || text.is_empty() {
            return None;
        }
        match engine().decode(text) {
            Ok(bytes) => Some(bytes),
            Err(_) => {
                self.is_broken = true;
                None
            }
        }
    }
}
