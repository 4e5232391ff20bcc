//! The configuration of a drop folder, checked without touching the disk.
//!
//! ```toml
//! kind = "folder"
//! path = "/srv/lienthong/so-tnmt"   # where deliveries appear
//! outgoing = "outgoing"             # sub-folder watched for submissions; absent: only deliveries
//! poll_interval = "2s"              # how often it is looked at
//! expires_in = "30d"                # life of an envelope made from plain files
//! set_aside_for = "180d"            # how long sent/ is kept; what was refused stays until somebody takes it away
//! [seal]                            # the agency's key for plain files; absent: only ready-made *.lt files are taken
//! certificate = "agency.pem"
//! key = "agency.key"                # or a token: see `adapters_sdk::seal::config`
//! ```

use std::path::{Component, Path, PathBuf};
use std::time::Duration;

use adapters_sdk::seal::config::SealConfig;
use adapters_sdk::settings::Settings;
use adapters_sdk::{ConfigFault, PrepareContext};
use gateway_model::id::AgencyId;
use gateway_model::limits;

use crate::layout;

const POLL_INTERVAL: Duration = Duration::from_secs(2);
const POLL_INTERVAL_MIN: Duration = Duration::from_millis(100);
const POLL_INTERVAL_MAX: Duration = Duration::from_secs(3_600);
const EXPIRES_IN: Duration = Duration::from_secs(30 * 86_400);
const EXPIRES_IN_MIN: Duration = Duration::from_secs(3_600);
const SET_ASIDE_FOR: Duration = Duration::from_secs(180 * 86_400);
const SET_ASIDE_FOR_MIN: Duration = Duration::from_secs(86_400);
const SET_ASIDE_FOR_MAX: Duration = Duration::from_secs(3_650 * 86_400);

/// A checked configuration.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Config {
    /// Where everything is.
    pub path: PathBuf,
    /// The way in, where there is one.
    pub outgoing: Option<Outgoing>,
}

/// The way in.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Outgoing {
    /// Name of the watched sub-folder.
    pub folder: String,
    /// How often it is looked at.
    pub poll_interval: Duration,
    /// Life of an envelope made from plain files.
    pub expires_in: Duration,
    /// How long what was sent is kept.
    pub set_aside_for: Duration,
    /// The agency's certificate and key.
    pub seal: Option<SealConfig>,
    /// The sender of plain files that do not say: the one agency served, where there is exactly one.
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
        let path = settings.required_text("path").map(|path| context.base.join(path));
        let folder = settings.text("outgoing");
        let poll_interval = settings.span("poll_interval", POLL_INTERVAL, POLL_INTERVAL_MIN, POLL_INTERVAL_MAX);
        let expires_in = settings.span("expires_in", EXPIRES_IN, EXPIRES_IN_MIN, limits::ENVELOPE_LIFE_MAX);
        let set_aside_for = settings.span("set_aside_for", SET_ASIDE_FOR, SET_ASIDE_FOR_MIN, SET_ASIDE_FOR_MAX);
        let seal = settings.table("seal", |seal| SealConfig::read(seal, &context.base));
        check_outgoing(&mut settings, folder, seal.is_some(), context);
        let from = if let [agency] = context.agencies.as_slice() { Some(agency.clone()) } else { None };
        let outgoing = match (folder, poll_interval, expires_in, set_aside_for) {
            (Some(folder), Some(poll_interval), Some(expires_in), Some(set_aside_for)) => {
                Some(Outgoing { folder: folder.to_owned(), poll_interval, expires_in, set_aside_for, seal, from })
            }
            _ => None,
        };
        settings.finish(path.map(|path| Self { path, outgoing }))
    }
}

fn check_outgoing(settings: &mut Settings<'_>, folder: Option<&str>, has_seal: bool, context: &PrepareContext) {
    let Some(folder) = folder else {
        if has_seal {
            settings.fault("seal", "is of no use without `outgoing`");
        }
        return;
    };
    let mut components = Path::new(folder).components();
    let is_plain = matches!((components.next(), components.next()), (Some(Component::Normal(_)), None));
    if !is_plain || folder.starts_with('.') || layout::OWN_FOLDERS.contains(&folder) {
        let own = layout::OWN_FOLDERS.join(", ");
        settings.fault("outgoing", &format!("is no plain name of a sub-folder, or one of the adapter's own ({own})"));
    }
    if context.system.is_none() {
        settings.fault("outgoing", "needs an identity to submit under; name the adapter's `system`");
    }
}

#[cfg(test)]
mod tests {
    use gateway_model::id::SystemId;

    use super::*;

    fn context(system: Option<&str>) -> PrepareContext {
        PrepareContext {
            name: "so-tnmt".into(),
            base: "/etc/lienthong".into(),
            agencies: vec![AgencyId::parse("so-tnmt").unwrap()],
            system: system.map(|id| SystemId::parse(id).unwrap()),
        }
    }

    fn read(text: &str, system: Option<&str>) -> Result<Config, Vec<String>> {
        let told = |faults: Vec<ConfigFault>| faults.iter().map(ToString::to_string).collect();
        Config::read(&text.parse().unwrap(), &context(system)).map_err(told)
    }

    #[test]
    fn paths_start_from_the_configuration_file_and_the_rest_has_defaults() {
        let config = read("kind = \"folder\"\npath = \"in\"\noutgoing = \"out\"", Some("sys")).unwrap();
        assert_eq!(config.path, Path::new("/etc/lienthong/in"));
        let outgoing = config.outgoing.unwrap();
        assert_eq!((outgoing.poll_interval, outgoing.expires_in), (POLL_INTERVAL, EXPIRES_IN));
        assert_eq!(outgoing.set_aside_for, SET_ASIDE_FOR);
        assert_eq!(outgoing.from.unwrap().as_str(), "so-tnmt");
        assert_eq!(read("path = \"/srv/in\"", None).unwrap().path, Path::new("/srv/in"));
    }

    #[test]
    fn every_fault_is_told_at_once() {
        let faults =
            read("outgoing = \"../x\"\npoll_interval = \"2\"\nexpires_in = \"900d\"\n[seal]\nkey = \"k\"", None);
        let keys: Vec<String> =
            faults.unwrap_err().iter().map(|fault| fault.split(':').next().unwrap().to_owned()).collect();
        assert_eq!(keys, ["path", "poll_interval", "expires_in", "seal.certificate", "outgoing", "outgoing"]);
    }

    #[test]
    fn the_watched_folder_is_none_of_the_adapters_own() {
        for folder in ["incoming", "sent", "refused", ".lienthong", "a/b", "..", "/x"] {
            assert!(read(&format!("path = \"p\"\noutgoing = \"{folder}\""), Some("sys")).is_err(), "{folder}");
        }
    }

    #[test]
    fn a_seal_without_a_way_in_is_a_fault() {
        let faults = read("path = \"p\"\n[seal]\ncertificate = \"c\"\nkey = \"k\"", None).unwrap_err();
        assert_eq!(faults, ["seal: is of no use without `outgoing`"]);
    }
}
