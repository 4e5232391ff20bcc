//! What the program says of itself, run as a user runs it.

// Whatever does not go as it has to fails the test there and then.
#![allow(clippy::unwrap_used)]

use std::process::{Command, Output};

fn run(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_lienthong")).args(arguments).output().unwrap()
}

#[test]
fn it_says_its_version() {
    let output = run(&["--version"]);
    assert_eq!(output.status.code(), Some(0));
    assert_eq!(String::from_utf8(output.stdout).unwrap(), concat!("lienthong ", env!("CARGO_PKG_VERSION"), "\n"));
}

#[test]
fn a_wrong_command_line_ends_with_2_and_names_what_is_wrong_on_stderr_only() {
    for wrong in [&["sreve"][..], &["serve", "--no-such-flag"], &[]] {
        let output = run(wrong);
        assert_eq!((output.status.code(), output.stdout.len()), (Some(2), 0), "{wrong:?}");
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(wrong.last().is_none_or(|word| said.contains(word)) && said.contains("--help"), "{said}");
    }
}

#[test]
fn it_explains_every_code_that_it_lists() {
    let listed = String::from_utf8(run(&["explain"]).stdout).unwrap();
    let codes: Vec<&str> = listed.lines().filter_map(|line| line.split_whitespace().next()).collect();
    assert!(codes.contains(&"CERTIFICATE_EXPIRED") && codes.contains(&"STORE_INDEX_STRAY"), "{listed}");
    for code in codes {
        let output = run(&["explain", &code.to_lowercase()]);
        assert_eq!(output.status.code(), Some(0), "{code}");
        assert!(String::from_utf8(output.stdout).unwrap().contains(code), "{code}");
    }
    assert_eq!(run(&["explain", "NO_SUCH_CODE"]).status.code(), Some(3), "not found");
}
