//! New adapters, as `lienthong adapter new` writes them, pass every point.

use std::process::Command;

use super::*;

#[tokio::test(flavor = "multi_thread")]
async fn a_new_python_adapter_passes_every_point() {
    let folder = tempfile::tempdir().unwrap();
    new_adapter(Tongue::Python, folder.path());
    let report = test(folder.path(), &[("python", &python().display().to_string())], &Options::default()).await;
    assert!(report.is_passed(), "{:#?}", report.results);
    assert_eq!(report.counts(), (16, 0, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_rust_adapter_passes_every_point_that_it_does_not_skip() {
    let folder = tempfile::tempdir().unwrap();
    new_adapter(Tongue::Rust, folder.path());
    // The same sources, built with the workspace.
    let binary = env!("CARGO_BIN_EXE_hello-rust");
    let options = Options { no_build: true, ..Options::default() };
    let report = test(folder.path(), &[("binary", binary)], &options).await;
    assert!(report.is_passed(), "{:#?}", report.results);
    assert_eq!(report.counts(), (15, 0, 1));
}

#[test]
fn a_new_rust_adapter_finds_all_that_it_depends_on_without_a_network() {
    let folder = tempfile::tempdir().unwrap();
    new_adapter(Tongue::Rust, folder.path());
    let manifest = folder.path().join("Cargo.toml");
    let resolved = Command::new(env!("CARGO"))
        .args(["metadata", "--offline", "--format-version", "1", "--manifest-path"])
        .arg(manifest)
        .output()
        .unwrap();
    assert!(resolved.status.success(), "{}", String::from_utf8_lossy(&resolved.stderr));
    assert!(String::from_utf8_lossy(&resolved.stdout).contains("adapters-sdk"));
}

/// Runs where a JDK and Maven are, and Maven Central or its mirror can be reached; says so where they are not.
#[tokio::test(flavor = "multi_thread")]
async fn a_new_java_adapter_passes_every_point_that_it_does_not_skip() {
    let has =
        |program: &str, flag: &str| Command::new(program).arg(flag).output().is_ok_and(|out| out.status.success());
    if !has("java", "-version") || !has("mvn", "-v") {
        eprintln!("no JDK or no Maven here: the Java example is not tried");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    new_adapter(Tongue::Java, folder.path());
    let built = Command::new("mvn").current_dir(folder.path()).args(["-q", "-B", "package"]).output().unwrap();
    let said = String::from_utf8_lossy(&built.stdout);
    let unreached = ["Could not transfer artifact", "Non-resolvable", "Could not resolve dependencies"];
    if !built.status.success() && unreached.iter().any(|words| said.contains(words)) {
        eprintln!("Maven reaches no repository here: the Java example is not tried");
        return;
    }
    assert!(built.status.success(), "{said}");
    let report = test(folder.path(), &[], &Options { no_build: true, ..Options::default() }).await;
    assert!(report.is_passed(), "{:#?}", report.results);
    assert_eq!(report.counts(), (15, 0, 1));
}

#[test]
fn a_hello_world_is_at_most_thirty_lines_of_its_authors_own() {
    let hellos = ["python/adapter.py", "rust/src/main.rs", "java/src/main/java/vn/lienthong/adapter/Hello.java"];
    for hello in hellos {
        let text = std::fs::read_to_string(root().join("adapters/examples").join(hello)).unwrap();
        // Comments, imports and brackets are nobody's own.
        let counts = |line: &&str| {
            let line = line.trim();
            let starts = ["//", "/**", "\"\"\"", "use ", "import ", "from ", "package ", "mod "];
            line.contains(char::is_alphabetic) && !starts.iter().any(|start| line.starts_with(start))
        };
        let own = text.lines().filter(counts).count();
        assert!(own <= 30, "{hello} has {own} lines");
    }
}

#[test]
fn every_file_that_the_readme_names_is_there() {
    let readme = std::fs::read_to_string(root().join("adapters/README.md")).unwrap();
    let named: Vec<&str> =
        readme.split('`').filter(|word| word.starts_with("adapters/") || word.starts_with("proto/")).collect();
    assert!(named.len() >= 6, "{named:?}");
    for path in named {
        assert!(root().join(path).exists(), "{path}");
    }
    let python = root().join("adapters/examples/python");
    for name in ["adapter.py", "lienthong_adapter.py", "adapter-test.toml", "requirements.txt"] {
        assert!(readme.contains(name) && python.join(name).exists(), "{name}");
    }
}

#[test]
fn the_readme_explains_every_point_and_checks_every_must() {
    let readme = std::fs::read_to_string(root().join("adapters/README.md")).unwrap();
    let contract = readme.split("## The contract").nth(1).unwrap().split("## The conformance kit").next().unwrap();
    for point in &adapters_conformance::points::POINTS {
        assert!(readme.contains(&format!("| `{}` |", point.name)), "{} is not explained", point.name);
        assert!(contract.contains(&format!("(`{}`)", point.name)), "no promise of the contract names {}", point.name);
    }
    let numbered = contract.split("\n").filter(|line| line.starts_with(|c: char| c.is_ascii_digit())).count();
    assert_eq!(numbered, 15);
}

#[test]
fn the_manifest_that_the_readme_shows_is_one() {
    let readme = std::fs::read_to_string(root().join("adapters/README.md")).unwrap();
    let shown = readme.split("```toml\n").nth(1).unwrap().split("```").next().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("adapter-test.toml");
    std::fs::write(&file, shown).unwrap();
    Manifest::read(&file, &BTreeMap::new()).unwrap();
}
