//! Revocation lists inside of the message: they stand in for missing or stale lists of the directory, and for nothing else.
#![allow(clippy::unwrap_used, reason = "a test may end here")]

mod stage;

use std::time::Duration;

use certs_dev::pki::{Credential, Ladder, LeafProfile};
use certs_dev::sign::{FastSigner, SignOptions};
use certs_dev::{Key, KeyKind};
use gateway_model::directory::Anchor;
use gateway_model::{Reason, Timestamp};
use gateway_verify::{DetachedOptions, Trust, TrustSource, der, verify_detached};
use stage::{NOW, anchor, at};

const CONTENT: &[u8] = b"envelope bytes";
const DAY: i64 = 86_400;

struct Play {
    ladder: Ladder,
    credential: Credential,
    /// What the anchor gives to the directory's lists.
    grace: Duration,
}

impl Play {
    fn new() -> Self {
        let ladder = Ladder::new(KeyKind::P256, NOW - 100 * DAY).unwrap();
        let key = Key::generate(KeyKind::P256).unwrap();
        let credential = ladder.issue_signer_with("Con dấu", &key, LeafProfile::agency("UBND")).unwrap();
        Self { ladder, credential, grace: Duration::ZERO }
    }

    /// The issuing CA's list, issued so many days after now, for so many days.
    fn list(&self, from: i64, days: i64, is_revoked: bool) -> Vec<u8> {
        let revoked = [self.credential.serial.clone()];
        let revoked = if is_revoked { &revoked[..] } else { &[] };
        self.ladder.crl(revoked, NOW + from * DAY, NOW + (from + days) * DAY).unwrap()
    }

    /// Judges under a directory with these lists of the issuing CA, and a message with those.
    fn judge(&self, directory: &[Vec<u8>], stapled: &[Vec<u8>]) -> Option<Reason> {
        let root = self.ladder.root_crl(&[], NOW - DAY, NOW + DAY).unwrap();
        self.judge_under(&[directory, &[root]].concat(), stapled, at(0))
    }

    fn judge_under(&self, lists: &[Vec<u8>], stapled: &[Vec<u8>], at: Timestamp) -> Option<Reason> {
        let source = TrustSource {
            anchors: vec![Anchor { revocation_grace: self.grace, ..anchor(self.ladder.root().certificate_der()) }],
            intermediates: vec![self.ladder.issuing().certificate_der().to_vec()],
            crls: lists.to_vec(),
        };
        let cms = FastSigner::new(&self.credential, SignOptions::at(NOW)).unwrap().sign(CONTENT).unwrap();
        let options = DetachedOptions { at, require_signing_certificate: true, check_revocation: true };
        let trust = Trust::new(source).unwrap();
        let judged = verify_detached(CONTENT, &with_choices(&cms, stapled), &trust, options);
        judged.err().map(|refusal| refusal.reason)
    }
}

/// The CMS with revocation information in it, which is not signed.
fn with_choices(cms: &[u8], choices: &[Vec<u8>]) -> Vec<u8> {
    let mut data = der::single(cms, der::SEQUENCE).unwrap();
    let kind = data.any().unwrap().raw;
    let mut inner = der::single(data.expect(der::context(0)).unwrap(), der::SEQUENCE).unwrap();
    let head: Vec<&[u8]> = (0..4).map(|_| inner.any().unwrap().raw).collect();
    let signers = inner.any().unwrap().raw;
    let set = certs_dev::der::context(1, &choices.concat());
    let signed_data = certs_dev::der::sequence(&[head.concat(), set, signers.to_vec()]);
    certs_dev::der::sequence(&[kind.to_vec(), certs_dev::der::context(0, &signed_data)])
}

#[test]
fn a_fresh_list_in_the_message_stands_in_for_a_missing_or_stale_one() {
    let play = Play::new();
    let (stale, fresh) = (play.list(-3, 2, false), play.list(-1, 2, false));
    assert_eq!(play.judge(&[], &[]), Some(Reason::RevocationUnavailable));
    assert_eq!(play.judge(std::slice::from_ref(&stale), &[]), Some(Reason::RevocationStale));
    assert_eq!(play.judge(&[], std::slice::from_ref(&fresh)), None);
    assert_eq!(play.judge(std::slice::from_ref(&stale), std::slice::from_ref(&fresh)), None);
    assert_eq!(play.judge(&[], &[stale, fresh]), None, "among others, in any order");
}

