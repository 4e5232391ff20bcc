//! The manifest `adapter-test.toml`: how to start an adapter, and how to see what it does to the system behind it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Deserialize;

use crate::Trouble;

/// What an adapter's own author tells the kit.
#[derive(Clone, Deserialize, Debug)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// The adapter's command and its arguments. `{name}` stands for a value.
    pub command: Vec<String>,
    /// Run once before the points, in the folder of the manifest.
    #[serde(default)]
    pub build: Vec<String>,
    /// Values of the author's own, for `{name}` in any text here; `--set name=value` overrides them.
    #[serde(default)]
    pub values: BTreeMap<String, String>,
    /// Points at work at the same time. Default: 4 where each point has a system of its own, otherwise 1.
    pub jobs: Option<usize>,
    /// Seconds within which a started process asks for work, or ends: a busy machine may be slow to start one.
    #[serde(default = "start_seconds")]
    pub start_seconds: u64,
    /// Seconds within which an adapter that works takes any next step.
    #[serde(default = "step_seconds")]
    pub step_seconds: u64,
    /// Seconds within which it ends after SIGTERM; the contract's 30 at most.
    #[serde(default = "drain_seconds")]
    pub drain_seconds: u64,
    /// Size of the largest part.
    #[serde(default = "part_bytes_max")]
    pub part_bytes_max: u64,
    /// What the envelopes that it is given are.
    #[serde(default)]
    pub content: LetterContent,
    /// Its configuration.
    pub config: Option<Config>,
    /// How effects are seen.
    pub effects: Effects,
    /// How the system is made to fail.
    #[serde(default)]
    pub faults: Faults,
    /// How something is given to the adapter to submit.
    #[serde(default)]
    pub inbound: Inbound,
    /// Points that are left out, each with its reason.
    #[serde(default)]
    pub skip: BTreeMap<String, String>,
    /// Folder of the manifest.
    #[serde(skip)]
    pub here: PathBuf,
}

/// A good and a bad configuration file.
#[derive(Clone, Deserialize, Debug)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Name of the file; the adapter gets its path in `LIENTHONG_CONFIG`.
    pub file: String,
    /// Its text when it is good. `{canary}` stands for a secret, such as a password.
    pub good: String,
    /// Its text when it is bad.
    pub bad: String,
    /// Files that lie beside it, such as those with secrets: their names and their texts.
    #[serde(default)]
    pub beside: BTreeMap<String, String>,
}

/// What the envelopes of the kit are.
#[derive(Clone, Copy, Deserialize, Default, PartialEq, Eq, Debug)]
#[serde(rename_all = "lowercase")]
pub enum LetterContent {
    /// Signed papers.
    #[default]
    Document,
    /// One-stop files; the code of each holds its delivery id.
    Dossier,
}

/// How effects at the system behind the adapter are seen.
#[derive(Clone, Deserialize, Debug)]
#[serde(tag = "kind", rename_all = "lowercase", deny_unknown_fields)]
pub enum Effects {
    /// One entry (file or folder) an effect, its name holds the delivery id; names that begin with a dot are not there yet.
    Folder {
        /// The folder.
        path: String,
        /// Whether the bytes of every part lie in the entry.
        #[serde(default = "yes")]
        parts: bool,
    },
    /// The kit is the system: one request that it answers with 200 is an effect. Its address is `{sink}`.
    Http {
        /// `header:Name` or `json:/pointer`: what stands there holds the delivery id.
        id: String,
        /// Body of the good answer.
        #[serde(default)]
        answer: String,
    },
    /// A command that prints one JSON object a line with `delivery_id`, one line an effect.
    Command {
        /// The command.
        command: Vec<String>,
    },
}

/// How the system is made slow, failing for now, and failing for good.
#[derive(Clone, Deserialize, Default, Debug)]
#[serde(deny_unknown_fields)]
pub struct Faults {
    /// Default: the sink where there is one, otherwise the parts come slowly.
    pub slow: Option<Fault>,
    /// Default: the sink answers 503; a folder is replaced by a file.
    pub retryable: Option<Fault>,
    /// Default: the sink answers 422.
    pub permanent: Option<Fault>,
}

/// One way to fail.
#[derive(Clone, Deserialize, Debug)]
#[serde(untagged)]
pub enum Fault {
    /// `"sink"`, `"parts"`, `"blocked"` or `"opaque"`.
    Named(Named),
    /// Commands of the author's own.
    Commands {
        /// Makes the system so.
        on: Vec<String>,
        /// Makes it well again.
        off: Vec<String>,
    },
}

