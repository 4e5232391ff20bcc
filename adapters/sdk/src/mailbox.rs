//! The shelf between an engine that pushes and a taker that pulls: workers behind a door, or a system that polls.
//!
//! The engine's side is an [`Adapter`](crate::Adapter) that passes [`Mailbox::room`], [`Mailbox::room_together`], [`Mailbox::room_changed`]
//! and [`Mailbox::deliver`] on. So the engine leases a delivery only when somebody is there to take it; everything else waits in the store.
//!
//! The taker's side: [`Mailbox::take`] waits for deliveries and holds them under a lease of its own, with an unguessable token;
//! [`Mailbox::extend`], [`Mailbox::complete`] and [`Mailbox::fail`] go with the token, and a stale one never settles anything. A lease that
//! runs out gives the delivery back to the engine, which delivers it again under the same id. A poller that lists before it takes says with
//! [`Mailbox::attend`] that it will come again: until then some deliveries lie ready for it ([`Mailbox::offered`], [`Mailbox::pick`]).
//!
//! Time is tokio's; the engine's lease is extended by spans, so that the two clocks need not agree.

mod shelf;
mod taken;
#[cfg(test)]
mod tests;

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use gateway_model::id::{AgencyId, DeliveryId};
use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};

use self::shelf::{Look, Shelf};
pub use self::taken::{Failure, NotHeld, Offered, Settling, TakeError, Taken, Token};
use crate::lease::{LeaseLost, Room};
use crate::{Delivery, Outcome};

/// Kept of the engine's lease for settling, beyond that of the taker.
const SETTLE_TIME: Duration = Duration::from_secs(2);
/// A taker that does not want to wait still leaves the engine time to look.
const WAIT_MIN: Duration = Duration::from_millis(100);

/// Times and bounds of a mailbox.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct MailboxSettings {
    /// How long a taker holds a delivery unless it extends.
    pub lease: Duration,
    /// How long a delivery that nobody waits for any more lies ready before it goes back to the store.
    pub shelf_time: Duration,
    /// Takers that may wait at one time.
    pub waits_max: usize,
}

impl Default for MailboxSettings {
    fn default() -> Self {
        Self { lease: gateway_model::limits::LEASE_TIME, shelf_time: Duration::from_secs(20), waits_max: 256 }
    }
}

/// A shelf of deliveries. Share it by an `Arc`.
pub struct Mailbox {
    settings: MailboxSettings,
    shelf: Mutex<Shelf>,
    /// Something came, went or closed: takers look again.
    changed: Notify,
    /// There may be more room: the engine looks again.
    room: Notify,
}

impl Mailbox {
    /// An empty one.
    pub fn new(settings: MailboxSettings) -> Self {
        Self { settings, shelf: Mutex::default(), changed: Notify::new(), room: Notify::new() }
    }

    // The engine's side.

    /// How many deliveries of an agency there may be at one time.
    pub fn room(&self, agency: &AgencyId) -> Room {
        self.shelf().room(agency, Instant::now())
    }

    /// How many deliveries of all agencies there may be at one time.
    pub fn room_together(&self) -> Room {
        self.shelf().room_together(Instant::now())
    }

    /// Resolves when there may be more room since the last call. One caller at a time; nothing is lost between two calls.
    pub async fn room_changed(&self) {
        self.room.notified().await;
    }

