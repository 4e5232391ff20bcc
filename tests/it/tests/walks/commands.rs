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

#[test]
fn a_directory_is_made_from_nothing_shown_and_compared() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str| folder.path().join(name).display().to_string();
    let plan = certs_dev::province::Plan::province();
    let province = certs_dev::province::Province::generate(&folder.path().join("pki"), &plan, now()).unwrap();

    let key = said(&lienthong(&["directory", "key", "--out", &file("authority.key")]), 0);
    assert_eq!(std::fs::read_to_string(file("authority.pub")).unwrap(), key);
    assert_eq!(lienthong(&["directory", "key", "--out", &file("authority.key")]).status.code(), Some(1));
    let log_key = said(&lienthong(&["directory", "log-key", "--gateway", "gw-province", "--out", &file("log.key")]), 0);
    assert!(log_key.starts_with("gw-province+"), "{log_key}");

    let pki = province.folder.display();
    let path = |credential: &certs_dev::province::CredentialFiles| credential.certificate.display().to_string();
    let example = said(&lienthong(&["directory", "example"]), 0)
        .replace("tls/sys-commune.pem", &path(&province.systems[0].tls))
        .replace("tls/operator-an.pem", &path(&province.operators[0].tls))
        .replace("signers/h99.30.01.pem", &path(&province.agency(&province.cast.commune).unwrap().seal))
        .replace("signers/h99.pem", &path(&province.agency(&province.cast.province).unwrap().seal))
        .replace("\"ca/", &format!("\"{pki}/ca/"))
        .replace("\"tls/", &format!("\"{pki}/tls/"))
        .replacen("log_keys = []", &format!("log_keys = [\"{}\"]", log_key.trim()), 1);
    std::fs::write(file("agencies.toml"), &example).unwrap();
    let build = |version: &str, out: &str| {
        let (source, key, out) = (file("agencies.toml"), file("authority.key"), file(out));
        lienthong(&["directory", "build", &source, "--key", &key, "--issue-version", version, "-O", &out])
    };
    assert_eq!(said(&build("1", "old.bin"), 0), key);
    let shown = said(&lienthong(&["directory", "show", "--directory", &file("old.bin")]), 0);
    assert!(shown.contains("version: 1\n") && shown.contains("agencies alive: 2\n"), "{shown}");

    std::fs::write(file("agencies.toml"), example.replace("xã Ví Dụ", "xã Thí Dụ")).unwrap();
    said(&build("2", "new.bin"), 0);
    let told = said(&lienthong(&["directory", "diff", &file("old.bin"), &file("new.bin")]), 1);
    assert!(told.contains("xã Thí Dụ"), "{told}");
    assert_eq!(said(&lienthong(&["directory", "diff", &file("new.bin"), &file("new.bin")]), 0), "");

    // A second person signs what the authority signed, once.
    let second = said(&lienthong(&["directory", "key", "--name", "binh", "--out", &file("binh.key")]), 0);
    assert_eq!(std::fs::read_to_string(file("binh.pub")).unwrap(), second);
    let directory = file("new.bin");
    let cosign =
        || lienthong(&["directory", "cosign", "--directory", &directory, "--key", &file("binh.key"), "--name", "binh"]);
    assert_eq!(said(&cosign(), 0), second);
    assert_eq!(cosign().status.code(), Some(5), "nobody signs twice");
    assert_eq!(said(&lienthong(&["directory", "diff", &file("old.bin"), &directory]), 1), told);

    std::fs::write(file("agencies.toml"), example.replace("level = \"xã\"", "levle = \"xã\"")).unwrap();
    let ran = build("3", "faulty.bin");
    assert_eq!(ran.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&ran.stderr).contains("agencies.toml:"), "{ran:?}");
    assert!(!Path::new(&file("faulty.bin")).exists());
}

#[tokio::test]
async fn refusals_tell_their_reason_in_the_language_of_the_reader_and_end_with_their_codes() {
    let federation = gateways::Federation::running().await.unwrap();
    let (local, desk) = (&federation.local, tempfile::tempdir().unwrap());
    let commune = local.province.agency(&local.province.cast.commune).unwrap();
    let profile = |name: &str, profile: &gateway_cli::connect::Profile| {
        let file = desk.path().join(name);
        std::fs::write(&file, toml_of(profile)).unwrap();
        file.display().to_string()
    };
    let known = local.system_profile(&commune.id).unwrap();
    let (certificate, key) = (commune.seal.certificate.clone(), commune.seal.key.clone());
    let stranger = gateway_cli::connect::Profile { certificate, key, ..known.clone() };
    let (system, stranger) = (profile("system.toml", &known), profile("stranger.toml", &stranger));

    let listing = ["msg", "ls", "--profile", &system];
    assert!(complaint(&lienthong(&listing), 5).contains("refused OPERATOR_NOT_AUTHORIZED"));
    let vietnamese = lienthong(&[&listing[..], &["--lang", "vi"]].concat());
    assert!(complaint(&vietnamese, 5).contains("TỪ CHỐI OPERATOR_NOT_AUTHORIZED: Vai trò"));
    let absent = ["receipt", "get", "h99.30.01", "01a20243-0000-7000-8000-000000000000", "--profile", &system];
    assert!(complaint(&lienthong(&absent), 3).contains("refused NOT_FOUND"));
    assert!(complaint(&lienthong(&["status", "--profile", &stranger]), 4).contains("closed the connection"));
    for wrong in ["foo", "http://127.0.0.1:7100"] {
        complaint(&lienthong(&["status", "--profile", &system, "--gateway", wrong]), 2);
    }
}

