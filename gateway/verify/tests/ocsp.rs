//! Answers of OCSP inside of the message, as OpenSSL's own responder gives them: they stand in for a missing or stale list of the directory when they
//! are by the issuer or whom it appointed, and in time; and for nothing else.
#![allow(clippy::unwrap_used, reason = "a test may end here")]

mod stage;

use std::process::Command;
use std::time::SystemTime;

use certs_dev::pki::{Credential, Ladder, LeafProfile};
use certs_dev::sign::{FastSigner, SignOptions};
use certs_dev::{KeyKind, der as write};
use gateway_model::{Digest, Reason, Timestamp};
use gateway_verify::{DetachedOptions, SignerReport, Trust, TrustSource, der, verify_detached};
use openssl::x509::X509;
use stage::anchor;
use tempfile::TempDir;

const CONTENT: &[u8] = b"envelope bytes";
const DAY: i64 = 86_400;
/// What makes a certificate a responder's.
const APPOINTED: &str = "extendedKeyUsage=OCSPSigning\nnoCheck=ignored\nkeyUsage=digitalSignature\n";

/// An issuing CA with its files, as a responder keeps them.
struct Play {
    folder: TempDir,
    ladder: Ladder,
    credential: Credential,
    now: i64,
}

impl Play {
    fn new() -> Self {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs();
        let now = i64::try_from(now).unwrap();
        let ladder = Ladder::new(KeyKind::P256, now - 100 * DAY).unwrap();
        let credential = ladder.issue_signer("Con dấu", KeyKind::P256, LeafProfile::agency("UBND")).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let play = Self { folder, ladder, credential, now };
        let (ca, leaf) = (play.ladder.issuing(), &play.credential);
        play.write("ca.pem", &ca.certificate_pem());
        play.write("ca.key", &ca.key().to_pem().unwrap());
        play.write("leaf.pem", &leaf.certificate_pem);
        play.appoint("responder", APPOINTED);
        play
    }

    fn write(&self, name: &str, text: &str) {
        std::fs::write(self.folder.path().join(name), text).unwrap();
    }

    fn openssl(&self, words: &str) {
        let ran = Command::new("openssl").args(words.split(' ')).current_dir(self.folder.path()).output().unwrap();
        assert!(ran.status.success(), "{words}: {}", String::from_utf8_lossy(&ran.stderr));
    }

    /// A responder's certificate with these extensions, by the issuing CA.
    fn appoint(&self, name: &str, extensions: &str) {
        self.write("extensions", extensions);
        self.openssl(&format!("ecparam -genkey -name prime256v1 -noout -out {name}.key"));
        self.openssl(&format!("req -new -key {name}.key -subj /CN={name} -out {name}.csr"));
        let issue = format!("x509 -req -in {name}.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 30");
        self.openssl(&format!("{issue} -extfile extensions -out {name}.pem"));
    }

    /// What a responder says of the signer's certificate: `V` is valid, `R` revoked a day ago, nothing is unknown.
    fn answer(&self, signed_by: &str, status: &str, more: &str) -> Vec<u8> {
        let serial = X509::from_der(&self.credential.certificate_der).unwrap().serial_number().to_bn().unwrap();
        let (serial, expiry) = (serial.to_hex_str().unwrap().to_string(), "491231235959Z");
        let revoked = if status == "R" { short(self.now - DAY) } else { String::new() };
        let entry = format!("{status}\t{expiry}\t{revoked}\t{serial}\tunknown\t/CN=leaf\n");
        self.write("index", if status.is_empty() { "" } else { &entry });
        self.openssl(
            &format!("ocsp {more} -no_nonce -issuer ca.pem -cert leaf.pem -reqout request").replace("  ", " "),
        );
        let respond = "ocsp -index index -CA ca.pem -reqin request -respout response -ndays 2";
        self.openssl(&format!("{respond} -rsigner {signed_by}.pem -rkey {signed_by}.key"));
        std::fs::read(self.folder.path().join("response")).unwrap()
    }

    fn judge(&self, lists: &[Vec<u8>], answers: &[Vec<u8>], after_days: i64) -> Result<SignerReport, Reason> {
        let root = self.ladder.root_crl(&[], self.now - DAY, self.now + 90 * DAY).unwrap();
        let source = TrustSource {
            anchors: vec![anchor(self.ladder.root().certificate_der())],
            intermediates: vec![self.ladder.issuing().certificate_der().to_vec()],
            crls: [lists, &[root]].concat(),
        };
        let cms = FastSigner::new(&self.credential, SignOptions::at(self.now)).unwrap().sign(CONTENT).unwrap();
        let at = Timestamp::from_seconds(self.now + after_days * DAY);
        let options = DetachedOptions { at, require_signing_certificate: true, check_revocation: true };
        let trust = Trust::new(source).unwrap();
        verify_detached(CONTENT, &stapled(&cms, answers), &trust, options).map_err(|refusal| refusal.reason)
    }

    fn reason(&self, lists: &[Vec<u8>], answers: &[Vec<u8>]) -> Option<Reason> {
        self.judge(lists, answers, 0).err()
    }
}

/// A moment as the index of a responder writes it.
fn short(seconds: i64) -> String {
    let text = Timestamp::from_seconds(seconds).to_string();
    let digits: String = text.chars().filter(char::is_ascii_digit).take(14).collect();
    format!("{}Z", &digits[2..])
}

