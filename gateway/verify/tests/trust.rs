//! What verdicts stand on: anchors with their profiles, revocation lists, and what is remembered for how long.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test may end here")]

mod stage;

use std::time::Duration;

use certs_dev::algorithm::Scheme;
use certs_dev::der;
use certs_dev::pki::{Credential, Ladder, LeafProfile, Serial};
use certs_dev::sign::{Embed, FastSigner, SignOptions};
use certs_dev::x509::{Extension, ListTemplate};
use certs_dev::{Key, KeyKind};
use gateway_model::directory::{Anchor, AnchorPurpose};
use gateway_model::{Reason, Timestamp};
use gateway_verify::{DetachedOptions, SignerReport, Trust, TrustFault, TrustSource, verify_detached};
use stage::{NOW, anchor, at};

const CONTENT: &[u8] = b"envelope bytes";
const DAY: i64 = 86_400;

struct Play {
    ladder: Ladder,
    credential: Credential,
}

impl Play {
    fn new() -> Self {
        let ladder = Ladder::new(KeyKind::P256, NOW - 100 * DAY).unwrap();
        let key = Key::generate(KeyKind::P256).unwrap();
        let credential = ladder.issue_signer_with("Con dấu", &key, LeafProfile::agency("UBND")).unwrap();
        Self { ladder, credential }
    }

    fn source(&self) -> TrustSource {
        TrustSource {
            anchors: vec![anchor(self.ladder.root().certificate_der())],
            intermediates: vec![self.ladder.issuing().certificate_der().to_vec()],
            crls: vec![self.leaf_list(&[], 0), self.ladder.root_crl(&[], NOW - DAY, NOW + DAY).unwrap()],
        }
    }

    /// The issuing CA's list, issued so many days after the usual one.
    fn leaf_list(&self, revoked: &[Serial], days: i64) -> Vec<u8> {
        self.ladder.crl(revoked, NOW + (days - 1) * DAY, NOW + (days + 1) * DAY).unwrap()
    }

    fn judge(&self, source: TrustSource, at: Timestamp) -> Result<SignerReport, Reason> {
        self.judge_in(&Trust::new(source).unwrap(), at)
    }

    fn judge_in(&self, trust: &Trust, at: Timestamp) -> Result<SignerReport, Reason> {
        let cms =
            FastSigner::new(&self.credential, SignOptions::at(NOW).embed(Embed::Leaf)).unwrap().sign(CONTENT).unwrap();
        let options = DetachedOptions { at, require_signing_certificate: true, check_revocation: true };
        verify_detached(CONTENT, &cms, trust, options).map_err(|refusal| refusal.reason)
    }
}

fn reason(verdict: Result<SignerReport, Reason>) -> Option<Reason> {
    verdict.err()
}

#[test]
fn a_list_past_its_next_update_is_stale_but_for_the_grace_of_the_anchor() {
    let play = Play::new();
    assert_eq!(reason(play.judge(play.source(), at(DAY))), None, "the last second counts");
    assert_eq!(reason(play.judge(play.source(), at(DAY + 1))), Some(Reason::RevocationStale));
    let mut patient = play.source();
    patient.anchors[0].revocation_grace = Duration::from_secs(3600);
    assert_eq!(reason(play.judge(patient.clone(), at(DAY + 3600))), None);
    assert_eq!(reason(play.judge(patient, at(DAY + 3601))), Some(Reason::RevocationStale));
}

#[test]
fn a_remembered_verdict_goes_stale_with_its_lists() {
    let play = Play::new();
    let trust = Trust::new(play.source()).unwrap();
    assert_eq!(reason(play.judge_in(&trust, at(0))), None);
    assert_eq!(reason(play.judge_in(&trust, at(DAY + 1))), Some(Reason::RevocationStale));
    assert_eq!(reason(play.judge_in(&trust, at(0))), None);
}

#[test]
fn revoked_counts_from_its_date_on_and_the_newest_list_decides() {
    let play = Play::new();
    let revoked = [play.credential.serial.clone()];
    let mut source = play.source();
    // The newer list says revoked; rcgen dates the revocation at the list's thisUpdate, a day after `now`.
    source.crls.push(play.leaf_list(&revoked, 1));
    source.crls[1] = play.ladder.root_crl(&[], NOW - DAY, NOW + 30 * DAY).unwrap();
    let verdicts = (reason(play.judge(source.clone(), at(-1))), reason(play.judge(source.clone(), at(DAY))));
    assert_eq!(verdicts, (None, Some(Reason::CertificateRevoked)), "later revocation does not rewrite history");
    source.crls.rotate_left(1);
    assert_eq!(reason(play.judge(source, at(DAY))), Some(Reason::CertificateRevoked), "in any order");
}

#[test]
fn every_certificate_but_the_anchor_needs_a_list() {
    let play = Play::new();
    for missing in 0..2 {
        let mut source = play.source();
        source.crls.remove(missing);
        assert_eq!(reason(play.judge(source, at(0))), Some(Reason::RevocationUnavailable), "list {missing}");
    }
    let mut revoked_ca = play.source();
    revoked_ca.crls[1] = play.ladder.root_crl(&[play.ladder.issuing().serial().clone()], NOW - DAY, NOW + DAY).unwrap();
    assert_eq!(reason(play.judge(revoked_ca, at(0))), Some(Reason::CertificateRevoked));
}

