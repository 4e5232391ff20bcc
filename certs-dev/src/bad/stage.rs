//! The stage on which cases are played: a root, an issuing CA, a leaf, and good signatures to spoil.

use openssl::pkey::PKey;
use openssl::rsa::Rsa;

use super::BadCase;
use crate::algorithm::Scheme;
use crate::pki::{DAY_SECONDS, Serial, YEAR_SECONDS};
use crate::sign::{Draft, SIGNING_TIME, attribute, content_type, message_digest, signing_certificate};
use crate::x509::{Extension, ListTemplate, Template, name, usage};
use crate::{Error, Key, KeyKind, der};

/// Somebody with a certificate.
#[derive(Clone)]
pub(super) struct Party {
    pub(super) name: Vec<u8>,
    pub(super) key: Key,
    pub(super) serial: Vec<u8>,
    pub(super) certificate: Vec<u8>,
}

/// What most cases share.
pub(super) struct Stage {
    pub(super) now: i64,
    pub(super) root: Party,
    pub(super) issuing: Party,
    pub(super) leaf: Party,
    /// A key that belongs to nobody on the stage.
    pub(super) stray_key: Key,
    pub(super) rsa_key: Key,
}

pub(super) const CONTENT: &[u8] = b"envelope bytes, exactly as received\r\n\x00";
const ORGANIZATION: &str = "Ủy ban nhân dân tỉnh Thanh Lĩnh";

impl Stage {
    pub(super) fn new(now: i64) -> Result<Self, Error> {
        let root = self_signed(now, "CA gốc", Key::generate(KeyKind::P256)?)?;
        let issuing = authority(now, &root, "CA cơ quan nhà nước", Key::generate(KeyKind::P256)?, |_| {})?;
        let leaf = leaf(now, &issuing, Key::generate(KeyKind::P256)?, |_| {})?;
        let rsa_key = Key::generate(KeyKind::Rsa2048)?;
        Ok(Self { now, root, issuing, leaf, stray_key: Key::generate(KeyKind::P256)?, rsa_key })
    }

    /// A leaf of the issuing CA with the usual leaf's key, changed.
    pub(super) fn leaf_with(&self, change: impl FnOnce(&mut Template)) -> Result<Party, Error> {
        leaf(self.now, &self.issuing, self.leaf.key.clone(), change)
    }

    /// A leaf of the issuing CA with another key.
    pub(super) fn leaf_for(&self, key: &Key) -> Result<Party, Error> {
        leaf(self.now, &self.issuing, key.clone(), |_| {})
    }

    /// An issuing CA like the usual one, with its key, changed; and a leaf of it.
    pub(super) fn issuing_with(&self, change: impl FnOnce(&mut Template)) -> Result<(Party, Party), Error> {
        let issuing = authority(self.now, &self.root, "CA cơ quan nhà nước", self.issuing.key.clone(), change)?;
        let leaf = leaf(self.now, &issuing, self.leaf.key.clone(), |_| {})?;
        Ok((issuing, leaf))
    }

    /// A CA below another, with the key of the usual issuing CA.
    pub(super) fn authority_below(
        &self,
        issuer: &Party,
        common_name: &str,
        change: impl FnOnce(&mut Template),
    ) -> Result<Party, Error> {
        authority(self.now, issuer, common_name, self.issuing.key.clone(), change)
    }

    /// A leaf below any CA, with the usual leaf's key, changed.
    pub(super) fn leaf_below(&self, issuer: &Party, change: impl FnOnce(&mut Template)) -> Result<Party, Error> {
        leaf(self.now, issuer, self.leaf.key.clone(), change)
    }

    /// A case in which all is well: the usual CA, a signature by `leaf`, its certificate inside.
    pub(super) fn case(&self, name: &'static str, reason: &'static str, leaf: &Party) -> Result<BadCase, Error> {
        self.case_below(name, reason, leaf, std::slice::from_ref(&self.issuing))
    }

    /// The same below other CAs, each with an empty revocation list; the root's list is there too.
    pub(super) fn case_below(
        &self,
        name: &'static str,
        reason: &'static str,
        leaf: &Party,
        authorities: &[Party],
    ) -> Result<BadCase, Error> {
        let lists = std::iter::once(&self.root).chain(authorities);
        Ok(BadCase {
            name,
            reason,
            content: CONTENT.to_vec(),
            cms: self.signature(leaf, Scheme::usual(&leaf.key)?, |_| {})?,
            signer_certificate: leaf.certificate.clone(),
            anchors: vec![self.root.certificate.clone()],
            intermediates: authorities.iter().map(|authority| authority.certificate.clone()).collect(),
            crls: lists
                .map(|issuer| self.list(issuer).sign(&issuer.key, Scheme::usual(&issuer.key)?))
                .collect::<Result<_, _>>()?,
            policies: Vec::new(),
            at: self.now,
        })
    }