#[test]
fn every_certificate_of_the_chain_may_have_its_list_in_the_message() {
    let play = Play::new();
    let (leaf, root) = (play.list(-1, 2, false), play.ladder.root_crl(&[], NOW - DAY, NOW + DAY).unwrap());
    assert_eq!(play.judge_under(&[], &[leaf.clone(), root], at(0)), None);
    assert_eq!(play.judge_under(&[], &[leaf], at(0)), Some(Reason::RevocationUnavailable));
}

#[test]
fn what_the_directory_says_is_revoked_stays_revoked() {
    let play = Play::new();
    let fresh = play.list(-1, 2, false);
    for directory in [play.list(-1, 2, true), play.list(-3, 2, true)] {
        assert_eq!(play.judge(&[directory], std::slice::from_ref(&fresh)), Some(Reason::CertificateRevoked));
    }
}

#[test]
fn a_list_in_the_message_that_says_revoked_counts_where_it_is_asked() {
    let play = Play::new();
    assert_eq!(play.judge(&[], &[play.list(-1, 2, true)]), Some(Reason::CertificateRevoked));
}

#[test]
fn a_list_that_is_stale_itself_or_older_than_the_directorys_is_no_help() {
    let play = Play::new();
    let stale = play.list(-3, 2, false);
    assert_eq!(play.judge(&[], std::slice::from_ref(&stale)), Some(Reason::RevocationUnavailable));
    assert_eq!(play.judge(std::slice::from_ref(&stale), &[play.list(-4, 3, false)]), Some(Reason::RevocationStale));
    let older_but_within_its_times = play.list(-5, 30, false);
    assert_eq!(play.judge(&[stale], &[older_but_within_its_times]), Some(Reason::RevocationStale));
}

#[test]
fn the_grace_of_an_anchor_is_for_the_directory_alone() {
    let play = Play { grace: Duration::from_secs(3_600), ..Play::new() };
    let almost = play.list(-1, 1, false);
    assert_eq!(play.judge(&[], std::slice::from_ref(&almost)), None, "the last second counts");
    let root = play.ladder.root_crl(&[], NOW - DAY, NOW + DAY).unwrap();
    assert_eq!(play.judge_under(&[root.clone(), almost.clone()], &[], at(1)), None);
    assert_eq!(play.judge_under(&[root], &[almost], at(1)), Some(Reason::RevocationUnavailable));
}

#[test]
fn a_list_of_another_issuer_or_that_is_spoiled_is_no_help() {
    let (play, other) = (Play::new(), Play::new());
    assert_eq!(play.judge(&[], &[other.list(-1, 2, false)]), Some(Reason::RevocationUnavailable));
    let mut spoiled = play.list(-1, 2, false);
    *spoiled.last_mut().unwrap() ^= 1;
    assert_eq!(play.judge(&[], std::slice::from_ref(&spoiled)), Some(Reason::RevocationUnavailable));
    assert_eq!(play.judge(&[], &[spoiled, play.list(-1, 2, false)]), None, "it spoils nothing else");
}

#[test]
fn other_revocation_information_and_lists_beyond_the_bound_are_passed_over() {
    let play = Play::new();
    let fresh = play.list(-1, 2, false);
    let other = certs_dev::der::context(1, b"\x06\x01\x2a");
    assert_eq!(play.judge(&[], &[other.clone(), fresh.clone()]), None);
    let many = vec![play.list(-3, 2, false); gateway_model::limits::CHAIN_CERTIFICATES_MAX];
    assert_eq!(play.judge(&[], &[many, vec![fresh]].concat()), Some(Reason::RevocationUnavailable));
    assert_eq!(play.judge(&[], &[vec![0x30, 0x05, 0x00]]), Some(Reason::SignatureMalformed));
}
