//! The configuration of a queue, checked without any effect.
//!
//! ```toml
//! kind = "worker"
//! system = "sys-so-hoa"          # whose workers may take from it: required
//! lease = "60s"                  # how long a worker holds a delivery without a heartbeat: 10 s to 10 min
//! deliveries_max = 32            # most deliveries in one answer: 1 to 64
//! not_picked_up_after = "8h"     # working time after which a delivery that nobody took is an incident
//! ```

use std::time::Duration;

use adapters_sdk::settings::Settings;
use adapters_sdk::{ConfigFault, PrepareContext};
use gateway_model::id::{AgencyId, SystemId};
use gateway_model::limits;

const LEASE_MIN: Duration = Duration::from_secs(10);
const LEASE_MAX: Duration = Duration::from_secs(600);
const DELIVERIES: u64 = 32;
const DELIVERIES_MAX: u64 = 64;
const NOT_PICKED_UP_AFTER: Duration = Duration::from_secs(8 * 3_600);
const NOT_PICKED_UP_MIN: Duration = Duration::from_secs(1);
const NOT_PICKED_UP_MAX: Duration = Duration::from_secs(90 * 86_400);

/// A checked configuration.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Config {
    /// Name of the queue.
    pub name: String,
    /// Whose workers may take from it.
    pub system: SystemId,
    /// Agencies whose deliveries it holds.
    pub agencies: Vec<AgencyId>,
    /// How long a worker holds a delivery unless it extends.
    pub lease: Duration,
    /// Most deliveries in one answer.
    pub deliveries_max: usize,
    /// Working time after which a delivery that nobody took is an incident.
    pub not_picked_up_after: Duration,
}

impl Config {
    /// Reads and checks the adapter's table.
    ///
    /// # Errors
    /// Every fault found.
    pub fn read(table: &toml::Table, context: &PrepareContext) -> Result<Self, Vec<ConfigFault>> {
        let mut settings = Settings::new(table);
        let lease = settings.span("lease", limits::LEASE_TIME, LEASE_MIN, LEASE_MAX);
        let deliveries_max = settings.number("deliveries_max", DELIVERIES, 1, DELIVERIES_MAX);
        let not_picked_up_after =
            settings.span("not_picked_up_after", NOT_PICKED_UP_AFTER, NOT_PICKED_UP_MIN, NOT_PICKED_UP_MAX);
        if context.system.is_none() {
            settings.fault("system", "is missing; name the system whose workers take from this queue");
        }
        if context.agencies.is_empty() {
            settings.fault("agencies", "is empty; name the agencies whose deliveries lie here");
        }
        let read = || {
            Some(Self {
                name: context.name.clone(),
                system: context.system.clone()?,
                agencies: context.agencies.clone(),
                lease: lease?,
                deliveries_max: usize::try_from(deliveries_max?).ok()?,
                not_picked_up_after: not_picked_up_after?,
            })
        };
        settings.finish(read())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

    use std::path::PathBuf;

    use super::*;

    fn context(system: Option<&str>) -> PrepareContext {
        PrepareContext {
            name: "so-hoa".to_owned(),
            base: PathBuf::from("/etc/lienthong"),
            agencies: vec![AgencyId::parse("h99.21").unwrap()],
            system: system.map(|system| SystemId::parse(system).unwrap()),
        }
    }

    #[test]
    fn a_queue_needs_its_system_and_nothing_else() {
        let config = Config::read(&toml::Table::new(), &context(Some("sys-so-hoa"))).unwrap();
        assert_eq!((config.lease, config.deliveries_max), (Duration::from_secs(60), 32));
        assert_eq!(config.not_picked_up_after, Duration::from_secs(8 * 3_600));
    }

    #[test]
    fn every_fault_is_told_with_its_key() {
        let table =
            "lease = \"5s\"\ndeliveries_max = 65\nnot_picked_up_after = \"999ms\"\nleese = \"60s\"".parse().unwrap();
        let keys: Vec<String> =
            Config::read(&table, &context(None)).unwrap_err().into_iter().map(|fault| fault.key).collect();
        assert_eq!(keys, ["lease", "deliveries_max", "not_picked_up_after", "system", "leese"]);
    }
}
