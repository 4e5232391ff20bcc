//! The directory source, `lienthong.directory-source.v1`, as it is written.

use serde::Serialize;

/// The whole file.
#[derive(Serialize)]
pub(super) struct Source {
    pub(super) schema: &'static str,
    pub(super) version: u64,
    pub(super) valid_for: String,
    pub(super) intermediates: Vec<String>,
    pub(super) crls: Vec<String>,
    pub(super) anchor: Vec<Anchor>,
    pub(super) gateway: Vec<Gateway>,
    pub(super) agency: Vec<Agency>,
    pub(super) system: Vec<System>,
    pub(super) operator: Vec<Operator>,
}

#[derive(Serialize)]
pub(super) struct Anchor {
    pub(super) certificate: String,
    pub(super) purpose: &'static str,
}

#[derive(Serialize)]
pub(super) struct Gateway {
    pub(super) id: String,
    pub(super) address: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) parent: Option<String>,
    pub(super) tls: Vec<String>,
    pub(super) log_keys: Vec<String>,
}

#[derive(Serialize)]
pub(super) struct Agency {
    pub(super) id: String,
    pub(super) name: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(super) name_en: String,
    pub(super) codes: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) parent: Option<String>,
    pub(super) level: String,
    pub(super) gateway: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) valid_until: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) succeeded_by: Vec<String>,
    pub(super) signer: Vec<Signer>,
}

#[derive(Serialize)]
pub(super) struct Signer {
    pub(super) certificate: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) roles: Vec<&'static str>,
}

#[derive(Serialize)]
pub(super) struct System {
    pub(super) id: String,
    pub(super) tls: Vec<String>,
    pub(super) speaks_for: Vec<String>,
}

#[derive(Serialize)]
pub(super) struct Operator {
    pub(super) id: String,
    pub(super) role: &'static str,
    pub(super) tls: Vec<String>,
}
