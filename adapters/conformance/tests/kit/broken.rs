//! Adapters that are broken in one way each: the kit fails them at exactly the points that the fault breaks, and at no other.

use super::*;

/// A folder with the Python example and its broken twin, ready to run.
fn prepare() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    new_adapter(Tongue::Python, &folder.path().join("python"));
    let broken = folder.path().join("broken");
    std::fs::create_dir(&broken).unwrap();
    for name in ["broken.py", "adapter-test.toml"] {
        std::fs::copy(root().join("adapters/examples/broken").join(name), broken.join(name)).unwrap();
    }
    make_stubs(&folder.path().join("python"));
    folder
}

/// Runs a broken adapter through every point.
async fn fails_at(fault: &str, expected: &[&str]) {
    let folder = prepare();
    let options = Options { no_build: true, ..Options::default() };
    let set = [("python", &*python().display().to_string()), ("fault", fault)];
    let report = test(&folder.path().join("broken"), &set, &options).await;
    assert_eq!(report.failed(), expected, "{:#?}", report.results);
}

fn make_stubs(folder: &Path) {
    let made = std::process::Command::new(python()).current_dir(folder).args(["make_stubs.py", "proto"]).status();
    assert!(made.unwrap().success());
}

macro_rules! broken {
    ($($test:ident: $fault:literal fails at $points:expr;)*) => {
        $(
            #[tokio::test(flavor = "multi_thread")]
            async fn $test() {
                fails_at($fault, &$points).await;
            }
        )*

        #[test]
        fn every_fault_that_can_be_had_is_tried() {
            let folder = prepare();
            let mut list = std::process::Command::new(python());
            list.current_dir(folder.path().join("broken")).args(["broken.py", "--list"]);
            let had = String::from_utf8(list.output().unwrap().stdout).unwrap();
            let mut tried = vec![$($fault),*];
            tried.sort_unstable();
            assert_eq!(had.lines().collect::<Vec<_>>(), tried);
        }
    };
}

broken! {
    one_without_a_name: "anonymous" fails at ["info"];
    one_that_works_with_any_configuration: "works-with-any-configuration" fails at ["config"];
    one_that_completes_before_it_has_done_it: "completes-before-doing" fails at ["deliver"];
    one_that_seals_anew_for_each_try: "seals-anew" fails at ["submit"];
    one_that_does_again_what_it_has_done: "does-it-again" fails at ["duplicate", "lease"];
    one_that_loses_what_it_had_when_it_is_killed: "notes-before-doing" fails at ["kill"];
    one_that_forgets_what_it_has_done_when_it_is_killed: "forgets-when-it-ends" fails at ["kill"];
    one_that_speaks_without_a_lease: "speaks-without-a-lease" fails at ["lease"];
    one_that_swallows_a_refusal: "swallows-refusals" fails at ["permanent"];
    one_that_gives_up_at_the_first_fault: "gives-up-at-once" fails at ["retryable"];
    one_that_never_extends_its_leases: "never-heartbeats" fails at ["slow"];
    one_that_believes_every_byte: "believes-every-byte" fails at ["payloads"];
    one_that_fears_new_fields: "fears-new-fields" fails at ["unknown-fields"];
    one_that_takes_more_than_it_has_room_for: "takes-all-it-gets" fails at ["back-pressure"];
    one_that_does_not_end: "never-ends" fails at ["drain"];
    one_that_drops_its_work_at_the_signal: "ends-at-once" fails at ["drain"];
    one_that_takes_more_while_it_drains: "takes-more-while-it-drains" fails at ["drain"];
    one_that_speaks_on_two_lines: "speaks-on-two-lines" fails at ["permanent", "retryable", "payloads", "secrets"];
    one_that_tells_everything: "tells-everything" fails at ["secrets"];
    one_that_ends_when_the_gateway_is_away: "ends-when-the-gateway-is-away" fails at ["reconnect"];
}
