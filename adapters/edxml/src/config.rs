//! The configuration of the adapter, checked without touching the disk.
//!
//! ```toml
//! kind = "edxml"
//! path = "/srv/lienthong/dms"       # the adapter's own notes; with door = "folder" also the drop folder
//! door = "hub-server"               # "folder", "hub-client" or "hub-server"
//! trace_as = "W99"                  # OrganId of the TraceHeader that we append; absent: none
//! expires_in = "30d"                # life of an envelope made from a package
//! set_aside_for = "180d"            # how long a folder's sent/ and a hub's quarantine/ are kept
//! package_bytes_max = 67108864
//! poll_interval = "2s"              # folder and hub-client: how often is looked
//! [[adapter.organ]]                 # how agencies are written, and the seals of our own
//! agency = "h99.30.01"
//! codes = ["000.01.30.H99"]
//! name = "UBND xã An Phú"
//! certificate = "agency.pem"
//! key = "agency.key"
//! [adapter.hub]                     # hub-client and hub-server; see the keys below
//! ```

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use adapters_sdk::listener::TlsFiles;
use adapters_sdk::outbound::config::OutboundConfig;
use adapters_sdk::settings::Settings;
use adapters_sdk::{ConfigFault, PrepareContext};
use gateway_model::id::AgencyId;
use gateway_model::limits;

use crate::format::Limits;
use crate::hub::client::ClientConfig;
use crate::hub::server::ServerConfig;
use crate::organs::{self, OrganConfig};

const SECOND: Duration = Duration::from_secs(1);
const HOUR: Duration = Duration::from_secs(3_600);
const DAY: Duration = Duration::from_secs(86_400);
const SET_ASIDE_FOR: Duration = Duration::from_secs(180 * 86_400);
const SET_ASIDE_FOR_MAX: Duration = Duration::from_secs(3_650 * 86_400);
const PACKAGE_BYTES_DEFAULT: u64 = 64 * 1024 * 1024;
const PACKAGE_BYTES_MAX: u64 = 256 * 1024 * 1024;

/// A checked configuration.
#[derive(Clone, Debug)]
pub struct Config {
    /// The adapter's folder.
    pub path: PathBuf,
    /// Whom it serves.
    pub agencies: Vec<AgencyId>,
    /// How agencies are written.
    pub organs: Vec<OrganConfig>,
    /// OrganId of our TraceHeader.
    pub trace_as: Option<String>,
    /// Life of an envelope made from a package.
    pub expires_in: Duration,
    /// How long what a folder has sent, and what was refused of a hub or of a calling system, is kept.
    pub set_aside_for: Duration,
    /// Bounds of packages.
    pub limits: Limits,
    /// Which door.
    pub door: DoorConfig,
}

/// One of the three doors.
#[derive(Clone, Debug)]
pub enum DoorConfig {
    /// Files.
    Folder {
        /// How often is looked.
        poll_interval: Duration,
    },
    /// Another organisation's hub.
    HubClient {
        /// How it is reached.
        client: ClientConfig,
        /// File with the shared secret.
        secret: PathBuf,
        /// Where calls may go.
        outbound: OutboundConfig,
    },
    /// We are the hub.
    HubServer {
        /// What it is made of.
        server: ServerConfig,
        /// File with the shared secret.
        secret: PathBuf,
    },
}

impl Config {
    /// Reads and checks the adapter's table.
    ///
    /// # Errors
    /// Every fault found.
    pub fn read(table: &toml::Table, context: &PrepareContext) -> Result<Self, Vec<ConfigFault>> {
        let mut settings = Settings::new(table);
        settings.text("kind");
        let path = settings.required_text("path").map(|path| context.base.join(path));
        let trace_as = settings.text("trace_as").map(str::to_owned);
        let expires_in = settings.span("expires_in", DAY * 30, HOUR, limits::ENVELOPE_LIFE_MAX);
        let set_aside_for = settings.span("set_aside_for", SET_ASIDE_FOR, DAY, SET_ASIDE_FOR_MAX);
        let package_bytes_max = settings.number("package_bytes_max", PACKAGE_BYTES_DEFAULT, 1024, PACKAGE_BYTES_MAX);
        let organs = organs::read(&mut settings, context);
        let door = read_door(&mut settings, context);
        check_organs(&mut settings, &organs, context, door.as_ref());
        let read = (|| {
            let package_bytes_max = package_bytes_max?;
            let limits = Limits { package_bytes_max, file_bytes_max: package_bytes_max.saturating_mul(4) };
            let agencies = context.agencies.clone();
            let (expires_in, set_aside_for) = (expires_in?, set_aside_for?);
            Some(Self { path: path?, agencies, organs, trace_as, expires_in, set_aside_for, limits, door: door? })
        })();
        settings.finish(read)
    }
}

