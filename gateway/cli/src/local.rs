//! A federation on this machine: generated province, signed directory, and one gateway process a level. Demo, bench and tests use it.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::Context as _;
use certs_dev::province::{CredentialFiles, Plan, Province, ProvinceGateway};
use gateway_directory::Source;
use gateway_model::agency::OperatorRole;
use gateway_model::id::{AgencyId, GatewayId};
use gateway_model::note::NoteSigner;
use rustls_pki_types::PrivatePkcs8KeyDer;
use rustls_pki_types::pem::PemObject as _;

use crate::connect::Profile;
use crate::errln;
use crate::trusted;

pub mod redis;

pub use adapters_conformance::ports::free_ports;

/// The name of the directory file, in the federation's folder.
pub const DIRECTORY_FILE: &str = "directory.bin";

/// Ports of one gateway: doors, admin, console.
type Ports = [u16; PORTS];
const PORTS: usize = 3;

/// A federation on this machine. Dropping it kills its processes.
#[derive(Debug)]
pub struct Local {
    /// Folder of everything.
    pub folder: PathBuf,
    /// Keys, certificates and agencies.
    pub province: Province,
    /// Its gateways, the lowest first.
    pub gateways: Vec<LocalGateway>,
    binary: PathBuf,
}

/// One gateway process.
#[derive(Debug)]
pub struct LocalGateway {
    /// Its id.
    pub id: GatewayId,
    /// Its configuration.
    pub config: PathBuf,
    /// Its store.
    pub store: PathBuf,
    /// Its log.
    pub log: PathBuf,
    /// Port of its doors.
    pub port: u16,
    /// Port of its admin door.
    pub admin_port: u16,
    /// Port of its console.
    pub console_port: u16,
    /// Environment of its process, besides ours.
    pub environment: Vec<(String, String)>,
    child: Option<Child>,
}

/// What may differ between federations.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// TOML put at the end of every configuration, such as other quotas.
    pub extra_config: String,
    /// The binary; default: this very program.
    pub binary: Option<PathBuf>,
    /// Adapters that serve some agencies instead of the drop folders.
    pub adapters: Vec<OwnAdapter>,
}

/// An adapter for agencies that have a system of their own.
#[derive(Clone, Debug)]
pub struct OwnAdapter {
    /// The gateway that serves them.
    pub gateway: GatewayId,
    /// Whom it serves.
    pub agencies: Vec<AgencyId>,
    /// Its whole `[[adapter]]` table, in TOML; paths start from the federation's folder.
    pub table: String,
}

impl Local {
    /// Generates keys, directory and configurations. Starts nothing.
    ///
    /// # Errors
    /// When a file cannot be written or no port is free.
    pub fn lay_out(folder: &Path, plan: Plan, options: &Options) -> anyhow::Result<Self> {
        std::fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
        let folder = folder.canonicalize()?;
        let ports = free_ports(plan.gateways.len() * PORTS)?;
        let ports: Vec<Ports> = ports.chunks_exact(PORTS).map(|of_one| [of_one[0], of_one[1], of_one[2]]).collect();
        let doors: Vec<u16> = ports.iter().map(|[doors, ..]| *doors).collect();
        let province = Province::generate(&folder, &plan.with_ports(&doors), trusted::now().seconds())?;
        let binary = match &options.binary {
            Some(binary) => binary.clone(),
            None => std::env::current_exe().context("cannot find this program")?,
        };
        let mut local = Self { folder, province, gateways: Vec::new(), binary };
        local.issue_directory(1)?;
        for (number, gateway) in local.province.gateways.iter().enumerate() {
            let made = local.write_config(gateway, ports[number], options)?;
            local.gateways.push(made);
        }
        Ok(local)
    }

    /// Signs the directory anew from `agencies.toml` and puts it where the gateways look.
    ///
    /// # Errors
    /// When the source has faults or a file cannot be written.
    pub fn issue_directory(&self, version: u64) -> anyhow::Result<()> {
        let source = Source::read(&self.province.agencies_toml).map_err(|faults| listed(&faults))?;
        let der = PrivatePkcs8KeyDer::from_pem_file(&self.province.authority_key).context("the authority's key")?;
        let signer = NoteSigner::from_pkcs8(self.province.authority.name(), der.secret_pkcs8_der())?;
        let bytes = gateway_directory::issue(&source, Some(version), trusted::now(), &signer)
            .map_err(|faults| listed(&faults))?;
        let beside = self.folder.join("directory.new");
        std::fs::write(&beside, bytes)?;
        std::fs::rename(&beside, self.directory_file())?;
        Ok(())
    }

