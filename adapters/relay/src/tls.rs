//! Who the other side is: a chain to a CA of gateways, and the very certificate that the directory registers for it.

use std::sync::Arc;

use gateway_model::Digest;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, SignatureScheme};

use crate::config::RelayIdentity;

/// TLS 1.3 only, post-quantum key exchange first, our certificate shown, theirs one of `pins`. Made anew for each connection: nothing is
/// resumed, so that every connection meets the pins of the moment.
pub(crate) fn client_config(identity: &RelayIdentity, pins: Vec<Digest>) -> Result<ClientConfig, rustls::Error> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let chain_check = WebPkiServerVerifier::builder_with_provider(identity.roots.clone(), provider.clone())
        .build()
        .map_err(|fault| rustls::Error::General(fault.to_string()))?;
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Pinned { chain_check, pins }))
        .with_client_auth_cert(identity.chain.clone(), identity.key.clone_key())?;
    config.alpn_protocols = vec![b"h2".to_vec()];
    Ok(config)
}

/// Checks the chain, then that the certificate is a registered one.
#[derive(Debug)]
struct Pinned {
    chain_check: Arc<WebPkiServerVerifier>,
    pins: Vec<Digest>,
}

impl ServerCertVerifier for Pinned {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        use rustls::Error::InvalidCertificate;
        let checked = self.chain_check.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now);
        match checked {
            // The name is checked last, when the chain has proved good. The directory names the very certificate, which says more than
            // a host name: a gateway that moves to another host keeps its identity.
            Err(InvalidCertificate(
                CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
            )) => {}
            other => {
                other?;
            }
        }
        if self.pins.contains(&Digest::of(end_entity)) {
            Ok(ServerCertVerified::assertion())
        } else {
            Err(InvalidCertificate(CertificateError::ApplicationVerificationFailure))
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.chain_check.verify_tls12_signature(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.chain_check.verify_tls13_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.chain_check.supported_verify_schemes()
    }
}
