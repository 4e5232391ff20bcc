//! The commands as a person meets them: verdicts, exit codes, wrong flags, missing files, faults all at once.

use std::path::Path;
use std::process::{Command, Output};

use certs_dev::bad::{self, BadCase};
use serde_json::Value;
use tests_harness::gateways;

fn lienthong(arguments: &[&str]) -> Output {
    Command::new(gateways::binary().unwrap()).args(arguments).env("LIENTHONG_LANG", "en").output().unwrap()
}

fn verify(case: &BadCase, folder: &Path) -> (Option<i32>, Value) {
    let write_all = |name: &str, list: &[Vec<u8>]| {
        let dir = folder.join(name);
        std::fs::create_dir_all(&dir).unwrap();
        for (number, bytes) in list.iter().enumerate() {
            std::fs::write(dir.join(format!("{number}.der")), bytes).unwrap();
        }
        dir.display().to_string()
    };
    let (content, signature) = (folder.join("content"), folder.join("signature.p7s"));
    std::fs::write(&content, &case.content).unwrap();
    std::fs::write(&signature, &case.cms).unwrap();
    let anchors = write_all("anchors", &case.anchors);
    let intermediates = write_all("intermediates", &case.intermediates);
    let crls = write_all("crls", &case.crls);
    let at = gateway_model::Timestamp::from_seconds(case.at).to_string();
    let (content, signature) = (content.display().to_string(), signature.display().to_string());
    let mut arguments = vec![
        "verify",
        "--content",
        &content,
        "--signature",
        &signature,
        "--trust",
        &anchors,
        "--intermediates",
        &intermediates,
        "--crls",
        &crls,
        "--at",
        &at,
        "-o",
        "json",
    ];
    arguments.extend(case.policies.iter().flat_map(|policy| ["--policy", policy.as_str()]));
    let ran = lienthong(&arguments);
    let verdict = serde_json::from_slice(&ran.stdout).unwrap_or_else(|_| {
        panic!("{}: no verdict: {}", case.name, String::from_utf8_lossy(&ran.stderr));
    });
    (ran.status.code(), verdict)
}

fn now() -> i64 {
    tests_harness::sender::now().seconds
}

#[test]
fn verify_refuses_every_bad_signature_with_its_own_reason() {
    let cases = bad::cases(now()).unwrap();
    assert!(cases.len() >= 30, "{} cases", cases.len());
    for case in &cases {
        let folder = tempfile::tempdir().unwrap();
        let (code, verdict) = verify(case, folder.path());
        assert_eq!(verdict["verdict"], "refused", "{}: {verdict}", case.name);
        assert_eq!(verdict["reason"], case.reason, "{}: {verdict}", case.name);
        assert_eq!(code, Some(5), "{}", case.name);
    }
}

#[test]
fn verify_accepts_every_good_signature() {
    for mut case in bad::good_cases(now()).unwrap() {
        // Some of the good ones embed no certificate: the directory knows it, as the folder does here.
        case.intermediates.push(case.signer_certificate.clone());
        let folder = tempfile::tempdir().unwrap();
        let (code, verdict) = verify(&case, folder.path());
        assert_eq!((code, &verdict["verdict"]), (Some(0), &Value::from("accepted")), "{}: {verdict}", case.name);
        assert_eq!(verdict["signers"].as_array().map(Vec::len), Some(1), "{}", case.name);
    }
}

#[test]
fn a_wrong_command_line_ends_with_two_and_a_missing_file_names_itself() {
    for wrong in [&["verify"][..], &["serve", "--no-such-flag"], &["no-such-verb"], &["trace"]] {
        assert_eq!(lienthong(wrong).status.code(), Some(2), "{wrong:?}");
    }
    let ran = lienthong(&["verify", "--content", "/no/such/file", "--signature", "/no/other", "--trust", "/"]);
    assert_eq!(ran.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&ran.stderr).contains("/no/such/file"));
}

#[test]
fn every_fault_of_a_configuration_is_named_at_once_with_its_line() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("gateway.toml");
    let text = "[gateway]\nid = \"bad id\"\nlanguage = \"fr\"\n\n[listen]\ndoors = \"nowhere\"\nadmin = 7\nkeepalive = \"soon\"\n\n\
                [store]\npath = 5\nfree_bytes_min = \"lots\"\nfre_bytes = \"1MiB\"\n\n[quota]\nburst = -1\n\n[telemetry]\nformat = \"xml\"\n\n[nonsense]\na = 1\n";
    std::fs::write(&file, text).unwrap();
    let ran = lienthong(&["check", "--config", &file.display().to_string()]);
    assert!(!ran.status.success());
    let said = format!("{}{}", String::from_utf8_lossy(&ran.stdout), String::from_utf8_lossy(&ran.stderr));
    for line in [2, 3, 6, 7, 8, 11, 12, 13, 16, 19, 22] {
        assert!(said.contains(&format!("gateway.toml:{line}")), "line {line} is not named:\n{said}");
    }
}

#[test]
fn every_reason_code_explains_itself() {
    let all = lienthong(&["explain"]);
    let listed = String::from_utf8(all.stdout).unwrap();
    for reason in gateway_model::Reason::ALL {
        assert!(listed.contains(reason.code()), "{reason}");
    }
    let one = lienthong(&["explain", "certificate_expired"]);
    assert!(String::from_utf8_lossy(&one.stdout).starts_with("# CERTIFICATE_EXPIRED"));
    assert_eq!(lienthong(&["explain", "NO_SUCH_CODE"]).status.code(), Some(3));
}

#[test]
fn a_gateway_that_is_not_there_is_said_to_be_unreachable() {
    let folder = tempfile::tempdir().unwrap();
    let plan = certs_dev::province::Plan::province();
    let options = gateway_cli::local::Options::default();
    let local = gateway_cli::local::Local::lay_out(folder.path(), plan, &options).unwrap();
    let gateway = local.gateways[0].id.clone();
    let profile = local.operator_profile(&gateway, gateway_model::agency::OperatorRole::Viewer).unwrap();
    let file = folder.path().join("profile.toml");
    std::fs::write(&file, toml_of(&profile)).unwrap();
    let ran = lienthong(&["status", "--profile", &file.display().to_string()]);
    assert_eq!(ran.status.code(), Some(4), "{}", String::from_utf8_lossy(&ran.stderr));
}

fn toml_of(profile: &gateway_cli::connect::Profile) -> String {
    format!(
        "gateway = {:?}\ncertificate = {:?}\nkey = {:?}\nroots = {:?}\n",
        profile.gateway, profile.certificate, profile.key, profile.roots
    )
}
