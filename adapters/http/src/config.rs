//! The configuration of an HTTP adapter, checked without touching the world.
//!
//! ```toml
//! kind = "http"
//! state = "http-desk"                 # folder for what it must remember
//! [out]                               # deliveries as webhooks; absent: none
//! url = "https://dms.example/hook"
//! secrets = ["hook.secret"]           # files with a secret each ("whsec_…"); several while a secret is being changed
//! parts = "value"                     # "value" (base64), "link" or "none"
//! value_bytes_max = 4194304           # of all parts by value
//! also_taken = [409]                  # statuses besides 2xx that mean: the system has it
//! [out.body]                          # JSON field = constant, or "$name" of a field of the envelope; absent: all fields
//! "hoSo.ma" = "$file_code"
//! [listen]                            # own address: for [in], and for parts by link
//! address = "127.0.0.1:8090"
//! plain = true                        # without TLS, on loopback alone; otherwise certificate and key
//! public_url = "http://127.0.0.1:8090"
//! link_lifetime = "15m"
//! [in]                                # envelopes by POST /v1/envelopes; absent: none
//! token_file = "token"
//! expires_in = "30d"
//! [in.body]                           # field of the envelope = constant, or "$path" in the caller's JSON; absent: as described
//! subject = "$hoSo.trichYeu"
//! [in.body.part]                      # the same for each part
//! name = "$ten"
//! [seal]                              # the agency's key, as for every adapter
//! [outbound]                          # where calls may go, as for every adapter
//! ```

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use adapters_sdk::listener::TlsFiles;
use adapters_sdk::outbound::config::OutboundConfig;
use adapters_sdk::outbound::{AllowList, Origin, OutboundBounds};
use adapters_sdk::seal::config::SealConfig;
use adapters_sdk::settings::Settings;
use adapters_sdk::{ConfigFault, PrepareContext};
use gateway_model::id::AgencyId;
use gateway_model::limits;
use http::Uri;

use crate::door::mapping::Mapping;
use crate::hook::template::Template;

const LINK_LIFETIME: Duration = Duration::from_secs(900);
const EXPIRES_IN: Duration = Duration::from_secs(30 * 86_400);
/// Bytes of parts by value, before base64.
const VALUE_BYTES_MAX: u64 = 4 * 1024 * 1024;
const VALUE_BYTES_HARD: u64 = 32 * 1024 * 1024;
const SECRETS_MAX: usize = 4;

/// A checked configuration.
#[derive(Clone, Debug)]
pub struct Config {
    /// What it must remember.
    pub state: PathBuf,
    /// Deliveries as webhooks.
    pub out: Option<Out>,
    /// The own address.
    pub listen: Option<Listen>,
    /// Envelopes over the own address.
    pub inward: Option<In>,
    /// Where calls may go.
    pub outbound: OutboundConfig,
}

/// Deliveries as webhooks.
#[derive(Clone, Debug)]
pub struct Out {
    /// Where to.
    pub url: Uri,
    /// Files with a secret each.
    pub secrets: Vec<PathBuf>,
    /// How parts travel.
    pub parts: PartsBy,
    /// Bytes of all parts by value.
    pub value_bytes_max: u64,
    /// Statuses besides 2xx that mean that the system has it.
    pub also_taken: Vec<u16>,
    /// What the body is made of.
    pub body: Template,
}

/// How parts travel.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum PartsBy {
    /// In the body, in base64.
    Value,
    /// By a link to the own address, which expires.
    Link,
    /// Only described.
    None,
}

/// The own address.
#[derive(Clone, Debug)]
pub struct Listen {
    /// Where it listens.
    pub address: SocketAddr,
    /// Certificate and key; `None`: plain, on loopback.
    pub tls: Option<TlsFiles>,
    /// How others reach it, without a final slash.
    pub public_url: String,
    /// How long a link to a part holds.
    pub link_lifetime: Duration,
}

/// Envelopes over the own address.
#[derive(Clone, Debug)]
pub struct In {
    /// File with the token that callers show.
    pub token_file: PathBuf,
    /// Life of an envelope that does not say.
    pub expires_in: Duration,
    /// How callers write; `None`: as `openapi.json` describes it.
    pub body: Option<Mapping>,
    /// The agency's seal.
    pub seal: SealConfig,
    /// The sender of one that does not say: the one agency served, where there is exactly one.
    pub from: Option<AgencyId>,
}

