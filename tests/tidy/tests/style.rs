//! Shape of the code: small files that say what they are, small functions, no drawers for odds and ends, no sleeping tests.

use tests_tidy::{Source, settle, sources};

const FILE_LINES_MAX: usize = 500;
const FUNCTION_LINES_MAX: usize = 70;

#[test]
fn no_file_is_longer_than_500_lines() {
    let long = |source: &Source| {
        let lines = source.text.lines().count();
        (lines > FILE_LINES_MAX).then(|| format!("{}: {lines} lines", source.path))
    };
    let complaints: Vec<String> = sources(".rs").iter().filter_map(long).collect();
    settle(&complaints, "split the file where its first line would need an \"and\"");
}

#[test]
fn no_function_is_longer_than_70_lines() {
    let complaints: Vec<String> = sources(".rs").iter().flat_map(long_functions).collect();
    settle(&complaints, "move straight work into functions of its own and keep the decisions in the parent");
}

#[test]
fn the_first_line_of_a_file_says_what_it_is() {
    let silent = |source: &Source| {
        let first = source.text.lines().next().unwrap_or_default();
        (!first.starts_with("//! ")).then(|| format!("{}:1: {first}", source.path))
    };
    let complaints: Vec<String> = sources(".rs").iter().filter_map(silent).collect();
    settle(&complaints, "begin the file with `//!` and one sentence");
}

#[test]
fn no_module_is_a_drawer_for_odds_and_ends() {
    let drawer = |source: &Source| {
        let mut names = source.path.split(['/', '.']);
        let found = names.any(|name| ["util", "utils", "common", "helpers", "helper", "types", "misc"].contains(&name));
        found.then(|| source.path.clone())
    };
    let complaints: Vec<String> = sources(".rs").iter().filter_map(drawer).collect();
    settle(&complaints, "find the noun that is missing and name the module after it");
}

#[test]
fn nothing_is_left_undone_and_no_test_is_ignored() {
    // Put together from pieces, so that this file does not accuse itself.
    let forbidden =
        [["to", "do!("], ["unimpl", "emented!("], ["db", "g!("], ["#[ign", "ore"]].map(|pieces| pieces.concat());
    let complaints = lines_where(|_, line| forbidden.iter().any(|word| code(line).contains(word.as_str())));
    settle(&complaints, "finish it or remove it; a test that cannot run everywhere makes what it needs");
}

#[test]
fn no_test_sleeps_without_a_reason() {
    let sleeps = [["thread::sl", "eep("], ["time::sl", "eep("]].map(|pieces| pieces.concat());
    let mut complaints = Vec::new();
    for source in sources(".rs") {
        let of_tests = source.path.starts_with("tests/") || source.path.contains("/tests/");
        let mut in_test_module = false;
        let mut before = "";
        for (number, line) in source.lines() {
            in_test_module |= line.trim() == "#[cfg(test)]";
            let sleeps = (of_tests || in_test_module) && sleeps.iter().any(|word| code(line).contains(word.as_str()));
            let reasoned = line.contains("// ") || before.trim_start().starts_with("// ");
            if sleeps && !reasoned {
                complaints.push(format!("{}:{number}: {}", source.path, line.trim()));
            }
            before = line;
        }
    }
    settle(
        &complaints,
        "wait for the event instead; where only time will do, say why in a comment on the line or above it",
    );
}

#[test]
fn a_long_function_and_only_a_long_one_is_found() {
    let function = |lines: usize| format!("    fn f() {{\n{}    }}\n", "        work();\n".repeat(lines));
    let source = |text: String| Source { path: "x.rs".to_owned(), text };
    assert_eq!(long_functions(&source(function(FUNCTION_LINES_MAX))), Vec::<String>::new());
    assert_eq!(long_functions(&source(function(FUNCTION_LINES_MAX + 1))), ["x.rs:1: 71 lines: fn f() {"]);
    let commented = format!("    fn f() {{\n{}    }}\n", "        // why\n\n".repeat(200));
    assert_eq!(long_functions(&source(commented)), Vec::<String>::new());
}

fn lines_where(found: impl Fn(&Source, &str) -> bool) -> Vec<String> {
    let mut complaints = Vec::new();
    for source in sources(".rs") {
        for (number, line) in source.lines() {
            if found(&source, line) {
                complaints.push(format!("{}:{number}: {}", source.path, line.trim()));
            }
        }
    }
    complaints
}

/// The line without its comment.
fn code(line: &str) -> &str {
    line.split("//").next().unwrap_or_default()
}

/// Functions of a formatted file: the body ends at the first closing brace with the indentation of the head. Blank lines and comments do
/// not count.
fn long_functions(source: &Source) -> Vec<String> {
    let lines: Vec<&str> = source.text.lines().collect();
    let mut complaints = Vec::new();
    for (index, line) in lines.iter().enumerate().filter(|(_, line)| is_function_head(line)) {
        let indentation = &line[..line.len() - line.trim_start().len()];
        let end = format!("{indentation}}}");
        let head_ends = lines[index..].iter().position(|line| line.ends_with('{') || line.ends_with(['}', ';']));
        let Some(body) = head_ends.map(|at| index + at).filter(|&at| lines[at].ends_with('{')) else { continue };
        let body_lines = lines[body + 1..].iter().take_while(|line| **line != end);
        let count = body_lines.filter(|line| !line.trim().is_empty() && !line.trim_start().starts_with("//")).count();
        if count > FUNCTION_LINES_MAX {
            complaints.push(format!("{}:{}: {count} lines: {}", source.path, index + 1, line.trim()));
        }
    }
    complaints
}

fn is_function_head(line: &str) -> bool {
    let mut words = line.split_whitespace();
    let modifiers = ["pub", "pub(crate)", "pub(super)", "const", "async"];
    words.find(|word| !modifiers.contains(word)) == Some("fn")
}
