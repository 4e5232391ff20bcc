//! Parts by link: short-lived addresses, each for one part of one delivery.
//!
//! A link carries its end and an HMAC over delivery, digest and end, with a key that lives as long as the process. What it leads to is lent
//! for the same time; a link outlives neither its end nor the process, so a system fetches the parts before it answers.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use adapters_sdk::Delivery;
use aws_lc_rs::hmac;
use gateway_model::envelope::Part;
use gateway_model::{Digest, Timestamp};

/// Deliveries whose parts are lent at one time.
const LENT_MAX: usize = 4_096;

/// What is lent.
pub(crate) struct Links {
    key: hmac::Key,
    public_url: String,
    lifetime: Duration,
    lent: Mutex<BTreeMap<String, (Timestamp, Delivery)>>,
    now: fn() -> Timestamp,
}

/// The parts of one delivery, lent until an end.
pub(crate) struct Loan<'a> {
    links: &'a Links,
    delivery: String,
    until: Timestamp,
}

/// Why a link leads nowhere.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum DeadLink {
    /// Not made by us, or for something else.
    Forged,
    /// Its time is over.
    Expired,
}

impl Links {
    /// Nothing lent yet.
    pub(crate) fn new(public_url: String, lifetime: Duration, now: fn() -> Timestamp) -> Self {
        let secret = [uuid::Uuid::new_v4(), uuid::Uuid::new_v4(), uuid::Uuid::new_v4()];
        let secret: Vec<u8> = secret.iter().flat_map(|random| random.as_bytes().to_vec()).collect();
        let key = hmac::Key::new(hmac::HMAC_SHA256, &secret);
        Self { key, public_url, lifetime, lent: Mutex::default(), now }
    }

    /// Lends the parts of `delivery`.
    ///
    /// # Errors
    /// When too much is lent already.
    pub(crate) fn lend(&self, delivery: &Delivery) -> Result<Loan<'_>, &'static str> {
        let id = delivery.ids.first().map(ToString::to_string).unwrap_or_default();
        let now = (self.now)();
        // Links tell whole seconds.
        let until = Timestamp::from_seconds(now.plus(self.lifetime).seconds().saturating_add(1));
        let mut lent = self.lent.lock().unwrap_or_else(PoisonError::into_inner);
        lent.retain(|_, (until, _)| *until > now);
        if lent.len() >= LENT_MAX && !lent.contains_key(&id) {
            return Err("the parts of too many deliveries are lent");
        }
        lent.insert(id.clone(), (until, delivery.clone()));
        Ok(Loan { links: self, delivery: id, until })
    }

    /// What a link leads to.
    pub(crate) fn follow(
        &self,
        delivery: &str,
        sha256: &str,
        expires: &str,
        signature: &str,
    ) -> Result<(Delivery, Part), DeadLink> {
        let tag = hex::decode(signature).map_err(|_| DeadLink::Forged)?;
        hmac::verify(&self.key, &said(delivery, sha256, expires), &tag).map_err(|_| DeadLink::Forged)?;
        let now = (self.now)();
        let until = expires.parse().map(Timestamp::from_seconds).map_err(|_| DeadLink::Forged)?;
        if until <= now {
            return Err(DeadLink::Expired);
        }
        let lent = self.lent.lock().unwrap_or_else(PoisonError::into_inner);
        let (_, delivery) = lent.get(delivery).filter(|(until, _)| *until > now).ok_or(DeadLink::Expired)?;
        let part = delivery.envelope.parts.iter().find(|part| part.digest.to_string() == sha256);
        let part = part.ok_or(DeadLink::Forged)?;
        Ok((delivery.clone(), part.clone()))
    }
}

impl Loan<'_> {
    /// The link to one part.
    pub(crate) fn url(&self, digest: &Digest) -> String {
        let (sha256, expires) = (digest.to_string(), self.until.seconds().to_string());
        let tag = hmac::sign(&self.links.key, &said(&self.delivery, &sha256, &expires));
        let (url, delivery, signature) = (&self.links.public_url, &self.delivery, hex::encode(tag));
        format!("{url}/v1/parts/{delivery}/{sha256}?expires={expires}&signature={signature}")
    }
}

/// None of the pieces has a line break in it, so no two readings are possible.
fn said(delivery: &str, sha256: &str, expires: &str) -> Vec<u8> {
    format!("{delivery}\n{sha256}\n{expires}").into_bytes()
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicI64, Ordering};

    use super::*;
    use crate::fixture::delivery;

    static CLOCK: AtomicI64 = AtomicI64::new(1_791_432_000);

    #[test]
    fn a_link_leads_to_one_part_of_one_delivery_until_its_end() {
        let clock = || Timestamp::from_seconds(CLOCK.load(Ordering::SeqCst));
        let links = Links::new("http://here".into(), Duration::from_secs(60), clock);
        let delivery = delivery(&[("a.pdf", b"a"), ("b.pdf", b"b")]);
        let url = links.lend(&delivery).unwrap().url(&Digest::of(b"a"));
        let (path, query) = url.strip_prefix("http://here/v1/parts/").unwrap().split_once('?').unwrap();
        let (id, sha256) = path.split_once('/').unwrap();
        let (expires, signature) = query.strip_prefix("expires=").unwrap().split_once("&signature=").unwrap();
        let follow = |id: &str, sha256: &str, expires: &str, signature: &str| {
            links.follow(id, sha256, expires, signature).map(|(_, part)| part.name)
        };
        assert_eq!(follow(id, sha256, expires, signature).as_deref(), Ok("a.pdf"));
        let other = Digest::of(b"b").to_string();
        assert_eq!(follow(id, &other, expires, signature), Err(DeadLink::Forged));
        assert_eq!(follow("0", sha256, expires, signature), Err(DeadLink::Forged));
        assert_eq!(follow(id, sha256, "9999999999", signature), Err(DeadLink::Forged));
        assert_eq!(follow(id, sha256, expires, "00"), Err(DeadLink::Forged));
        CLOCK.fetch_add(62, Ordering::SeqCst);
        assert_eq!(follow(id, sha256, expires, signature), Err(DeadLink::Expired));
    }
}