    /// Lays a delivery on the shelf and answers what became of it.
    ///
    /// # Cancellation
    /// The delivery leaves the shelf; its taker has lost its lease.
    pub async fn deliver(&self, delivery: &Delivery) -> Outcome {
        let entered = self.shelf().enter(delivery, Instant::now(), self.settings.shelf_time);
        let Some((number, woken)) = entered else { return shelf::not_picked_up() };
        let _stay = Stay { mailbox: self, number };
        self.changed.notify_waiters();
        let mut covered = Instant::now();
        loop {
            let now = Instant::now();
            let until = match self.shelf().look(number, now) {
                Look::Ended(outcome) => return outcome,
                Look::Waits { until } => until,
            };
            if covered < until + SETTLE_TIME {
                match delivery.lease.extend((until + SETTLE_TIME).duration_since(now)).await {
                    Ok(left) => covered = Instant::now() + left,
                    Err(LeaseLost) => return shelf::not_picked_up(),
                }
                if covered < until {
                    let end = covered.checked_sub(SETTLE_TIME).unwrap_or(covered).max(now);
                    self.shelf().cut(number, end);
                    covered = end + SETTLE_TIME;
                    continue;
                }
                covered = covered.max(until + SETTLE_TIME);
            }
            tokio::select! {
                () = woken.notified() => {}
                () = sleep_until(until) => {}
            }
        }
    }

    // The taker's side.

    /// Takes deliveries that lie ready, at most `max` (and never more than 64), of the named agencies or of all; waits for the first one.
    /// While it waits the engine has room for `max` more. Empty when none came in time.
    ///
    /// # Errors
    /// [`TakeError`].
    ///
    /// # Cancellation
    /// Nothing is taken: what it would have brought lies ready for the next one.
    pub async fn take(
        &self,
        taker: &str,
        agencies: Option<&[AgencyId]>,
        max: usize,
        wait: Duration,
    ) -> Result<Vec<Taken>, TakeError> {
        let (max, until) = (max.clamp(1, shelf::TAKE_MAX), Instant::now() + wait.max(WAIT_MIN));
        let mut waiting = None;
        loop {
            let mut changed = std::pin::pin!(self.changed.notified());
            changed.as_mut().enable();
            let now = Instant::now();
            {
                let mut shelf = self.shelf();
                if shelf.closed {
                    return Err(TakeError::Closed);
                }
                let taken = shelf.hand_out(taker, agencies, max, now, self.settings.lease);
                if !taken.is_empty() || now >= until {
                    shelf.last_visit = Some(now);
                    return Ok(taken);
                }
                if waiting.is_none() {
                    let number = shelf.wait(agencies, max, self.settings.waits_max)?;
                    waiting = Some(Waiting { mailbox: self, number });
                    self.room.notify_one();
                }
            }
            tokio::select! {
                () = changed => {}
                () = sleep_until(until) => {}
            }
        }
    }

    /// A poller is here and comes again within `span`: until then up to `max` deliveries of the agency are kept ready.
    pub fn attend(&self, agency: &AgencyId, max: usize, span: Duration) {
        let now = Instant::now();
        self.shelf().attend(agency, max, now, now + span);
        self.room.notify_one();
    }

    /// What lies ready for an agency, the first come first; waits for the first one.
    pub async fn offered(&self, agency: &AgencyId, wait: Duration) -> Vec<Offered> {
        let until = Instant::now() + wait;
        loop {
            let mut changed = std::pin::pin!(self.changed.notified());
            changed.as_mut().enable();
            let now = Instant::now();
            let (offered, closed) = {
                let shelf = self.shelf();
                (shelf.offered(agency, now), shelf.closed)
            };
            if closed || !offered.is_empty() || now >= until {
                return offered;
            }
            tokio::select! {
                () = changed => {}
                () = sleep_until(until) => {}
            }
        }
    }

    /// Takes one delivery that lies ready; gives the same lease again, renewed, to the taker that has it. `None` when it is not there, or
    /// in other hands.
    pub fn pick(&self, taker: &str, id: DeliveryId) -> Option<Taken> {
        self.shelf().pick(taker, id, Instant::now(), self.settings.lease)
    }

    /// The delivery under a lease.
    ///
    /// # Errors
    /// [`NotHeld`].
    pub fn held(&self, id: DeliveryId, token: Token) -> Result<Delivery, NotHeld> {
        self.shelf().held(id, token, Instant::now()).map(|(_, delivery, _)| delivery.clone())
    }

