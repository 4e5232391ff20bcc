//! What became of each point: JSON and JUnit XML. The table is the terminal's business.

use std::fmt::Write as _;
use std::time::Duration;

use serde_json::{Value, json};

/// What became of one point.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Verdict {
    /// The adapter does what the contract says.
    Passed,
    /// It does not, for this reason.
    Failed(String),
    /// Left out, for the author's reason.
    Skipped(String),
}

/// One point of a run.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Result {
    /// Its name.
    pub point: &'static str,
    /// What became of it.
    pub verdict: Verdict,
    /// How long it took.
    pub took: Duration,
}

/// A whole run.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Report {
    /// The points, in the order of the contract.
    pub results: Vec<Result>,
    /// How long it took.
    pub took: Duration,
}

impl Report {
    /// Whether no point failed.
    pub fn is_passed(&self) -> bool {
        self.failed().is_empty()
    }

    /// Names of the points that failed.
    pub fn failed(&self) -> Vec<&'static str> {
        let failed = self.results.iter().filter(|result| matches!(result.verdict, Verdict::Failed(_)));
        failed.map(|result| result.point).collect()
    }

    /// Points passed, failed, and skipped.
    pub fn counts(&self) -> (usize, usize, usize) {
        let skipped = self.results.iter().filter(|result| matches!(result.verdict, Verdict::Skipped(_))).count();
        let failed = self.failed().len();
        (self.results.len() - failed - skipped, failed, skipped)
    }

    /// One JSON document.
    pub fn to_json(&self) -> Value {
        let (passed, failed, skipped) = self.counts();
        let points: Vec<Value> = self.results.iter().map(result_json).collect();
        json!({
            "passed": passed, "failed": failed, "skipped": skipped, "seconds": self.took.as_secs_f64(), "points": points,
        })
    }

    /// JUnit XML, as build servers read it.
    pub fn to_junit(&self) -> String {
        let (_, failed, skipped) = self.counts();
        let mut xml = format!(
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuite name=\"lienthong adapter\" tests=\"{}\" failures=\"{failed}\" skipped=\"{skipped}\" time=\"{:.3}\">\n",
            self.results.len(),
            self.took.as_secs_f64()
        );
        for result in &self.results {
            let head = format!("  <testcase name=\"{}\" time=\"{:.3}\"", result.point, result.took.as_secs_f64());
            let written = match &result.verdict {
                Verdict::Passed => writeln!(xml, "{head}/>"),
                Verdict::Failed(why) => {
                    writeln!(xml, "{head}><failure message=\"{}\"/></testcase>", escaped(why))
                }
                Verdict::Skipped(why) => writeln!(xml, "{head}><skipped message=\"{}\"/></testcase>", escaped(why)),
            };
            debug_assert!(written.is_ok(), "a string takes what is written");
        }
        xml.push_str("</testsuite>\n");
        xml
    }
}

fn result_json(result: &Result) -> Value {
    let (verdict, why) = match &result.verdict {
        Verdict::Passed => ("passed", None),
        Verdict::Failed(why) => ("failed", Some(why)),
        Verdict::Skipped(why) => ("skipped", Some(why)),
    };
    json!({ "point": result.point, "verdict": verdict, "why": why, "seconds": result.took.as_secs_f64() })
}

/// Text within an XML attribute; characters that XML does not have become U+FFFD.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\n' => out.push_str("&#10;"),
            '\t' => out.push_str("&#9;"),
            control if control.is_control() => out.push('\u{fffd}'),
            other => out.push(other),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report() -> Report {
        let result = |point, verdict| Result { point, verdict, took: Duration::from_millis(1500) };
        let why = "said \"a < b\" & went\n\u{1b}[31m".to_owned();
        let results = vec![
            result("info", Verdict::Passed),
            result("drain", Verdict::Failed(why)),
            result("submit", Verdict::Skipped("nothing comes in".to_owned())),
        ];
        Report { results, took: Duration::from_secs(3) }
    }

    #[test]
    fn what_an_adapter_says_cannot_break_the_xml() {
        let xml = report().to_junit();
        assert!(xml.contains("tests=\"3\" failures=\"1\" skipped=\"1\""), "{xml}");
        assert!(xml.contains("said &quot;a &lt; b&quot; &amp; went&#10;\u{fffd}[31m"), "{xml}");
    }

    #[test]
    fn a_run_is_passed_when_nothing_failed_and_skips_are_shown() {
        let json = report().to_json();
        assert_eq!((&json["passed"], &json["failed"], &json["skipped"]), (&json!(1), &json!(1), &json!(1)));
        assert_eq!(json["points"][2]["why"], "nothing comes in");
        assert!(!report().is_passed());
        assert_eq!(report().failed(), ["drain"]);
    }
}
