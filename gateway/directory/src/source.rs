//! The directory as people write it: one TOML file that names certificates and revocation lists beside it.
//!
//! Every fault is reported with its line, all together: unknown keys with the nearest known one, values with what they must be, files that
//! cannot be read, and links that lead nowhere. Paths are relative to the file.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use gateway_model::agency::{Agency, Gateway, Operator, SignerRegistration, System};
use gateway_model::directory::{Anchor, Directory, DirectoryContent, DirectoryFault};
use gateway_model::time::{Timestamp, Validity};

use crate::fault::{Fault, FaultKind};
use crate::reader::{Document, Table};
use crate::{DIRECTORY_BYTES_MAX, SOURCE_SCHEMA, certificate, shape};

mod timetable;

/// Life of a snapshot when the source does not say.
const VALID_FOR_DEFAULT: Duration = Duration::from_secs(30 * 24 * 3600);
const SCHEMA: shape::Shape<()> =
    shape::Shape { wanted: "`lienthong.directory-source.v1`", parse: |text| (text == SOURCE_SCHEMA).then_some(()) };

/// A source that has been read whole, checked, and holds together; not yet signed.
#[derive(Debug)]
pub struct Source {
    file: PathBuf,
    version: Option<u64>,
    valid_for: Duration,
    directory: Directory,
}

impl Source {
    /// Reads the file at `path` and every file that it names.
    ///
    /// # Errors
    /// Every fault, in the order of the lines.
    pub fn read(path: &Path) -> Result<Self, Vec<Fault>> {
        let file = |cause| vec![Fault::whole(path, FaultKind::File { path: path.to_owned(), cause })];
        let bytes = std::fs::metadata(path).map_err(file)?.len();
        if bytes > DIRECTORY_BYTES_MAX as u64 {
            return Err(file(std::io::Error::other(format!("{bytes} bytes, more than {DIRECTORY_BYTES_MAX}"))));
        }
        Self::parse(&std::fs::read_to_string(path).map_err(file)?, path)
    }

    /// Reads `text` as if it stood in the file at `path`, and every file that it names.
    ///
    /// # Errors
    /// Every fault, in the order of the lines.
    pub fn parse(text: &str, path: &Path) -> Result<Self, Vec<Fault>> {
        let (document, root) = Document::parse(path, text);
        let folder = path.parent().unwrap_or(Path::new("")).to_owned();
        let mut reading = Reading { folder, lines: HashMap::new(), skipped: false };
        let root = Table::root(&document, &root);
        root.need("schema", &SCHEMA);
        let version = root.number("version");
        let valid_for = root.text("valid_for", &shape::SPAN).unwrap_or(VALID_FOR_DEFAULT);
        let content = reading.content(&root);
        root.finish();
        let directory = Directory::new(content);
        if let Err(faults) = &directory {
            reading.report(&document, faults);
        }
        match (directory, document.into_faults()) {
            (Ok(directory), faults) if faults.is_empty() => {
                Ok(Self { file: path.to_owned(), version, valid_for, directory })
            }
            (_, faults) => Err(faults),
        }
    }

    /// The TOML file.
    pub fn file(&self) -> &Path {
        &self.file
    }

    /// The version that it names, if any.
    pub fn version(&self) -> Option<u64> {
        self.version
    }

    /// How long a snapshot made of it lives.
    pub fn valid_for(&self) -> Duration {
        self.valid_for
    }

    /// What it says; version and times are those of the snapshot to come and do not count here.
    pub fn content(&self) -> &DirectoryContent {
        self.directory.content()
    }
}

/// What is gathered while reading.
struct Reading {
    folder: PathBuf,
    /// Where each id stands.
    lines: HashMap<String, usize>,
    /// Whether an entry had to be left out: links to it are then no faults of their own.
    skipped: bool,
}

impl Reading {
    fn content(&mut self, root: &Table<'_>) -> DirectoryContent {
        DirectoryContent {
            version: 0,
            issued_at: Timestamp::MIN,
            expires_at: Timestamp::MAX,
            agencies: self.each(root, "agency", Self::agency),
            systems: self.each(root, "system", Self::system),
            gateways: self.each(root, "gateway", Self::gateway),
            operators: self.each(root, "operator", Self::operator),
            anchors: self.each(root, "anchor", Self::anchor),
            intermediates: self.files(root, "intermediates", certificate::certificates).concat(),
            crls: self.files(root, "crls", certificate::revocation_lists).concat(),
            calendars: self.each(root, "calendar", Self::calendar),
            procedures: self.each(root, "procedure", Self::procedure),
        }
    }

