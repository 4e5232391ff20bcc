//! The configuration of a land adapter, checked without touching the disk or the network.
//!
//! ```toml
//! kind = "land"
//! role = "to-land-system"                # the agency served is the land office; "to-one-stop": it is a one-stop desk
//! listen = "10.1.1.2:8201"               # where the other side's calls and callbacks come in
//! listen_tls = { certificate = "land.pem", key = "land.key" }   # absent: plain HTTP, for a closed network or behind a TLS proxy
//! code = "land.code"                     # file with the shared code that callers have in their URL
//! state = "state/land"                   # what the adapter remembers
//! expires_in = "30d"                     # life of the envelopes it makes
//! url = "http://10.0.0.5:8080/api"       # the land system; for "to-one-stop": where the desk takes callbacks
//!
//! # role = "to-land-system"
//! authorization = "land.token"           # file with the value of the Authorization header, where the system wants one
//! province = "99"                        # the land system's own numbers, where an envelope does not say
//! district = "30"
//! commune = "01"
//! already_exists = ["already exists", "đã tồn tại"]   # both roles: texts by which the other side says that it has this already
//! retry_codes = ["401", "403", "408", "429", "500", "502", "503", "504"]   # its codes of failures that are no file's fault
//!
//! # role = "to-one-stop"
//! land_office = "h99.21"                 # internal id of the agency whose files these are
//! url_code = "desk.code"                 # file with the shared code that the desk wants in its URL
//! results = "link"                       # result files: "link", served by the adapter itself, or "value", base64 inside of the callback
//! public_url = "http://10.1.1.2:8201"    # how the desk reaches `listen`
//! link_life = "7d"                       # how long a link works
//!
//! [seal]                                 # the agency's key: these systems cannot sign; see `adapters_sdk::seal::config`
//! certificate = "agency.pem"
//! key = "agency.key"
//! [outbound]                             # where the adapter may call, and how; see `adapters_sdk::outbound::config`
//! allow = [{ origin = "http://10.0.0.5:8080", private = true }]
//! ```

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use adapters_sdk::listener::TlsFiles;
use adapters_sdk::outbound::config::OutboundConfig;
use adapters_sdk::seal::config::SealConfig;
use adapters_sdk::settings::Settings;
use adapters_sdk::{ConfigFault, PrepareContext};
use gateway_model::id::AgencyId;
use gateway_model::limits;
use http::Uri;
use unicode_normalization::UnicodeNormalization as _;

use crate::body::BodyBounds;
use crate::land_case::Place;

const EXPIRES_IN: Duration = Duration::from_secs(30 * 86_400);
const EXPIRES_IN_MIN: Duration = Duration::from_secs(3_600);
const LINK_LIFE: Duration = Duration::from_secs(7 * 86_400);
const LINK_LIFE_MIN: Duration = Duration::from_secs(60);
const LINK_LIFE_MAX: Duration = Duration::from_secs(366 * 86_400);
const TEXTS_MAX: usize = 32;
/// What passes, and what the operator of either side has to mend.
const RETRY_CODES: [&str; 8] = ["401", "403", "408", "429", "500", "502", "503", "504"];

/// Bounds of what comes in at the listener.
pub(crate) const BODY_BOUNDS: BodyBounds =
    BodyBounds { body_bytes_max: 256 * 1024 * 1024, file_bytes_max: limits::PART_BYTES_DEFAULT };

/// A checked configuration.
#[derive(Clone, PartialEq, Debug)]
pub struct Config {
    /// The one agency that is served.
    pub agency: AgencyId,
    /// Where calls come in.
    pub listen: SocketAddr,
    /// Its certificate; `None`: plain HTTP.
    pub tls: Option<TlsFiles>,
    /// File of the code that callers know.
    pub code: PathBuf,
    /// What is remembered.
    pub state: PathBuf,
    /// Life of the envelopes made here.
    pub expires_in: Duration,
    /// The agency's certificate and key.
    pub seal: SealConfig,
    /// Where calls go, without a slash at the end.
    pub url: String,
    /// How calls go out.
    pub outbound: OutboundConfig,
    /// Which side is served.
    pub role: Role,
}

/// Which side is served.
#[derive(Clone, PartialEq, Debug)]
pub enum Role {
    /// The land office: deliveries become calls, callbacks become envelopes.
    ToLandSystem(ToLandSystem),
    /// A one-stop desk: its calls become envelopes, deliveries become callbacks.
    ToOneStop(ToOneStop),
}

/// The land office's side.
#[derive(Clone, PartialEq, Debug)]
pub struct ToLandSystem {
    /// File of the Authorization header.
    pub authorization: Option<PathBuf>,
    /// Where the land is when an envelope does not say.
    pub place: Place,
    /// Texts that mean "I have it already".
    pub already_exists: Vec<String>,
    /// Codes of failures that are no file's fault: they pass, or are mended.
    pub retry_codes: Vec<String>,
}

