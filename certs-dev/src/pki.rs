//! The ladder for signatures: root, issuing CA for state bodies, leaves of agencies and persons.

use std::time::Duration;

use rcgen::{
    BasicConstraints, Certificate, CertificateParams, CertificateRevocationListParams, CustomExtension,
    DistinguishedName, DnType, IsCa, Issuer, KeyIdMethod, KeyPair, KeyUsagePurpose, RevokedCertParams, SanType,
    SerialNumber, date_time_ymd,
};

use crate::{Error, der};
pub use crate::{Key, KeyKind};

/// One day in seconds.
pub const DAY_SECONDS: i64 = 86_400;
/// One year in seconds.
pub const YEAR_SECONDS: i64 = 365 * DAY_SECONDS;

/// A serial number, big-endian and positive.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Serial(pub Vec<u8>);

impl Serial {
    /// Makes a random one of 16 bytes.
    ///
    /// # Errors
    /// When there is no randomness.
    pub fn random() -> Result<Self, Error> {
        let mut bytes = [0u8; 16];
        openssl::rand::rand_bytes(&mut bytes)?;
        // Positive and of full length, so that every writer of DER agrees on it.
        bytes[0] = bytes[0] & 0x3F | 0x40;
        Ok(Self(bytes.to_vec()))
    }
}

/// A certificate with its private key.
#[derive(Clone, Debug)]
pub struct Credential {
    /// The certificate in DER.
    pub certificate_der: Vec<u8>,
    /// The certificate in PEM.
    pub certificate_pem: String,
    /// The private key in PKCS#8 PEM.
    pub key_pem: String,
    /// The certificate and the CA certificates above it, without the root, in PEM.
    pub chain_pem: String,
    /// The CA certificates above it, without the root, in DER.
    pub issuers_der: Vec<Vec<u8>>,
    /// Its serial number.
    pub serial: Serial,
}

/// What stands in a leaf.
#[derive(Clone, Debug)]
pub struct LeafProfile {
    /// Organization in the subject; empty leaves it out.
    pub organization: String,
    /// E-mail address in subjectAltName.
    pub email: Option<String>,
    /// Key usage; empty leaves the extension out.
    pub key_usages: Vec<KeyUsagePurpose>,
    /// Policy identifiers, dotted.
    pub policies: Vec<String>,
    /// Valid from, Unix seconds; `None` means from the ladder's start.
    pub not_before: Option<i64>,
    /// How long it is valid.
    pub lifetime_seconds: i64,
}

impl LeafProfile {
    /// The seal of an agency: digitalSignature and nonRepudiation, three years.
    pub fn agency(organization: &str) -> Self {
        Self {
            organization: organization.to_owned(),
            email: None,
            key_usages: vec![KeyUsagePurpose::DigitalSignature, KeyUsagePurpose::ContentCommitment],
            policies: Vec::new(),
            not_before: None,
            lifetime_seconds: 3 * YEAR_SECONDS,
        }
    }

    /// A person of an agency, with an e-mail address.
    pub fn person(organization: &str, email: &str) -> Self {
        Self { email: Some(email.to_owned()), ..Self::agency(organization) }
    }
}

/// Root, issuing CA for state bodies, and what they issue.
#[derive(Debug)]
pub struct Ladder {
    root: Authority,
    issuing: Authority,
    valid_from: i64,
}

impl Ladder {
    /// Makes root and issuing CA with keys of `kind`. The root holds 20 years from `valid_from_unix_seconds`, the issuing CA 10.
    ///
    /// # Errors
    /// When a key cannot be made or the time does not fit.
    pub fn new(kind: KeyKind, valid_from_unix_seconds: i64) -> Result<Self, Error> {
        let at = valid_from_unix_seconds;
        let root_name = distinguished_name("Cơ quan chứng thực thử nghiệm", "CA gốc thử nghiệm");
        let root = Authority::root(root_name, Key::generate(kind)?, at, 20 * YEAR_SECONDS)?;
        let issuing_name = distinguished_name("Cơ quan chứng thực thử nghiệm", "CA cơ quan nhà nước thử nghiệm");
        let issuing = root.subordinate(issuing_name, Key::generate(kind)?, at, 10 * YEAR_SECONDS)?;
        Ok(Self { root, issuing, valid_from: at })
    }

