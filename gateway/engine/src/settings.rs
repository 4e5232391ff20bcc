//! The engine's bounds and times. The defaults are those of the model's limits; configuration may lower them.

use std::time::Duration;

use gateway_model::limits;

use crate::quota::Quotas;
use crate::retry::Backoff;

/// All that can be set.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// Submissions between door and store at one time.
    pub submissions_max: usize,
    /// Bytes of these together.
    pub submission_bytes_max: usize,
    /// Rows under a lease at one time.
    pub leases_max: usize,
    /// Of these, rows of one agency.
    pub leases_agency_max: usize,
    /// Of these, rows towards one gateway.
    pub leases_gateway_max: usize,
    /// Rows under a lease at adapters that tell their room, beside the others: slow takers starve nobody who is not one.
    pub leases_taken_max: usize,
    /// Of the rows under a lease, those of broadcasts to agencies served here: single files wait for no more than these.
    pub leases_broadcast_max: usize,
    /// From how many recipients on an envelope is a broadcast.
    pub broadcast_from: usize,
    /// How long a lease holds.
    pub lease: Duration,
    /// How much of a lease is kept back for settling: an adapter has to answer before.
    pub lease_margin: Duration,
    /// Waits between the attempts of one delivery.
    pub delivery_backoff: Backoff,
    /// Waits between the attempts at one destination that does not answer.
    pub gate_backoff: Backoff,
    /// Attempts after which a delivery is held when its adapter breaks down twice in a row.
    pub panics_max: u32,
    /// Attempts after which a delivery is held when its worker falls silent twice in a row while others get through.
    pub silences_max: u32,
    /// After this a missing final receipt raises an alarm.
    pub receipt_overdue_after: Duration,
    /// How long after the envelope's expiry a missing final receipt is waited for before the delivery is held.
    pub receipt_grace: Duration,
    /// How long bodies of settled envelopes are kept.
    pub body_retention: Duration,
    /// How long a part that no envelope names is kept.
    pub part_retention: Duration,
    /// How often the sweeps run.
    pub sweep_every: Duration,
    /// Whether a plan of many deliveries needs the approval of a second person.
    pub bulk_needs_two: bool,
    /// Ways beside the log by which alarms are told.
    pub alarm_channels: &'static [&'static str],
    /// How long to wait for work under way at shutdown.
    pub drain: Duration,
    /// How much one system and one agency may send.
    pub quotas: Quotas,
}

impl Default for Settings {
    fn default() -> Self {
        let backoff = Backoff { first: limits::RETRY_FIRST, longest: limits::RETRY_MAX };
        Self {
            submissions_max: 4_096,
            submission_bytes_max: 256 * 1024 * 1024,
            leases_max: 1_024,
            leases_agency_max: 32,
            leases_gateway_max: 512,
            leases_taken_max: 2_048,
            leases_broadcast_max: 32,
            broadcast_from: 64,
            lease: limits::LEASE_TIME,
            lease_margin: Duration::from_secs(10),
            delivery_backoff: backoff,
            gate_backoff: backoff,
            panics_max: 3,
            silences_max: 8,
            receipt_overdue_after: Duration::from_secs(24 * 3_600),
            receipt_grace: Duration::from_secs(24 * 3_600),
            body_retention: Duration::from_secs(30 * 24 * 3_600),
            part_retention: Duration::from_secs(24 * 3_600),
            sweep_every: Duration::from_secs(60),
            bulk_needs_two: false,
            alarm_channels: &[],
            drain: Duration::from_secs(20),
            quotas: Quotas::default(),
        }
    }
}