/// The desk's side.
#[derive(Clone, PartialEq, Debug)]
pub struct ToOneStop {
    /// Where files go, and whose callbacks are believed.
    pub land_office: AgencyId,
    /// File of the code that the desk wants.
    pub url_code: PathBuf,
    /// How result files reach the desk.
    pub results: Results,
    /// Texts that mean "I have it already".
    pub already_exists: Vec<String>,
}

/// How result files reach the desk.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Results {
    /// By a link that nobody guesses and that ends.
    Link {
        /// How the desk reaches the adapter, without a slash at the end.
        public_url: String,
        /// How long the link works.
        life: Duration,
    },
    /// Inside of the callback.
    Value,
}

impl Config {
    /// Reads and checks the adapter's table.
    ///
    /// # Errors
    /// Every fault found.
    pub fn read(table: &toml::Table, context: &PrepareContext) -> Result<Self, Vec<ConfigFault>> {
        let mut settings = Settings::new(table);
        settings.text("kind");
        let read = read_all(&mut settings, context);
        settings.finish(read)
    }
}

fn read_all(settings: &mut Settings<'_>, context: &PrepareContext) -> Option<Config> {
    let agency = read_agency(settings, context);
    let file = |text: &str| context.base.join(text);
    let listen = settings.required_text("listen").and_then(|text| match text.parse() {
        Ok(address) => Some(address),
        Err(_) => {
            settings.fault("listen", "is no address with a port, such as \"10.1.1.2:8201\"");
            None
        }
    });
    let tls = settings.table("listen_tls", |tls| {
        let certificate = tls.required_text("certificate").map(file);
        let key = tls.required_text("key").map(file);
        Some(TlsFiles { certificate: certificate?, key: key? })
    });
    let code = settings.required_text("code").map(file);
    let state = settings.required_text("state").map(file);
    let expires_in = settings.span("expires_in", EXPIRES_IN, EXPIRES_IN_MIN, limits::ENVELOPE_LIFE_MAX);
    let url = read_url(settings, "url");
    let seal = settings.table("seal", |seal| SealConfig::read(seal, &context.base));
    if seal.is_none() {
        settings.fault("seal", "is missing or not whole: the system behind the adapter cannot sign");
    }
    let outbound = settings.table("outbound", |outbound| OutboundConfig::read(outbound, &context.base));
    match (&outbound, &url) {
        (None, _) => settings.fault("outbound", "is missing or not whole: it lists where the adapter may call"),
        (Some(outbound), Some(url)) => {
            let uri: Option<Uri> = url.parse().ok();
            if uri.is_none_or(|uri| outbound.allowed.find(&uri).is_err()) {
                settings.fault("url", "is not among the origins in `outbound.allow`");
            }
        }
        (Some(_), None) => {}
    }
    let role = match settings.required_text("role") {
        Some("to-land-system") => read_to_land_system(settings, context).map(Role::ToLandSystem),
        Some("to-one-stop") => read_to_one_stop(settings, context).map(Role::ToOneStop),
        Some(_) => {
            settings.fault("role", "is neither \"to-land-system\" nor \"to-one-stop\"");
            None
        }
        None => None,
    };
    Some(Config {
        agency: agency?,
        listen: listen?,
        tls,
        code: code?,
        state: state?,
        expires_in: expires_in?,
        seal: seal?,
        url: url?,
        outbound: outbound?,
        role: role?,
    })
}

fn read_agency(settings: &mut Settings<'_>, context: &PrepareContext) -> Option<AgencyId> {
    if context.system.is_none() {
        settings.fault("system", "is missing: the adapter submits what comes in, and needs an identity to do so");
    }
    if let [agency] = context.agencies.as_slice() {
        return Some(agency.clone());
    }
    settings.fault("agencies", "names not exactly one agency: a land adapter serves one");
    None
}

fn read_to_land_system(settings: &mut Settings<'_>, context: &PrepareContext) -> Option<ToLandSystem> {
    let text = |settings: &mut Settings<'_>, key| settings.text(key).unwrap_or_default().to_owned();
    let place = Place {
        province: text(settings, "province"),
        district: text(settings, "district"),
        commune: text(settings, "commune"),
        is_provincial: false,
    };
    let already_exists = read_already_exists(settings);
    let retry_codes = read_texts(settings, "retry_codes", &RETRY_CODES);
    let authorization = settings.text("authorization").map(|path| context.base.join(path));
    Some(ToLandSystem { authorization, place, already_exists: already_exists?, retry_codes: retry_codes? })
}

fn read_already_exists(settings: &mut Settings<'_>) -> Option<Vec<String>> {
    let texts = read_texts(settings, "already_exists", &["already exists", "đã tồn tại"])?;
    Some(texts.into_iter().map(|text| text.nfc().collect::<String>().to_lowercase()).collect())
}

