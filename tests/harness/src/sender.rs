//! An agency's system: signs envelopes and submits them over mTLS.

use anyhow::Context as _;
use bytes::Bytes;
use certs_dev::pki::Credential;
use certs_dev::sign::{FastSigner, SignOptions};
use gateway_cli::local::Local;
use gateway_model::id::AgencyId;
use prost::Message as _;
use proto::v1;
use proto::v1::submit_service_client::SubmitServiceClient;
use tonic::transport::Channel;

/// Signs for one agency and submits as its system.
pub struct Sender {
    /// The agency.
    pub agency: AgencyId,
    /// Its system's connection.
    pub client: SubmitServiceClient<Channel>,
    signer: FastSigner,
}

impl Sender {
    /// Connects as the system that speaks for `agency`.
    ///
    /// # Errors
    /// When nobody speaks for it or its gateway does not answer.
    pub async fn connect(local: &Local, agency: &AgencyId) -> anyhow::Result<Self> {
        let seal = &local.province.agency(agency).context("no such agency")?.seal;
        Self::connect_with(local, agency, &seal.credential).await
    }

    /// Connects as the system that speaks for `agency`, to sign with another certificate than the one laid out for it.
    ///
    /// # Errors
    /// When nobody speaks for it or its gateway does not answer.
    pub async fn connect_with(local: &Local, agency: &AgencyId, seal: &Credential) -> anyhow::Result<Self> {
        let channel = local.system_profile(agency)?.open().await?;
        let signer = FastSigner::new(seal, SignOptions::at(now().seconds))?;
        Ok(Self { agency: agency.clone(), client: SubmitServiceClient::new(channel), signer })
    }

    /// A plain envelope to `recipients`; tests change what they need before signing.
    pub fn envelope(&self, recipients: &[&AgencyId]) -> v1::Envelope {
        let created = now();
        v1::Envelope {
            schema: "lienthong.envelope.v1".to_owned(),
            id: uuid::Uuid::now_v7().to_string(),
            from: self.agency.to_string(),
            to: recipients.iter().map(|agency| v1::Recipient { agency: agency.to_string() }).collect(),
            created_at: Some(created),
            expires_at: Some(prost_types::Timestamp { seconds: created.seconds + 86_400, nanos: 0 }),
            content: Some(v1::envelope::Content::Document(v1::Document {
                code: "15/UBND-VP".to_owned(),
                type_name: "Công văn".to_owned(),
                subject: "Về việc thử nghiệm liên thông".to_owned(),
                promulgated_on: "2026-11-20".to_owned(),
            })),
            ..Default::default()
        }
    }

    /// Signs with the agency's seal.
    ///
    /// # Errors
    /// When the key does not sign.
    pub fn sign(&self, envelope: &v1::Envelope) -> anyhow::Result<v1::SubmitRequest> {
        self.sign_bytes(envelope.encode_to_vec().into())
    }

    /// Signs any bytes as if they were an envelope.
    ///
    /// # Errors
    /// When the key does not sign.
    pub fn sign_bytes(&self, bytes: Bytes) -> anyhow::Result<v1::SubmitRequest> {
        let signature = v1::Signature { cms: self.signer.sign(&bytes)?.into(), role: v1::SignatureRole::Agency.into() };
        let signed = v1::SignedEnvelope { envelope: bytes, signatures: vec![signature] };
        Ok(v1::SubmitRequest { envelope: Some(signed), inline_parts: Vec::new() })
    }
}

/// The instant now, as the wire writes it.
pub fn now() -> prost_types::Timestamp {
    std::time::SystemTime::now().into()
}
