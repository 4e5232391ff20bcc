//! A whole invented province on disk: ladders, signers, channels, log keys, the authority, and the source of the directory.
//!
//! The folder holds `agencies.toml`, `authority.key`, `authority.pub`, `ca/` (certificates, keys and revocation lists of the
//! signature ladder), `signers/`, `tls/` (with `tls/ca.pem`) and `log/`. Paths inside `agencies.toml` are relative to it.

mod names;
mod plan;
mod source;
mod timetable;

use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use gateway_model::agency::OperatorRole;
use gateway_model::id::{AgencyId, GatewayId, OperatorId, SystemId};
use gateway_model::note::{NoteSigner, VerifierKey};

use crate::pki::{Credential, DAY_SECONDS, Ladder, LeafProfile, Serial};
use crate::tls::TlsLadder;
use crate::{Error, Key, KeyKind};
pub use plan::{AgencyPlan, CalendarPlan, Cast, GatewayPlan, Plan, ProcedurePlan, StepPlan, SystemPlan};

/// Name of the key that signs the directory.
pub const AUTHORITY_NAME: &str = "h99-directory";

/// A certificate and its key on disk, and in memory for those who sign at once.
#[derive(Clone, Debug)]
pub struct CredentialFiles {
    /// The certificate in PEM.
    pub certificate: PathBuf,
    /// The private key in PKCS#8 PEM.
    pub key: PathBuf,
    /// The same in memory.
    pub credential: Credential,
}

/// A gateway of the province.
#[derive(Clone, Debug)]
pub struct ProvinceGateway {
    /// Its id.
    pub id: GatewayId,
    /// `https://host:port`.
    pub address: String,
    /// The gateway above.
    pub parent: Option<GatewayId>,
    /// Its channel certificate, for both ends.
    pub tls: CredentialFiles,
    /// The key of its evidence log: Ed25519, PKCS#8 PEM.
    pub log_key: PathBuf,
    /// The key that verifies its checkpoints.
    pub log_verifier: VerifierKey,
}

/// An agency of the province.
#[derive(Clone, Debug)]
pub struct ProvinceAgency {
    /// Its stable id.
    pub id: AgencyId,
    /// Its name in Vietnamese.
    pub name: String,
    /// Its codes.
    pub codes: Vec<String>,
    /// The gateway that serves it.
    pub gateway: GatewayId,
    /// Its seal.
    pub seal: CredentialFiles,
    /// The person who signs for it, where there is one.
    pub person: Option<CredentialFiles>,
}

/// A system that submits.
#[derive(Clone, Debug)]
pub struct ProvinceSystem {
    /// Its id.
    pub id: SystemId,
    /// The gateway at whose door it submits.
    pub gateway: GatewayId,
    /// Its channel certificate.
    pub tls: CredentialFiles,
    /// Agencies that it speaks for.
    pub speaks_for: Vec<AgencyId>,
}

/// An operator.
#[derive(Clone, Debug)]
pub struct ProvinceOperator {
    /// The id.
    pub id: OperatorId,
    /// What it may do.
    pub role: OperatorRole,
    /// The channel certificate.
    pub tls: CredentialFiles,
}

/// A province with everything that its processes read.
#[derive(Debug)]
pub struct Province {
    /// The folder that holds all of it.
    pub folder: PathBuf,
    /// The source of the directory.
    pub agencies_toml: PathBuf,
    /// The key that signs the directory: Ed25519, PKCS#8 PEM.
    pub authority_key: PathBuf,
    /// The key that verifies the directory, as text.
    pub authority_pub: PathBuf,
    /// The same in memory.
    pub authority: VerifierKey,
    /// Certificate of the root.
    pub root: PathBuf,
    /// Certificate of the issuing CA.
    pub issuing: PathBuf,
    /// Revocation list of the root.
    pub root_crl: PathBuf,
    /// Revocation list of the issuing CA.
    pub issuing_crl: PathBuf,
    /// Certificate of the CA of the channels.
    pub tls_ca: PathBuf,
    /// Gateways, the lowest first.
    pub gateways: Vec<ProvinceGateway>,
    /// Agencies, a parent before its children.
    pub agencies: Vec<ProvinceAgency>,
    /// Systems.
    pub systems: Vec<ProvinceSystem>,
    /// Operators, the least powerful first.
    pub operators: Vec<ProvinceOperator>,
    /// Who plays which part.
    pub cast: Cast<AgencyId>,
    /// The signature ladder, to issue and revoke more.
    pub ladder: Ladder,
    /// The channel ladder, to issue more.
    pub tls_ladder: TlsLadder,
}

