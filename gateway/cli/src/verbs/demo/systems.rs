//! The systems behind the demo's gateways: a land system and two document-management systems, simulated, over real sockets.

use std::net::SocketAddr;
use std::path::Path;

use adapters_simulators::dms::call::HubAccess;
use adapters_simulators::dms::{Dms, DmsOptions, DmsWay};
use adapters_simulators::land::LandSystem;
use anyhow::Context as _;
use certs_dev::province::{AgencyPlan, Plan};
use gateway_model::id::{AgencyId, GatewayId};

use crate::local::{OwnAdapter, free_ports};

/// The systems, running, and where they meet their gateways.
pub struct Systems {
    /// The land registration office's.
    pub land: LandSystem,
    /// Where the land system's callbacks go: the adapter's listener with the shared code.
    pub land_callbacks: String,
    /// The provincial department's document-management system.
    pub department: Dms,
    /// The neighbouring commune's document-management system, of another make.
    pub commune: Dms,
    /// The code by which it is written to.
    pub commune_code: String,
}

impl Systems {
    /// Starts the systems of some agencies of `plan`, and gives the adapters that connect them. The document-management systems poll after
    /// [`Systems::begin_to_poll`].
    ///
    /// # Errors
    /// When a port or a file cannot be had.
    pub async fn start(folder: &Path, plan: &Plan) -> anyhow::Result<(Self, Vec<OwnAdapter>)> {
        let ports = free_ports(3)?;
        let office = agency(plan, &plan.cast.land_office)?;
        let (department, commune) = (agency(plan, &plan.cast.department)?, agency(plan, &plan.cast.other_commune)?);
        let home = folder.join("systems").join("land-office");
        std::fs::create_dir_all(&home).with_context(|| format!("cannot make {}", home.display()))?;
        let land = LandSystem::start(&home, SocketAddr::from(([127, 0, 0, 1], 0))).await?;
        let code = secret(folder, "land-office")?;
        let department_secret = secret(folder, "department-dms")?;
        let commune_secret = secret(folder, "commune-dms")?;
        let adapters = vec![
            land_adapter(plan, office, &land, ports[0])?,
            dms_adapter(plan, department, commune, "department-dms", ports[1])?,
            dms_adapter(plan, commune, department, "commune-dms", ports[2])?,
        ];
        let systems = Self {
            land_callbacks: format!("http://127.0.0.1:{}/{code}", ports[0]),
            land,
            department: dms(department, "department-dms", ports[1], department_secret)?,
            commune: dms(commune, "commune-dms", ports[2], commune_secret)?,
            commune_code: old_code(commune)?,
        };
        Ok((systems, adapters))
    }

    /// The document-management systems begin to poll: their gateways are there.
    pub fn begin_to_poll(&mut self) {
        self.department.start();
        self.commune.start();
    }
}

fn dms(agency: &AgencyPlan, name: &str, port: u16, secret: String) -> anyhow::Result<Dms> {
    let access = HubAccess { url: format!("http://127.0.0.1:{port}"), system_id: name.to_owned(), secret };
    Ok(Dms::new(DmsOptions::new(&old_code(agency)?, DmsWay::Hub(access))))
}

fn land_adapter(plan: &Plan, office: &AgencyPlan, land: &LandSystem, port: u16) -> anyhow::Result<OwnAdapter> {
    let mut table = Table::new("land-office", "land", office, system_of(plan, office)?);
    table.text("role", "to-land-system");
    table.text("listen", &format!("127.0.0.1:{port}"));
    table.text("code", "systems/land-office/secret");
    table.text("state", "systems/land-office/adapter");
    table.text("url", &land.url());
    // Where the land is, in the land system's own numbers, when a file does not say.
    for (key, number) in [("province", "99"), ("district", "30"), ("commune", "01")] {
        table.text(key, number);
    }
    table.line(&format!(
        "seal = {{ certificate = \"signers/{id}.pem\", key = \"signers/{id}.key\" }}\n\
         outbound = {{ allow = [{{ origin = \"{}\", private = true }}] }}",
        land.origin(),
        id = office.id,
    ));
    table.adapter(office)
}

/// The adapter is the hub for `own`'s system, which knows `other` as a partner.
fn dms_adapter(plan: &Plan, own: &AgencyPlan, other: &AgencyPlan, name: &str, port: u16) -> anyhow::Result<OwnAdapter> {
    let mut table = Table::new(name, "edxml", own, system_of(plan, own)?);
    table.text("path", &format!("systems/{name}/adapter"));
    table.text("door", "hub-server");
    for organ in [own, other] {
        table.line("[[adapter.organ]]");
        table.text("agency", &organ.id);
        table.text("name", &organ.name);
        table.line(&format!("codes = {:?}", codes(organ)));
        if organ.id == own.id {
            table.text("certificate", &format!("signers/{}.pem", own.id));
            table.text("key", &format!("signers/{}.key", own.id));
        }
    }
    table.line("[adapter.hub]");
    table.text("address", &format!("127.0.0.1:{port}"));
    table.text("system_id", name);
    table.text("secret_file", &format!("systems/{name}/secret"));
    table.adapter(own)
}

/// An `[[adapter]]` table being written.
struct Table(String);

impl Table {
    fn new(name: &str, kind: &str, agency: &AgencyPlan, system: &str) -> Self {
        let mut table = Self("[[adapter]]\n".to_owned());
        table.text("name", name);
        table.text("kind", kind);
        table.line(&format!("agencies = [\"{}\"]", agency.id));
        table.text("system", system);
        table
    }

    fn text(&mut self, key: &str, value: &str) {
        self.line(&format!("{key} = \"{value}\""));
    }

    fn line(&mut self, line: &str) {
        self.0.push_str(line);
        self.0.push('\n');
    }

    fn adapter(self, agency: &AgencyPlan) -> anyhow::Result<OwnAdapter> {
        let (gateway, id) = (GatewayId::parse(&agency.gateway)?, AgencyId::parse(&agency.id)?);
        Ok(OwnAdapter { gateway, agencies: vec![id], table: self.0 })
    }
}

/// Makes the secret that a system shares with its adapter, and the folder for both.
fn secret(folder: &Path, name: &str) -> anyhow::Result<String> {
    let home = folder.join("systems").join(name);
    std::fs::create_dir_all(&home).with_context(|| format!("cannot make {}", home.display()))?;
    let secret = uuid::Uuid::new_v4().simple().to_string();
    std::fs::write(home.join("secret"), &secret)?;
    Ok(secret)
}

fn agency<'a>(plan: &'a Plan, id: &str) -> anyhow::Result<&'a AgencyPlan> {
    plan.agencies.iter().find(|agency| agency.id == id).with_context(|| format!("{id} is not in the plan"))
}

fn system_of<'a>(plan: &'a Plan, agency: &AgencyPlan) -> anyhow::Result<&'a str> {
    let speaks = |system: &&certs_dev::province::SystemPlan| system.speaks_for.contains(&agency.id);
    let system = plan.systems.iter().find(speaks).with_context(|| format!("no system speaks for {}", agency.id))?;
    Ok(&system.id)
}

/// The form of 2016 first: it is what packages carry.
fn codes(agency: &AgencyPlan) -> Vec<&str> {
    let mut codes: Vec<&str> = agency.codes.iter().map(String::as_str).collect();
    codes.sort_by_key(|code| !code.starts_with("000."));
    codes
}

fn old_code(agency: &AgencyPlan) -> anyhow::Result<String> {
    codes(agency).first().map(|code| (*code).to_owned()).with_context(|| format!("{} has no code", agency.id))
}
