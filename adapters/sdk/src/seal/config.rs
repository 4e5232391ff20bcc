//! The `[seal]` table of an adapter's configuration: the agency's certificate, and its key in a file or on a token.
//!
//! ```toml
//! [seal]
//! certificate = "agency.pem"
//! key = "agency.key"                             # a key file; or a token:
//! module = "/usr/lib/softhsm/libsofthsm2.so"     # the token maker's library
//! token = "ubnd-xa"                              # label of the token
//! key_label = "seal"                             # or key_id = "01", in hexadecimal
//! pin_file = "pin"                               # or pin_variable = "TOKEN_PIN"; the PIN itself never stands here
//! ```

use std::path::{Path, PathBuf};

use super::Sealer;
use super::pkcs11::{PinSource, TokenKey, TokenSettings};
use crate::outbound::config::read_pem;
use crate::settings::Settings;
use crate::{AdapterError, ConfigFault};

/// A checked table; no file has been read yet.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SealConfig {
    /// Certificate in PEM, the leaf first.
    pub certificate: PathBuf,
    /// Where its key is.
    pub key: KeyPlace,
}

/// Where a private key is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum KeyPlace {
    /// In a PEM file.
    File(PathBuf),
    /// On a token.
    Token(TokenSettings),
}

impl SealConfig {
    /// Reads the table; relative paths start from `base`.
    pub fn read(settings: &mut Settings<'_>, base: &Path) -> Option<Self> {
        let certificate = settings.required_text("certificate").map(|path| base.join(path));
        let key = settings.text("key").map(|path| base.join(path));
        let token = read_token(settings, base);
        let key = match (key, token) {
            (Some(path), Named::Nothing) => Some(KeyPlace::File(path)),
            (None, Named::Whole(token)) => Some(KeyPlace::Token(token)),
            (None, Named::Nothing) => {
                settings
                    .fault("key", "is missing: name a key file, or a token by module, token, key_label and pin_file");
                None
            }
            (Some(_), Named::Whole(_) | Named::Partly) => {
                settings.fault("key", "stands beside a token: name one of them");
                None
            }
            (None, Named::Partly) => None,
        };
        Some(Self { certificate: certificate?, key: key? })
    }

    /// What keeps the certificate and a key file from being used. A token is asked only when the adapter opens.
    pub fn check(&self) -> Vec<ConfigFault> {
        let fault = |key: &str, broken: AdapterError| ConfigFault { key: key.to_owned(), problem: broken.to_string() };
        let certificate = read_pem(&self.certificate).err().map(|broken| fault("seal.certificate", broken));
        let key = match &self.key {
            KeyPlace::File(path) => read_pem(path).err().map(|broken| fault("seal.key", broken)),
            KeyPlace::Token(token) => read_pin(token).map(|broken| fault("seal.pin_file", broken)),
        };
        let faults: Vec<ConfigFault> = certificate.into_iter().chain(key).collect();
        match self.key {
            KeyPlace::File(_) if faults.is_empty() => {
                self.open().err().map(|broken| fault("seal.key", broken)).into_iter().collect()
            }
            KeyPlace::File(_) | KeyPlace::Token(_) => faults,
        }
    }

    /// Reads the files, or finds the key on its token.
    ///
    /// # Errors
    /// When certificate or key cannot be used, or do not belong together.
    pub fn open(&self) -> Result<Sealer, AdapterError> {
        let certificate = read_pem(&self.certificate)?;
        let sealer = match &self.key {
            KeyPlace::File(path) => Sealer::from_pem(&certificate, &read_pem(path)?),
            KeyPlace::Token(token) => Sealer::from_token(&certificate, token.clone()),
        };
        let key = match &self.key {
            KeyPlace::File(path) => path.display().to_string(),
            KeyPlace::Token(token) => format!("token {}", token.token),
        };
        sealer.map_err(|fault| AdapterError::Other(format!("{} with {key}: {fault}", self.certificate.display())))
    }
}

/// What a table says of a token.
enum Named {
    Nothing,
    Partly,
    Whole(TokenSettings),
}