impl Config {
    /// Reads and checks the adapter's table.
    ///
    /// # Errors
    /// Every fault found.
    pub fn read(table: &toml::Table, context: &PrepareContext) -> Result<Self, Vec<ConfigFault>> {
        let mut settings = Settings::new(table);
        settings.text("kind");
        let state = settings.required_text("state").map(|path| context.base.join(path));
        let says = |key: &str| table.contains_key(key);
        let outbound = match says("outbound") {
            true => settings.table("outbound", |outbound| OutboundConfig::read(outbound, &context.base)),
            false => Some(no_calls()),
        };
        let listen = settings.table("listen", |listen| read_listen(listen, context));
        let out = settings.table("out", |out| read_out(out, context));
        let seal = settings.table("seal", |seal| SealConfig::read(seal, &context.base));
        let inward = settings.table("in", |inward| read_in(inward, seal.clone(), context));
        if !says("out") && !says("in") {
            settings.fault("out", "is missing, and so is [in]: one of them says what this adapter is for");
        }
        if says("in") && !says("seal") {
            settings.fault("seal", "is missing: what comes in is sealed with the agency's key");
        }
        if says("in") && context.system.is_none() {
            settings.fault("in", "needs an identity to submit under; name the adapter's `system`");
        }
        if let (Some(out), Some(outbound)) = (&out, &outbound)
            && outbound.allowed.find(&out.url).is_err()
        {
            settings.fault("outbound", "does not allow the origin of out.url; list it in outbound.allow");
        }
        let needs_address = says("in") || out.as_ref().is_some_and(|out| out.parts == PartsBy::Link);
        if needs_address && !says("listen") {
            settings.fault("listen", "is missing: [in] and parts by link need an own address");
        }
        let read = match (state, outbound) {
            (Some(state), Some(outbound)) => Some(Self { state, out, listen, inward, outbound }),
            _ => None,
        };
        settings.finish(read)
    }
}

fn no_calls() -> OutboundConfig {
    OutboundConfig {
        allowed: AllowList::default(),
        roots: None,
        identity: None,
        proxy: None,
        bounds: OutboundBounds::default(),
    }
}

fn read_out(settings: &mut Settings<'_>, context: &PrepareContext) -> Option<Out> {
    let url = settings.required_text("url").and_then(|text| text.parse::<Uri>().ok());
    if url.as_ref().is_none_or(|url| Origin::of(url).is_none()) {
        settings.fault("url", "is no https:// or http:// address without user and password");
    }
    let secrets: Option<Vec<PathBuf>> = settings
        .list("secrets")
        .and_then(|values| values.iter().map(|value| value.as_str().map(|path| context.base.join(path))).collect());
    if secrets.as_ref().is_none_or(|secrets| secrets.is_empty() || secrets.len() > SECRETS_MAX) {
        settings.fault("secrets", "is no list of one to four files with a secret each");
    }
    let parts = match settings.text("parts") {
        None | Some("value") => Some(PartsBy::Value),
        Some("link") => Some(PartsBy::Link),
        Some("none") => Some(PartsBy::None),
        Some(_) => {
            settings.fault("parts", "is none of \"value\", \"link\", \"none\"");
            None
        }
    };
    let value_bytes_max = settings.number("value_bytes_max", VALUE_BYTES_MAX, 0, VALUE_BYTES_HARD);
    let also_taken: Option<Vec<u16>> = settings.list("also_taken").and_then(|values| {
        let status = |value: &toml::Value| value.as_integer().filter(|status| (400..500).contains(status));
        values.iter().map(|value| status(value).and_then(|status| u16::try_from(status).ok())).collect()
    });
    if also_taken.is_none() {
        settings.fault("also_taken", "is no list of statuses from 400 to 499");
    }
    let body = match settings.free_table("body").map_or_else(|| Ok(Template::whole()), Template::read) {
        Ok(body) => Some(body),
        Err(problem) => {
            settings.fault("body", &problem);
            None
        }
    };
    Some(Out {
        url: url?,
        secrets: secrets?,
        parts: parts?,
        value_bytes_max: value_bytes_max?,
        also_taken: also_taken?,
        body: body?,
    })
}