    /// The signed directory.
    pub fn directory_file(&self) -> PathBuf {
        self.folder.join(DIRECTORY_FILE)
    }

    /// The folder through which the systems behind `gateway` take and give; the land registration office has its own.
    pub fn system_folder(&self, gateway: &GatewayId, agency: &AgencyId) -> PathBuf {
        let name = if *agency == self.province.cast.land_office { "land-office" } else { gateway.as_str() };
        self.folder.join("systems").join(name)
    }

    fn write_config(
        &self,
        gateway: &ProvinceGateway,
        [port, admin_port, console_port]: Ports,
        options: &Options,
    ) -> anyhow::Result<LocalGateway> {
        let id = &gateway.id;
        let store = self.folder.join("stores").join(id.as_str());
        let config = self.folder.join(format!("{id}.toml"));
        let directory = match gateway.parent {
            // The top gets the directory as a file; every level below fetches newer ones from the level above.
            None => "from_parent = false",
            Some(_) => "from_parent = true",
        };
        let text = format!(
            "[gateway]\nid = \"{id}\"\n\n[listen]\ndoors = \"127.0.0.1:{port}\"\nadmin = \"127.0.0.1:{admin_port}\"\n\n\
             [console]\nlisten = \"127.0.0.1:{console_port}\"\n\n[tls]\ncertificate = \"tls/{id}.pem\"\nkey = \"tls/{id}.key\"\nroots = [\"tls/ca.pem\"]\n\n\
             [store]\npath = \"stores/{id}\"\n\n[evidence]\nkey = \"{log}\"\n\n\
             [directory]\nfile = \"{DIRECTORY_FILE}\"\n{directory}\nauthority = \"{authority}\"\nrefresh = \"1s\"\n\n{extra}\n{adapters}",
            log = gateway.log_key.display(),
            authority = self.province.authority,
            extra = options.extra_config,
            adapters = self.adapters(id, &options.adapters),
        );
        std::fs::write(&config, text).with_context(|| format!("cannot write {}", config.display()))?;
        let log = self.folder.join(format!("{id}.log"));
        Ok(LocalGateway {
            id: id.clone(),
            config,
            store,
            log,
            port,
            admin_port,
            console_port,
            environment: Vec::new(),
            child: None,
        })
    }

    /// One folder adapter for the agencies behind a gateway, one with a seal for the land registration office, and the adapters of those who
    /// have a system of their own.
    fn adapters(&self, gateway: &GatewayId, own: &[OwnAdapter]) -> String {
        let land_office = &self.province.cast.land_office;
        let has_own = |agency: &AgencyId| own.iter().any(|adapter| adapter.agencies.contains(agency));
        let served = self.province.agencies.iter().filter(|agency| agency.gateway == *gateway);
        let served: Vec<_> = served.filter(|agency| !has_own(&agency.id)).collect();
        let names: Vec<String> =
            served.iter().filter(|a| a.id != *land_office).map(|a| format!("\"{}\"", a.id)).collect();
        let mut text = format!(
            "[[adapter]]\nname = \"systems\"\nkind = \"folder\"\nagencies = [{}]\npath = \"systems/{gateway}\"\n",
            names.join(", ")
        );
        if let Some(office) = served.iter().find(|agency| agency.id == *land_office) {
            text.push_str(&format!(
                "\n[[adapter]]\nname = \"land-office\"\nkind = \"folder\"\nagencies = [\"{land_office}\"]\nsystem = \"sys-land-office\"\n\
                 path = \"systems/land-office\"\noutgoing = \"outgoing\"\npoll_interval = \"200ms\"\n\
                 seal = {{ certificate = \"{}\", key = \"{}\" }}\n",
                office.seal.certificate.display(),
                office.seal.key.display(),
            ));
        }
        for adapter in own.iter().filter(|adapter| adapter.gateway == *gateway) {
            text.push_str(&format!("\n{}\n", adapter.table));
        }
        text
    }

