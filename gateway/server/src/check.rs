//! Checks everything that a gateway needs before it starts, without starting it: every fault at once.

use std::collections::BTreeSet;
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::time::Duration;

use gateway_directory::{Expiry, Opened};
use gateway_model::directory::{Directory, Party};
use gateway_model::id::GatewayId;
use gateway_model::note::{NoteSigner, VerifierKey};
use gateway_model::{Refusal, Timestamp, limits};

use crate::config::{AdapterConfig, Config, Fault};
use crate::directory_source::{KEPT, read_bounded};
use crate::tls::Identity;
use crate::{app, evidence_key};

/// Whether the ports are tried.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Ports {
    /// They are: the gateway is not running.
    Try,
    /// They are not: it may be running.
    Skip,
}

/// Checks files, keys, directory, registrations, ports, clock and disk, as of `now`.
pub fn check(config: &Config, ports: Ports, now: Timestamp) -> Vec<Fault> {
    let mut findings = Findings { file: config.file.clone(), faults: Vec::new() };
    let identity = findings.take("tls.certificate", Identity::read(&config.tls));
    if let Some(identity) = &identity {
        findings.take("tls.key", identity.server(&config.tls.certificate));
        findings.certificate_time(identity, now);
    }
    let signer = findings.take("evidence.key", evidence_key::read(&config.evidence_key, &config.gateway.id));
    if let Some(opened) = findings.directory(config, now) {
        findings.times(&opened, config, now);
        let signer = signer.as_ref().map(NoteSigner::verifier);
        findings.registrations(&opened.directory, config, identity.as_ref(), signer);
        for adapter in &config.adapters {
            findings.adapter(&opened.directory, &config.gateway.id, adapter);
        }
    }
    if let Err(faults) = app::prepare_all(&config.adapters) {
        findings.faults.extend(faults);
    }
    if ports == Ports::Try {
        findings.port("listen.doors", config.listen.doors);
        findings.port("listen.admin", config.listen.admin);
    }
    findings.disk(&config.store.path, config.store.free_bytes_min);
    findings.faults
}

/// A certificate that ends within this time is told of.
const CERTIFICATE_SOON: Duration = Duration::from_secs(7 * 86_400);

/// What a starting gateway should know about its own place in the directory in force.
pub(crate) fn standing(
    directory: &Directory,
    config: &Config,
    identity: &Identity,
    signer: &VerifierKey,
) -> Vec<Fault> {
    let mut findings = Findings { file: config.file.clone(), faults: Vec::new() };
    findings.registrations(directory, config, Some(identity), Some(signer));
    for adapter in &config.adapters {
        findings.adapter(directory, &config.gateway.id, adapter);
    }
    findings.faults
}

struct Findings {
    file: PathBuf,
    faults: Vec<Fault>,
}

impl Findings {
    fn add(&mut self, key: &str, problem: impl Into<String>) {
        self.faults.push(Fault { file: self.file.clone(), line: None, key: key.to_owned(), problem: problem.into() });
    }

    fn take<T, E: std::fmt::Display>(&mut self, key: &str, result: Result<T, E>) -> Option<T> {
        result.map_err(|error| self.add(key, error.to_string())).ok()
    }

    /// The directory that the gateway would start with.
    fn directory(&mut self, config: &Config, now: Timestamp) -> Option<Opened> {
        let kept = config.store.path.join(KEPT);
        let file = config.directory.file.clone().unwrap_or_else(|| kept.clone());
        if !file.exists() && config.directory.file.is_none() {
            self.add("directory.file", "there is no directory yet: give a signed one to begin with");
            return None;
        }
        let opened = read_bounded(&file).map_err(|error| format!("{}: {error}", file.display())).and_then(|bytes| {
            gateway_directory::open_with(&bytes, std::slice::from_ref(&config.directory.authority), now, Expiry::Allow)
                .map_err(|refusal: Refusal| format!("{}: {refusal}", file.display()))
        });
        self.take("directory.file", opened)
    }

    fn certificate_time(&mut self, identity: &Identity, now: Timestamp) {
        match identity.expires_at() {
            None => self.add("tls.certificate", "its end cannot be read"),
            Some(at) if at <= now => self.add("tls.certificate", format!("expired at {at}: have a new one issued")),
            Some(at) if at < now.plus(CERTIFICATE_SOON) => {
                self.add("tls.certificate", format!("expires soon, at {at}: have a new one issued"));
            }
            Some(_) => {}
        }
    }