fn read_door(settings: &mut Settings<'_>, context: &PrepareContext) -> Option<DoorConfig> {
    let poll_interval = settings.span("poll_interval", SECOND * 2, Duration::from_millis(100), HOUR);
    match settings.required_text("door")? {
        "folder" => Some(DoorConfig::Folder { poll_interval: poll_interval? }),
        "hub-client" => {
            let outbound = settings.table("outbound", |outbound| OutboundConfig::read(outbound, &context.base));
            let client = settings.table("hub", |hub| read_client(hub, context, poll_interval?));
            if client.is_none() || outbound.is_none() {
                settings.fault("door", "\"hub-client\" needs the tables `hub` and `outbound`");
            }
            let (client, secret) = client?;
            Some(DoorConfig::HubClient { client, secret, outbound: outbound? })
        }
        "hub-server" => {
            let server = settings.table("hub", |hub| read_server(hub, context));
            if server.is_none() {
                settings.fault("door", "\"hub-server\" needs the table `hub`");
            }
            let (server, secret) = server?;
            Some(DoorConfig::HubServer { server, secret })
        }
        _ => {
            settings.fault("door", "is none of \"folder\", \"hub-client\", \"hub-server\"");
            None
        }
    }
}

fn read_client(
    hub: &mut Settings<'_>,
    context: &PrepareContext,
    poll_interval: Duration,
) -> Option<(ClientConfig, PathBuf)> {
    let url = hub.required_text("url").map(|url| url.trim_end_matches('/').to_owned());
    let system_id = hub.required_text("system_id").map(str::to_owned);
    let secret = hub.required_text("secret_file").map(|path| context.base.join(path));
    let codes = hub.list("poll_as").unwrap_or_default();
    let poll_as: Option<Vec<String>> = codes.iter().map(|code| code.as_str().map(str::to_owned)).collect();
    if poll_as.as_ref().is_none_or(Vec::is_empty) {
        hub.fault("poll_as", "is a list of the codes for which packages are fetched");
    }
    let client = ClientConfig { url: url?, system_id: system_id?, poll_as: poll_as?, poll_interval };
    Some((client, secret?))
}

fn read_server(hub: &mut Settings<'_>, context: &PrepareContext) -> Option<(ServerConfig, PathBuf)> {
    let address = hub.required_text("address").map(str::parse::<SocketAddr>);
    let plain_http = hub.switch("plain_http", false)?;
    let certificate = hub.text("certificate").map(|path| context.base.join(path));
    let key = hub.text("key").map(|path| context.base.join(path));
    if certificate.is_some() != key.is_some() {
        hub.fault("certificate", "and `key` belong together: one of them is missing");
    }
    let tls = certificate.zip(key).map(|(certificate, key)| TlsFiles { certificate, key });
    match &address {
        Some(Err(_)) => hub.fault("address", "is no address and port, such as \"127.0.0.1:8090\""),
        Some(Ok(address)) if !address.ip().is_loopback() && tls.is_none() && !plain_http => {
            hub.fault("address", "is not of this machine, and the protocol has no encryption of its own: name a certificate and its key, or say plain_http = true");
        }
        _ => {}
    }
    let system_id = hub.text("system_id").map(str::to_owned);
    let secret = hub.required_text("secret_file").map(|path| context.base.join(path));
    let clock_skew = hub.span("clock_skew", SECOND * 300, SECOND, HOUR);
    let poll_expected = hub.span("poll_expected", SECOND * 120, SECOND, HOUR);
    let list_wait = hub.span("list_wait", SECOND, Duration::ZERO, SECOND * 30);
    let confirm_within = hub.span("confirm_within", SECOND * 120, SECOND, SECOND * 1_800);
    let server = ServerConfig {
        address: address?.ok()?,
        tls,
        system_id,
        clock_skew: clock_skew?,
        poll_expected: poll_expected?,
        list_wait: list_wait?,
        confirm_within: confirm_within?,
    };
    Some((server, secret?))
}

/// Who sends needs a seal and an identity; who is reached through a hub needs the code that the hub knows.
fn check_organs(
    settings: &mut Settings<'_>,
    organs: &[OrganConfig],
    context: &PrepareContext,
    door: Option<&DoorConfig>,
) {
    let served = |organ: &&OrganConfig| context.agencies.contains(&organ.agency);
    let sends = organs.iter().filter(served).any(|organ| organ.seal.is_some());
    if sends && context.system.is_none() {
        settings.fault("organ", "has seals, but there is no identity to submit under; name the adapter's `system`");
    }
    if let Some(DoorConfig::HubClient { .. }) = door {
        for organ in organs.iter().filter(served).filter(|organ| organ.codes.is_empty()) {
            settings.fault("organ", &format!("gives no code for {}, by which the hub knows it", organ.agency));
        }
    }
    // A worker asks its gateway whom it serves; until it has answered, nobody is a stranger.
    let is_known = !context.agencies.is_empty();
    if let Some(stranger) = organs.iter().filter(|_| is_known).find(|organ| !served(organ) && organ.seal.is_some()) {
        settings.fault("organ", &format!("has a seal for {}, which the adapter does not serve", stranger.agency));
    }
}
