//! What the gateway that the kit plays knows: deliveries, leases, workers, and every call in its order.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use proto::v1;
use tokio::sync::watch;
use tokio::time::Instant;

use crate::parcel::Parcel;

/// The knowledge, shared between the gateway's calls and the point that drives them.
pub struct Stage {
    state: Mutex<State>,
    changed: watch::Sender<u64>,
}

/// What there is now. The fields are levers of the points.
pub struct State {
    /// How long a lease holds.
    pub lease_time: Duration,
    /// Every call so far.
    pub calls: Vec<Call>,
    /// Complete waits for as long as this is true.
    pub hold_completes: bool,
    /// Deliveries whose lease is told lost at the next heartbeat.
    pub lost: BTreeSet<String>,
    /// Deliveries whose next Complete comes too late.
    pub late: BTreeSet<String>,
    /// Deliveries whose parts arrive damaged.
    pub damaged: BTreeSet<String>,
    /// Submissions that are kept and whose answer gets lost.
    pub answers_to_lose: u32,
    /// Effects that were there when each Complete came: (delivery, effects).
    pub effects_at_complete: Vec<(String, usize)>,
    /// When a piece of a part was given last: large ones take their time.
    pub last_piece: Option<Instant>,
    rows: BTreeMap<String, Row>,
    order: Vec<String>,
    workers: BTreeSet<String>,
    tokens: u64,
}

struct Row {
    parcel: Parcel,
    standing: Standing,
    attempt: u32,
}

/// How a delivery stands.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Standing {
    /// Nobody has it.
    Waiting,
    /// A worker has it.
    Leased {
        /// Fencing token.
        token: Vec<u8>,
        /// Until when.
        until: Instant,
        /// Whose.
        worker: String,
    },
    /// The worker has failed it for now.
    Later,
    /// Completed.
    Delivered,
    /// Failed for good.
    Refused,
}

/// One call, or what time did.
#[derive(Clone, Debug)]
pub enum Call {
    /// A worker came.
    Register(Box<v1::RegisterRequest>),
    /// It asked for work, having `held` deliveries.
    Lease {
        /// How many it has room for.
        room: u32,
        /// How many it had.
        held: usize,
    },
    /// It got a delivery.
    Handed {
        /// Which.
        id: String,
        /// Number of the attempt.
        attempt: u32,
    },
    /// It extended a lease, or was told that it is lost.
    Heartbeat {
        /// Which.
        id: String,
        /// What it was told.
        held: bool,
    },
    /// It reads a part.
    Download {
        /// Of which delivery.
        id: String,
    },
    /// It says done.
    Complete {
        /// Which.
        id: String,
        /// Under the lease that holds.
        current: bool,
        /// Its reference.
        reference: String,
    },
    /// It says not done.
    Fail {
        /// Which.
        request: Box<v1::FailRequest>,
        /// Under the lease that holds.
        current: bool,
    },
    /// A lease ended by itself.
    Expired {
        /// Which.
        id: String,
    },
    /// It submitted.
    Submit(Box<v1::SubmitRequest>),
    /// It said what it does.
    Report(v1::ReportStatusRequest),
    /// It called under an id that is not known, and was told so.
    Unknown,
    /// It said something that the contract forbids.
    Broken(String),
}

impl Default for Stage {
    fn default() -> Self {
        let state = State {
            // Longer than any point waits: a lease runs out only where the point is about that, however slow the machine is.
            lease_time: Duration::from_secs(3_600),
            calls: Vec::new(),
            hold_completes: false,
            lost: BTreeSet::new(),
            late: BTreeSet::new(),
            damaged: BTreeSet::new(),
            answers_to_lose: 0,
            effects_at_complete: Vec::new(),
            last_piece: None,
            rows: BTreeMap::new(),
            order: Vec::new(),
            workers: BTreeSet::new(),
            tokens: 0,
        };
        Self { state: Mutex::new(state), changed: watch::Sender::new(0) }
    }
}