    /// Issues a leaf with a new key.
    ///
    /// # Errors
    /// When the key cannot be made or the profile does not fit.
    pub fn issue_signer(&self, common_name: &str, kind: KeyKind, profile: LeafProfile) -> Result<Credential, Error> {
        self.issue_signer_with(common_name, &Key::generate(kind)?, profile)
    }

    /// Issues a leaf for a key that exists: RSA keys are slow to make, and one may serve many leaves.
    ///
    /// # Errors
    /// When the profile does not fit.
    pub fn issue_signer_with(&self, common_name: &str, key: &Key, profile: LeafProfile) -> Result<Credential, Error> {
        let from = profile.not_before.unwrap_or(self.valid_from);
        let mut params =
            leaf_params(distinguished_name(&profile.organization, common_name), key, from, profile.lifetime_seconds)?;
        params.key_usages = profile.key_usages;
        if let Some(email) = profile.email {
            params.subject_alt_names.push(SanType::Rfc822Name(email.try_into()?));
        }
        if !profile.policies.is_empty() {
            let policies: Vec<_> = profile.policies.iter().map(|oid| der::sequence(&[der::oid(oid)])).collect();
            params.custom_extensions.push(CustomExtension::from_oid_content(&[2, 5, 29, 32], der::sequence(&policies)));
        }
        self.issuing.issue(params, key, &[&self.issuing])
    }

    /// The revocation list of the issuing CA, in DER.
    ///
    /// # Errors
    /// When the times do not fit.
    pub fn crl(&self, revoked: &[Serial], this_update: i64, next_update: i64) -> Result<Vec<u8>, Error> {
        self.issuing.crl(revoked, this_update, next_update)
    }

    /// The revocation list of the root, in DER: it says whether the issuing CA holds.
    ///
    /// # Errors
    /// When the times do not fit.
    pub fn root_crl(&self, revoked: &[Serial], this_update: i64, next_update: i64) -> Result<Vec<u8>, Error> {
        self.root.crl(revoked, this_update, next_update)
    }

    /// The root: the anchor.
    pub fn root(&self) -> &Authority {
        &self.root
    }

    /// The issuing CA: the intermediate.
    pub fn issuing(&self) -> &Authority {
        &self.issuing
    }
}

/// A CA with its key.
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    key: Key,
    serial: Serial,
    certificate: Certificate,
}

impl Authority {
    pub(crate) fn root(name: DistinguishedName, key: Key, from: i64, lifetime: i64) -> Result<Self, Error> {
        let (params, serial) = authority_params(name, &key, from, lifetime, BasicConstraints::Unconstrained)?;
        let pair = key.for_rcgen()?;
        let certificate = params.self_signed(&pair)?;
        Ok(Self { issuer: Issuer::new(params, pair), key, serial, certificate })
    }

    fn subordinate(&self, name: DistinguishedName, key: Key, from: i64, lifetime: i64) -> Result<Self, Error> {
        let (mut params, serial) = authority_params(name, &key, from, lifetime, BasicConstraints::Constrained(0))?;
        params.use_authority_key_identifier_extension = true;
        let pair = key.for_rcgen()?;
        let certificate = params.signed_by(&pair, &self.issuer)?;
        Ok(Self { issuer: Issuer::new(params, pair), key, serial, certificate })
    }

    /// The certificate in DER.
    pub fn certificate_der(&self) -> &[u8] {
        self.certificate.der()
    }

    /// The certificate in PEM.
    pub fn certificate_pem(&self) -> String {
        self.certificate.pem()
    }

