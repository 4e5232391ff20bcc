//! Every bound of the gateway in one place. Configuration can lower them, never raise them.

use std::time::Duration;

/// Bytes of a serialized envelope.
pub const ENVELOPE_BYTES_MAX: usize = 256 * 1024;
/// Bytes of one CMS signature.
pub const SIGNATURE_BYTES_MAX: usize = 64 * 1024;
/// Signatures on one envelope.
pub const SIGNATURES_MAX: usize = 8;
/// Recipients of one envelope.
pub const RECIPIENTS_MAX: usize = 4_096;
/// Parts of one envelope.
pub const PARTS_MAX: usize = 256;
/// Bytes of one part: the hard bound.
pub const PART_BYTES_MAX: u64 = 512 * 1024 * 1024;
/// Bytes of one part: the default bound.
pub const PART_BYTES_DEFAULT: u64 = 100 * 1024 * 1024;
/// Bytes of all inline parts of one submission.
pub const INLINE_BYTES_MAX: usize = 1024 * 1024;
/// Bytes of one chunk of an upload.
pub const CHUNK_BYTES_MAX: usize = 1024 * 1024;
/// Gateways that one envelope may pass.
pub const HOPS_MAX: usize = 8;
/// Bytes of an internal id or an agency code.
pub const ID_BYTES_MAX: usize = 64;
/// Characters of a part's display name.
pub const PART_NAME_CHARS_MAX: usize = 255;
/// Bytes of any free text field of an envelope (subject, reason, role, …).
pub const TEXT_BYTES_MAX: usize = 8 * 1024;
/// Certificates in one chain, anchor included.
pub const CHAIN_CERTIFICATES_MAX: usize = 8;
/// Time to build one chain.
pub const CHAIN_BUILD_TIME_MAX: Duration = Duration::from_millis(50);
/// How long a worker holds a delivery before it is walked again.
pub const LEASE_TIME: Duration = Duration::from_secs(60);
/// First wait after a failed attempt.
pub const RETRY_FIRST: Duration = Duration::from_secs(5);
/// Longest wait between attempts.
pub const RETRY_MAX: Duration = Duration::from_secs(3600);
/// How far a sender's clock may be ahead of ours.
pub const CLOCK_SKEW_MAX: Duration = Duration::from_secs(300);
/// Longest life of an envelope: `expires_at` may lie this far ahead.
pub const ENVELOPE_LIFE_MAX: Duration = Duration::from_secs(366 * 24 * 3600);
/// Receipts in one ReturnReceipts call.
pub const RECEIPTS_RETURNED_MAX: usize = 256;
/// Rows on one page of a list.
pub const PAGE_ROWS_MAX: u32 = 500;
/// Refusals remembered for operators.
pub const REFUSALS_REMEMBERED: usize = 1_000;
/// Time for a TLS handshake.
pub const HANDSHAKE_TIME_MAX: Duration = Duration::from_secs(10);
/// Concurrent HTTP/2 streams on one connection.
pub const STREAMS_PER_CONNECTION_MAX: u32 = 1_024;
/// Concurrent connections at the doors.
pub const CONNECTIONS_MAX: usize = 4_096;
/// How long leases of one hand-over may be extended in all.
pub const LEASE_EXTENDED_MAX: Duration = Duration::from_secs(6 * 3600);
/// Versions of calendars in one directory.
pub const CALENDARS_MAX: usize = 4_096;
/// Spans of office hours in a day.
pub const OFFICE_HOURS_MAX: usize = 8;
/// Versions of procedures in one directory: the national catalogue has some 6,000 procedures.
pub const PROCEDURES_MAX: usize = 100_000;
/// Steps of one procedure.
pub const PROCEDURE_STEPS_MAX: usize = 256;
/// Days that a procedure may take.
pub const LIMIT_DAYS_MAX: u32 = 3_660;
/// Working hours that a step of a procedure may take.
pub const LIMIT_HOURS_MAX: u32 = 8 * LIMIT_DAYS_MAX;
/// Facts of one file that its custody is made of.
pub const CASE_FACTS_MAX: usize = 8_192;
