//! A private key on a PKCS#11 token: it never leaves the token, and a session that broke is opened again.
//!
//! The PIN comes from a file or an environment variable, never from the configuration itself, and is read anew at each login. A PIN that
//! the token has refused is not tried again as long as it stays the same: tokens lock themselves after a few wrong ones.

use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

use cryptoki::context::{CInitializeArgs, CInitializeFlags, Pkcs11};
use cryptoki::error::{Error, RvError};
use cryptoki::mechanism::Mechanism;
use cryptoki::object::{Attribute, ObjectClass, ObjectHandle};
use cryptoki::session::{Session, UserType};
use cryptoki::types::AuthPin;
use gateway_model::Digest;
use openssl::bn::BigNum;
use openssl::ecdsa::EcdsaSig;

/// Bytes of a PIN.
const PIN_BYTES_MAX: u64 = 256;

/// Where a key is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TokenSettings {
    /// The token maker's library, such as `/usr/lib/softhsm/libsofthsm2.so`.
    pub module: PathBuf,
    /// Label of the token.
    pub token: String,
    /// Which key on it.
    pub key: TokenKey,
    /// Where the PIN is.
    pub pin: PinSource,
}

/// How a key on a token is named.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum TokenKey {
    /// By its label.
    Label(String),
    /// By its id.
    Id(Vec<u8>),
}

/// Where a PIN is read from.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum PinSource {
    /// The first line of a file.
    File(PathBuf),
    /// A variable of the environment, by its name.
    Variable(String),
}

/// Why a token does not sign.
#[derive(Debug, thiserror::Error)]
pub enum TokenError {
    /// The library cannot be loaded.
    #[error("{module} cannot be used as a PKCS#11 module")]
    Module {
        /// Which.
        module: PathBuf,
        /// Why.
        #[source]
        source: Box<Error>,
    },
    /// No slot holds the token.
    #[error("no slot holds the token {token}")]
    TokenMissing {
        /// Its label.
        token: String,
    },
    /// The PIN is not there.
    #[error("the PIN cannot be read from {place}")]
    PinMissing {
        /// File or variable.
        place: String,
    },
    /// The token refused the PIN; the same one is not tried again.
    #[error(
        "the token {token} refused the PIN; the same one is not tried again, so that the token does not lock itself"
    )]
    PinRefused {
        /// The token's label.
        token: String,
    },
    /// There is no such key, or more than one.
    #[error("the token {token} has {count} private keys of that name, not one")]
    KeyMissing {
        /// The token's label.
        token: String,
        /// How many there are.
        count: usize,
    },
    /// The token failed.
    #[error("the token failed")]
    Failed(#[source] Box<Error>),
    /// What the token answered is no signature.
    #[error("what the token answers is no signature")]
    SignatureMalformed,
}

/// A key on a token, ready to sign.
pub(super) struct Token {
    settings: TokenSettings,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    open: Option<(Session, ObjectHandle)>,
    /// Hash of the PIN that was refused.
    refused_pin: Option<Digest>,
}

impl Token {
    /// Finds the key.
    pub(super) fn open(settings: TokenSettings) -> Result<Self, TokenError> {
        let mut state = State::default();
        state.open = Some(login(&settings, &mut state.refused_pin)?);
        Ok(Self { settings, state: Mutex::new(state) })
    }

    /// RSASSA-PKCS1-v1_5 with SHA-256.
    pub(super) fn sign_rsa(&self, bytes: &[u8]) -> Result<Vec<u8>, TokenError> {
        self.sign(&Mechanism::Sha256RsaPkcs, bytes)
    }

    /// ECDSA over a digest, in DER.
    pub(super) fn sign_ecdsa(&self, digest: &[u8]) -> Result<Vec<u8>, TokenError> {
        let raw = self.sign(&Mechanism::Ecdsa, digest)?;
        let (r, s) = raw.split_at(raw.len() / 2);
        let encoded = || {
            let signature = EcdsaSig::from_private_components(BigNum::from_slice(r)?, BigNum::from_slice(s)?)?;
            signature.to_der()
        };
        encoded().map_err(|_| TokenError::SignatureMalformed)
    }

