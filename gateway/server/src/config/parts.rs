//! `[parts]`: where attachments are kept, in a folder or in an S3-compatible store.

use std::path::{Path, PathBuf};

use super::layers::Raw;
use super::reader::Reader;
use super::value::{self, Read};

/// The folder of the parts, beside the store, unless another one is named.
const FOLDER: &str = "parts";
/// Characters of a prefix: with the names below it, it has to fit into the 1024 bytes of a key.
const PREFIX_CHARACTERS_MAX: usize = 512;

/// Where attachments are kept.
#[derive(Clone, Debug)]
pub enum Parts {
    /// In a folder, which several nodes may share.
    Folder(PathBuf),
    /// In a bucket of an S3-compatible store.
    S3(Box<Bucket>),
}

/// A bucket, and as whom it is spoken to.
#[derive(Clone, Debug)]
pub struct Bucket {
    /// Where the store answers: scheme, host and port.
    pub endpoint: http::Uri,
    /// What requests are signed for.
    pub region: String,
    /// Name of the bucket.
    pub bucket: String,
    /// What the name of every object begins with.
    pub prefix: String,
    /// File with the access key.
    pub access_key: PathBuf,
    /// File with the secret key.
    pub secret_key: PathBuf,
    /// CA certificates of the store, PEM; always there for https.
    pub roots: Option<PathBuf>,
}

enum Kind {
    Folder,
    S3,
}

impl Reader {
    /// Reads the section; `store` is the folder of the store, where it could be read.
    pub(super) fn parts(&mut self, store: Option<&Path>) -> Option<Parts> {
        let base = self.base.clone();
        let kind = self.read("parts.kind", kind);
        let path = self.read("parts.path", value::optional_path(&base));
        let bucket = self.bucket(matches!(kind, Some(Kind::S3)));
        match kind? {
            Kind::Folder => match path? {
                Some(path) => Some(Parts::Folder(path)),
                None => store.map(|store| Parts::Folder(store.join(FOLDER))),
            },
            Kind::S3 => bucket.map(|bucket| Parts::S3(Box::new(bucket))),
        }
    }

    /// What is required is missed only where it is used.
    fn bucket(&mut self, is_used: bool) -> Option<Bucket> {
        let base = self.base.clone();
        let endpoint = self.read("parts.endpoint", endpoint);
        let region = self.read("parts.region", value::required);
        let bucket = self.read("parts.bucket", name);
        let prefix = self.read("parts.prefix", prefix);
        let access_key = self.read("parts.access_key", value::optional_path(&base));
        let secret_key = self.read("parts.secret_key", value::optional_path(&base));
        let roots = self.read("parts.roots", value::optional_path(&base));
        let plain_http = self.read("parts.plain_http", value::truth);
        if !is_used {
            return None;
        }
        let endpoint = self.used("parts.endpoint", endpoint?);
        let bucket = self.used("parts.bucket", bucket?);
        let access_key = self.used("parts.access_key", access_key?);
        let secret_key = self.used("parts.secret_key", secret_key?);
        let (endpoint, roots, plain_http) = (endpoint?, roots?, plain_http?);
        let is_plain = endpoint.scheme_str() == Some("http");
        if is_plain && !plain_http {
            let problem = "would send attachments in the clear: use https, or allow it with `plain_http = true`";
            self.fault("parts.endpoint", problem.to_owned());
        }
        if !is_plain && roots.is_none() {
            self.fault("parts.roots", "is required for https: those of the system are not looked for".to_owned());
        }
        Some(Bucket {
            endpoint,
            region: region?,
            bucket: bucket?,
            prefix: prefix?,
            access_key: access_key?,
            secret_key: secret_key?,
            roots,
        })
    }

    fn used<T>(&mut self, key: &str, value: Option<T>) -> Option<T> {
        if value.is_none() {
            self.fault(key, "is required with parts.kind = \"s3\"".to_owned());
        }
        value
    }
}

fn kind(raw: &Raw) -> Read<Kind> {
    match value::text(raw)?.as_str() {
        "folder" => Ok(Kind::Folder),
        "s3" => Ok(Kind::S3),
        other => Err(format!("\"folder\" or \"s3\" is expected, not \"{other}\"")),
    }
}

fn endpoint(raw: &Raw) -> Read<Option<http::Uri>> {
    let Some(uri) = value::endpoint(raw)? else { return Ok(None) };
    let is_web = matches!(uri.scheme_str(), Some("http" | "https"));
    let is_bare = uri.path() == "/" && uri.query().is_none();
    let has_user = uri.authority().is_some_and(|authority| authority.as_str().contains('@'));
    match is_web && is_bare && !has_user {
        true => Ok(Some(uri)),
        false => Err(format!("scheme, host and port are expected, such as \"https://s3.example:9000\", not \"{uri}\"")),
    }
}

fn name(raw: &Raw) -> Read<Option<String>> {
    let written = value::text(raw)?;
    match written.len() <= 255 && written.chars().all(is_plain) {
        true => Ok(Some(written).filter(|written| !written.is_empty())),
        false => Err(format!("a name of letters, digits, \".\", \"_\" and \"-\" is expected, not \"{written}\"")),
    }
}

fn prefix(raw: &Raw) -> Read<String> {
    let written = value::required(raw)?;
    let is_name = |name: &str| !matches!(name, "" | "." | "..") && name.chars().all(is_plain);
    match written.len() <= PREFIX_CHARACTERS_MAX && written.split('/').all(is_name) {
        true => Ok(written),
        false => Err(format!("names with \"/\" between them are expected, such as \"hub/parts\", not \"{written}\"")),
    }
}

fn is_plain(character: char) -> bool {
    character.is_ascii_alphanumeric() || matches!(character, '.' | '_' | '-')
}