    /// Renews a lease, and tells how long it holds from now.
    ///
    /// # Errors
    /// [`NotHeld`].
    pub async fn extend(&self, id: DeliveryId, token: Token) -> Result<Duration, NotHeld> {
        let hold = self.held(id, token)?.lease;
        let left = hold.extend(self.settings.lease + SETTLE_TIME).await.map_err(|LeaseLost| NotHeld::Lost)?;
        let now = Instant::now();
        let end = now + self.settings.lease.min(left.saturating_sub(SETTLE_TIME));
        self.shelf().renew(id, token, now, end)
    }

    /// The taker's system has it, durably.
    ///
    /// # Errors
    /// [`NotHeld`].
    pub fn complete(&self, id: DeliveryId, token: Token) -> Result<Settling, NotHeld> {
        self.shelf().answer(id, token, Instant::now(), Outcome::Taken { receipt: None })
    }

    /// The taker's system does not have it.
    ///
    /// # Errors
    /// [`NotHeld`].
    pub fn fail(&self, id: DeliveryId, token: Token, failure: Failure) -> Result<Settling, NotHeld> {
        self.shelf().answer(id, token, Instant::now(), failure.outcome())
    }

    /// Lays everything that `taker` has back on the shelf, for others; its tokens hold no more. How many there were.
    pub fn give_back(&self, taker: &str) -> usize {
        let count = self.shelf().give_back(taker, Instant::now(), self.settings.shelf_time);
        self.changed.notify_waiters();
        count
    }

    /// Lays one delivery back on the shelf, for others; its token holds no more.
    pub fn put_back(&self, id: DeliveryId, token: Token) {
        self.shelf().put_back(id, token, Instant::now(), self.settings.shelf_time);
        self.changed.notify_waiters();
    }

    // Both sides.

    /// Hands nothing out, or goes on: for a system that is known to be down. What is held stays so.
    pub fn shut(&self, shut: bool) {
        self.shelf().shut = shut;
        self.changed.notify_waiters();
        self.room.notify_one();
    }

    /// Takes and hands out nothing more: what lies ready goes back to the store, what is held is given up, takers that wait are told.
    pub fn close(&self) {
        self.shelf().close();
        self.changed.notify_waiters();
    }

    /// Resolves when nothing is in anybody's hands.
    pub async fn idle(&self) {
        loop {
            let mut changed = std::pin::pin!(self.changed.notified());
            changed.as_mut().enable();
            if self.in_hands() == 0 {
                return;
            }
            changed.await;
        }
    }

    /// Deliveries in somebody's hands.
    pub fn in_hands(&self) -> usize {
        self.shelf().in_hands()
    }

    /// Deliveries in the hands of one taker.
    pub fn in_hands_of(&self, taker: &str) -> usize {
        self.shelf().in_hands_of(taker)
    }

    /// How long nobody has come for deliveries; zero while somebody waits, `None` when nobody ever came.
    pub fn unvisited(&self) -> Option<Duration> {
        let (shelf, now) = (self.shelf(), Instant::now());
        if shelf.is_visited(now) {
            return Some(Duration::ZERO);
        }
        shelf.last_visit.map(|last| now.duration_since(last))
    }

    fn shelf(&self) -> MutexGuard<'_, Shelf> {
        self.shelf.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A delivery is on the shelf for as long as this lives.
struct Stay<'a> {
    mailbox: &'a Mailbox,
    number: u64,
}

impl Drop for Stay<'_> {
    fn drop(&mut self) {
        self.mailbox.shelf().leave(self.number);
        self.mailbox.changed.notify_waiters();
        self.mailbox.room.notify_one();
    }
}

/// A taker waits for as long as this lives.
struct Waiting<'a> {
    mailbox: &'a Mailbox,
    number: u64,
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.mailbox.shelf().wait_no_more(self.number, Instant::now());
    }
}