    /// A signature of the content by `leaf`; the draft may be changed, the attributes are good.
    pub(super) fn signature(
        &self,
        leaf: &Party,
        scheme: Scheme,
        change: impl FnOnce(&mut Draft),
    ) -> Result<Vec<u8>, Error> {
        let mut draft = Draft::new(&leaf.certificate, scheme);
        change(&mut draft);
        let digest = draft.digest.of(CONTENT)?;
        draft.sign(&self.attributes(leaf, &digest)?, &leaf.key)
    }

    /// The four attributes: content type, message digest, signing time, signing certificate.
    pub(super) fn attributes(&self, leaf: &Party, digest: &[u8]) -> Result<Vec<Vec<u8>>, Error> {
        Ok(vec![
            content_type(crate::sign::DATA),
            message_digest(digest),
            attribute(SIGNING_TIME, &[der::time(self.now)?]),
            signing_certificate(&leaf.certificate),
        ])
    }

    /// An empty, fresh list of an issuer.
    pub(super) fn list(&self, issuer: &Party) -> ListTemplate {
        ListTemplate {
            issuer: issuer.name.clone(),
            this_update: self.now - DAY_SECONDS,
            next_update: self.now + 7 * DAY_SECONDS,
            revoked: Vec::new(),
            extensions: vec![
                Extension::authority_key(&issuer.key.identifier()),
                Extension::plain("2.5.29.20", der::number(7)),
            ],
        }
    }
}

/// A root of its own.
pub(super) fn self_signed(now: i64, common_name: &str, key: Key) -> Result<Party, Error> {
    let subject = name("Cơ quan chứng thực thử nghiệm", common_name);
    let mut template = template(now, &subject, subject.clone(), &key, 20 * YEAR_SECONDS)?;
    template.extensions = vec![
        Extension::authority(None),
        Extension::key_usage(&[usage::KEY_CERT_SIGN, usage::CRL_SIGN]),
        Extension::subject_key(&key.identifier()),
    ];
    finish(template, &key.clone(), key)
}

/// A CA below another.
pub(super) fn authority(
    now: i64,
    issuer: &Party,
    common_name: &str,
    key: Key,
    change: impl FnOnce(&mut Template),
) -> Result<Party, Error> {
    let subject = name("Cơ quan chứng thực thử nghiệm", common_name);
    let mut template = template(now, &issuer.name, subject, &key, 10 * YEAR_SECONDS)?;
    template.extensions = vec![
        Extension::authority(None),
        Extension::key_usage(&[usage::KEY_CERT_SIGN, usage::CRL_SIGN]),
        Extension::subject_key(&key.identifier()),
        Extension::authority_key(&issuer.key.identifier()),
    ];
    change(&mut template);
    finish(template, &issuer.key, key)
}

/// A leaf below a CA.
pub(super) fn leaf(now: i64, issuer: &Party, key: Key, change: impl FnOnce(&mut Template)) -> Result<Party, Error> {
    let subject = name(ORGANIZATION, "Ủy ban nhân dân xã Bản Lềnh");
    let mut template = template(now, &issuer.name, subject, &key, 3 * YEAR_SECONDS)?;
    template.extensions = vec![
        Extension::not_authority(),
        Extension::key_usage(&[usage::DIGITAL_SIGNATURE, usage::NON_REPUDIATION]),
        Extension::subject_key(&key.identifier()),
        Extension::authority_key(&issuer.key.identifier()),
    ];
    change(&mut template);
    finish(template, &issuer.key, key)
}

/// Puts an extension in place of the one with its identifier, or adds it.
pub(super) fn put(template: &mut Template, extension: Extension) {
    match template.extensions.iter_mut().find(|known| known.oid == extension.oid) {
        Some(place) => *place = extension,
        None => template.extensions.push(extension),
    }
}

/// An RSA key that is shorter than any verifier should accept.
pub(super) fn short_rsa_key() -> Result<Key, Error> {
    Key::new(PKey::from_rsa(Rsa::generate(1024)?)?)
}

/// Flips the last bit.
pub(super) fn flip_last(bytes: &mut [u8]) {
    if let Some(last) = bytes.last_mut() {
        *last ^= 1;
    }
}

fn template(now: i64, issuer: &[u8], subject: Vec<u8>, key: &Key, lifetime: i64) -> Result<Template, Error> {
    Ok(Template {
        serial: Serial::random()?.0,
        issuer: issuer.to_vec(),
        subject,
        not_before: now - 30 * DAY_SECONDS,
        not_after: now + lifetime,
        public_key: key.public_der().to_vec(),
        extensions: Vec::new(),
    })
}

fn finish(template: Template, signing_key: &Key, key: Key) -> Result<Party, Error> {
    let certificate = template.sign(signing_key, Scheme::usual(signing_key)?)?;
    Ok(Party { name: template.subject, key, serial: template.serial, certificate })
}
