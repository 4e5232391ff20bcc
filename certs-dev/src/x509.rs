//! Certificates and revocation lists written by hand: every field can be wrong on purpose.

use crate::algorithm::Scheme;
use crate::der::{self, tag};
use crate::{Error, Key};

/// Writes a Name: one attribute a RDN, in the order given; `tag` is that of the text values.
pub fn name_as(text_tag: u8, attributes: &[(&str, &str)]) -> Vec<u8> {
    let rdn = |&(oid, text): &(&str, &str)| {
        let text_tag = if oid == COUNTRY { tag::PRINTABLE_STRING } else { text_tag };
        der::set_of(&[der::sequence(&[der::oid(oid), der::element(text_tag, text.as_bytes())])])
    };
    der::sequence(&attributes.iter().map(rdn).collect::<Vec<_>>())
}

/// Writes the name `C=VN, O=<organization>, CN=<common name>` in UTF-8.
pub fn name(organization: &str, common_name: &str) -> Vec<u8> {
    name_as(tag::UTF8_STRING, &[(COUNTRY, "VN"), (ORGANIZATION, organization), (COMMON_NAME, common_name)])
}

/// Attribute type of a common name.
pub const COMMON_NAME: &str = "2.5.4.3";
/// Attribute type of a country.
pub const COUNTRY: &str = "2.5.4.6";
/// Attribute type of an organization.
pub const ORGANIZATION: &str = "2.5.4.10";

/// Bits of keyUsage.
pub mod usage {
    #![allow(missing_docs)] // The names are those of RFC 5280.
    pub const DIGITAL_SIGNATURE: u8 = 0;
    pub const NON_REPUDIATION: u8 = 1;
    pub const KEY_ENCIPHERMENT: u8 = 2;
    pub const KEY_CERT_SIGN: u8 = 5;
    pub const CRL_SIGN: u8 = 6;
}

/// One extension.
#[derive(Clone, Debug)]
pub struct Extension {
    /// Dotted object identifier.
    pub oid: &'static str,
    /// Whether it is critical.
    pub critical: bool,
    /// What stands inside extnValue.
    pub value: Vec<u8>,
}

impl Extension {
    /// An extension that may be ignored.
    pub fn plain(oid: &'static str, value: Vec<u8>) -> Self {
        Self { oid, critical: false, value }
    }

    /// An extension that must be understood.
    pub fn critical(oid: &'static str, value: Vec<u8>) -> Self {
        Self { oid, critical: true, value }
    }

    /// basicConstraints of a CA.
    pub fn authority(path_length: Option<u8>) -> Self {
        let mut pieces = vec![der::yes()];
        pieces.extend(path_length.map(der::number));
        Self::critical("2.5.29.19", der::sequence(&pieces))
    }

    /// basicConstraints of a leaf.
    pub fn not_authority() -> Self {
        Self::critical("2.5.29.19", der::sequence::<Vec<u8>>(&[]))
    }

    /// keyUsage with these bits.
    pub fn key_usage(bits: &[u8]) -> Self {
        Self::critical("2.5.29.15", der::named_bits(bits))
    }

    /// extendedKeyUsage.
    pub fn extended_key_usage(purposes: &[&str]) -> Self {
        Self::plain("2.5.29.37", der::sequence(&purposes.iter().map(|oid| der::oid(oid)).collect::<Vec<_>>()))
    }

    /// subjectKeyIdentifier.
    pub fn subject_key(identifier: &[u8]) -> Self {
        Self::plain("2.5.29.14", der::octets(identifier))
    }

    /// authorityKeyIdentifier by key.
    pub fn authority_key(identifier: &[u8]) -> Self {
        Self::plain("2.5.29.35", der::sequence(&[der::context_primitive(0, identifier)]))
    }

    /// subjectAltName with these GeneralNames.
    pub fn alternative_names(names: &[Vec<u8>]) -> Self {
        Self::plain("2.5.29.17", der::sequence(names))
    }

    /// certificatePolicies.
    pub fn policies(oids: &[&str]) -> Self {
        let policies: Vec<_> = oids.iter().map(|oid| der::sequence(&[der::oid(oid)])).collect();
        Self::plain("2.5.29.32", der::sequence(&policies))
    }