/// What the kit can do by itself.
#[derive(Clone, Copy, Deserialize, PartialEq, Eq, Debug)]
#[serde(rename_all = "lowercase")]
pub enum Named {
    /// The sink answers late, 503, or 422.
    Sink,
    /// The bytes of a part stop coming.
    Parts,
    /// The folder of the effects is replaced by a file.
    Blocked,
    /// The envelope's content is of a type that the adapter does not take.
    Opaque,
}

/// How something is given to the adapter to submit.
#[derive(Clone, Deserialize, Default, Debug)]
#[serde(tag = "kind", rename_all = "lowercase", deny_unknown_fields)]
pub enum Inbound {
    /// Nothing comes in this way.
    #[default]
    None,
    /// A file is put into a folder.
    Folder {
        /// The folder.
        path: String,
        /// Name of the file.
        name: String,
        /// Its text.
        content: String,
    },
    /// A request is sent to the adapter, which listens on `{port}`.
    Http {
        /// Where to.
        url: String,
        /// Media type of the body.
        #[serde(default = "json")]
        media_type: String,
        /// More headers.
        #[serde(default)]
        headers: BTreeMap<String, String>,
        /// The body.
        body: String,
        /// Whether it is about a delivery: one is handed over before, and `{file_code}` is its file's.
        #[serde(default)]
        after_delivery: bool,
    },
}

impl Manifest {
    /// Reads a manifest; `set` overrides its values.
    ///
    /// # Errors
    /// When it cannot be read, or says what no kit can do.
    pub fn read(path: &Path, set: &BTreeMap<String, String>) -> Result<Self, Trouble> {
        let text = std::fs::read_to_string(path).map_err(|source| {
            let hint = match source.kind() {
                std::io::ErrorKind::NotFound => "; go to the adapter's folder, or say where it is with --manifest",
                _ => "",
            };
            Trouble::Manifest(format!("{}: {source}{hint}", path.display()))
        })?;
        let here = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let here = here.canonicalize().map_err(|source| Trouble::File { path: here.to_owned(), source })?;
        Self::parse(&text, here, set).map_err(|cause| Trouble::Manifest(format!("{}: {cause}", path.display())))
    }

    fn parse(text: &str, here: PathBuf, set: &BTreeMap<String, String>) -> Result<Self, String> {
        let mut manifest: Self = toml::from_str(text).map_err(|cause| cause.to_string())?;
        manifest.here = here;
        if manifest.command.is_empty() {
            return Err("command: is empty; name the program that starts the adapter".to_owned());
        }
        if manifest.drain_seconds > drain_seconds() {
            return Err(format!("drain_seconds: the contract allows {} at most", drain_seconds()));
        }
        for name in manifest.config.iter().flat_map(|config| config.beside.keys()) {
            if name.is_empty() || name.contains('/') || name.starts_with("..") {
                return Err(format!("config.beside: {name:?} is no plain name of a file"));
            }
        }
        for (point, reason) in &manifest.skip {
            if crate::points::find(point).is_none() {
                return Err(format!("skip.{point}: there is no such point; `--list` names them"));
            }
            if reason.trim().is_empty() {
                return Err(format!("skip.{point}: a skip needs a written reason"));
            }
        }
        for (name, value) in set {
            if manifest.values.insert(name.clone(), value.clone()).is_none() {
                return Err(format!("--set {name}: the manifest has no such value"));
            }
        }
        Ok(manifest)
    }

    /// Points at work at the same time.
    pub fn jobs(&self) -> usize {
        let own_commands = |fault: &Option<Fault>| matches!(fault, Some(Fault::Commands { .. }));
        let shared = matches!(self.effects, Effects::Command { .. })
            || [&self.faults.slow, &self.faults.retryable, &self.faults.permanent].into_iter().any(own_commands);
        self.jobs.unwrap_or(if shared { 1 } else { 4 }).clamp(1, 16)
    }

    /// How long the kit waits for a process that it has started.
    pub fn start_patience(&self) -> Duration {
        Duration::from_secs(self.start_seconds.clamp(1, 300))
    }

    /// How long the kit waits for the adapter's next step.
    pub fn patience(&self) -> Duration {
        Duration::from_secs(self.step_seconds.clamp(1, 300))
    }
}

/// The values of one point, for `{name}` in texts.
#[derive(Clone, Default, Debug)]
pub struct Values(BTreeMap<String, String>);