    fn each<T>(&mut self, root: &Table<'_>, key: &'static str, read: fn(&mut Self, &Table<'_>) -> Option<T>) -> Vec<T> {
        let mut found = Vec::new();
        for table in root.tables(key) {
            let entry = read(self, &table);
            table.finish();
            self.skipped |= entry.is_none();
            found.extend(entry);
        }
        found
    }

    fn agency(&mut self, table: &Table<'_>) -> Option<Agency> {
        let id = table.need("id", &shape::AGENCY);
        let name = table.need("name", &shape::NAME).unwrap_or_default();
        let name_en = table.text("name_en", &shape::LABEL).unwrap_or_default();
        let codes = table.texts("codes", &shape::CODE);
        let parent = table.text("parent", &shape::AGENCY);
        let level = table.need("level", &shape::LABEL).unwrap_or_default();
        let gateway = table.text("gateway", &shape::GATEWAY);
        let validity = validity(table);
        let succeeded_by = table.texts("succeeded_by", &shape::AGENCY);
        let signers = self.each(table, "signer", Self::signer);
        let id = id?;
        self.stands(id.as_str(), table);
        Some(Agency { id, name, name_en, codes, parent, level, validity, succeeded_by, signers, gateway })
    }

    fn signer(&mut self, table: &Table<'_>) -> Option<SignerRegistration> {
        let read = |path: &str| certificate::first_with_end(&self.folder.join(path));
        let certificate = table.need_read("certificate", read);
        let roles = table.texts("roles", &shape::SIGNATURE_ROLE);
        let given = validity(table);
        let legacy_without_signing_certificate = table.flag("legacy_without_signing_certificate");
        let (certificate, end) = certificate?;
        // A gateway has only the digest: what the certificate says of its own end has to stand here, or nobody is warned of it.
        let validity = Validity { until: [given.until, end].into_iter().flatten().min(), ..given };
        Some(SignerRegistration { certificate, validity, roles, legacy_without_signing_certificate })
    }

    fn system(&mut self, table: &Table<'_>) -> Option<System> {
        let id = table.need("id", &shape::SYSTEM);
        let tls_certificates = self.files(table, "tls", certificate::first_digest);
        let speaks_for = table.texts("speaks_for", &shape::AGENCY);
        let id = id?;
        self.stands(id.as_str(), table);
        Some(System { id, tls_certificates, speaks_for })
    }

    fn gateway(&mut self, table: &Table<'_>) -> Option<Gateway> {
        let id = table.need("id", &shape::GATEWAY);
        let address = table.need("address", &shape::ADDRESS).unwrap_or_default();
        let parent = table.text("parent", &shape::GATEWAY);
        let tls_certificates = self.files(table, "tls", certificate::first_digest);
        let log_keys = table.texts("log_keys", &shape::LOG_KEY);
        let direct_links = table.texts("direct_links", &shape::GATEWAY);
        let id = id?;
        self.stands(id.as_str(), table);
        Some(Gateway { id, address, parent, tls_certificates, log_keys, direct_links })
    }

    fn operator(&mut self, table: &Table<'_>) -> Option<Operator> {
        let id = table.need("id", &shape::OPERATOR);
        let role = table.need("role", &shape::OPERATOR_ROLE);
        let tls_certificates = self.files(table, "tls", certificate::first_digest);
        let gateways = table.texts("gateways", &shape::GATEWAY);
        let id = id?;
        self.stands(id.as_str(), table);
        Some(Operator { id, tls_certificates, role: role?, gateways })
    }

    fn anchor(&mut self, table: &Table<'_>) -> Option<Anchor> {
        let certificate = table.need_read("certificate", |path| certificate::single(&self.folder.join(path)));
        let purpose = table.need("purpose", &shape::PURPOSE);
        let algorithms = table.texts("algorithms", &shape::ALGORITHM);
        let policies = table.texts("policies", &shape::POLICY);
        let revocation_grace = table.text("revocation_grace", &shape::SPAN).unwrap_or_default();
        Some(Anchor { certificate: certificate?, purpose: purpose?, algorithms, policies, revocation_grace })
    }

    fn files<T>(&self, table: &Table<'_>, key: &'static str, read: fn(&Path) -> Result<T, FaultKind>) -> Vec<T> {
        table.read_all(key, |path| read(&self.folder.join(path)))
    }

    fn stands(&mut self, id: &str, table: &Table<'_>) {
        self.lines.insert(id.to_owned(), table.line());
    }

    fn report(&self, document: &Document<'_>, faults: &[DirectoryFault]) {
        for fault in faults {
            let about = match fault {
                DirectoryFault::NameTaken { second, .. } => second.as_str(),
                DirectoryFault::IdTaken { id, .. } => id,
                DirectoryFault::Dangling { .. } if self.skipped => continue,
                DirectoryFault::Dangling { from, .. } => from,
                DirectoryFault::Circle(id) | DirectoryFault::NeverValid(id) | DirectoryFault::OfficeHours(id) => id,
                DirectoryFault::CertificateTaken { second, .. }
                | DirectoryFault::VersionsOverlap { second, .. }
                | DirectoryFault::TwoCalendars { second, .. } => second,
                DirectoryFault::OffAndMadeUp { calendar, .. } => calendar,
                DirectoryFault::StepTwice { procedure, .. } => procedure,
            };
            // A fault names its culprit whole, such as a version of a calendar, or last: `system sys-a`, `the registration of … for h99`.
            let last = about.rsplit(' ').next().unwrap_or(about);
            let line = [about, last].into_iter().find_map(|name| self.lines.get(name)).copied().unwrap_or(0);
            document.fault_at_line(line, "", FaultKind::Inconsistent(fault.clone()));
        }
    }
}

fn validity(table: &Table<'_>) -> Validity {
    Validity { from: table.text("valid_from", &shape::INSTANT), until: table.text("valid_until", &shape::INSTANT) }
}
