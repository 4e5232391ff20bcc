//! When trust ends: certificates, revocation lists and the directory. Read again when another directory is in force.

use std::collections::BTreeMap;
use std::sync::Arc;

use gateway_directory::moment;
use gateway_model::Timestamp;
use gateway_model::directory::Directory;
use gateway_verify::Snapshot;
use openssl::x509::{X509, X509Crl};
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::{Registry, Unit};

use crate::doors::operate::trust::common_name;

/// Issuers of revocation lists that have a label of their own; the directory has one list a certificate authority.
const ISSUERS_MAX: usize = 200;
const ISSUER_CHARS_MAX: usize = 64;

/// When trust ends.
pub(super) struct Trust {
    directory_version: Gauge,
    directory_expires_at: Gauge,
    expires_at: Family<[(&'static str, &'static str); 1], Gauge>,
    list_next_update: Family<[(&'static str, String); 1], Gauge>,
    expired: Gauge,
    /// Version of the directory that was read, and until when the certificates of each agency last.
    read: Option<(u64, Vec<Timestamp>)>,
}

/// What a directory says about its own end.
struct Ends {
    anchors: Option<Timestamp>,
    intermediates: Option<Timestamp>,
    /// By issuer.
    lists: BTreeMap<String, Timestamp>,
    /// Of each agency the last certificate.
    signers: Vec<Timestamp>,
}

impl Trust {
    pub(super) fn register(registry: &mut Registry) -> Self {
        let trust = Self {
            directory_version: Gauge::default(),
            directory_expires_at: Gauge::default(),
            expires_at: Family::default(),
            list_next_update: Family::default(),
            expired: Gauge::default(),
            read: None,
        };
        registry.register(
            "lienthong_directory_version",
            "Version of the directory in force",
            trust.directory_version.clone(),
        );
        registry.register_with_unit(
            "lienthong_directory_expires_at",
            "When the directory in force expires, Unix time",
            Unit::Seconds,
            trust.directory_expires_at.clone(),
        );
        registry.register_with_unit(
            "lienthong_certificate_expires_at",
            "When the first certificate of the directory expires, Unix time, by kind; of each signing agency its last one counts",
            Unit::Seconds,
            trust.expires_at.clone(),
        );
        registry.register_with_unit(
            "lienthong_revocation_list_next_update",
            "When the newest revocation list of an issuer is out of date, Unix time",
            Unit::Seconds,
            trust.list_next_update.clone(),
        );
        registry.register(
            "lienthong_signers_expired",
            "Agencies whose certificates have all expired",
            trust.expired.clone(),
        );
        trust
    }

    pub(super) async fn look(&mut self, snapshot: Arc<Snapshot>, now: Timestamp) {
        let version = snapshot.directory().version();
        super::set(&self.directory_version, version);
        self.directory_expires_at.set(snapshot.directory().expires_at().seconds());
        if self.read.as_ref().is_none_or(|(read, _)| *read != version) {
            // Revocation lists may be large.
            match tokio::task::spawn_blocking(move || Ends::of(snapshot.directory())).await {
                Ok(ends) => self.show(version, ends),
                Err(error) => tracing::error!(%error, "the certificates of the directory cannot be read"),
            }
        }
        let expired = self.read.iter().flat_map(|(_, signers)| signers).filter(|end| **end <= now).count();
        super::set(&self.expired, expired as u64);
    }

    fn show(&mut self, version: u64, ends: Ends) {
        self.expires_at.clear();
        let signers = ends.signers.iter().min().copied();
        for (kind, end) in [("anchor", ends.anchors), ("intermediate", ends.intermediates), ("signer", signers)] {
            if let Some(end) = end {
                self.expires_at.get_or_create(&[("kind", kind)]).set(end.seconds());
            }
        }
        self.list_next_update.clear();
        for (issuer, end) in ends.lists.into_iter().take(ISSUERS_MAX) {
            self.list_next_update.get_or_create(&[("issuer", issuer)]).set(end.seconds());
        }
        self.read = Some((version, ends.signers));
    }
}

impl Ends {
    fn of(directory: &Directory) -> Self {
        let content = directory.content();
        let mut lists: BTreeMap<String, Timestamp> = BTreeMap::new();
        for list in content.crls.iter().filter_map(|der| X509Crl::from_der(der).ok()) {
            let issuer = common_name(list.issuer_name()).chars().take(ISSUER_CHARS_MAX).collect();
            if let Some(end) = list.next_update().and_then(moment) {
                let newest = lists.entry(issuer).or_insert(end);
                *newest = end.max(*newest);
            }
        }
        let last = |signers: &[gateway_model::agency::SignerRegistration]| {
            signers.iter().filter_map(|s| s.validity.until).max()
        };
        Self {
            anchors: content.anchors.iter().filter_map(|anchor| end(&anchor.certificate)).min(),
            intermediates: content.intermediates.iter().filter_map(|der| end(der)).min(),
            lists,
            signers: content.agencies.iter().filter_map(|agency| last(&agency.signers)).collect(),
        }
    }
}

fn end(der: &[u8]) -> Option<Timestamp> {
    moment(X509::from_der(der).ok()?.not_after())
}