impl Values {
    /// Starts with the manifest's own.
    pub fn new(own: &BTreeMap<String, String>) -> Self {
        Self(own.clone())
    }

    /// Adds one.
    pub fn set(&mut self, name: &str, value: impl Into<String>) {
        self.0.insert(name.to_owned(), value.into());
    }

    /// Puts the values into a text. What is in braces and no value stays: configuration files have braces of their own.
    pub fn fill(&self, text: &str) -> String {
        let fill_one = |text: String, (name, value): (&String, &String)| text.replace(&format!("{{{name}}}"), value);
        // Values of the author's own may name those of the kit: twice is enough for that.
        let once = self.0.iter().fold(text.to_owned(), fill_one);
        self.0.iter().fold(once, fill_one)
    }

    /// Puts the values into each word of a command.
    pub fn fill_all(&self, words: &[String]) -> Vec<String> {
        words.iter().map(|word| self.fill(word)).collect()
    }
}

fn start_seconds() -> u64 {
    60
}

fn step_seconds() -> u64 {
    20
}

fn drain_seconds() -> u64 {
    30
}

fn part_bytes_max() -> u64 {
    gateway_model::limits::PART_BYTES_DEFAULT
}

fn yes() -> bool {
    true
}

fn json() -> String {
    "application/json".to_owned()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

    use super::*;

    const LEAST: &str = "command = [\"x\"]\n[effects]\nkind = \"folder\"\npath = \"{work}/out\"\n";

    fn parse(more: &str) -> Result<Manifest, String> {
        Manifest::parse(&format!("{LEAST}{more}"), PathBuf::from("."), &BTreeMap::new())
    }

    #[test]
    fn the_least_manifest_has_the_contracts_own_bounds() {
        let manifest = parse("").unwrap();
        assert_eq!((manifest.drain_seconds, manifest.part_bytes_max), (30, 100 * 1024 * 1024));
        assert_eq!(manifest.jobs(), 4);
        assert!(matches!(manifest.inbound, Inbound::None));
    }

    #[test]
    fn who_is_in_another_folder_is_told_where_to_go() {
        let told = Manifest::read(Path::new("nowhere/adapter-test.toml"), &BTreeMap::new()).unwrap_err().to_string();
        assert!(told.contains("--manifest"), "{told}");
    }

    #[test]
    fn a_skip_without_a_reason_and_one_of_no_point_are_refused() {
        assert!(parse("[skip]\nsubmit = \"nothing comes in\"").is_ok());
        assert!(parse("[skip]\nsubmit = \" \"").unwrap_err().contains("written reason"));
        assert!(parse("[skip]\nsubmitt = \"x\"").unwrap_err().contains("no such point"));
    }

    #[test]
    fn what_the_kit_does_not_know_is_refused() {
        assert!(parse("[faults]\nslowly = \"sink\"").is_err());
        assert!(parse("[faults]\nslow = \"pigeon\"").is_err());
        assert!(Manifest::parse(&format!("drain_seconds = 31\n{LEAST}"), ".".into(), &BTreeMap::new()).is_err());
        let set = BTreeMap::from([("python".to_owned(), "python3".to_owned())]);
        assert!(Manifest::parse(LEAST, ".".into(), &set).unwrap_err().contains("no such value"));
    }

    #[test]
    fn a_file_beside_the_configuration_has_a_plain_name() {
        let beside = |name: &str| {
            parse(&format!("[config]\nfile = \"a\"\ngood = \"\"\nbad = \"\"\n[config.beside]\n\"{name}\" = \"x\"\n"))
        };
        assert_eq!(beside("hook.secret").unwrap().config.unwrap().beside["hook.secret"], "x");
        for name in ["", "../secret", "/etc/secret", "a/b"] {
            assert!(beside(name).unwrap_err().contains("plain name"), "{name}");
        }
    }

    #[test]
    fn a_system_that_points_share_is_used_by_one_at_a_time() {
        assert_eq!(parse("[faults.slow]\non = [\"a\"]\noff = [\"b\"]").unwrap().jobs(), 1);
    }

    #[test]
    fn values_fill_texts_and_leave_other_braces_alone() {
        let mut values = Values::new(&BTreeMap::from([("out".to_owned(), "{work}/out".to_owned())]));
        values.set("work", "/w");
        assert_eq!(values.fill("{\"out\": \"{out}\", \"x\": {}}"), "{\"out\": \"/w/out\", \"x\": {}}");
    }
}