    /// Lays out one more node of a gateway, beside those that are there: it shares their configuration and has ports and a folder of its own.
    /// Gives its number. The store that they share is the caller's to name in the environment of each.
    ///
    /// # Errors
    /// When no port is free.
    pub fn add_node(&mut self, of: usize, name: &str) -> anyhow::Result<usize> {
        let ports = free_ports(PORTS)?;
        let &[port, admin_port, console_port] = ports.as_slice() else { anyhow::bail!("no free ports") };
        let (first, node) = (&self.gateways[of], format!("{}-{name}", self.gateways[of].id));
        let store = self.folder.join("stores").join(&node);
        let own = [
            ("LIENTHONG_LISTEN__DOORS", format!("127.0.0.1:{port}")),
            ("LIENTHONG_LISTEN__ADMIN", format!("127.0.0.1:{admin_port}")),
            ("LIENTHONG_CONSOLE__LISTEN", format!("127.0.0.1:{console_port}")),
            ("LIENTHONG_STORE__PATH", store.display().to_string()),
            ("LIENTHONG_REDIS__NODE", name.to_owned()),
        ];
        let added = LocalGateway {
            id: first.id.clone(),
            config: first.config.clone(),
            store,
            log: self.folder.join(format!("{node}.log")),
            port,
            admin_port,
            console_port,
            environment: own.map(|(key, value)| (key.to_owned(), value)).to_vec(),
            child: None,
        };
        self.gateways.push(added);
        Ok(self.gateways.len() - 1)
    }

    /// Starts every gateway and waits until each serves.
    ///
    /// # Errors
    /// When one does not start; its log is in the error.
    pub async fn start(&mut self) -> anyhow::Result<()> {
        for number in 0..self.gateways.len() {
            self.spawn(number)?;
        }
        for number in 0..self.gateways.len() {
            self.wait_until_ready(number).await?;
        }
        Ok(())
    }

    /// Starts one gateway; it may take a moment until it serves.
    ///
    /// # Errors
    /// When the process cannot be started.
    pub fn spawn(&mut self, number: usize) -> anyhow::Result<()> {
        let gateway = &mut self.gateways[number];
        let log = std::fs::OpenOptions::new().create(true).append(true).open(&gateway.log)?;
        let mut command = Command::new(&self.binary);
        command.arg("serve").arg("--stop-with-stdin").arg("--config").arg(&gateway.config);
        command.envs(gateway.environment.iter().cloned());
        // The pipe's other end is ours: when this process dies, the gateway sees its standard input end.
        command.stdin(Stdio::piped()).stdout(log.try_clone()?).stderr(log);
        let child = command.spawn().with_context(|| format!("cannot start {}", self.binary.display()))?;
        gateway.child = Some(child);
        Ok(())
    }

