//! The ladder for channels: one CA, and certificates of gateways, systems and operators for both ends of mutual TLS.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use rcgen::{ExtendedKeyUsagePurpose, KeyUsagePurpose, SanType};

use crate::pki::{Authority, Credential, YEAR_SECONDS, distinguished_name, leaf_params};
use crate::{Error, Key, KeyKind};

/// The CA of the channels. It never signs documents, so that a channel is never mistaken for an originator.
#[derive(Debug)]
pub struct TlsLadder {
    authority: Authority,
    valid_from: i64,
}

impl TlsLadder {
    /// Makes the CA, valid ten years from `valid_from_unix_seconds`.
    ///
    /// # Errors
    /// When a key cannot be made or the time does not fit.
    pub fn new(valid_from_unix_seconds: i64) -> Result<Self, Error> {
        let name = distinguished_name("Cơ quan chứng thực thử nghiệm", "CA kênh truyền thử nghiệm");
        let key = Key::generate(KeyKind::P256)?;
        let authority = Authority::root(name, key, valid_from_unix_seconds, 10 * YEAR_SECONDS)?;
        Ok(Self { authority, valid_from: valid_from_unix_seconds })
    }

    /// Issues a certificate for both ends, valid one year, named `name`; it also answers for localhost, 127.0.0.1, ::1 and `hosts`.
    ///
    /// # Errors
    /// When a name is not a host name or the key cannot be made.
    pub fn issue(&self, name: &str, hosts: &[&str]) -> Result<Credential, Error> {
        self.issue_between(name, hosts, self.valid_from, self.valid_from.saturating_add(YEAR_SECONDS))
    }

    /// Issues a certificate for both ends with a validity of its own, such as one that has expired.
    ///
    /// # Errors
    /// As [`TlsLadder::issue`].
    pub fn issue_between(&self, name: &str, hosts: &[&str], from: i64, until: i64) -> Result<Credential, Error> {
        let key = Key::generate(KeyKind::P256)?;
        let mut params = leaf_params(distinguished_name("", name), &key, from, until.saturating_sub(from))?;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        params.subject_alt_names = vec![
            SanType::DnsName(name.try_into()?),
            SanType::DnsName("localhost".try_into()?),
            SanType::IpAddress(IpAddr::V4(Ipv4Addr::LOCALHOST)),
            SanType::IpAddress(IpAddr::V6(Ipv6Addr::LOCALHOST)),
        ];
        for host in hosts {
            params.subject_alt_names.push(match host.parse::<IpAddr>() {
                Ok(address) => SanType::IpAddress(address),
                Err(_) => SanType::DnsName((*host).try_into()?),
            });
        }
        self.authority.issue(params, &key, &[])
    }

    /// The CA's certificate, which both ends trust.
    pub fn authority(&self) -> &Authority {
        &self.authority
    }
}

#[cfg(test)]
mod tests {
    use openssl::x509::X509;

    use super::*;

    const NOW: i64 = 1_790_000_000;

    #[test]
    fn a_channel_certificate_answers_for_this_machine_and_the_names_given() {
        let ladder = TlsLadder::new(NOW).unwrap();
        let issued = ladder.issue("gw-commune", &["gw.example", "10.0.0.7"]).unwrap();
        let certificate = X509::from_der(&issued.certificate_der).unwrap();
        let authority = X509::from_der(ladder.authority().certificate_der()).unwrap();
        assert!(certificate.verify(&authority.public_key().unwrap()).unwrap());
        let names = certificate.subject_alt_names().unwrap();
        let hosts: Vec<_> = names.iter().filter_map(|name| name.dnsname()).collect();
        assert_eq!(hosts, ["gw-commune", "localhost", "gw.example"]);
        let addresses: Vec<_> = names.iter().filter_map(|name| name.ipaddress()).map(<[u8]>::len).collect();
        assert_eq!(addresses, [4, 16, 4]);
    }

    #[test]
    fn a_channel_ladder_signs_no_certificate_of_another() {
        let (ours, other) = (TlsLadder::new(NOW).unwrap(), TlsLadder::new(NOW).unwrap());
        let certificate = X509::from_der(&other.issue("gw-commune", &[]).unwrap().certificate_der).unwrap();
        let authority = X509::from_der(ours.authority().certificate_der()).unwrap();
        assert!(!certificate.verify(&authority.public_key().unwrap()).unwrap());
    }
}