    /// Its serial number, by which the CA above may revoke it.
    pub fn serial(&self) -> &Serial {
        &self.serial
    }

    /// Its key.
    pub fn key(&self) -> &Key {
        &self.key
    }

    pub(crate) fn issue(&self, params: CertificateParams, key: &Key, chain: &[&Self]) -> Result<Credential, Error> {
        let serial = Serial(params.serial_number.as_ref().map(SerialNumber::to_bytes).unwrap_or_default());
        let certificate = params.signed_by(&key.for_rcgen()?, &self.issuer)?;
        let certificate_pem = certificate.pem();
        let above: String = chain.iter().map(|authority| authority.certificate_pem()).collect();
        Ok(Credential {
            certificate_der: certificate.der().to_vec(),
            key_pem: key.to_pem()?,
            chain_pem: format!("{certificate_pem}{above}"),
            certificate_pem,
            issuers_der: chain.iter().map(|authority| authority.certificate_der().to_vec()).collect(),
            serial,
        })
    }

    fn crl(&self, revoked: &[Serial], this_update: i64, next_update: i64) -> Result<Vec<u8>, Error> {
        let start = date_time_ymd(1970, 1, 1);
        let revocation_time = start + since_1970(this_update)?;
        let entry = |serial: &Serial| RevokedCertParams {
            serial_number: SerialNumber::from_slice(&serial.0),
            revocation_time,
            reason_code: None,
            invalidity_date: None,
        };
        let list = CertificateRevocationListParams {
            this_update: revocation_time,
            next_update: start + since_1970(next_update)?,
            crl_number: SerialNumber::from(u64::try_from(this_update).map_err(|_| Error::Time(this_update))?),
            issuing_distribution_point: None,
            revoked_certs: revoked.iter().map(entry).collect(),
            key_identifier_method: KeyIdMethod::PreSpecified(self.key.identifier()),
        };
        Ok(list.signed_by(&self.issuer)?.der().to_vec())
    }
}

impl std::fmt::Debug for Authority {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Authority({:?})", self.key)
    }
}

/// Writes a revocation list, or anything else in DER, as PEM.
pub fn pem(label: &str, der: &[u8]) -> String {
    let encoded = openssl::base64::encode_block(der);
    let mut out = format!("-----BEGIN {label}-----\n");
    for line in encoded.as_bytes().chunks(64) {
        out.push_str(&String::from_utf8_lossy(line));
        out.push('\n');
    }
    out.push_str(&format!("-----END {label}-----\n"));
    out
}

pub(crate) fn distinguished_name(organization: &str, common_name: &str) -> DistinguishedName {
    let mut name = DistinguishedName::new();
    name.push(DnType::CountryName, "VN");
    if !organization.is_empty() {
        name.push(DnType::OrganizationName, organization);
    }
    name.push(DnType::CommonName, common_name);
    name
}

pub(crate) fn leaf_params(
    name: DistinguishedName,
    key: &Key,
    from: i64,
    lifetime: i64,
) -> Result<CertificateParams, Error> {
    let mut params = CertificateParams::default();
    params.distinguished_name = name;
    params.serial_number = Some(SerialNumber::from(Serial::random()?.0));
    let start = date_time_ymd(1970, 1, 1);
    params.not_before = start + since_1970(from)?;
    params.not_after = start + since_1970(from.saturating_add(lifetime))?;
    params.is_ca = IsCa::ExplicitNoCa;
    params.key_identifier_method = KeyIdMethod::PreSpecified(key.identifier());
    params.use_authority_key_identifier_extension = true;
    Ok(params)
}

fn authority_params(
    name: DistinguishedName,
    key: &Key,
    from: i64,
    lifetime: i64,
    constraints: BasicConstraints,
) -> Result<(CertificateParams, Serial), Error> {
    let mut params = leaf_params(name, key, from, lifetime)?;
    params.is_ca = IsCa::Ca(constraints);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params.use_authority_key_identifier_extension = false;
    let serial = Serial(params.serial_number.as_ref().map(SerialNumber::to_bytes).unwrap_or_default());
    Ok((params, serial))
}

