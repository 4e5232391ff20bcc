//! Every reason has a page that a person can act on, the index is complete, and no page is left over.

use gateway_model::language::Language;
use gateway_model::reason::Reason;
use tests_tidy::{root, settle, source};
use unicode_normalization::is_nfc;

const FOLDER: &str = "gateway/model/refusals";
const HEADINGS: [&str; 2] = ["## Ý nghĩa / Meaning", "## Phải làm gì / What to do"];

#[test]
fn every_page_has_its_lines_and_sections() {
    let complaints: Vec<String> = Reason::ALL.iter().flat_map(|&reason| complaints(reason)).collect();
    settle(&complaints, "write the page like its neighbours in gateway/model/refusals");
}

#[test]
fn no_page_is_left_over() {
    let pages: Vec<String> = Reason::ALL.iter().map(|&reason| file_name(reason)).collect();
    let entries = std::fs::read_dir(root().join(FOLDER)).into_iter().flatten().flatten();
    let names = entries.map(|entry| entry.file_name().to_string_lossy().into_owned());
    let left_over = names.filter(|name| name != "README.md" && !pages.contains(name));
    let complaints: Vec<String> = left_over.map(|name| format!("{FOLDER}/{name} belongs to no reason")).collect();
    settle(&complaints, "delete the page, or add its reason to gateway/model/src/reason.rs");
}

#[test]
fn the_index_names_every_page_with_its_sentences_and_no_other() {
    let index = source(&format!("{FOLDER}/README.md")).map(|source| source.text).unwrap_or_default();
    let row = |reason: Reason| {
        let (vi, en) = (reason.message(Language::Vi), reason.message(Language::En));
        format!("| [{}]({}) | {vi} | {en} |", reason.code(), file_name(reason))
    };
    let wanted: Vec<String> = Reason::ALL.iter().map(|&reason| row(reason)).collect();
    let mut complaints: Vec<String> = wanted
        .iter()
        .filter(|row| !index.lines().any(|line| line == **row))
        .map(|row| format!("missing: {row}"))
        .collect();
    let rows = index.lines().filter(|line| line.starts_with("| ["));
    complaints.extend(rows.filter(|row| !wanted.iter().any(|w| w == row)).map(|row| format!("left over: {row}")));
    settle(&complaints, "bring gateway/model/refusals/README.md in line with the pages");
}

fn complaints(reason: Reason) -> Vec<String> {
    let page = reason.page();
    let name = file_name(reason);
    let mut found = Vec::new();
    let mut need = |holds: bool, what: &str| {
        if !holds {
            found.push(format!("{FOLDER}/{name}: {what}"));
        }
    };
    let lines: Vec<&str> = page.lines().collect();
    let head = [format!("# {}", reason.code()), String::new(), "- vi: ".into(), "- en: ".into(), "- vi-next: ".into()];
    let head_stands =
        head.iter().enumerate().all(|(at, start)| lines.get(at).is_some_and(|line| line.starts_with(start.as_str())));
    need(
        head_stands && lines.get(5).is_some_and(|line| line.starts_with("- en-next: ")),
        "its first six lines are not in form",
    );
    need(
        source(&format!("{FOLDER}/{name}")).is_some_and(|source| source.text == page),
        "the file is named otherwise than its code",
    );
    need(is_nfc(page), "its text is not in NFC");
    for language in [Language::Vi, Language::En] {
        for sentence in [reason.message(language), reason.next_step(language)] {
            need(is_one_sentence(sentence), &format!("not one sentence with a full stop: {sentence}"));
        }
    }
    for heading in HEADINGS {
        let section = page.split(heading).nth(1).and_then(|rest| rest.split("\n## ").next()).unwrap_or_default();
        let paragraphs = section.split("\n\n").filter(|paragraph| !paragraph.trim().is_empty()).count();
        need(paragraphs >= 2, &format!("{heading} has not one paragraph in each language"));
    }
    need(!page.contains("(to be written)") && !page.contains("(chưa dịch)"), "it is a skeleton");
    found
}

fn is_one_sentence(text: &str) -> bool {
    text.ends_with('.')
        && !text.contains(". ")
        && text.chars().next().is_some_and(|first| first.is_uppercase() || !first.is_alphabetic())
}

fn file_name(reason: Reason) -> String {
    format!("{}.md", reason.code().to_lowercase())
}