impl Province {
    /// Makes the province of `plan` in `folder`, valid around `now` (Unix seconds). Files that stand are replaced.
    ///
    /// # Errors
    /// When a file cannot be written, or the plan names what it does not have.
    pub fn generate(folder: &Path, plan: &Plan, now: i64) -> Result<Self, Error> {
        // A month back, so that clocks that are behind and tests of the past find valid certificates.
        let from = now.saturating_sub(30 * DAY_SECONDS);
        let maker = Maker { folder, plan, ladder: Ladder::new(KeyKind::P256, from)?, tls: TlsLadder::new(from)? };
        let gateways = plan.gateways.iter().map(|gateway| maker.gateway(gateway)).collect::<Result<Vec<_>, _>>()?;
        let agencies = maker.agencies()?;
        let systems = plan.systems.iter().map(|system| maker.system(system)).collect::<Result<Vec<_>, _>>()?;
        let operators =
            plan.operators.iter().map(|operator| maker.operator(operator)).collect::<Result<Vec<_>, _>>()?;
        let authority = maker.note_key("authority.key", AUTHORITY_NAME)?;
        let province = Self {
            agencies_toml: folder.join("agencies.toml"),
            authority_key: folder.join("authority.key"),
            authority_pub: maker.write("authority.pub", &format!("{authority}\n"))?,
            root: maker.write("ca/root.pem", &maker.ladder.root().certificate_pem())?,
            issuing: maker.write("ca/issuing-state.pem", &maker.ladder.issuing().certificate_pem())?,
            root_crl: folder.join("ca/root.crl"),
            issuing_crl: folder.join("ca/issuing-state.crl"),
            tls_ca: maker.write("tls/ca.pem", &maker.tls.authority().certificate_pem())?,
            cast: maker.cast(&agencies)?,
            folder: folder.to_owned(),
            authority,
            gateways,
            agencies,
            systems,
            operators,
            ladder: maker.ladder,
            tls_ladder: maker.tls,
        };
        province.keep_ca_keys()?;
        // An hour back, so that a clock that is behind does not take the lists for lists of the future.
        let next_update = now.saturating_add(i64::from(plan.days_valid) * DAY_SECONDS);
        province.write_crls(&[], &[], now.saturating_sub(3600), next_update)?;
        let text = source::text(&province, plan, now)?;
        write_file(&province.agencies_toml, text.as_bytes())?;
        Ok(province)
    }

    /// Writes both revocation lists anew; build the directory again afterwards.
    ///
    /// # Errors
    /// When a time does not fit or a file cannot be written.
    pub fn write_crls(
        &self,
        revoked_leaves: &[Serial],
        revoked_authorities: &[Serial],
        this_update: i64,
        next_update: i64,
    ) -> Result<(), Error> {
        write_file(&self.issuing_crl, &self.ladder.crl(revoked_leaves, this_update, next_update)?)?;
        write_file(&self.root_crl, &self.ladder.root_crl(revoked_authorities, this_update, next_update)?)
    }

    /// The gateway of that id.
    pub fn gateway(&self, id: &GatewayId) -> Option<&ProvinceGateway> {
        self.gateways.iter().find(|gateway| gateway.id == *id)
    }

    /// The agency of that id.
    pub fn agency(&self, id: &AgencyId) -> Option<&ProvinceAgency> {
        self.agencies.iter().find(|agency| agency.id == *id)
    }

    /// The first system that speaks for that agency.
    pub fn system_for(&self, agency: &AgencyId) -> Option<&ProvinceSystem> {
        self.systems.iter().find(|system| system.speaks_for.contains(agency))
    }

    /// The first operator with that role.
    pub fn operator(&self, role: OperatorRole) -> Option<&ProvinceOperator> {
        self.operators.iter().find(|operator| operator.role == role)
    }

    fn keep_ca_keys(&self) -> Result<(), Error> {
        write_file(&self.folder.join("ca/root.key"), self.ladder.root().key().to_pem()?.as_bytes())?;
        write_file(&self.folder.join("ca/issuing-state.key"), self.ladder.issuing().key().to_pem()?.as_bytes())?;
        write_file(&self.folder.join("tls/ca.key"), self.tls_ladder.authority().key().to_pem()?.as_bytes())
    }
}

/// Makes the pieces and writes them.
struct Maker<'a> {
    folder: &'a Path,
    plan: &'a Plan,
    ladder: Ladder,
    tls: TlsLadder,
}

