//! Who is signed in: one-time links, sessions, and the tokens that tell our own forms from others'. Kept hashed, in memory, within bounds.
//!
//! Time and randomness are arguments. Nothing here outlives the process: after a restart everybody asks for a new link.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use aws_lc_rs::{constant_time, hmac};
use gateway_model::id::OperatorId;
use gateway_model::{Digest, Timestamp};

/// How long a link opens the console, once.
pub const LINK_TIME: Duration = Duration::from_secs(2 * 60);
/// How long a session lasts at most.
pub const SESSION_TIME: Duration = Duration::from_secs(8 * 3600);
/// How long a session lasts without a person doing something.
pub const SESSION_IDLE_TIME: Duration = Duration::from_secs(30 * 60);
/// Live links of one operator; the oldest gives way.
pub const LINKS_PER_OPERATOR_MAX: usize = 8;
/// Live sessions of one operator; the oldest gives way.
pub const SESSIONS_PER_OPERATOR_MAX: usize = 16;
/// Live links, and live sessions, of everybody; the oldest gives way.
pub const SIGNED_IN_MAX: usize = 4_096;

/// Digits of a token or a cookie: 256 bits in hexadecimal.
const SECRET_DIGITS: usize = 64;

/// Links and sessions. Clones share them: the console redeems what the operators' door gives.
#[derive(Clone)]
pub struct Sessions(Arc<Parts>);

struct Parts {
    entropy: Box<dyn Fn() -> [u8; 32] + Send + Sync>,
    form_key: hmac::Key,
    held: Mutex<Held>,
}

/// By the SHA-256 of the secret: what is in memory opens nothing.
#[derive(Default)]
struct Held {
    links: HashMap<Digest, Entry>,
    sessions: HashMap<Digest, Entry>,
}

struct Entry {
    operator: OperatorId,
    begun: Timestamp,
    used: Timestamp,
}

/// A link that opens the console once.
#[derive(Clone, PartialEq, Eq)]
pub struct Link {
    /// 256 random bits as 64 hexadecimal digits. Whoever has it is the operator.
    pub token: String,
    /// After this it opens nothing.
    pub expires_at: Timestamp,
}

/// Who looks: a person, or a page that refreshes itself and must not keep a session alive.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Use {
    /// A person did something.
    Person,
    /// The page refreshed itself.
    Refresh,
}

impl Sessions {
    /// Nobody is signed in. `entropy` gives 256 bits that nobody can guess, such as `rand::random`.
    pub fn new(entropy: impl Fn() -> [u8; 32] + Send + Sync + 'static) -> Self {
        let form_key = hmac::Key::new(hmac::HMAC_SHA256, &entropy());
        Self(Arc::new(Parts { entropy: Box::new(entropy), form_key, held: Mutex::default() }))
    }

    /// Makes a link for an operator who has proved to be that operator elsewhere.
    pub fn link(&self, operator: &OperatorId, now: Timestamp) -> Link {
        let token = hex::encode((self.0.entropy)());
        let mut held = self.held(now);
        make_room(&mut held.links, operator, LINKS_PER_OPERATOR_MAX);
        held.links.insert(Digest::of(token.as_bytes()), Entry::new(operator, now));
        Link { token, expires_at: now.plus(LINK_TIME) }
    }

    /// Whether a link would open the console now; spends nothing.
    pub fn is_open(&self, token: &str, now: Timestamp) -> bool {
        key(token).is_some_and(|key| self.held(now).links.contains_key(&key))
    }

    /// Takes the link: whose it was. The second time there is nothing to take.
    pub fn spend(&self, token: &str, now: Timestamp) -> Option<OperatorId> {
        self.held(now).links.remove(&key(token)?).map(|entry| entry.operator)
    }

    /// Begins a session; the answer is the value of its cookie.
    pub fn open(&self, operator: &OperatorId, now: Timestamp) -> String {
        let cookie = hex::encode((self.0.entropy)());
        let mut held = self.held(now);
        make_room(&mut held.sessions, operator, SESSIONS_PER_OPERATOR_MAX);
        held.sessions.insert(Digest::of(cookie.as_bytes()), Entry::new(operator, now));
        cookie
    }