#[tokio::test]
async fn an_envelope_is_kept_for_a_repeat_only_while_a_repeat_may_help() {
    let federation = gateways::Federation::running().await.unwrap();
    let (local, desk) = (&federation.local, tempfile::tempdir().unwrap());
    let commune = local.province.agency(&local.province.cast.commune).unwrap();
    let profile = desk.path().join("system.toml");
    std::fs::write(&profile, toml_of(&local.system_profile(&commune.id).unwrap())).unwrap();
    let outbox = desk.path().join("outbox");
    std::fs::create_dir(&outbox).unwrap();
    let [profile, out, certificate, key] =
        [&profile, &outbox, &commune.seal.certificate, &commune.seal.key].map(|path| path.display().to_string());
    let send = |to: &str, more: &[&str]| {
        let (from, seal) = (commune.id.as_str(), ["--certificate", &certificate, "--key", &key, "--outbox", &out]);
        let what = ["send", "--from", from, "--to", to, "--subject", "Hỏi", "--profile", &profile];
        lienthong(&[&what[..], &seal[..], more].concat())
    };
    let kept = || std::fs::read_dir(&outbox).unwrap().map(|entry| entry.unwrap().path()).collect::<Vec<_>>();

    let refused = complaint(&send("no-such-agency", &[]), 5);
    assert!(refused.contains("RECIPIENT_UNKNOWN") && !refused.contains("repeat with"), "{refused}");
    assert!(kept().is_empty());

    let office = local.province.cast.land_office.as_str();
    let unreachable = complaint(&send(office, &["--gateway", "https://127.0.0.1:1"]), 4);
    let envelope = kept().pop().unwrap().display().to_string();
    assert!(
        unreachable.contains(&format!("lienthong send --envelope {envelope} --profile {profile}")),
        "{unreachable}"
    );
    let accepted = said(&lienthong(&["send", "--envelope", &envelope, "--profile", &profile]), 0);
    assert!(kept().is_empty());

    // Its system is no operator, and follows it all the same.
    let (sender, id) = accepted.trim().split_once(' ').unwrap();
    let traced = said(&lienthong(&["trace", id, "--sender", sender, "--profile", &profile]), 0);
    assert!(traced.contains(office) && traced.contains("verified the signatures"), "{traced}");
}

#[test]
fn every_shell_gets_its_completions() {
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        assert!(said(&lienthong(&["completions", shell]), 0).contains("lienthong"), "{shell}");
    }
}

#[test]
fn a_reader_that_has_gone_ends_the_program_as_sigpipe_would_and_a_closed_stderr_is_no_crash() {
    let gone = || std::io::pipe().unwrap().1;
    for verb in [&["explain"][..], &["completions", "bash"], &["directory", "example"]] {
        let status = Command::new(gateways::binary().unwrap()).args(verb).stdout(gone()).status().unwrap();
        assert_eq!(status.code(), Some(141), "{verb:?}");
    }
    let mut silent = Command::new(gateways::binary().unwrap());
    let status = silent.args(["status", "--profile", "/no/such/profile"]).stderr(gone()).status().unwrap();
    assert_eq!(status.code(), Some(1));
}

/// What a command that ends with `code` says on standard output.
fn said(ran: &Output, code: i32) -> String {
    assert_eq!(ran.status.code(), Some(code), "{}", String::from_utf8_lossy(&ran.stderr));
    String::from_utf8(ran.stdout.clone()).unwrap()
}

/// What a command that ends with `code` says on standard error.
fn complaint(ran: &Output, code: i32) -> String {
    let text = String::from_utf8_lossy(&ran.stderr).into_owned();
    assert_eq!(ran.status.code(), Some(code), "{text}");
    text
}

fn toml_of(profile: &gateway_cli::connect::Profile) -> String {
    format!(
        "gateway = {:?}\ncertificate = {:?}\nkey = {:?}\nroots = {:?}\n",
        profile.gateway, profile.certificate, profile.key, profile.roots
    )
}