#[test]
fn a_list_that_cannot_be_read_is_invalid_and_not_absent() {
    let play = Play::new();
    let mut source = play.source();
    source.crls[0].pop();
    assert_eq!(reason(play.judge(source, at(0))), Some(Reason::RevocationInvalid));
}

#[test]
fn an_anchor_allows_only_the_algorithms_that_it_names() {
    let play = Play::new();
    let mut source = play.source();
    source.anchors[0].algorithms = vec!["ecdsa".to_owned()];
    assert_eq!(reason(play.judge(source.clone(), at(0))), None);
    source.anchors[0].algorithms = vec!["rsa-pkcs1".to_owned(), "rsa-pss".to_owned(), "ed25519".to_owned()];
    assert_eq!(reason(play.judge(source, at(0))), Some(Reason::AlgorithmNotAllowed));
}

#[test]
fn an_anchor_for_tls_does_not_anchor_signatures() {
    let play = Play::new();
    let mut source = play.source();
    source.anchors[0].purpose = AnchorPurpose::Tls;
    assert_eq!(reason(play.judge(source, at(0))), Some(Reason::CertificateUntrusted));
}

#[test]
fn an_issuing_ca_can_be_the_anchor_and_then_ends_the_chain() {
    let play = Play::new();
    let issuing = play.ladder.issuing().certificate_der().to_vec();
    let source =
        TrustSource { anchors: vec![anchor(&issuing)], intermediates: vec![], crls: vec![play.leaf_list(&[], 0)] };
    let report = play.judge(source, at(0)).unwrap();
    assert_eq!(report.chain.len(), 2);
    assert_eq!(report.revocation.len(), 1);
}

#[test]
fn a_signers_certificate_is_not_trusted_as_its_own_anchor() {
    let play = Play::new();
    let source = TrustSource { anchors: vec![anchor(&play.credential.certificate_der)], ..play.source() };
    assert_eq!(reason(play.judge(source, at(0))), Some(Reason::CertificateUntrusted));
}

#[test]
fn every_fault_of_the_trust_is_found_at_once() {
    let play = Play::new();
    let odd = Anchor { algorithms: vec!["sha1-rsa".to_owned()], ..anchor(play.ladder.root().certificate_der()) };
    let source = TrustSource {
        anchors: vec![anchor(b"no certificate"), odd],
        intermediates: vec![vec![0x30, 0x80]],
        crls: vec![],
    };
    let faults = Trust::new(source).unwrap_err();
    let kinds: Vec<&str> = faults
        .iter()
        .map(|fault| match fault {
            TrustFault::Anchor { .. } => "anchor",
            TrustFault::Algorithm { .. } => "algorithm",
            TrustFault::Intermediate { .. } => "intermediate",
        })
        .collect();
    assert_eq!(kinds, ["anchor", "algorithm", "intermediate"]);
}

impl Play {
    /// A list of the issuing CA with an issuingDistributionPoint.
    fn scoped_list(&self, scope: Vec<u8>, revoked: &[Serial]) -> Vec<u8> {
        let issuing = self.ladder.issuing();
        let name = openssl::x509::X509::from_der(issuing.certificate_der()).unwrap().subject_name().to_der().unwrap();
        let template = ListTemplate {
            issuer: name,
            this_update: NOW - DAY,
            next_update: NOW + DAY,
            revoked: revoked.iter().map(|serial| (serial.0.clone(), vec![])).collect(),
            extensions: vec![Extension::critical("2.5.29.28", der::sequence(&[scope]))],
        };
        template.sign(issuing.key(), Scheme::usual(issuing.key()).unwrap()).unwrap()
    }

    fn judge_scoped(&self, lists: &[Vec<u8>]) -> Option<Reason> {
        let mut source = self.source();
        source.crls.remove(0);
        source.crls.extend_from_slice(lists);
        reason(self.judge(source, at(0)))
    }
}

#[test]
fn a_list_for_some_certificates_counts_for_those_alone() {
    let play = Play::new();
    let (users, authorities) = (der::context_primitive(1, &[0xff]), der::context_primitive(2, &[0xff]));
    let reasons = der::context_primitive(3, &[0x06, 0x40]);
    let elsewhere = der::context(0, &der::context(0, &der::context_primitive(6, b"http://crl.example/1")));
    let revoked = [play.credential.serial.clone()];
    assert_eq!(play.judge_scoped(&[play.scoped_list(users.clone(), &[])]), None);
    assert_eq!(play.judge_scoped(&[play.scoped_list(users.clone(), &revoked)]), Some(Reason::CertificateRevoked));
    assert_eq!(play.judge_scoped(&[play.scoped_list(authorities.clone(), &[])]), Some(Reason::RevocationUnsupported));
    assert_eq!(play.judge_scoped(&[play.scoped_list(elsewhere, &[])]), Some(Reason::RevocationUnsupported));
    assert_eq!(play.judge_scoped(&[play.scoped_list(reasons, &[])]), Some(Reason::RevocationUnsupported));
    let both = [play.scoped_list(authorities, &[]), play.scoped_list(users, &revoked)];
    assert_eq!(
        play.judge_scoped(&both),
        Some(Reason::CertificateRevoked),
        "the list that is about the certificate decides"
    );
}

#[test]
fn signers_of_many_threads_share_one_trust() {
    let play = Play::new();
    let trust = Trust::new(play.source()).unwrap();
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| (0..50).for_each(|_| assert_eq!(reason(play.judge_in(&trust, at(0))), None)));
        }
    });
}
