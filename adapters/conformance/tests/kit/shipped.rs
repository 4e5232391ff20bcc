//! The shipped adapters, each as a worker of the built `lienthong`, pass every point that they do not skip.

use super::*;

/// The program, built beside this test: `cargo build -p gateway-lienthong`, or `tests/run`.
fn lienthong() -> PathBuf {
    // target/<profile>/deps/<this test> → target/<profile>/lienthong
    let test = std::env::current_exe().unwrap();
    let binary = test.parent().and_then(Path::parent).unwrap().join("lienthong");
    assert!(binary.exists(), "{} is not built; run cargo build -p gateway-lienthong first", binary.display());
    binary
}

async fn passes(kind: &str, skipped: usize) {
    let set = [("lienthong", &*lienthong().display().to_string())];
    let report = test(&root().join("adapters").join(kind), &set, &Options::default()).await;
    assert!(report.is_passed(), "{:#?}", report.results);
    assert_eq!(report.counts(), (16 - skipped, 0, skipped), "{:#?}", report.results);
}

macro_rules! shipped {
    ($($test:ident: $kind:literal skips $skipped:literal;)*) => {
        $(
            #[tokio::test(flavor = "multi_thread")]
            async fn $test() {
                passes($kind, $skipped).await;
            }
        )*

        #[test]
        fn every_shipped_adapter_that_has_a_manifest_is_driven() {
            let folders = std::fs::read_dir(root().join("adapters")).unwrap().map(|entry| entry.unwrap().path());
            let with_manifest = folders.filter(|folder| folder.join("adapter-test.toml").exists());
            let mut found: Vec<String> =
                with_manifest.map(|folder| folder.file_name().unwrap().to_string_lossy().into_owned()).collect();
            found.sort_unstable();
            assert_eq!(found, [$($kind),*]);
        }
    };
}

shipped! {
    the_edxml_adapter_passes_every_point: "edxml" skips 0;
    the_folder_adapter_passes_every_point_but_the_refusal_that_it_has_not: "folder" skips 1;
    the_http_adapter_passes_every_point: "http" skips 0;
    the_land_adapter_passes_every_point: "land" skips 0;
}
