//! Who exists: agencies, the systems that speak for them, gateways and operators.

use crate::hash::Digest;
use crate::id::{AgencyId, GatewayId, OperatorId, SystemId};
use crate::note::VerifierKey;
use crate::time::{Timestamp, Validity};

/// An agency (cơ quan, đơn vị).
#[derive(Clone, Debug)]
pub struct Agency {
    /// Stable internal id.
    pub id: AgencyId,
    /// Name in Vietnamese.
    pub name: String,
    /// Name in English; may be empty.
    pub name_en: String,
    /// Codes by which it is known, in any grammar.
    pub codes: Vec<String>,
    /// The agency above; `None` at the top.
    pub parent: Option<AgencyId>,
    /// Label of its level, for reading only.
    pub level: String,
    /// When it exists.
    pub validity: Validity,
    /// Who takes over when it ends.
    pub succeeded_by: Vec<AgencyId>,
    /// Certificates registered to sign for it.
    pub signers: Vec<SignerRegistration>,
    /// Gateway that serves it; `None` means that of the nearest ancestor.
    pub gateway: Option<GatewayId>,
}

/// A certificate registered for an agency: a fact of the directory, never read out of a subject name.
#[derive(Clone, Debug)]
pub struct SignerRegistration {
    /// SHA-256 of the certificate's DER.
    pub certificate: Digest,
    /// When it speaks for the agency.
    pub validity: Validity,
    /// Roles in which it may sign; empty means any.
    pub roles: Vec<crate::envelope::SignatureRole>,
    /// Whether its signatures may lack the signing-certificate attribute.
    pub legacy_without_signing_certificate: bool,
}

/// A system that calls SubmitService: a hop, not an originator.
#[derive(Clone, Debug)]
pub struct System {
    /// Stable id.
    pub id: SystemId,
    /// SHA-256 of its TLS client certificates.
    pub tls_certificates: Vec<Digest>,
    /// Agencies that it speaks for.
    pub speaks_for: Vec<AgencyId>,
}

/// A gateway.
#[derive(Clone, Debug)]
pub struct Gateway {
    /// Stable id.
    pub id: GatewayId,
    /// Address that other gateways dial, `https://host:port`.
    pub address: String,
    /// Gateway of the level above.
    pub parent: Option<GatewayId>,
    /// SHA-256 of its TLS certificates.
    pub tls_certificates: Vec<Digest>,
    /// Keys of its evidence log; older ones stay listed.
    pub log_keys: Vec<VerifierKey>,
    /// Gateways that it reaches directly besides parent and children.
    pub direct_links: Vec<GatewayId>,
}

/// A person who operates gateways.
#[derive(Clone, Debug)]
pub struct Operator {
    /// Stable id, written into the audit.
    pub id: OperatorId,
    /// SHA-256 of the TLS client certificates.
    pub tls_certificates: Vec<Digest>,
    /// What it may do.
    pub role: OperatorRole,
    /// Gateways where it may act; empty means all.
    pub gateways: Vec<GatewayId>,
}

/// What an operator may do; each role includes the ones before it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum OperatorRole {
    /// Sees.
    Viewer,
    /// Sees and moves deliveries.
    Operator,
    /// Also changes trust.
    TrustOfficer,
}

impl OperatorRole {
    /// Reads the name used in the directory.
    pub fn parse(text: &str) -> Option<Self> {
        match text {
            "viewer" => Some(Self::Viewer),
            "operator" => Some(Self::Operator),
            "trust-officer" => Some(Self::TrustOfficer),
            _ => None,
        }
    }

    /// The name used in the directory.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Viewer => "viewer",
            Self::Operator => "operator",
            Self::TrustOfficer => "trust-officer",
        }
    }
}

/// The TLS identity of a caller, found by its certificate in the directory. The hop is never the originator: the pair is authorised.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum Hop {
    /// A system of an agency, or an in-process adapter acting as one.
    System(SystemId),
    /// Another gateway.
    Gateway(GatewayId),
}

impl std::fmt::Display for Hop {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::System(id) => write!(f, "system:{id}"),
            Self::Gateway(id) => write!(f, "gateway:{id}"),
        }
    }
}

impl Agency {
    /// Whether the agency exists at `at`.
    pub fn is_alive(&self, at: Timestamp) -> bool {
        self.validity.contains(at)
    }
}