/// From 1970 to that moment; rcgen's own times start from `date_time_ymd(1970, 1, 1)`.
fn since_1970(unix_seconds: i64) -> Result<Duration, Error> {
    const YEAR_9999_END: u64 = 253_402_300_799;
    let seconds = u64::try_from(unix_seconds).ok().filter(|&seconds| seconds <= YEAR_9999_END);
    seconds.map(Duration::from_secs).ok_or(Error::Time(unix_seconds))
}

#[cfg(test)]
mod tests {
    use openssl::x509::X509;

    use super::*;

    const NOW: i64 = 1_790_000_000;

    #[test]
    fn every_kind_of_key_gets_a_leaf_that_its_issuer_signed() {
        let ladder = Ladder::new(KeyKind::P256, NOW).unwrap();
        let issuing = X509::from_der(ladder.issuing().certificate_der()).unwrap();
        let root = X509::from_der(ladder.root().certificate_der()).unwrap();
        assert!(issuing.verify(&root.public_key().unwrap()).unwrap());
        for kind in KeyKind::ALL {
            let leaf = ladder.issue_signer("UBND xã Bản Lềnh", kind, LeafProfile::agency("UBND tỉnh")).unwrap();
            let certificate = X509::from_der(&leaf.certificate_der).unwrap();
            assert!(certificate.verify(&issuing.public_key().unwrap()).unwrap(), "{kind:?}");
            let key = Key::from_pem(&leaf.key_pem).unwrap();
            assert!(key.private().public_eq(&certificate.public_key().unwrap()), "{kind:?}");
            assert_eq!(certificate.serial_number().to_bn().unwrap().to_vec(), leaf.serial.0);
            assert_eq!(X509::stack_from_pem(leaf.chain_pem.as_bytes()).unwrap().len(), 2);
        }
    }

    #[test]
    fn every_kind_of_key_makes_a_ladder() {
        for kind in KeyKind::ALL {
            let ladder = Ladder::new(kind, NOW).unwrap();
            let root = X509::from_der(ladder.root().certificate_der()).unwrap();
            assert!(root.verify(&root.public_key().unwrap()).unwrap(), "{kind:?}");
            ladder.crl(&[], NOW, NOW + DAY_SECONDS).unwrap();
        }
    }

    #[test]
    fn a_revocation_list_names_what_is_revoked_and_nothing_else() {
        let ladder = Ladder::new(KeyKind::P256, NOW).unwrap();
        let issue = || ladder.issue_signer("x", KeyKind::P256, LeafProfile::agency("")).unwrap();
        let (good, bad) = (issue(), issue());
        let list = ladder.crl(std::slice::from_ref(&bad.serial), NOW, NOW + DAY_SECONDS).unwrap();
        let list = openssl::x509::X509Crl::from_der(&list).unwrap();
        assert!(list.verify(ladder.issuing().key().private()).unwrap());
        let is_revoked = |credential: &Credential| {
            let certificate = X509::from_der(&credential.certificate_der).unwrap();
            matches!(list.get_by_cert(&certificate), openssl::x509::CrlStatus::Revoked(_))
        };
        assert!(is_revoked(&bad) && !is_revoked(&good));
    }

    #[test]
    fn one_key_may_serve_many_leaves_with_serials_of_their_own() {
        let ladder = Ladder::new(KeyKind::P256, NOW).unwrap();
        let key = Key::generate(KeyKind::Rsa2048).unwrap();
        let issue = |name| ladder.issue_signer_with(name, &key, LeafProfile::agency("")).unwrap();
        let (first, second) = (issue("a"), issue("b"));
        assert_eq!(first.key_pem, second.key_pem);
        assert_ne!(first.serial, second.serial);
    }
}