    /// Spends a link and begins a session: the value of its cookie.
    pub fn redeem(&self, token: &str, now: Timestamp) -> Option<String> {
        self.spend(token, now).map(|operator| self.open(&operator, now))
    }

    /// Who is signed in with this cookie.
    pub fn operator(&self, cookie: &str, now: Timestamp, by: Use) -> Option<OperatorId> {
        let mut held = self.held(now);
        let entry = held.sessions.get_mut(&key(cookie)?)?;
        match by {
            Use::Person => entry.used = now,
            Use::Refresh => {}
        }
        Some(entry.operator.clone())
    }

    /// Ends a session.
    pub fn sign_out(&self, cookie: &str, now: Timestamp) {
        if let Some(key) = key(cookie) {
            self.held(now).sessions.remove(&key);
        }
    }

    /// The token that a form of this session, or of this client certificate, carries. `of` is the digest of the one or the other.
    pub(crate) fn form_token(&self, of: &Digest) -> String {
        hex::encode(hmac::sign(&self.0.form_key, of.as_bytes()))
    }

    /// Whether a form carried the right token.
    pub(crate) fn fits(&self, of: &Digest, token: &str) -> bool {
        constant_time::verify_slices_are_equal(self.form_token(of).as_bytes(), token.as_bytes()).is_ok()
    }

    /// What is held, without what is over.
    fn held(&self, now: Timestamp) -> MutexGuard<'_, Held> {
        let mut held = self.0.held.lock().unwrap_or_else(PoisonError::into_inner);
        held.links.retain(|_, entry| now < entry.begun.plus(LINK_TIME));
        held.sessions
            .retain(|_, entry| now < entry.begun.plus(SESSION_TIME) && now < entry.used.plus(SESSION_IDLE_TIME));
        held
    }
}

impl fmt::Debug for Sessions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Sessions")
    }
}

impl fmt::Debug for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Link until {}", self.expires_at)
    }
}

impl Entry {
    fn new(operator: &OperatorId, now: Timestamp) -> Self {
        Self { operator: operator.clone(), begun: now, used: now }
    }
}

/// How a secret is looked up; `None` for what cannot be one.
pub(crate) fn key(secret: &str) -> Option<Digest> {
    let fits = secret.len() == SECRET_DIGITS && secret.bytes().all(|digit| digit.is_ascii_hexdigit());
    fits.then(|| Digest::of(secret.as_bytes()))
}