impl Stage {
    /// Changes the state; everybody who waits looks again.
    pub fn change<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        let answer = {
            let mut state = self.lock();
            state.expire();
            change(&mut state)
        };
        self.changed.send_modify(|version| *version = version.wrapping_add(1));
        answer
    }

    /// Reads the state.
    pub fn see<T>(&self, see: impl FnOnce(&State) -> T) -> T {
        let mut state = self.lock();
        state.expire();
        see(&state)
    }

    /// A piece of a part is on its way: nobody who waits has to look again for that.
    pub fn gives_piece(&self) {
        self.lock().last_piece = Some(Instant::now());
    }

    /// Waits until `ready` gives something; `None` after `within`.
    pub async fn wait<T>(&self, within: Duration, mut ready: impl FnMut(&mut State) -> Option<T>) -> Option<T> {
        let deadline = Instant::now() + within;
        let mut changes = self.changed.subscribe();
        loop {
            changes.mark_unchanged();
            let (found, next) = {
                let mut state = self.lock();
                state.expire();
                (ready(&mut state), state.next_expiry())
            };
            if let Some(found) = found {
                // What `ready` may have changed concerns others too.
                self.changed.send_modify(|version| *version = version.wrapping_add(1));
                return Some(found);
            }
            if Instant::now() >= deadline {
                return None;
            }
            let wake = next.map_or(deadline, |next| next.min(deadline));
            tokio::select! {
                changed = changes.changed() => if changed.is_err() { return None },
                () = tokio::time::sleep_until(wake) => {}
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Puts a delivery into the queue.
    pub fn queue(&mut self, parcel: Parcel) {
        self.order.push(parcel.id.clone());
        self.rows.insert(parcel.id.clone(), Row { parcel, standing: Standing::Waiting, attempt: 0 });
    }

    /// Puts a delivery back into the queue, whatever it is: the gateway has forgotten, or the time has come.
    pub fn again(&mut self, id: &str) {
        if let Some(row) = self.rows.get_mut(id) {
            row.standing = Standing::Waiting;
        }
    }

    /// How a delivery stands.
    pub fn standing(&self, id: &str) -> Option<&Standing> {
        self.rows.get(id).map(|row| &row.standing)
    }

    /// The first call that the contract forbids.
    pub fn broken(&self) -> Option<&str> {
        self.calls.iter().find_map(|call| match call {
            Call::Broken(what) => Some(what.as_str()),
            _ => None,
        })
    }

    /// Number of the last attempt.
    pub fn attempt(&self, id: &str) -> u32 {
        self.rows.get(id).map_or(0, |row| row.attempt)
    }

    /// Deliveries under a lease.
    pub fn leased(&self) -> Vec<String> {
        let leased = self.rows.iter().filter(|(_, row)| matches!(row.standing, Standing::Leased { .. }));
        leased.map(|(id, _)| id.clone()).collect()
    }

    /// The parcel of a delivery under lease.
    pub fn parcel(&self, id: &str) -> Option<&Parcel> {
        self.rows.get(id).map(|row| &row.parcel)
    }

    /// Whether these envelope bytes have been submitted.
    pub fn has_submitted(&self, envelope: &[u8]) -> bool {
        let is_it = |call: &Call| match call {
            Call::Submit(request) => request.envelope.as_ref().is_some_and(|signed| signed.envelope == envelope),
            _ => false,
        };
        self.calls.iter().any(is_it)
    }

    /// Welcomes a worker.
    pub fn welcome(&mut self) -> String {
        let id = format!("worker-{:016x}", rand::random::<u64>());
        self.workers.insert(id.clone());
        id
    }

    /// Whether a worker is known.
    pub fn knows(&self, worker: &str) -> bool {
        self.workers.contains(worker)
    }

    /// Forgets every worker, as a restart does. Leases end with that.
    pub fn forget_workers(&mut self) {
        self.workers.clear();
        for row in self.rows.values_mut().filter(|row| matches!(row.standing, Standing::Leased { .. })) {
            row.standing = Standing::Waiting;
        }
    }

    /// Workers whose process is dead take nothing more, though their calls may still hang; their leases end by themselves.
    pub fn bury_workers(&mut self) {
        self.workers.clear();
    }

    /// Forgets one worker and gives its leases back.
    pub fn forget(&mut self, leaving: &str) {
        self.workers.remove(leaving);
        for row in self.rows.values_mut() {
            if matches!(&row.standing, Standing::Leased { worker, .. } if worker == leaving) {
                row.standing = Standing::Waiting;
            }
        }
    }

    /// Hands out at most `room` deliveries.
    pub fn hand_out(&mut self, to: &str, room: usize) -> Vec<v1::LeasedDelivery> {
        let until = Instant::now() + self.lease_time;
        let mut handed = Vec::new();
        for id in &self.order {
            let Some(row) = self.rows.get_mut(id).filter(|row| row.standing == Standing::Waiting) else { continue };
            if handed.len() >= room {
                break;
            }
            self.tokens += 1;
            let token = self.tokens.to_be_bytes().to_vec();
            row.attempt += 1;
            row.standing = Standing::Leased { token: token.clone(), until, worker: to.to_owned() };
            self.calls.push(Call::Handed { id: id.clone(), attempt: row.attempt });
            handed.push(leased(&row.parcel, row.attempt, token, self.lease_time));
        }
        handed
    }

    /// Extends a lease; false when it is lost.
    pub fn extend(&mut self, lease: &v1::LeaseReference) -> bool {
        let until_new = Instant::now() + self.lease_time;
        let lost = self.lost.remove(&lease.delivery_id);
        let Some(row) = self.rows.get_mut(&lease.delivery_id) else { return false };
        match &mut row.standing {
            Standing::Leased { token, until, .. } if *token == lease.lease_token => {
                if lost {
                    // Taken away, and handed out again only when the point says so.
                    row.standing = Standing::Later;
                    return false;
                }
                *until = until_new;
                true
            }
            _ => false,
        }
    }

    /// Whether a lease holds now.
    pub fn holds(&self, lease: &v1::LeaseReference) -> bool {
        let standing = self.rows.get(&lease.delivery_id).map(|row| &row.standing);
        matches!(standing, Some(Standing::Leased { token, .. }) if *token == lease.lease_token)
    }

    /// Ends the lease of a delivery.
    pub fn settle(&mut self, id: &str, standing: Standing) {
        if let Some(row) = self.rows.get_mut(id) {
            row.standing = standing;
        }
    }

    /// The state of a delivery as the wire tells it.
    pub fn told(&self, id: &str) -> Option<v1::DeliveryState> {
        let row = self.rows.get(id)?;
        let status = match row.standing {
            Standing::Waiting | Standing::Later | Standing::Leased { .. } => v1::DeliveryStatus::Waiting,
            Standing::Delivered => v1::DeliveryStatus::Delivered,
            Standing::Refused => v1::DeliveryStatus::Refused,
        };
        Some(v1::DeliveryState { status: status.into(), attempts: row.attempt, ..Default::default() })
    }

    fn expire(&mut self) {
        let now = Instant::now();
        for (id, row) in &mut self.rows {
            if matches!(row.standing, Standing::Leased { until, .. } if until <= now) {
                row.standing = Standing::Waiting;
                self.calls.push(Call::Expired { id: id.clone() });
            }
        }
    }

    fn next_expiry(&self) -> Option<Instant> {
        let until = |row: &Row| match row.standing {
            Standing::Leased { until, .. } => Some(until),
            Standing::Waiting | Standing::Later | Standing::Delivered | Standing::Refused => None,
        };
        self.rows.values().filter_map(until).min()
    }
}

fn leased(parcel: &Parcel, attempt: u32, token: Vec<u8>, lease_time: Duration) -> v1::LeasedDelivery {
    let remaining = prost_types::Duration::try_from(lease_time).unwrap_or_default();
    v1::LeasedDelivery {
        delivery_id: parcel.id.clone(),
        lease_token: token.into(),
        lease_expires_at: Some(crate::parcel::moment_after(lease_time)),
        lease_remaining: Some(remaining),
        attempt,
        recipient: crate::identity::RECIPIENT.to_owned(),
        recipient_named: crate::identity::RECIPIENT.to_owned(),
        sender: crate::identity::SENDER.to_owned(),
        envelope: Some(parcel.signed.clone()),
        signers: vec![v1::VerifiedSigner {
            role: v1::SignatureRole::Agency.into(),
            certificate_sha256: parcel.signer.clone(),
        }],
        receipt: parcel.receipt.clone(),
        first_accepted: parcel.receipt.clone(),
        hops: vec![crate::identity::GATEWAY.to_owned()],
        traceparent: String::new(),
    }
}