/// The CMS with answers in it (RFC 5940), which are not signed by the signer.
fn stapled(cms: &[u8], answers: &[Vec<u8>]) -> Vec<u8> {
    if answers.is_empty() {
        return cms.to_vec();
    }
    let choice = |answer: &Vec<u8>| write::context(1, &[write::oid("1.3.6.1.5.5.7.16.2"), answer.clone()].concat());
    let choices: Vec<Vec<u8>> = answers.iter().map(choice).collect();
    let mut data = der::single(cms, der::SEQUENCE).unwrap();
    let kind = data.any().unwrap().raw;
    let mut inner = der::single(data.expect(der::context(0)).unwrap(), der::SEQUENCE).unwrap();
    let head: Vec<&[u8]> = (0..4).map(|_| inner.any().unwrap().raw).collect();
    let signers = inner.any().unwrap().raw;
    let set = write::context(1, &choices.concat());
    let signed_data = write::sequence(&[head.concat(), set, signers.to_vec()]);
    write::sequence(&[kind.to_vec(), write::context(0, &signed_data)])
}

#[test]
fn an_answer_of_the_issuer_or_of_whom_it_appointed_stands_in_for_a_missing_or_stale_list() {
    let play = Play::new();
    let stale = play.ladder.crl(&[], play.now - 3 * DAY, play.now - DAY).unwrap();
    assert_eq!(play.reason(&[], &[]), Some(Reason::RevocationUnavailable));
    for (signed_by, more) in [("ca", "-sha1"), ("ca", "-sha256"), ("responder", "-sha1"), ("responder", "-sha256")] {
        let answer = play.answer(signed_by, "V", more);
        for lists in [&[][..], std::slice::from_ref(&stale)] {
            let verdict = play.judge(lists, std::slice::from_ref(&answer), 0).unwrap();
            // What the verdict rests on is told, so that it can be shown later.
            assert!(verdict.revocation.iter().any(|used| used.digest == Digest::of(&answer)), "{signed_by} {more}");
        }
    }
}

#[test]
fn an_answer_that_says_revoked_is_believed_and_one_that_does_not_know_is_no_help() {
    let play = Play::new();
    let revoked = play.answer("responder", "R", "-sha256");
    assert_eq!(play.reason(&[], std::slice::from_ref(&revoked)), Some(Reason::CertificateRevoked));
    let unknown = play.answer("responder", "", "-sha256");
    assert_eq!(play.reason(&[], std::slice::from_ref(&unknown)), Some(Reason::RevocationUnavailable));
    assert_eq!(play.reason(&[], &[unknown, play.answer("ca", "V", "-sha1")]), None, "among others");
    let fresh = play.ladder.crl(&[], play.now - DAY, play.now + DAY).unwrap();
    assert_eq!(play.reason(&[fresh], &[revoked]), None, "while the directory's list is fresh the message is not asked");
}

#[test]
fn a_responder_that_the_issuer_did_not_appoint_is_no_help() {
    let play = Play::new();
    let cases = [
        ("noeku", "noCheck=ignored\nkeyUsage=digitalSignature\n"),
        ("nocheckless", "extendedKeyUsage=OCSPSigning\nkeyUsage=digitalSignature\n"),
        ("encipher", "extendedKeyUsage=OCSPSigning\nnoCheck=ignored\nkeyUsage=keyEncipherment\n"),
        ("authority", "extendedKeyUsage=OCSPSigning\nnoCheck=ignored\nbasicConstraints=critical,CA:true\n"),
        ("strange", "extendedKeyUsage=OCSPSigning\nnoCheck=ignored\n1.2.3.4=critical,ASN1:NULL\n"),
    ];
    for (name, extensions) in cases {
        play.appoint(name, extensions);
        let answer = play.answer(name, "V", "-sha256");
        assert_eq!(play.reason(&[], &[answer]), Some(Reason::RevocationUnavailable), "{name}");
    }
    // The responder of another CA, which says it of the same serial number.
    let other = Play::new();
    for file in ["responder.pem", "responder.key"] {
        std::fs::copy(other.folder.path().join(file), play.folder.path().join(file)).unwrap();
    }
    let foreign = play.answer("responder", "V", "-sha256");
    assert_eq!(play.reason(&[], &[foreign]), Some(Reason::RevocationUnavailable));
}

#[test]
fn an_answer_about_another_certificate_out_of_time_or_spoiled_is_no_help() {
    let (play, other) = (Play::new(), Play::new());
    let answer = play.answer("responder", "V", "-sha256");
    assert_eq!(play.reason(&[], &[other.answer("ca", "V", "-sha256")]), Some(Reason::RevocationUnavailable));
    let late = play.judge(&[], std::slice::from_ref(&answer), 3).err();
    assert_eq!(late, Some(Reason::RevocationUnavailable), "it held for two days");
    let newer = play.ladder.crl(&[], play.now + 60, play.now + 120).unwrap();
    let older = play.judge(&[newer], std::slice::from_ref(&answer), 1).err();
    assert_eq!(older, Some(Reason::RevocationStale), "an older answer never replaces what the directory knows");
    for position in [answer.len() / 4, answer.len() / 2, answer.len() - 1] {
        let mut spoiled = answer.clone();
        spoiled[position] ^= 1;
        let judged = play.reason(&[], &[spoiled]);
        assert!(judged.is_none_or(|reason| reason == Reason::RevocationUnavailable), "byte {position}: {judged:?}");
    }
    for length in [0, 1, 5, answer.len() / 2] {
        let cut = write::sequence(&[answer[..length].to_vec()]);
        assert_eq!(play.reason(&[], &[cut]), Some(Reason::RevocationUnavailable), "{length} bytes");
    }
}
