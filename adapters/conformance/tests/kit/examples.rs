//! New adapters, as `lienthong adapter new` writes them, pass every point.

use super::*;

#[tokio::test(flavor = "multi_thread")]
async fn a_new_python_adapter_passes_every_point() {
    let folder = tempfile::tempdir().unwrap();
    new_adapter(Tongue::Python, folder.path());
    let report = test(folder.path(), &[("python", &python().display().to_string())], &Options::default()).await;
    assert!(report.is_passed(), "{:#?}", report.results);
    assert_eq!(report.counts(), (16, 0, 0));
}
