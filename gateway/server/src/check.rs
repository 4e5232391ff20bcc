//! Checks everything that a gateway needs before it starts, without starting it: every fault at once.

use std::collections::BTreeSet;
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::time::Duration;

use adapters_worker::Queues;
use gateway_directory::{Expiry, Opened};
use gateway_model::directory::{Directory, Party};
use gateway_model::id::GatewayId;
use gateway_model::note::{NoteSigner, VerifierKey};
use gateway_model::{Digest, Refusal, Timestamp, limits};
use rustls::RootCertStore;
use rustls_pki_types::CertificateDer;

use crate::config::draft::{Draft, Places, TlsDraft};
use crate::config::{self, AdapterConfig, Bucket, Config, Fault, Parts, Store, StoreKind};
use crate::directory_source::{KEPT, read_bounded};
use crate::tls::{self, Identity};
use crate::{app, directory_source, evidence_key};

/// Whether the ports are tried.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Ports {
    /// They are: the gateway is not running.
    Try,
    /// They are not: it may be running.
    Skip,
}

/// Checks the configuration at `path`, and files, keys, directory, registrations, ports, clock and disk as far as it can be read, as of
/// `now`. Every fault at once, in the order of the file.
pub fn check_file(
    path: &Path,
    environment: impl IntoIterator<Item = (String, String)>,
    ports: Ports,
    now: Timestamp,
) -> Vec<Fault> {
    match Draft::load(path, environment) {
        Ok((draft, mut faults)) => {
            faults.extend(check_draft(&draft, ports, now));
            faults.sort();
            faults
        }
        Err(faults) => faults,
    }
}

/// Checks what a faultless configuration names: files, keys, directory, registrations, ports, clock and disk, as of `now`.
pub fn check(config: &Config, ports: Ports, now: Timestamp) -> Vec<Fault> {
    let mut faults = check_draft(&Draft::from(config), ports, now);
    faults.sort();
    faults
}

fn check_draft(draft: &Draft, ports: Ports, now: Timestamp) -> Vec<Fault> {
    let mut findings = Findings { places: &draft.places, faults: Vec::new() };
    let certificate = findings.tls(&draft.tls, now);
    let id = draft.gateway.as_ref().map(|gateway| &gateway.id);
    let signer = draft.evidence_key.as_ref().zip(id).map(|(path, id)| evidence_key::read(path, id));
    let signer = signer.and_then(|read| findings.take("evidence.key", read));
    if let Some(configured) = &draft.directory
        && let Some(opened) = findings.directory(configured, draft.store.as_ref(), now)
    {
        findings.times(&opened, configured, now);
        if let Some(id) = id {
            let own = Own {
                id,
                from_parent: configured.from_parent,
                certificate,
                signer: signer.as_ref().map(NoteSigner::verifier),
            };
            findings.registrations(&opened.directory, &own);
            draft.adapters.iter().for_each(|adapter| findings.adapter(&opened.directory, id, adapter));
        }
    }
    for adapter in &draft.adapters {
        // One that cannot be prepared has been told of with the configuration.
        let prepared = app::prepare_all(std::slice::from_ref(adapter), &Queues::default()).unwrap_or_default();
        let found = prepared.iter().flat_map(|prepared| prepared.check());
        findings.faults.extend(found.map(|fault| adapter.fault(&fault.key, fault.problem)));
    }
    if let Some(listen) = draft.listen.as_ref().filter(|_| ports == Ports::Try) {
        findings.port("listen.doors", listen.doors);
        findings.port("listen.admin", listen.admin);
    }
    if let Some(store) = &draft.store {
        findings.disk("store.path", &store.path, store.free_bytes_min);
        if let StoreKind::Redis(redis) = &store.kind {
            findings.redis(redis);
        }
        match &draft.parts {
            Some(Parts::Folder(folder)) if !folder.starts_with(&store.path) => {
                findings.disk("parts.path", folder, store.free_bytes_min);
            }
            Some(Parts::Folder(_)) | None => {}
            Some(Parts::S3(bucket)) => findings.bucket(bucket),
        }
    }
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
    let mut findings = Findings { places: &config.places, faults: Vec::new() };
    let id = &config.gateway.id;
    let own = Own {
        id,
        from_parent: config.directory.from_parent,
        certificate: identity.fingerprint(),
        signer: Some(signer),
    };
    findings.registrations(directory, &own);
    config.adapters.iter().for_each(|adapter| findings.adapter(directory, id, adapter));
    findings.faults
}

