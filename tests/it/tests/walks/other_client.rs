//! A client that is not ours: openssl signs, Python's grpcio submits, uploads, watches and reads the receipts.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;
use tests_harness::gateways::{self, Federation};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().unwrap()
}

fn python() -> PathBuf {
    let python = root().join("target/python/bin/python");
    assert!(python.exists(), "{} is not there; run tests/run, which makes it", python.display());
    python
}

fn make_stubs(into: &Path) {
    let proto = root().join("proto");
    let files = std::fs::read_dir(proto.join("lienthong/gateway/v1")).unwrap();
    let mut command = Command::new(python());
    command.current_dir(&proto).args(["-m", "grpc_tools.protoc", "-I", "."]);
    command.arg(format!("--python_out={}", into.display())).arg(format!("--grpc_python_out={}", into.display()));
    command.args(files.map(|file| format!("lienthong/gateway/v1/{}", file.unwrap().file_name().to_string_lossy())));
    let made = command.output().unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
}

#[tokio::test(flavor = "multi_thread")]
async fn openssl_and_python_are_all_that_an_agency_needs() {
    let federation = Federation::running().await.unwrap();
    let local = &federation.local;
    let (from, to) = (&local.province.cast.commune, &local.province.cast.land_office);
    let stubs = tempfile::tempdir().unwrap();
    make_stubs(stubs.path());
    let profile = local.system_profile(from).unwrap();
    let seal = &local.province.agency(from).unwrap().seal;
    let part_bytes = 20 * 1024 * 1024;

    let mut command = Command::new(python());
    command.arg(root().join("tests/python/client.py")).arg(stubs.path());
    command.arg(profile.gateway.trim_start_matches("https://")).args([
        &profile.certificate,
        &profile.key,
        &profile.roots,
    ]);
    command.args([&seal.certificate, &seal.key]).args([from.as_str(), to.as_str()]).arg(part_bytes.to_string());
    let ran = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
    assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
    let seen: Value = serde_json::from_slice(&ran.stdout).unwrap();

    assert_eq!(seen["before_upload"], "FAILED_PRECONDITION", "a part that is missing is asked for: {seen}");
    assert!(seen["resumed_at"].as_u64().unwrap() > 0, "a broken upload goes on where it stopped: {seen}");
    assert_eq!(seen["stored"], part_bytes);
    assert_eq!(seen["still_missing"], 0);
    assert_eq!(seen["duplicate"], false);
    assert_eq!(seen["repeat_is_duplicate"], true);
    assert_eq!(seen["repeat_has_first_receipt"], true);
    assert_eq!(seen["status"], "DELIVERY_STATUS_DELIVERED");
    let events = seen["events"].as_array().unwrap();
    assert!(events.contains(&serde_json::json!(["gw-province", "EVENT_KIND_DELIVERED"])), "{seen}");

    let verified = Command::new(gateways::binary().unwrap())
        .args(["receipt", "verify"])
        .arg(stubs.path().join("receipts.bin"))
        .arg("--directory")
        .arg(local.directory_file())
        .output()
        .unwrap();
    assert!(verified.status.success(), "{}", String::from_utf8_lossy(&verified.stderr));
}
