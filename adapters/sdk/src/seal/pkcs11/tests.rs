//! Seals with a real token, SoftHSM's, in a process of its own: the token's place is told by the environment when it starts.

use std::path::Path;
use std::process::Command;

use certs_dev::KeyKind;
use certs_dev::pki::{Ladder, LeafProfile};

use super::super::{SealError, Sealer, SignatureRole};
use super::*;

const FOLDER: &str = "LIENTHONG_TEST_TOKEN_FOLDER";
const PIN: &str = "82461357";

fn module() -> PathBuf {
    let places = ["/usr/lib/softhsm/libsofthsm2.so", "/usr/lib/x86_64-linux-gnu/softhsm/libsofthsm2.so"];
    let found = places.iter().map(PathBuf::from).find(|path| path.exists());
    found.expect("SoftHSM is missing: install softhsm2, or run tests/run, which does")
}

fn settings(folder: &Path, key: &str) -> TokenSettings {
    TokenSettings {
        module: module(),
        token: "ubnd-xa".into(),
        key: TokenKey::Label(key.into()),
        pin: PinSource::File(folder.join("pin")),
    }
}

/// Makes a token in `folder` with one RSA and one P-256 key, and the certificates beside it.
fn make_token(folder: &Path) {
    let run = |program: &str, arguments: &[&str]| {
        let output = Command::new(program)
            .args(arguments)
            .env("SOFTHSM2_CONF", folder.join("softhsm2.conf"))
            .current_dir(folder)
            .output()
            .unwrap_or_else(|fault| panic!("{program}: {fault}; install softhsm2 and openssl, or run tests/run"));
        assert!(output.status.success(), "{program} {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    };
    std::fs::create_dir(folder.join("tokens")).unwrap();
    let conf = format!("directories.tokendir = {}\nlog.level = ERROR\n", folder.join("tokens").display());
    std::fs::write(folder.join("softhsm2.conf"), conf).unwrap();
    std::fs::write(folder.join("pin"), format!("{PIN}\n")).unwrap();
    run("softhsm2-util", &["--init-token", "--free", "--label", "ubnd-xa", "--pin", PIN, "--so-pin", "86427531"]);
    let yesterday = super::super::now().seconds() - 86_400;
    let ladder = Ladder::new(KeyKind::P256, yesterday).unwrap();
    for (id, name, kind) in [("01", "rsa", KeyKind::Rsa2048), ("02", "p256", KeyKind::P256)] {
        let credential = ladder.issue_signer("Ủy ban nhân dân xã", kind, LeafProfile::agency("UBND")).unwrap();
        std::fs::write(folder.join(format!("{name}.pem")), credential.certificate_pem).unwrap();
        std::fs::write(folder.join("key.pem"), credential.key_pem).unwrap();
        run("openssl", &["pkcs8", "-topk8", "-nocrypt", "-in", "key.pem", "-out", "key.p8"]);
        let import = ["--import", "key.p8", "--token", "ubnd-xa", "--label", name, "--id", id, "--pin", PIN];
        run("softhsm2-util", &import);
        std::fs::remove_file(folder.join("key.pem")).unwrap();
        std::fs::remove_file(folder.join("key.p8")).unwrap();
    }
    let authorities = ladder.root().certificate_pem() + &ladder.issuing().certificate_pem();
    std::fs::write(folder.join("authorities.pem"), authorities).unwrap();
}

#[test]
fn a_key_on_a_token_seals_what_openssl_verifies_also_after_the_token_was_reset() {
    // The module reads its environment when it is initialized, so that part runs in a process of its own: this test again, told where.
    if let Some(folder) = std::env::var_os(FOLDER) {
        return with_token(Path::new(&folder));
    }
    let folder = tempfile::tempdir().unwrap();
    make_token(folder.path());
    let name = "seal::pkcs11::tests::a_key_on_a_token_seals_what_openssl_verifies_also_after_the_token_was_reset";
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", name, "--nocapture"])
        .env(FOLDER, folder.path())
        .env("SOFTHSM2_CONF", folder.path().join("softhsm2.conf"))
        .env("TEST_TOKEN_PIN", PIN)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && said.contains("1 passed"), "{said}");
    assert!(!said.contains(PIN), "the PIN is nobody's to read");
}

fn with_token(folder: &Path) {
    let certificate = |name: &str| std::fs::read(folder.join(format!("{name}.pem"))).unwrap();
    for name in ["rsa", "p256"] {
        let sealer = Sealer::from_token(&certificate(name), settings(folder, name)).unwrap();
        assert_verifies(folder, &sealer, name);
        // As when the token is pulled out: every session of the process is gone.
        Pkcs11::new(module()).unwrap().finalize().unwrap();
        assert_verifies(folder, &sealer, name);
        let sealed = sealer.seal(&proto::v1::Envelope::default(), SignatureRole::SealedByAdapter).unwrap();
        assert!(!sealed.is_empty());
    }
    by_id_and_variable(folder, &certificate("p256"));
    what_is_not_there(folder, &certificate("rsa"));
}

fn by_id_and_variable(folder: &Path, certificate: &[u8]) {
    let pin = PinSource::Variable("TEST_TOKEN_PIN".into());
    let by_id = TokenSettings { key: TokenKey::Id(vec![2]), pin, ..settings(folder, "") };
    assert_verifies(folder, &Sealer::from_token(certificate, by_id).unwrap(), "by its id");
}

fn what_is_not_there(folder: &Path, certificate: &[u8]) {
    let error = |settings: TokenSettings| match Sealer::from_token(certificate, settings).unwrap_err() {
        SealError::Token(fault) => fault,
        other => panic!("{other}"),
    };
    assert!(matches!(error(settings(folder, "none")), TokenError::KeyMissing { count: 0, .. }));
    let other_token = TokenSettings { token: "none".into(), ..settings(folder, "rsa") };
    assert!(matches!(error(other_token), TokenError::TokenMissing { .. }));
    let no_pin = TokenSettings { pin: PinSource::Variable("NOT_SET_ANYWHERE".into()), ..settings(folder, "rsa") };
    assert!(matches!(error(no_pin), TokenError::PinMissing { .. }));
    let no_module = TokenSettings { module: folder.join("none.so"), ..settings(folder, "rsa") };
    assert!(matches!(error(no_module), TokenError::Module { .. }));
    let mismatch = Sealer::from_token(certificate, settings(folder, "p256")).unwrap_err();
    assert!(matches!(mismatch, SealError::KeyMismatch | SealError::Token(TokenError::Failed(_))), "{mismatch:?}");
    // Only a process that has not logged in yet asks for the PIN. The module is gone already where nobody holds it any more.
    drop(Pkcs11::new(module()).unwrap().finalize());
    std::fs::write(folder.join("pin"), "00000000\n").unwrap();
    let mut refused = None;
    let wrong = settings(folder, "rsa");
    assert!(matches!(login(&wrong, &mut refused), Err(TokenError::PinRefused { .. })) && refused.is_some());
    // Were it tried again and again, the token would lock itself and the right PIN would not help any more.
    for _ in 0..20 {
        assert!(matches!(login(&wrong, &mut refused), Err(TokenError::PinRefused { .. })));
    }
    std::fs::write(folder.join("pin"), PIN).unwrap();
    login(&wrong, &mut refused).unwrap();
}

/// The system's `openssl` accepts the seal, and refuses it over other bytes.
fn assert_verifies(folder: &Path, sealer: &Sealer, name: &str) {
    let content = "Đơn đăng ký\r\n\0".as_bytes();
    std::fs::write(folder.join("signature"), sealer.sign(content).unwrap()).unwrap();
    for (bytes, expected) in [(content, true), (&content[1..], false)] {
        std::fs::write(folder.join("content"), bytes).unwrap();
        let output = Command::new("openssl")
            .current_dir(folder)
            .args(["cms", "-verify", "-binary", "-inform", "DER", "-in", "signature", "-content", "content"])
            .args(["-CAfile", "authorities.pem", "-purpose", "any", "-out", "out"])
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.success(), expected, "{name}: {said}");
    }
}
