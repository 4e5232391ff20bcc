//! The process contract of a worker: what its environment says.
//!
//! | variable | meaning |
//! |---|---|
//! | `LIENTHONG_GATEWAY` | the gateway's door, `https://host:port` |
//! | `LIENTHONG_ROOTS` | PEM file of the CA certificates that the gateway is checked against |
//! | `LIENTHONG_CERTIFICATE`, `LIENTHONG_KEY` | PEM files of the worker's own identity |
//! | `LIENTHONG_QUEUE` | the queue it takes from |
//! | `LIENTHONG_STATE` | folder for what it must remember; optional |
//! | `LIENTHONG_CONFIG` | the adapter's own configuration; optional, read by the adapter |
//! | `HTTPS_PROXY`, `NO_PROXY` | a proxy that opens tunnels, and the hosts that need none; optional |

use std::path::PathBuf;

use super::WorkerSettings;
use crate::ConfigFault;
use crate::outbound::Origin;
use crate::outbound::config::read_pem;
use crate::outbound::tls::{Identity, client_config};

/// Reads the environment through `variable`.
pub(super) fn read(variable: impl Fn(&str) -> Option<String>) -> Result<WorkerSettings, Vec<ConfigFault>> {
    let mut faults = Vec::new();
    let variable = |name: &str| variable(name).map(|value| value.trim().to_owned()).filter(|value| !value.is_empty());
    let mut required = |name: &str| {
        let value = variable(name);
        if value.is_none() {
            faults.push(fault(name, "is not set"));
        }
        value
    };
    let (gateway, queue) = (required("LIENTHONG_GATEWAY"), required("LIENTHONG_QUEUE"));
    let files = ["LIENTHONG_ROOTS", "LIENTHONG_CERTIFICATE", "LIENTHONG_KEY"].map(|name| (name, required(name)));
    let gateway = gateway.and_then(|text| {
        let origin = Origin::parse(&text).filter(|origin| origin.is_https);
        if origin.is_none() {
            faults.push(fault("LIENTHONG_GATEWAY", "is not of the form https://host:port"));
        }
        origin
    });
    let [roots_pem, certificate_pem, key_pem] = files.map(|(name, path)| {
        let read = read_pem(&PathBuf::from(path?));
        read.map_err(|broken| faults.push(fault(name, &broken.to_string()))).ok()
    });
    let proxy = read_proxy(&variable, gateway.as_ref(), &mut faults);
    let (Some(gateway), Some(queue), Some(roots_pem), Some(certificate_pem), Some(key_pem)) =
        (gateway, queue, roots_pem, certificate_pem, key_pem)
    else {
        return Err(faults);
    };
    let identity = Identity { certificate_pem, key_pem };
    if let Err(broken) = client_config(&roots_pem, Some(&identity), b"h2") {
        faults.push(fault("LIENTHONG_CERTIFICATE", &broken.to_string()));
    }
    if !faults.is_empty() {
        return Err(faults);
    }
    let state = variable("LIENTHONG_STATE").map(PathBuf::from);
    Ok(WorkerSettings { state, proxy, ..WorkerSettings::new(gateway, queue, roots_pem, identity) })
}

fn read_proxy(
    variable: &impl Fn(&str) -> Option<String>,
    gateway: Option<&Origin>,
    faults: &mut Vec<ConfigFault>,
) -> Option<Origin> {
    let (text, host) =
        (variable("HTTPS_PROXY").or_else(|| variable("https_proxy"))?, gateway.map(|gateway| gateway.host.as_str())?);
    let exempt = variable("NO_PROXY").or_else(|| variable("no_proxy")).unwrap_or_default();
    if exempt.split(',').map(str::trim).any(|name| is_exempt(name, host)) {
        return None;
    }
    let proxy = Origin::parse(&text).filter(|origin| !origin.is_https);
    if proxy.is_none() {
        faults.push(fault("HTTPS_PROXY", "is not of the form http://host:port, without user and password"));
    }
    proxy
}

/// `*`, the host itself, or a domain that it stands in.
fn is_exempt(name: &str, host: &str) -> bool {
    let domain = name.trim_start_matches('.').to_ascii_lowercase();
    let is_within = || host.strip_suffix(&domain).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'));
    name == "*" || (!domain.is_empty() && is_within())
}

fn fault(key: &str, problem: &str) -> ConfigFault {
    ConfigFault { key: key.to_owned(), problem: problem.to_owned() }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use certs_dev::tls::TlsLadder;

    use super::*;

    #[test]
    fn every_fault_of_the_environment_is_told_at_once() {
        let variables = HashMap::from([("LIENTHONG_GATEWAY", "http://gw:1"), ("LIENTHONG_KEY", "/nowhere/key.pem")]);
        let faults = read(|name| variables.get(name).map(|value| (*value).to_owned())).unwrap_err();
        let keys: Vec<&str> = faults.iter().map(|fault| fault.key.as_str()).collect();
        assert_eq!(
            keys,
            ["LIENTHONG_QUEUE", "LIENTHONG_ROOTS", "LIENTHONG_CERTIFICATE", "LIENTHONG_GATEWAY", "LIENTHONG_KEY"]
        );
    }

    #[test]
    fn a_whole_environment_is_read_and_a_proxy_is_used_unless_the_host_is_exempt() {
        let ladder = TlsLadder::new(1_791_432_000).unwrap();
        let own = ladder.issue("worker", &[]).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let file = |name: &str, text: &str| {
            std::fs::write(folder.path().join(name), text).unwrap();
            folder.path().join(name).to_str().unwrap().to_owned()
        };
        let mut variables = HashMap::from([
            ("LIENTHONG_GATEWAY", "https://gw.example:8443".to_owned()),
            ("LIENTHONG_QUEUE", "so-tnmt".to_owned()),
            ("LIENTHONG_ROOTS", file("roots.pem", &ladder.authority().certificate_pem())),
            ("LIENTHONG_CERTIFICATE", file("own.pem", &own.certificate_pem)),
            ("LIENTHONG_KEY", file("own.key", &own.key_pem)),
            ("HTTPS_PROXY", "http://proxy.example:3128".to_owned()),
        ]);
        let settings = read(|name| variables.get(name).cloned()).unwrap();
        assert_eq!((settings.queue.as_str(), settings.gateway.port), ("so-tnmt", 8443));
        assert_eq!(settings.proxy.unwrap().host, "proxy.example");
        variables.insert("NO_PROXY", "localhost, .example".to_owned());
        assert!(read(|name| variables.get(name).cloned()).unwrap().proxy.is_none());
        variables.insert("LIENTHONG_KEY", file("other.key", &ladder.issue("other", &[]).unwrap().key_pem));
        assert_eq!(read(|name| variables.get(name).cloned()).unwrap_err()[0].key, "LIENTHONG_CERTIFICATE");
    }

    #[test]
    fn a_host_is_exempt_by_its_name_or_its_domain() {
        let check = |name: &str, expected: bool| assert_eq!(is_exempt(name, "gw.tinh.example"), expected, "{name}");
        check("*", true);
        check("gw.tinh.example", true);
        check(".tinh.example", true);
        check("Tinh.Example", true);
        check("inh.example", false);
        check("", false);
    }
}
