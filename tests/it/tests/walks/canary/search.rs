//! Looks for canaries in texts, and says what was found where.

/// Characters of the surroundings that a complaint shows.
const AROUND: usize = 160;

/// Something that must not be found, in every form that it may take on its way.
#[derive(Clone, Debug)]
pub struct Canary {
    name: String,
    forms: Vec<String>,
}

impl Canary {
    pub fn of(text: &str) -> Self {
        let hex = text.bytes().map(|byte| format!("{byte:02x}")).collect();
        let percent = |byte: u8| match byte {
            b'0'..=b'9' | b'a'..=b'z' | b'A'..=b'Z' | b'-' | b'.' | b'_' => char::from(byte).to_string(),
            other => format!("%{other:02X}"),
        };
        let percent = text.bytes().map(percent).collect();
        let escaped = text.chars().map(|c| if c.is_ascii() { c.to_string() } else { c.escape_unicode().to_string() });
        let escaped = escaped.collect();
        Self { name: text.to_owned(), forms: vec![text.to_owned(), hex, percent, escaped] }
    }
}

/// Whether `needle` stands in `bytes`.
pub fn find(bytes: &[u8], needle: &str) -> bool {
    String::from_utf8_lossy(bytes).contains(needle)
}

/// What was found.
#[derive(Default)]
pub struct Findings {
    complaints: Vec<String>,
    places: usize,
}

impl Findings {
    pub fn look(&mut self, place: &str, bytes: &[u8], canaries: &[Canary]) {
        self.places += 1;
        let text = String::from_utf8_lossy(bytes);
        for canary in canaries {
            let Some(at) = canary.forms.iter().find_map(|form| text.find(form.as_str())) else { continue };
            let before = text[..at].chars().rev().take(AROUND).count();
            let from: usize = text[..at].chars().rev().take(before).map(char::len_utf8).sum();
            let around: String = text[at - from..].chars().take(2 * AROUND).collect();
            self.complaints.push(format!("{place} has {:?}: … {around} …", canary.name));
        }
    }

    pub fn settle(self) {
        assert!(self.places >= 40, "only {} places were searched", self.places);
        assert!(self.complaints.is_empty(), "{}", self.complaints.join("\n"));
    }
}

#[test]
fn a_canary_is_found_in_each_of_its_forms() {
    for hidden in ["a Hoàng b", "Ho\\u{e0}ng", "486fc3a06e67", "Ho%C3%A0ng"] {
        let mut findings = Findings::default();
        findings.look("here", hidden.as_bytes(), &[Canary::of("Hoàng")]);
        assert_eq!(findings.complaints.len(), 1, "{hidden}");
    }
}