    /// nameConstraints with these GeneralNames.
    pub fn name_constraints(permitted: &[Vec<u8>], excluded: &[Vec<u8>]) -> Self {
        let subtrees = |number, names: &[Vec<u8>]| {
            let trees: Vec<u8> = names.iter().flat_map(|name| der::sequence(&[name])).collect();
            if trees.is_empty() { Vec::new() } else { der::context(number, &trees) }
        };
        Self::critical("2.5.29.30", der::sequence(&[subtrees(0, permitted), subtrees(1, excluded)]))
    }

    fn encode(&self) -> Vec<u8> {
        let critical = if self.critical { der::yes() } else { Vec::new() };
        der::sequence(&[der::oid(self.oid), critical, der::octets(&self.value)])
    }
}

/// GeneralNames.
pub mod general_name {
    use crate::der;

    /// rfc822Name.
    pub fn email(text: &str) -> Vec<u8> {
        der::context_primitive(1, text.as_bytes())
    }

    /// directoryName.
    pub fn directory(name: &[u8]) -> Vec<u8> {
        der::context(4, name)
    }

    /// registeredID, a form that hardly anybody constrains.
    pub fn registered(oid: &str) -> Vec<u8> {
        der::context_primitive(8, &der::oid(oid)[2..])
    }
}

/// A certificate before it is signed.
#[derive(Clone, Debug)]
pub struct Template {
    /// Serial number, big-endian.
    pub serial: Vec<u8>,
    /// Issuer, as a Name in DER.
    pub issuer: Vec<u8>,
    /// Subject, as a Name in DER.
    pub subject: Vec<u8>,
    /// Valid from, Unix seconds.
    pub not_before: i64,
    /// Valid until, Unix seconds.
    pub not_after: i64,
    /// SubjectPublicKeyInfo in DER.
    pub public_key: Vec<u8>,
    /// Extensions in their order.
    pub extensions: Vec<Extension>,
}

impl Template {
    /// Signs with the issuer's key.
    ///
    /// # Errors
    /// When a time or the key does not fit.
    pub fn sign(&self, key: &Key, scheme: Scheme) -> Result<Vec<u8>, Error> {
        let extensions: Vec<_> = self.extensions.iter().map(Extension::encode).collect();
        let body = der::sequence(&[
            der::context(0, &der::number(2)),
            der::unsigned(&self.serial),
            scheme.identifier(),
            self.issuer.clone(),
            der::sequence(&[der::time(self.not_before)?, der::time(self.not_after)?]),
            self.subject.clone(),
            self.public_key.clone(),
            der::context(3, &der::sequence(&extensions)),
        ]);
        signed(&body, key, scheme)
    }
}

/// A certificate revocation list before it is signed.
#[derive(Clone, Debug)]
pub struct ListTemplate {
    /// Issuer, as a Name in DER.
    pub issuer: Vec<u8>,
    /// When it was made, Unix seconds.
    pub this_update: i64,
    /// When the next one is due, Unix seconds.
    pub next_update: i64,
    /// Serial numbers that it revokes, big-endian, each with extensions of its entry.
    pub revoked: Vec<(Vec<u8>, Vec<Extension>)>,
    /// Extensions in their order.
    pub extensions: Vec<Extension>,
}

impl ListTemplate {
    /// Signs with a key.
    ///
    /// # Errors
    /// When a time or the key does not fit.
    pub fn sign(&self, key: &Key, scheme: Scheme) -> Result<Vec<u8>, Error> {
        let revoked_at = der::time(self.this_update)?;
        let entry = |(serial, extensions): &(Vec<u8>, Vec<Extension>)| {
            let extensions: Vec<_> = extensions.iter().map(Extension::encode).collect();
            let extensions = if extensions.is_empty() { Vec::new() } else { der::sequence(&extensions) };
            der::sequence(&[der::unsigned(serial), revoked_at.clone(), extensions])
        };
        let revoked: Vec<_> = self.revoked.iter().map(entry).collect();
        let extensions: Vec<_> = self.extensions.iter().map(Extension::encode).collect();
        let body = der::sequence(&[
            der::number(1),
            scheme.identifier(),
            self.issuer.clone(),
            revoked_at.clone(),
            der::time(self.next_update)?,
            if revoked.is_empty() { Vec::new() } else { der::sequence(&revoked) },
            der::context(0, &der::sequence(&extensions)),
        ]);
        signed(&body, key, scheme)
    }
}

/// SEQUENCE { body, algorithm, signature }.
fn signed(body: &[u8], key: &Key, scheme: Scheme) -> Result<Vec<u8>, Error> {
    let signature = scheme.sign(key, body)?;
    Ok(der::sequence(&[body.to_vec(), scheme.identifier(), der::bits(&signature)]))
}