fn read_to_one_stop(settings: &mut Settings<'_>, context: &PrepareContext) -> Option<ToOneStop> {
    let land_office = settings.required_text("land_office").and_then(|text| match AgencyId::parse(text) {
        Ok(agency) => Some(agency),
        Err(fault) => {
            settings.fault("land_office", &fault.to_string());
            None
        }
    });
    let url_code = settings.required_text("url_code").map(|path| context.base.join(path));
    let life = settings.span("link_life", LINK_LIFE, LINK_LIFE_MIN, LINK_LIFE_MAX);
    let results = match settings.text("results").unwrap_or("link") {
        "value" => {
            settings.text("public_url");
            Some(Results::Value)
        }
        "link" => {
            read_url(settings, "public_url").zip(life).map(|(public_url, life)| Results::Link { public_url, life })
        }
        _ => {
            settings.fault("results", "is neither \"link\" nor \"value\"");
            None
        }
    };
    let already_exists = read_already_exists(settings);
    Some(ToOneStop {
        land_office: land_office?,
        url_code: url_code?,
        results: results?,
        already_exists: already_exists?,
    })
}

fn read_url(settings: &mut Settings<'_>, key: &'static str) -> Option<String> {
    let text = settings.required_text(key)?;
    let uri: Option<Uri> = text.parse().ok();
    let fits = uri.is_some_and(|uri| {
        matches!(uri.scheme_str(), Some("http" | "https")) && uri.host().is_some() && uri.query().is_none()
    });
    if !fits {
        settings.fault(key, "is no URL of the form http://host:port/path");
        return None;
    }
    Some(text.trim_end_matches('/').to_owned())
}

fn read_texts(settings: &mut Settings<'_>, key: &'static str, default: &[&str]) -> Option<Vec<String>> {
    let values = settings.list(key)?;
    if values.is_empty() {
        return Some(default.iter().map(|text| (*text).to_owned()).collect());
    }
    let texts: Vec<String> = values.iter().filter_map(|value| value.as_str()).map(str::to_owned).collect();
    if texts.len() != values.len() || texts.len() > TEXTS_MAX || texts.iter().any(|text| text.trim().is_empty()) {
        settings.fault(key, &format!("is no list of at most {TEXTS_MAX} texts in quotes"));
        return None;
    }
    Some(texts)
}

#[cfg(test)]
mod tests {
    use gateway_model::id::SystemId;

    use super::*;

    const LAND: &str = "kind = \"land\"\nrole = \"to-land-system\"\nlisten = \"127.0.0.1:0\"\ncode = \"c\"\nstate = \"s\"\n\
        url = \"http://10.0.0.5:8080/api/\"\nseal = { certificate = \"a.pem\", key = \"a.key\" }\n\
        outbound = { allow = [{ origin = \"http://10.0.0.5:8080\", private = true }] }\n";

    fn read(text: &str) -> Result<Config, Vec<String>> {
        let context = PrepareContext {
            name: "land".into(),
            base: "/etc/lienthong".into(),
            agencies: vec![AgencyId::parse("h99.21").unwrap()],
            system: Some(SystemId::parse("sys").unwrap()),
        };
        Config::read(&text.parse().unwrap(), &context)
            .map_err(|faults| faults.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn each_role_has_its_keys_and_their_defaults() {
        let config = read(LAND).unwrap();
        assert_eq!((config.url.as_str(), config.expires_in), ("http://10.0.0.5:8080/api", EXPIRES_IN));
        let Role::ToLandSystem(role) = config.role else { panic!("the role is the land system's") };
        assert_eq!(role.already_exists, ["already exists", "đã tồn tại"]);
        let desk = LAND.replace("to-land-system", "to-one-stop");
        let config = read(&format!(
            "land_office = \"h99.21\"\nurl_code = \"d\"\npublic_url = \"http://10.1.1.2:8201/\"\nlink_life = \"2d\"\n{desk}"
        ));
        let Role::ToOneStop(role) = config.unwrap().role else { panic!("the role is the desk's") };
        let life = Duration::from_secs(2 * 86_400);
        assert_eq!(role.results, Results::Link { public_url: "http://10.1.1.2:8201".into(), life });
        assert_eq!(role.already_exists, ["already exists", "đã tồn tại"]);
    }

    #[test]
    fn every_fault_is_told_at_once() {
        let faults = read("role = \"both\"\nlisten = \"here\"\nurl = \"land.example\"\ncodes = \"x\"").unwrap_err();
        let keys: Vec<&str> = faults.iter().map(|fault| fault.split(':').next().unwrap()).collect();
        assert_eq!(keys, ["listen", "code", "state", "url", "seal", "outbound", "role", "codes"]);
    }

    #[test]
    fn what_is_called_has_to_be_listed_and_a_key_of_the_other_role_is_unknown() {
        let told = |text: String| read(&text).unwrap_err().join("\n");
        assert!(told(LAND.replace("http://10.0.0.5:8080/api/", "http://10.0.0.6/")).starts_with("url: is not among"));
        assert!(told(format!("results = \"value\"\n{LAND}")).starts_with("results: is not known here"));
        assert!(
            told(format!("listen_tls = {{ certificate = \"a\" }}\n{LAND}")).starts_with("listen_tls.key: is missing")
        );
        assert!(told(format!("already_exists = [1]\n{LAND}")).starts_with("already_exists: is no list"));
    }
}