fn read_token(settings: &mut Settings<'_>, base: &Path) -> Named {
    let module = settings.text("module").map(|path| base.join(path));
    let token = settings.text("token").map(str::to_owned);
    let (label, id) = (settings.text("key_label").map(str::to_owned), settings.text("key_id").map(str::to_owned));
    let (file, variable) = (settings.text("pin_file").map(|path| base.join(path)), settings.text("pin_variable"));
    let is_named =
        [module.is_some(), token.is_some(), label.is_some(), id.is_some(), file.is_some(), variable.is_some()];
    if is_named == [false; 6] {
        return Named::Nothing;
    }
    let key = match (label, id) {
        (Some(label), None) => Some(TokenKey::Label(label)),
        (None, Some(id)) => read_hexadecimal(&id).map(TokenKey::Id),
        (Some(_), Some(_)) | (None, None) => None,
    };
    let pin = match (file, variable) {
        (Some(file), None) => Some(PinSource::File(file)),
        (None, Some(variable)) => Some(PinSource::Variable(variable.to_owned())),
        (Some(_), Some(_)) | (None, None) => None,
    };
    let needed = [
        ("module", module.is_some(), "is missing: a token needs its maker's library"),
        ("token", token.is_some(), "is missing: name the token by its label"),
        ("key_label", key.is_some(), "is missing, stands beside key_id, or key_id is no hexadecimal"),
        ("pin_file", pin.is_some(), "is missing, or stands beside pin_variable"),
    ];
    for (key, _, problem) in needed.iter().filter(|(_, is_there, _)| !is_there) {
        settings.fault(key, problem);
    }
    match (module, token, key, pin) {
        (Some(module), Some(token), Some(key), Some(pin)) => Named::Whole(TokenSettings { module, token, key, pin }),
        _ => Named::Partly,
    }
}

fn read_hexadecimal(text: &str) -> Option<Vec<u8>> {
    let pairs = text.as_bytes().chunks(2).map(|pair| std::str::from_utf8(pair).ok().filter(|pair| pair.len() == 2));
    pairs.map(|pair| u8::from_str_radix(pair?, 16).ok()).collect()
}

fn read_pin(token: &TokenSettings) -> Option<AdapterError> {
    match &token.pin {
        PinSource::File(path) => {
            let at = |source| AdapterError::File { path: path.clone(), source };
            std::fs::File::open(path).err().map(at)
        }
        PinSource::Variable(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<SealConfig, Vec<String>> {
        let table = text.parse().unwrap();
        let mut settings = Settings::new(&table);
        let read = SealConfig::read(&mut settings, Path::new("/etc/lienthong"));
        settings.finish(read).map_err(|faults| faults.iter().map(|fault| fault.key.clone()).collect())
    }

    #[test]
    fn a_key_is_in_a_file_or_on_a_token() {
        let file = read("certificate = \"a.pem\"\nkey = \"a.key\"").unwrap();
        assert_eq!(file.key, KeyPlace::File("/etc/lienthong/a.key".into()));
        let token =
            "certificate = \"a.pem\"\nmodule = \"/m.so\"\ntoken = \"t\"\nkey_id = \"01ff\"\npin_variable = \"P\"";
        let expected = TokenSettings {
            module: "/m.so".into(),
            token: "t".into(),
            key: TokenKey::Id(vec![1, 255]),
            pin: PinSource::Variable("P".into()),
        };
        assert_eq!(read(token).unwrap().key, KeyPlace::Token(expected));
    }

    #[test]
    fn every_fault_of_the_table_is_told_with_its_key() {
        let check = |text: &str, expected: &[&str]| assert_eq!(read(text).unwrap_err(), expected, "{text}");
        check("", &["certificate", "key"]);
        check("certificate = \"a\"", &["key"]);
        check("certificate = \"a\"\nmodule = \"m\"", &["token", "key_label", "pin_file"]);
        check("certificate = \"a\"\nkey = \"k\"\nmodule = \"m\"", &["token", "key_label", "pin_file", "key"]);
        let both = "module = \"m\"\ntoken = \"t\"\nkey_label = \"k\"\nkey_id = \"01\"\npin_file = \"p\"";
        check(&format!("certificate = \"a\"\n{both}"), &["key_label"]);
        let odd = "module = \"m\"\ntoken = \"t\"\nkey_id = \"1\"\npin_file = \"p\"\npin_variable = \"P\"";
        check(&format!("certificate = \"a\"\n{odd}"), &["key_label", "pin_file"]);
        check("certificate = \"a\"\nkey = \"k\"\npin = \"1234\"", &["pin"]);
    }
}