    fn times(&mut self, opened: &Opened, config: &Config, now: Timestamp) {
        let directory = &opened.directory;
        if opened.expired {
            self.add("directory.file", format!("expired at {}: issue a new one", directory.expires_at()));
        } else if directory.expires_at() < now.plus(config.directory.warn_before) {
            self.add("directory.file", format!("expires soon, at {}: issue a new one", directory.expires_at()));
        }
        if now.plus(limits::CLOCK_SKEW_MAX) < directory.issued_at() {
            let problem = format!(
                "this machine's clock says {now}, but the directory was issued at {}: set the clock",
                directory.issued_at()
            );
            self.add("directory.file", problem);
        }
    }

    fn registrations(
        &mut self,
        directory: &Directory,
        config: &Config,
        identity: Option<&Identity>,
        signer: Option<&VerifierKey>,
    ) {
        let id = &config.gateway.id;
        let Some(own) = directory.gateway(id) else {
            return self.add("gateway.id", format!("the directory does not register a gateway {id}"));
        };
        if let Some(fingerprint) = identity.and_then(Identity::fingerprint) {
            match directory.party(&fingerprint) {
                Some(Party::Gateway(named)) if named == id => {}
                Some(other) => {
                    self.add("tls.certificate", format!("the directory registers it for {other}, not for {id}"))
                }
                None => {
                    self.add("tls.certificate", format!("the directory does not register it for {id} ({fingerprint})"))
                }
            }
        }
        if let Some(signer) = signer.filter(|signer| !own.log_keys.contains(signer)) {
            self.add("evidence.key", format!("the directory does not list {signer} for {id}"));
        }
        if config.directory.from_parent && own.parent.is_none() {
            self.add("directory.from_parent", format!("the directory names no gateway above {id}"));
        }
    }

    fn adapter(&mut self, directory: &Directory, here: &GatewayId, adapter: &AdapterConfig) {
        let mut faults = Vec::new();
        for agency in &adapter.agencies {
            match directory.gateway_of(agency) {
                _ if directory.agency(agency).is_none() => {
                    faults.push(("agencies", format!("the directory does not know {agency}")));
                }
                Some(gateway) if gateway.id == *here => {}
                Some(gateway) => faults.push(("agencies", format!("{agency} is served by {}, not here", gateway.id))),
                None => faults.push(("agencies", format!("{agency} is served by no gateway"))),
            }
        }
        if let Some(id) = &adapter.system {
            match directory.system(id) {
                None => faults.push(("system", format!("the directory does not register a system {id}"))),
                Some(system) => {
                    let speaks_for: BTreeSet<_> = system.speaks_for.iter().collect();
                    let silent = adapter.agencies.iter().filter(|agency| !speaks_for.contains(agency));
                    faults.extend(silent.map(|agency| ("system", format!("{id} does not speak for {agency}"))));
                }
            }
        }
        self.faults.extend(faults.into_iter().map(|(key, problem)| adapter.fault(key, problem)));
    }

    fn port(&mut self, key: &str, address: SocketAddr) {
        if let Err(error) = TcpListener::bind(address) {
            self.add(key, format!("{address}: {error}: stop what listens there, or give another address"));
        }
    }

    fn disk(&mut self, folder: &Path, free_bytes_min: u64) {
        let Some(existing) = folder.ancestors().find(|ancestor| ancestor.exists()) else { return };
        match rustix::fs::statvfs(existing) {
            Ok(disk) => {
                let free = disk.f_bavail.saturating_mul(disk.f_frsize);
                if free < free_bytes_min {
                    let problem =
                        format!("{} has {free} bytes free, the doors need {free_bytes_min}", existing.display());
                    self.add("store.path", problem);
                }
            }
            Err(error) => self.add("store.path", format!("{}: {error}", existing.display())),
        }
        let probe = existing.join(format!(".lienthong-check-{}", std::process::id()));
        match std::fs::File::create_new(&probe).and_then(|file| file.sync_all()) {
            Ok(()) => {
                if let Err(error) = std::fs::remove_file(&probe) {
                    self.add("store.path", format!("{}: {error}", probe.display()));
                }
            }
            Err(error) => self.add("store.path", format!("{} cannot be written: {error}", existing.display())),
        }
    }
}