fn make_room(entries: &mut HashMap<Digest, Entry>, operator: &OperatorId, own_max: usize) {
    let own = entries.values().filter(|entry| entry.operator == *operator).count();
    let oldest = |only_own: bool| {
        let candidates = entries.iter().filter(|(_, entry)| !only_own || entry.operator == *operator);
        candidates.min_by_key(|(_, entry)| entry.begun).map(|(key, _)| *key)
    };
    let leaves = if own >= own_max {
        oldest(true)
    } else if entries.len() >= SIGNED_IN_MAX {
        oldest(false)
    } else {
        None
    };
    if let Some(key) = leaves {
        entries.remove(&key);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use super::*;

    const NOON: Timestamp = Timestamp::from_seconds(1_795_320_000);

    fn sessions() -> Sessions {
        let count = AtomicU64::new(0);
        Sessions::new(move || Digest::of(&count.fetch_add(1, Ordering::Relaxed).to_be_bytes()).0)
    }

    fn operator(name: &str) -> OperatorId {
        OperatorId::parse(name).unwrap()
    }

    #[test]
    fn a_link_opens_the_console_once() {
        let sessions = sessions();
        let link = sessions.link(&operator("op-lan"), NOON);
        assert_eq!((link.token.len(), link.expires_at), (64, NOON.plus(LINK_TIME)));
        assert!(sessions.is_open(&link.token, NOON) && sessions.is_open(&link.token, NOON), "looking spends nothing");
        let cookie = sessions.redeem(&link.token, NOON).unwrap();
        assert_eq!(sessions.redeem(&link.token, NOON), None, "the second time");
        assert_eq!(sessions.operator(&cookie, NOON, Use::Person), Some(operator("op-lan")));
        assert_eq!(sessions.operator(&link.token, NOON, Use::Person), None, "a link is no cookie");
    }

    #[test]
    fn a_link_ends_after_two_minutes() {
        let sessions = sessions();
        let link = sessions.link(&operator("op-lan"), NOON);
        let last = NOON.plus(LINK_TIME - Duration::from_micros(1));
        assert!(sessions.is_open(&link.token, last));
        assert_eq!(sessions.redeem(&link.token, NOON.plus(LINK_TIME)), None);
        assert_eq!(sessions.redeem("", NOON), None);
        assert_eq!(sessions.redeem(&"f".repeat(64), NOON), None, "a guess");
    }

    #[test]
    fn a_session_ends_when_idle_and_a_page_that_refreshes_itself_does_not_keep_it() {
        let sessions = sessions();
        let cookie = sessions.open(&operator("op-lan"), NOON);
        let at = |minutes: u64| NOON.plus(Duration::from_secs(minutes * 60));
        assert!(sessions.operator(&cookie, at(29), Use::Person).is_some());
        assert!(sessions.operator(&cookie, at(58), Use::Refresh).is_some());
        assert_eq!(sessions.operator(&cookie, at(59), Use::Refresh), None);
        assert_eq!(sessions.operator(&cookie, at(59), Use::Person), None, "what is over stays over");
    }

    #[test]
    fn a_session_ends_after_eight_hours_of_work() {
        let sessions = sessions();
        let cookie = sessions.open(&operator("op-lan"), NOON);
        let at = |minutes: u64| NOON.plus(Duration::from_secs(minutes * 60));
        for minutes in (0..480).step_by(20) {
            assert!(sessions.operator(&cookie, at(minutes), Use::Person).is_some(), "{minutes}");
        }
        assert_eq!(sessions.operator(&cookie, at(480), Use::Person), None);
    }

    #[test]
    fn signing_out_ends_this_session_and_no_other() {
        let sessions = sessions();
        let [first, second] = [(); 2].map(|()| sessions.open(&operator("op-lan"), NOON));
        sessions.sign_out(&first, NOON);
        assert_eq!(sessions.operator(&first, NOON, Use::Person), None);
        assert!(sessions.operator(&second, NOON, Use::Person).is_some());
    }

    #[test]
    fn the_number_of_links_and_sessions_is_bounded_and_nobody_displaces_others() {
        let sessions = sessions();
        let other = sessions.open(&operator("op-minh"), NOON);
        let at = |seconds: usize| NOON.plus(Duration::from_secs(seconds as u64));
        let cookies: Vec<String> =
            (0..=SESSIONS_PER_OPERATOR_MAX).map(|n| sessions.open(&operator("op-lan"), at(n))).collect();
        assert_eq!(sessions.operator(&cookies[0], at(20), Use::Person), None, "the oldest gave way");
        assert!(cookies[1..].iter().all(|cookie| sessions.operator(cookie, at(20), Use::Person).is_some()));
        assert!(sessions.operator(&other, at(20), Use::Person).is_some());
        let links: Vec<Link> =
            (0..=LINKS_PER_OPERATOR_MAX).map(|n| sessions.link(&operator("op-lan"), at(n))).collect();
        assert!(!sessions.is_open(&links[0].token, at(20)) && sessions.is_open(&links[1].token, at(20)));
    }

    #[test]
    fn a_form_token_fits_its_session_only() {
        let sessions = sessions();
        let [mine, yours] = [b"a", b"b"].map(|name| Digest::of(name));
        let token = sessions.form_token(&mine);
        assert!(sessions.fits(&mine, &token));
        assert!(!sessions.fits(&yours, &token) && !sessions.fits(&mine, "") && !sessions.fits(&mine, &token[1..]));
    }
}