    /// Signs; when that fails, once more in a new session: the token may have been reset or put in again.
    fn sign(&self, mechanism: &Mechanism<'_>, bytes: &[u8]) -> Result<Vec<u8>, TokenError> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((session, key)) = &state.open {
            match session.sign(mechanism, *key, bytes) {
                Ok(signature) => return Ok(signature),
                Err(fault) => tracing::warn!(%fault, "the session with the token broke; another one is opened"),
            }
        }
        state.open = None;
        let (session, key) = login(&self.settings, &mut state.refused_pin)?;
        let signature = session.sign(mechanism, key, bytes).map_err(failed)?;
        state.open = Some((session, key));
        Ok(signature)
    }
}

fn login(settings: &TokenSettings, refused_pin: &mut Option<Digest>) -> Result<(Session, ObjectHandle), TokenError> {
    let pin = settings.pin.read()?;
    let fingerprint = Digest::of(pin.as_bytes());
    let refused = || TokenError::PinRefused { token: settings.token.clone() };
    if *refused_pin == Some(fingerprint) {
        return Err(refused());
    }
    let module = load(settings)?;
    let session = open_session(settings, &module)?;
    match session.login(UserType::User, Some(&AuthPin::from(pin))) {
        // Another key of this process on the same token has logged in.
        Ok(()) | Err(Error::Pkcs11(RvError::UserAlreadyLoggedIn, _)) => {}
        Err(Error::Pkcs11(
            RvError::PinIncorrect
            | RvError::PinInvalid
            | RvError::PinLenRange
            | RvError::PinLocked
            | RvError::PinExpired,
            _,
        )) => {
            *refused_pin = Some(fingerprint);
            return Err(refused());
        }
        Err(fault) => return Err(failed(fault)),
    }
    *refused_pin = None;
    let name = match &settings.key {
        TokenKey::Label(label) => Attribute::Label(label.clone().into_bytes()),
        TokenKey::Id(id) => Attribute::Id(id.clone()),
    };
    let found = session.find_objects(&[Attribute::Class(ObjectClass::PRIVATE_KEY), name]).map_err(failed)?;
    match found.as_slice() {
        [key] => Ok((session, *key)),
        other => Err(TokenError::KeyMissing { token: settings.token.clone(), count: other.len() }),
    }
}

fn load(settings: &TokenSettings) -> Result<Pkcs11, TokenError> {
    let unusable = |source| TokenError::Module { module: settings.module.clone(), source: Box::new(source) };
    let module = Pkcs11::new(&settings.module).map_err(unusable)?;
    match module.initialize(CInitializeArgs::new(CInitializeFlags::OS_LOCKING_OK)) {
        // A process initializes a module once, for all its keys.
        Ok(()) | Err(Error::Pkcs11(RvError::CryptokiAlreadyInitialized, _)) => Ok(module),
        Err(fault) => Err(unusable(fault)),
    }
}

/// A session with the token of that label, in whatever slot it is now.
fn open_session(settings: &TokenSettings, module: &Pkcs11) -> Result<Session, TokenError> {
    for slot in module.get_slots_with_token().map_err(failed)? {
        if module.get_token_info(slot).is_ok_and(|token| token.label().trim_end() == settings.token) {
            return module.open_ro_session(slot).map_err(failed);
        }
    }
    Err(TokenError::TokenMissing { token: settings.token.clone() })
}

fn failed(fault: Error) -> TokenError {
    TokenError::Failed(Box::new(fault))
}

impl PinSource {
    fn read(&self) -> Result<String, TokenError> {
        let (pin, place) = match self {
            Self::File(path) => (read_line(path), path.display().to_string()),
            Self::Variable(name) => (std::env::var(name).ok(), name.clone()),
        };
        let pin = pin.map(|pin| pin.lines().next().unwrap_or_default().to_owned());
        pin.filter(|pin| !pin.is_empty()).ok_or(TokenError::PinMissing { place })
    }
}

fn read_line(path: &PathBuf) -> Option<String> {
    use std::io::Read;
    let mut text = String::new();
    std::fs::File::open(path).ok()?.take(PIN_BYTES_MAX).read_to_string(&mut text).ok()?;
    Some(text)
}

#[cfg(test)]
mod tests;
