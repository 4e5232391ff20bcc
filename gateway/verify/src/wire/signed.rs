//! The outer message: exact envelope bytes and the signatures over them, cut out of the received bytes without a copy.

use bytes::Bytes;
use gateway_model::envelope::SignatureRole;
use gateway_model::{Reason, Refusal, limits};
use prost::Message as _;
use proto::v1;

use super::{schema, walk};

/// The parts of a `SignedEnvelope`, each a slice of the received bytes.
#[derive(Clone, Debug)]
pub struct SignedParts {
    /// The signed bytes.
    pub envelope: Bytes,
    /// One to eight signatures.
    pub signatures: Vec<SignaturePart>,
}

/// One signature of the outer message.
#[derive(Clone, Debug)]
pub struct SignaturePart {
    /// CMS SignedData, DER.
    pub cms: Bytes,
    /// In which role it stands.
    pub role: SignatureRole,
}

/// Reads the outer message within its bounds.
///
/// # Errors
/// What is wrong with it.
pub fn read_signed(bytes: &Bytes) -> Result<SignedParts, Refusal> {
    walk::walk(&schema::SIGNED_ENVELOPE, bytes)?;
    let message = v1::SignedEnvelope::decode(bytes.clone())
        .map_err(|error| Refusal::new(Reason::EnvelopeMalformed).saw(error.to_string()))?;
    let size = message.envelope.len();
    if size > limits::ENVELOPE_BYTES_MAX {
        let seen = format!("{size} bytes; {} are allowed", limits::ENVELOPE_BYTES_MAX);
        return Err(Refusal::new(Reason::EnvelopeTooLarge).at("envelope").saw(seen));
    }
    match message.signatures.len() {
        0 => return Err(Refusal::new(Reason::SignatureMissing).at("signatures")),
        1..=limits::SIGNATURES_MAX => {}
        count => {
            let seen = format!("{count}; {} are allowed", limits::SIGNATURES_MAX);
            return Err(Refusal::new(Reason::SignaturesTooMany).at("signatures").saw(seen));
        }
    }
    let signatures =
        message.signatures.into_iter().enumerate().map(|(position, signature)| read_signature(position, signature));
    Ok(SignedParts { signatures: signatures.collect::<Result<_, _>>()?, envelope: message.envelope })
}

fn read_signature(position: usize, signature: v1::Signature) -> Result<SignaturePart, Refusal> {
    let size = signature.cms.len();
    if size > limits::SIGNATURE_BYTES_MAX {
        let seen = format!("{size} bytes; {} are allowed", limits::SIGNATURE_BYTES_MAX);
        return Err(Refusal::new(Reason::SignatureTooLarge).at(format!("signatures[{position}].cms")).saw(seen));
    }
    let role = match v1::SignatureRole::try_from(signature.role) {
        Ok(v1::SignatureRole::Person) => SignatureRole::Person,
        Ok(v1::SignatureRole::Agency) => SignatureRole::Agency,
        Ok(v1::SignatureRole::SealedByAdapter) => SignatureRole::SealedByAdapter,
        Ok(v1::SignatureRole::Unspecified) | Err(_) => {
            let seen = format!("role {}", signature.role);
            return Err(Refusal::new(Reason::SignatureRoleInvalid)
                .at(format!("signatures[{position}].role"))
                .saw(seen));
        }
    };
    Ok(SignaturePart { cms: signature.cms, role })
}