    /// Waits until a gateway answers its readiness check.
    ///
    /// # Errors
    /// When it ends before, or does not within 60 seconds.
    pub async fn wait_until_ready(&mut self, number: usize) -> anyhow::Result<()> {
        let gateway = &mut self.gateways[number];
        for _ in 0..6_000 {
            if is_ready(gateway.admin_port).await {
                return Ok(());
            }
            if let Some(child) = &mut gateway.child
                && let Some(status) = child.try_wait()?
            {
                anyhow::bail!("{} ended at once ({status}):\n{}", gateway.id, tail(&gateway.log));
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        anyhow::bail!("{} is not ready after a minute:\n{}", gateway.id, tail(&gateway.log))
    }

    /// Kills one gateway with SIGKILL and waits until it is gone.
    ///
    /// # Errors
    /// When it cannot be killed.
    pub fn kill(&mut self, number: usize) -> anyhow::Result<()> {
        if let Some(mut child) = self.gateways[number].child.take() {
            child.kill()?;
            child.wait()?;
        }
        Ok(())
    }

    /// Asks one gateway to drain (SIGTERM) and waits until it is gone.
    ///
    /// # Errors
    /// When the signal cannot be sent or it ends with a failure.
    pub fn stop(&mut self, number: usize) -> anyhow::Result<()> {
        if let Some(mut child) = self.gateways[number].child.take() {
            let status = Command::new("kill").arg("-TERM").arg(child.id().to_string()).status()?;
            anyhow::ensure!(status.success(), "cannot signal {}", self.gateways[number].id);
            let status = child.wait()?;
            anyhow::ensure!(
                status.success(),
                "{} ended with {status}:\n{}",
                self.gateways[number].id,
                tail(&self.gateways[number].log)
            );
        }
        Ok(())
    }

    /// Stops the process of a gateway in its tracks, as an overloaded machine does, or lets it go on.
    ///
    /// # Errors
    /// When it does not run, or the signal cannot be sent.
    pub fn freeze(&self, number: usize, frozen: bool) -> anyhow::Result<()> {
        let process = self.process(number).context("it does not run")?;
        let signal = if frozen { "-STOP" } else { "-CONT" };
        let status = Command::new("kill").arg(signal).arg(process.to_string()).status()?;
        anyhow::ensure!(status.success(), "cannot signal {}", self.gateways[number].id);
        Ok(())
    }

    /// The first gateway whose process has ended by itself, and the end of its log.
    ///
    /// # Errors
    /// When a process cannot be asked.
    pub fn find_ended(&mut self) -> anyhow::Result<Option<String>> {
        for gateway in &mut self.gateways {
            if let Some(child) = &mut gateway.child
                && let Some(status) = child.try_wait()?
            {
                return Ok(Some(format!("{} ended ({status}):\n{}", gateway.id, tail(&gateway.log))));
            }
        }
        Ok(None)
    }

    /// Process id of a running gateway.
    pub fn process(&self, number: usize) -> Option<u32> {
        self.gateways[number].child.as_ref().map(Child::id)
    }

    /// How the system that speaks for `agency` reaches its gateway.
    ///
    /// # Errors
    /// When no system speaks for it.
    pub fn system_profile(&self, agency: &AgencyId) -> anyhow::Result<Profile> {
        let system = self.province.system_for(agency).with_context(|| format!("no system speaks for {agency}"))?;
        let gateway = self.province.gateway(&system.gateway).context("the system's gateway")?;
        Ok(self.profile(&gateway.address, &system.tls))
    }

    /// How an operator reaches a gateway.
    ///
    /// # Errors
    /// When there is no operator with that role.
    pub fn operator_profile(&self, gateway: &GatewayId, role: OperatorRole) -> anyhow::Result<Profile> {
        let operator = self.province.operator(role).context("no operator with that role")?;
        let gateway = self.province.gateway(gateway).context("no such gateway")?;
        Ok(self.profile(&gateway.address, &operator.tls))
    }

    fn profile(&self, address: &str, tls: &CredentialFiles) -> Profile {
        Profile {
            gateway: address.to_owned(),
            certificate: tls.certificate.clone(),
            key: tls.key.clone(),
            roots: self.province.tls_ca.clone(),
        }
    }
}

impl Drop for Local {
    fn drop(&mut self) {
        for gateway in &mut self.gateways {
            if let Some(mut child) = gateway.child.take() {
                // It may have ended by itself; either way it is gone after this.
                if child.kill().is_ok() && child.wait().is_err() {
                    errln!("{} could not be reaped", gateway.id);
                }
            }
        }
    }
}

/// Whether the gateway whose admin door has this port answers its readiness check within a second.
pub async fn is_ready(port: u16) -> bool {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let ask = async {
        let mut stream = tokio::net::TcpStream::connect(("127.0.0.1", port)).await?;
        stream.write_all(b"GET /ready HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n").await?;
        let mut answer = [0u8; 12];
        stream.read_exact(&mut answer).await?;
        std::io::Result::Ok(answer.ends_with(b" 200"))
    };
    matches!(tokio::time::timeout(Duration::from_secs(1), ask).await, Ok(Ok(true)))
}

fn tail(log: &Path) -> String {
    let text = std::fs::read_to_string(log).unwrap_or_default();
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(15)..].join("\n")
}

fn listed(faults: &[gateway_directory::Fault]) -> anyhow::Error {
    let lines: Vec<String> = faults.iter().map(ToString::to_string).collect();
    anyhow::anyhow!("the directory's source has faults:\n{}", lines.join("\n"))
}