fn read_listen(settings: &mut Settings<'_>, context: &PrepareContext) -> Option<Listen> {
    let address = settings.required_text("address").and_then(|text| text.parse::<SocketAddr>().ok());
    if address.is_none() {
        settings.fault("address", "is not of the form 127.0.0.1:8090 or [::1]:8090");
    }
    let is_plain = settings.switch("plain", false)?;
    let certificate = settings.text("certificate").map(|path| context.base.join(path));
    let key = settings.text("key").map(|path| context.base.join(path));
    let tls = certificate.zip(key).map(|(certificate, key)| TlsFiles { certificate, key });
    match (&tls, is_plain) {
        (Some(_), true) => settings.fault("plain", "stands beside a certificate: it is one or the other"),
        (None, false) => {
            settings.fault("certificate", "is missing, or its key is: only loopback may do without, by plain = true")
        }
        (None, true) if address.is_some_and(|address| !address.ip().is_loopback()) => {
            settings.fault("plain", "is for loopback alone: what others can reach has a certificate");
        }
        (Some(_), false) | (None, true) => {}
    }
    let public_url = match settings.text("public_url") {
        Some(url) => {
            if Origin::parse(url).is_none() {
                settings.fault("public_url", "is not of the form https://host:port");
            }
            url.trim_end_matches('/').to_owned()
        }
        None => format!("{}://{}", if tls.is_some() { "https" } else { "http" }, address?),
    };
    let link_lifetime =
        settings.span("link_lifetime", LINK_LIFETIME, Duration::from_secs(1), Duration::from_secs(86_400));
    Some(Listen { address: address?, tls, public_url, link_lifetime: link_lifetime? })
}

fn read_in(settings: &mut Settings<'_>, seal: Option<SealConfig>, context: &PrepareContext) -> Option<In> {
    let token_file = settings.required_text("token_file").map(|path| context.base.join(path));
    let expires_in = settings.span("expires_in", EXPIRES_IN, Duration::from_secs(3_600), limits::ENVELOPE_LIFE_MAX);
    let from = if let [agency] = context.agencies.as_slice() { Some(agency.clone()) } else { None };
    let body = match settings.free_table("body").map(Mapping::read).transpose() {
        Ok(body) => Some(body),
        Err(problem) => {
            settings.fault("body", &problem);
            None
        }
    };
    Some(In { token_file: token_file?, expires_in: expires_in?, body: body?, seal: seal?, from })
}

#[cfg(test)]
mod tests {
    use gateway_model::id::SystemId;

    use super::*;

    fn read(text: &str, system: Option<&str>) -> Result<Config, Vec<String>> {
        let context = PrepareContext {
            name: "desk".into(),
            base: "/etc/lienthong".into(),
            agencies: vec![AgencyId::parse("so-tnmt").unwrap()],
            system: system.map(|id| SystemId::parse(id).unwrap()),
        };
        let faults = Config::read(&text.parse().unwrap(), &context);
        faults.map_err(|faults| faults.iter().map(|fault| fault.key.clone()).collect())
    }

    const OUT: &str = "[out]\nurl = \"http://dms.example/hook\"\nsecrets = [\"s\"]\n";
    const CALLS: &str = "[outbound]\nallow = [\"http://dms.example\"]\n";

    #[test]
    fn a_webhook_needs_no_address_and_a_door_needs_one_with_a_seal_and_an_identity() {
        let config = read(&format!("state = \"s\"\n{OUT}{CALLS}"), None).unwrap();
        assert_eq!(config.out.unwrap().parts, PartsBy::Value);
        let whole = "state = \"s\"\n[in]\ntoken_file = \"t\"\n[seal]\ncertificate = \"c\"\nkey = \"k\"\n\
                     [listen]\naddress = \"127.0.0.1:0\"\nplain = true";
        let config = read(whole, Some("sys")).unwrap();
        assert_eq!(config.inward.unwrap().from.unwrap().as_str(), "so-tnmt");
        assert_eq!(read("state = \"s\"\n[in]\ntoken_file = \"t\"", None).unwrap_err(), ["seal", "in", "listen"]);
    }

    #[test]
    fn every_fault_is_told_with_its_key() {
        let check =
            |text: &str, expected: &[&str]| assert_eq!(read(text, Some("sys")).unwrap_err(), expected, "{text}");
        check("", &["state", "out"]);
        check(&format!("state = \"s\"\n{OUT}"), &["outbound"]);
        check(&format!("state = \"s\"\n{OUT}parts = \"link\"\n{CALLS}"), &["listen"]);
        check(
            &format!("state = \"s\"\n{OUT}parts = \"mail\"\nalso_taken = [200]\n{CALLS}"),
            &["out.parts", "out.also_taken"],
        );
        check(&format!("state = \"s\"\n{OUT}[out.body]\n\"a\" = \"$unknown\"\n{CALLS}"), &["out.body"]);
        let open = |rest: &str| format!("state = \"s\"\n{OUT}{CALLS}[listen]\n{rest}");
        check(&open("address = \"0.0.0.0:1\"\nplain = true"), &["listen.plain"]);
        check(&open("address = \"127.0.0.1:1\""), &["listen.certificate"]);
        check(&open("address = \"here\"\nplain = true"), &["listen.address"]);
    }
}