impl Maker<'_> {
    fn gateway(&self, gateway: &GatewayPlan) -> Result<ProvinceGateway, Error> {
        let hosts: Vec<&str> = gateway.hosts.iter().map(String::as_str).collect();
        let log_file = format!("log/{}.key", gateway.id);
        Ok(ProvinceGateway {
            id: self.gateway_id(&gateway.id)?,
            address: gateway.address.clone(),
            parent: gateway.parent.as_ref().map(|parent| self.gateway_id(parent)).transpose()?,
            tls: self.keep(&format!("tls/{}", gateway.id), self.tls.issue(&gateway.id, &hosts)?)?,
            log_verifier: self.note_key(&log_file, &gateway.id)?,
            log_key: self.folder.join(log_file),
        })
    }

    fn agencies(&self) -> Result<Vec<ProvinceAgency>, Error> {
        let shared = if self.plan.key_kind.is_slow() {
            Some((Key::generate(self.plan.key_kind)?, Key::generate(self.plan.key_kind)?))
        } else {
            None
        };
        self.plan.agencies.iter().map(|agency| self.agency(agency, shared.as_ref())).collect()
    }

    fn agency(&self, agency: &AgencyPlan, shared: Option<&(Key, Key)>) -> Result<ProvinceAgency, Error> {
        let fresh = || Key::generate(self.plan.key_kind);
        let (seal_key, person_key) = match shared {
            Some(keys) => keys.clone(),
            None => (fresh()?, fresh()?),
        };
        let seal = self.ladder.issue_signer_with(&agency.name, &seal_key, LeafProfile::agency(&agency.name))?;
        let person = match &agency.person {
            Some(name) => {
                let email = format!("{}@thanhlinh.example", agency.id);
                let leaf =
                    self.ladder.issue_signer_with(name, &person_key, LeafProfile::person(&agency.name, &email))?;
                Some(self.keep(&format!("signers/{}.person", agency.id), leaf)?)
            }
            None => None,
        };
        Ok(ProvinceAgency {
            id: self.agency_id(&agency.id)?,
            name: agency.name.clone(),
            codes: agency.codes.clone(),
            gateway: self.gateway_id(&agency.gateway)?,
            seal: self.keep(&format!("signers/{}", agency.id), seal)?,
            person,
        })
    }

    fn system(&self, system: &SystemPlan) -> Result<ProvinceSystem, Error> {
        Ok(ProvinceSystem {
            id: SystemId::parse(&system.id).map_err(|_| Error::Plan(system.id.clone()))?,
            gateway: self.gateway_id(&system.gateway)?,
            tls: self.keep(&format!("tls/{}", system.id), self.tls.issue(&system.id, &[])?)?,
            speaks_for: system.speaks_for.iter().map(|id| self.agency_id(id)).collect::<Result<_, _>>()?,
        })
    }

    fn operator(&self, (id, role): &(String, OperatorRole)) -> Result<ProvinceOperator, Error> {
        Ok(ProvinceOperator {
            id: OperatorId::parse(id).map_err(|_| Error::Plan(id.clone()))?,
            role: *role,
            tls: self.keep(&format!("tls/{id}"), self.tls.issue(id, &[])?)?,
        })
    }

    fn cast(&self, agencies: &[ProvinceAgency]) -> Result<Cast<AgencyId>, Error> {
        let find = |id: &String| {
            let found = agencies.iter().find(|agency| agency.id.as_str() == id);
            found.map(|agency| agency.id.clone()).ok_or_else(|| Error::Plan(id.clone()))
        };
        let cast = &self.plan.cast;
        Ok(Cast {
            commune: find(&cast.commune)?,
            other_commune: find(&cast.other_commune)?,
            district: find(&cast.district)?,
            province: find(&cast.province)?,
            department: find(&cast.department)?,
            land_office: find(&cast.land_office)?,
            merged: find(&cast.merged)?,
            successor: find(&cast.successor)?,
            dissolved: find(&cast.dissolved)?,
        })
    }

    /// Makes an Ed25519 key for signed notes, keeps it, and gives the verifier's half.
    fn note_key(&self, file: &str, name: &str) -> Result<VerifierKey, Error> {
        let key = Key::generate(KeyKind::Ed25519)?;
        self.write(file, &key.to_pem()?)?;
        Ok(NoteSigner::from_pkcs8(name, &key.to_pkcs8()?)?.verifier().clone())
    }

    fn keep(&self, stem: &str, credential: Credential) -> Result<CredentialFiles, Error> {
        Ok(CredentialFiles {
            certificate: self.write(&format!("{stem}.pem"), &credential.certificate_pem)?,
            key: self.write(&format!("{stem}.key"), &credential.key_pem)?,
            credential,
        })
    }

    fn write(&self, name: &str, text: &str) -> Result<PathBuf, Error> {
        let path = self.folder.join(name);
        write_file(&path, text.as_bytes())?;
        Ok(path)
    }

    fn gateway_id(&self, id: &str) -> Result<GatewayId, Error> {
        let known = self.plan.gateways.iter().any(|gateway| gateway.id == id);
        GatewayId::parse(id).ok().filter(|_| known).ok_or_else(|| Error::Plan(id.to_owned()))
    }

    fn agency_id(&self, id: &str) -> Result<AgencyId, Error> {
        let known = self.plan.agencies.iter().any(|agency| agency.id == id);
        AgencyId::parse(id).ok().filter(|_| known).ok_or_else(|| Error::Plan(id.to_owned()))
    }
}

/// Writes a file that only its owner reads, with the folders above it.
fn write_file(path: &Path, bytes: &[u8]) -> Result<(), Error> {
    let failed = |source| Error::File { path: path.to_owned(), source };
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder).map_err(failed)?;
    }
    let mut options = std::fs::OpenOptions::new();
    let mut file = options.write(true).create(true).truncate(true).mode(0o600).open(path).map_err(failed)?;
    file.write_all(bytes).map_err(failed)
}