/// What the directory should have registered for this gateway.
struct Own<'a> {
    id: &'a GatewayId,
    from_parent: bool,
    certificate: Option<Digest>,
    signer: Option<&'a VerifierKey>,
}

struct Findings<'a> {
    places: &'a Places,
    faults: Vec<Fault>,
}

impl Findings<'_> {
    fn add(&mut self, key: &str, problem: impl Into<String>) {
        self.faults.push(self.places.fault(key, problem));
    }

    fn take<T, E: std::fmt::Display>(&mut self, key: &str, result: Result<T, E>) -> Option<T> {
        result.map_err(|error| self.add(key, error.to_string())).ok()
    }

    /// Every file for itself, then what they are to each other. Gives the digest of the certificate.
    fn tls(&mut self, files: &TlsDraft, now: Timestamp) -> Option<Digest> {
        let chain = files.certificate.as_ref().map(|path| tls::read_chain(path));
        let chain = chain.and_then(|read| self.take("tls.certificate", read));
        let key = files.key.as_ref().map(|path| tls::read_key(path));
        let key = key.and_then(|read| self.take("tls.key", read));
        let mut roots = RootCertStore::empty();
        let mut all_read = files.roots.is_some();
        for path in files.roots.iter().flatten() {
            all_read &= self.take("tls.roots", tls::read_roots(path, &mut roots)).is_some();
        }
        let certificate = files.certificate.as_deref()?;
        let chain = chain?;
        self.certificate_time(&chain, now);
        if let Some(key) = &key {
            self.take("tls.key", tls::check_pair(certificate, &chain, key));
        }
        if all_read {
            self.take("tls.roots", tls::check_chain(certificate, &chain, roots, now));
        }
        chain.first().map(|leaf| Digest::of(leaf))
    }

    /// The directory that the gateway would start with.
    fn directory(&mut self, configured: &config::Directory, store: Option<&Store>, now: Timestamp) -> Option<Opened> {
        let file = match &configured.file {
            Some(file) => file.clone(),
            None => store?.path.join(KEPT),
        };
        if !file.exists() && configured.file.is_none() {
            self.add("directory.file", "there is no directory yet: give a signed one to begin with");
            return None;
        }
        let opened = read_bounded(&file).map_err(|error| format!("{}: {error}", file.display())).and_then(|bytes| {
            directory_source::open(&bytes, configured, now, Expiry::Allow)
                .map_err(|refusal: Refusal| format!("{}: {refusal}", file.display()))
        });
        self.take("directory.file", opened)
    }

    fn certificate_time(&mut self, chain: &[CertificateDer<'_>], now: Timestamp) {
        match tls::expires_at(chain) {
            None => self.add("tls.certificate", "its end cannot be read"),
            Some(at) if at <= now => self.add("tls.certificate", format!("expired at {at}: have a new one issued")),
            Some(at) if at < now.plus(CERTIFICATE_SOON) => {
                self.add("tls.certificate", format!("expires soon, at {at}: have a new one issued"));
            }
            Some(_) => {}
        }
    }

    fn times(&mut self, opened: &Opened, configured: &config::Directory, now: Timestamp) {
        let directory = &opened.directory;
        if opened.expired {
            self.add("directory.file", format!("expired at {}: issue a new one", directory.expires_at()));
        } else if directory.expires_at() < now.plus(configured.warn_before) {
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

    fn registrations(&mut self, directory: &Directory, own: &Own<'_>) {
        let Own { id, from_parent, certificate, signer } = own;
        let Some(registered) = directory.gateway(id) else {
            return self.add("gateway.id", format!("the directory does not register a gateway {id}"));
        };
        if let Some(fingerprint) = certificate {
            match directory.party(fingerprint) {
                Some(Party::Gateway(named)) if named == *id => {}
                Some(other) => {
                    self.add("tls.certificate", format!("the directory registers it for {other}, not for {id}"))
                }
                None => {
                    self.add("tls.certificate", format!("the directory does not register it for {id} ({fingerprint})"))
                }
            }
        }
        if let Some(signer) = signer.filter(|signer| !registered.log_keys.contains(signer)) {
            self.add("evidence.key", format!("the directory does not list {signer} for {id}"));
        }
        if *from_parent && registered.parent.is_none() {
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

    /// What is read at a start; whether the store answers shows only then.
    fn bucket(&mut self, bucket: &Bucket) {
        self.take("parts.access_key", read_secret(&bucket.access_key));
        self.take("parts.secret_key", read_secret(&bucket.secret_key));
        if let Some(roots) = &bucket.roots {
            self.take("parts.roots", tls::read_roots(roots, &mut RootCertStore::empty()));
        }
    }

    /// The same for Redis.
    fn redis(&mut self, redis: &config::Redis) {
        if let Some(password) = &redis.password {
            self.take("redis.password", read_secret(password));
        }
        if let Some(roots) = &redis.roots {
            self.take("redis.roots", tls::read_roots(roots, &mut RootCertStore::empty()));
        }
        if let Some((certificate, key)) = &redis.identity {
            for (name, path) in [("redis.certificate", certificate), ("redis.key", key)] {
                self.take(name, read_bounded(path).map_err(|error| format!("{}: {error}", path.display())));
            }
        }
    }

    fn disk(&mut self, key: &str, folder: &Path, free_bytes_min: u64) {
        let Some(existing) = folder.ancestors().find(|ancestor| ancestor.exists()) else { return };
        match rustix::fs::statvfs(existing) {
            Ok(disk) => {
                let free = disk.f_bavail.saturating_mul(disk.f_frsize);
                if free < free_bytes_min {
                    let problem =
                        format!("{} has {free} bytes free, the doors need {free_bytes_min}", existing.display());
                    self.add(key, problem);
                }
            }
            Err(error) => self.add(key, format!("{}: {error}", existing.display())),
        }
        let probe = existing.join(format!(".lienthong-check-{}", std::process::id()));
        match std::fs::File::create_new(&probe).and_then(|file| file.sync_all()) {
            Ok(()) => {
                if let Err(error) = std::fs::remove_file(&probe) {
                    self.add(key, format!("{}: {error}", probe.display()));
                }
            }
            Err(error) => self.add(key, format!("{} cannot be written: {error}", existing.display())),
        }
    }
}

/// A secret in a file is a line at most this long.
const SECRET_BYTES_MAX: usize = 4 * 1024;

/// Reads a secret that is the only line of its file.
///
/// # Errors
/// In words: the file and what is wrong with it, never what it says.
pub(crate) fn read_secret(path: &Path) -> Result<String, String> {
    let fault = |what: &dyn std::fmt::Display| format!("{}: {what}", path.display());
    let bytes = read_bounded(path).map_err(|error| fault(&error))?;
    let text = std::str::from_utf8(&bytes).map_err(|_| fault(&"is no text"))?.trim_end_matches(['\r', '\n']);
    match text.is_empty() || text.len() > SECRET_BYTES_MAX || text.contains(char::is_whitespace) {
        true => Err(fault(&"one line with the key alone is expected")),
        false => Ok(text.to_owned()),
    }
}
