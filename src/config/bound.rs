//! Least and greatest value of every number in the config, each with its reason.

/// What a number may be, both ends included.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bound {
    pub(super) min: u64,
    pub(super) max: u64,
    /// The reason, as the refusal tells it.
    pub(super) why: &'static str,
}

const fn bound(min: u64, max: u64, why: &'static str) -> Bound {
    Bound { min, max, why }
}

const HOUR: u64 = 3_600;
const DAY: u64 = 24 * HOUR;

/// A thin callback is well under 1 KiB (Standard Webhooks advise under 20 kB); the body is held in memory.
pub(super) const BODY_LIMIT_BYTES: Bound = bound(1_024, 10 << 20, "request bodies are held in memory");
/// A supervisor that waits longer than five minutes for a stop is unheard of.
pub(super) const DRAIN_SECS: Bound = bound(1, 300, "a supervisor kills what does not stop in time");
/// The heartbeat is a quarter of it; a crashed worker's run stands still for as long as the lease.
pub(super) const LEASE_SECS: Bound =
    bound(2, HOUR, "the heartbeat is a quarter of it, and a crashed run waits for its end");
/// Everything.
pub(super) const TRACE_RATIO: Bound = bound(0, 1, "1 is every trace; for none leave the endpoint out");
/// Ten years.
pub(super) const RETENTION_DAYS: Bound = bound(1, 3_650, "runs are kept between a day and ten years");
/// Braze docs, Rate limits: 75 per request, 225 under legacy contracts; `/users/track/bulk` takes 1,000.
pub(super) const BATCH_SIZE: Bound =
    bound(1, 1_000, "/users/track/bulk takes at most 1,000 updates a request");
/// Braze docs, Rate limits: 75 updates per request, or 3 × 75 under legacy limits.
pub(super) const BATCH_SIZE_TRACK: Bound =
    bound(1, 225, "/users/track takes 75 updates a request, 225 under legacy contracts");
/// Braze docs, Rate limits: 3,000 requests per 3 s is the published most; raised limits stay under this.
pub(super) const REQUESTS_PER_3S: Bound = bound(1, 100_000, "Braze's published limit is 3,000 in 3 seconds");
/// The same allowance for a whole hour.
pub(super) const REQUESTS_PER_HOUR: Bound =
    bound(1, 120_000_000, "with none left nothing would ever be sent");
/// Each request in flight holds a connection stream and a batch in memory.
pub(super) const MAX_IN_FLIGHT: Bound = bound(1, 1_024, "each request in flight holds a batch in memory");
/// The upper end follows from the longest lease; the real bound is 60 % of `lease_secs`.
pub(super) const REQUEST_TIMEOUT_SECS: Bound = bound(1, HOUR * 6 / 10, "a request must end within its lease");
/// Braze docs, Race conditions, speak of seconds to minutes.
pub(super) const SETTLE_SECS: Bound = bound(0, HOUR, "Braze settles within minutes");
/// Zero would be a tight loop; a first step over a minute would outlast most outages.
pub(super) const RETRY_BASE_MS: Bound = bound(1, 60_000, "zero would retry in a tight loop");
/// Braze announces resets within the hour.
pub(super) const RETRY_CAP_SECS: Bound = bound(1, HOUR, "Braze announces resets within the hour");
/// A month.
pub(super) const GIVE_UP_AFTER_SECS: Bound = bound(1, 30 * DAY, "a run holds its sync while it tries");
/// A month: what comes later than that is found by `full_every`.
pub(super) const OVERLAP_SECS: Bound = bound(0, 30 * DAY, "rows later than that are found by full_every");
/// A year.
pub(super) const FULL_EVERY_SECS: Bound = bound(1, 366 * DAY, "write \"off\" for never");
/// Ten years.
pub(super) const RESEND_EVERY_SECS: Bound = bound(1, 3_650 * DAY, "write \"off\" for never");
/// Every official Standard Webhooks library uses 300 s; ids are remembered 30 days at least.
pub(super) const TOLERANCE_SECS: Bound =
    bound(1, HOUR, "a wide window lets old deliveries be played again; 300 is usual");
/// A year.
pub(super) const STALE_AFTER_SECS: Bound = bound(1, 366 * DAY, "write \"off\" for never");
/// Percentages.
pub(super) const PERCENT: Bound = bound(0, 100, "it is a percentage");
/// A mean that moved a thousand deviations is no longer the same quantity.
pub(super) const MEAN_SHIFT: Bound = bound(0, 1_000, "it counts standard deviations");
/// A 64-bit float holds 15 decimal digits exactly.
pub(super) const ROUND: Bound = bound(0, 15, "a number holds 15 digits");

/// Verifying tries each secret with each signature: 8 are plenty for rotation and keep a refusal cheap.
pub(super) const MAX_SECRETS: usize = 8;
/// Braze docs, Cloud Data Ingestion: at most 250 attributes per row; `/users/track` documents none.
pub const MAX_ATTRIBUTES: usize = 250;
/// Braze docs, Custom attributes: keys of at most 255 characters; counted in bytes to be safe.
pub(super) const MAX_NAME_BYTES: usize = 255;
/// Ids stand in paths, metric labels and log lines.
pub(super) const MAX_ID_BYTES: usize = 64;
/// Snowflake allows 255 bytes, Redshift 127, PostgreSQL 63 per part.
pub(super) const MAX_IDENTIFIER_BYTES: usize = 255;

impl Bound {
    /// What is wrong with `value`, if anything.
    pub(super) fn check(self, value: u64) -> Result<(), String> {
        if (self.min..=self.max).contains(&value) { Ok(()) } else { Err(self.refusal()) }
    }

    /// What is wrong with a number outside.
    pub(super) fn refusal(self) -> String {
        format!("must be {} to {}: {}", self.min, self.max, self.why)
    }

    /// The same for a duration, whose text is not in seconds.
    pub(super) fn check_duration(self, secs: u64) -> Result<(), String> {
        let ok = (self.min..=self.max).contains(&secs);
        if ok { Ok(()) } else { Err(format!("must be {} s to {} d: {}", self.min, self.max / DAY, self.why)) }
    }
}
