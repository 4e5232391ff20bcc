//! What dashboards and alert rules ask for: the metrics and labels in each of their queries.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use serde_json::Value;
use yaml_rust2::{Yaml, YamlLoader};

/// Words of the query language that stand where a metric could.
const WORDS: [&str; 6] = ["and", "or", "unless", "bool", "offset", "time"];
/// Before a list of labels.
const LISTS: [&str; 6] = ["by", "without", "on", "ignoring", "group_left", "group_right"];

/// A metric in a query, with the labels that it is asked by: name and value, when exactly one value is asked for.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Asked {
    pub metric: String,
    pub labels: Vec<(String, Option<String>)>,
    /// File and title, for complaints.
    pub place: String,
}

/// Everything that is asked for by the files of a folder of `deploy/`.
pub fn all() -> BTreeSet<Asked> {
    let deploy = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../deploy");
    let mut asked = BTreeSet::new();
    for file in files(&deploy.join("grafana"), "json") {
        asked.extend(dashboard(&file));
    }
    for file in files(&deploy.join("prometheus"), "rules.yml") {
        asked.extend(rules(&file));
    }
    asked
}

fn files(folder: &Path, end: &str) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let files: Vec<PathBuf> = entries.filter(|path| path.to_string_lossy().ends_with(end)).collect();
    assert!(!files.is_empty(), "{} has no *.{end}", folder.display());
    files
}

/// A dashboard: with an identity, titles in both languages, and a query in every panel.
fn dashboard(file: &Path) -> Vec<Asked> {
    let board: Value = serde_json::from_str(&std::fs::read_to_string(file).unwrap()).unwrap();
    assert!(board["uid"].as_str().is_some_and(|uid| (1..=40).contains(&uid.len())), "{}", file.display());
    assert!(board["schemaVersion"].as_u64().is_some_and(|version| version >= 39), "{}", file.display());
    let (mut ids, mut asked) = (BTreeSet::new(), Vec::new());
    for panel in board["panels"].as_array().unwrap() {
        let title = panel["title"].as_str().unwrap();
        assert!(title.contains(" / "), "{title}: Vietnamese / English");
        assert!(ids.insert(panel["id"].as_u64().unwrap()), "{title}: another panel has its id");
        if panel["type"] == "row" {
            continue;
        }
        assert_eq!(panel["datasource"]["uid"], "${datasource}", "{title}");
        let targets = panel["targets"].as_array().unwrap();
        assert!(!targets.is_empty(), "{title} asks for nothing");
        let place = format!("{}: {title}", file.file_name().unwrap().to_string_lossy());
        asked.extend(targets.iter().flat_map(|target| read(target["expr"].as_str().unwrap(), &place)));
    }
    for variable in board["templating"]["list"].as_array().unwrap() {
        let definition = variable["definition"].as_str().unwrap_or_default();
        let metric = definition.strip_prefix("label_values(").and_then(|rest| rest.split(',').next());
        asked.extend(metric.into_iter().flat_map(|metric| read(metric, "a variable")));
    }
    asked
}

/// Alert rules: each named once, with how bad it is, and words in both languages.
fn rules(file: &Path) -> Vec<Asked> {
    let loaded = YamlLoader::load_from_str(&std::fs::read_to_string(file).unwrap()).unwrap();
    let (mut names, mut asked) = (BTreeSet::new(), Vec::new());
    for rule in loaded[0]["groups"].as_vec().unwrap().iter().flat_map(|group| group["rules"].as_vec().unwrap()) {
        let text = |value: &Yaml| value.as_str().unwrap_or_else(|| panic!("{rule:?}")).to_owned();
        let name = text(&rule["alert"]);
        assert!(names.insert(name.clone()), "{name} twice");
        assert!(["warning", "critical"].contains(&text(&rule["labels"]["severity"]).as_str()), "{name}");
        let said = [&rule["annotations"]["summary"], &rule["annotations"]["summary_en"]].map(text);
        assert_ne!(said[0], said[1], "{name}");
        assert!(text(&rule["annotations"]["description"]).contains(" / "), "{name}: Vietnamese / English");
        asked.extend(read(&text(&rule["expr"]), &format!("alert {name}")));
    }
    assert!(names.len() >= 20);
    asked
}

/// Takes a query apart.
pub fn read(query: &str, place: &str) -> Vec<Asked> {
    let characters: Vec<char> = query.chars().collect();
    let (mut asked, mut at): (Vec<Asked>, usize) = (Vec::new(), 0);
    while let Some(&first) = characters.get(at) {
        let end = match first {
            '"' => at + 1 + length(&characters[at + 1..], |c| c != '"'),
            '[' => at + length(&characters[at..], |c| c != ']'),
            '{' => at + length(&characters[at..], |c| c != '}'),
            _ if is_letter(first) || first.is_ascii_digit() || first == '$' => {
                at + 1 + length(&characters[at + 1..], |c| is_letter(c) || c.is_ascii_digit())
            }
            _ => at,
        };
        let word: String = characters[at..end.max(at)].iter().collect();
        let after: String = characters[end..].iter().collect();
        if first == '{' {
            asked.last_mut().unwrap_or_else(|| panic!("labels of nothing: {query}")).labels = labels(&word[1..]);
        } else if LISTS.contains(&word.as_str()) {
            at = end + after.find(')').unwrap_or_else(|| panic!("a list without an end: {query}")) + 1;
            continue;
        } else if is_letter(first) && !WORDS.contains(&word.as_str()) && !is_call(&after) {
            asked.push(Asked { metric: word, labels: Vec::new(), place: place.to_owned() });
        }
        at = if end > at && (is_letter(first) || first.is_ascii_digit() || first == '$') { end } else { end + 1 };
    }
    asked
}

fn labels(text: &str) -> Vec<(String, Option<String>)> {
    let matchers = text.split(',').map(str::trim).filter(|matcher| !matcher.is_empty());
    let label = |matcher: &str| {
        let at = matcher.find(['=', '!']).unwrap_or_else(|| panic!("no matcher: {matcher}"));
        let (name, rest) = matcher.split_at(at);
        let exactly = rest.strip_prefix("=\"").map(|value| value.trim_end_matches('"').to_owned());
        (name.to_owned(), exactly)
    };
    matchers.map(label).collect()
}

/// Whether a word is a function or an aggregation, by what follows it.
fn is_call(after: &str) -> bool {
    let after = after.trim_start();
    after.starts_with('(') || ["by", "without"].iter().any(|list| after.starts_with(&format!("{list} (")))
}

fn length(characters: &[char], fits: impl Fn(char) -> bool) -> usize {
    characters.iter().take_while(|c| fits(**c)).count()
}

fn is_letter(c: char) -> bool {
    c.is_ascii_alphabetic() || c == '_' || c == ':'
}

#[test]
fn a_query_is_taken_apart() {
    let query = "histogram_quantile(0.99, sum by (le, to) (rate(a_bucket{x=\"1\", instance=~\"$instance\"}[$__rate_interval]))) > 1e3 and on (to) b - time() or vector(0)";
    let asked = read(query, "here");
    let names: Vec<&str> = asked.iter().map(|asked| asked.metric.as_str()).collect();
    assert_eq!(names, ["a_bucket", "b"]);
    assert_eq!(asked[0].labels, [("x".to_owned(), Some("1".to_owned())), ("instance".to_owned(), None)]);
}
