//! `[destinations.NAME]`.

use serde::Deserialize;

use super::SecretRef;

/// Which Braze endpoint takes the updates.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TrackPath {
    /// `/users/track`.
    #[default]
    Track,
    /// `/users/track/bulk`, a limited beta.
    TrackBulk,
}

/// `[destinations.NAME]`: one Braze workspace.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Destination {
    /// REST endpoint of the instance; https only, except loopback.
    pub endpoint: String,
    /// REST API key with `users.track`.
    pub api_key: SecretRef,
    /// Names what the ledger's digests are about; filled with the table's name where absent.
    #[serde(default)]
    pub workspace: String,
    /// Which endpoint takes the updates.
    #[serde(default)]
    pub path: TrackPath,
    /// Whether `X-Braze-Bulk: true` is sent.
    #[serde(default = "yes")]
    pub bulk_header: bool,
    /// Customers per request.
    #[serde(default = "batch_size")]
    pub batch_size: usize,
    /// Requests in any three seconds.
    #[serde(default = "requests_per_3s")]
    pub requests_per_3s: u32,
    /// Requests in any hour, so that others on the workspace keep their share.
    #[serde(default)]
    pub requests_per_hour: Option<u32>,
    /// Most requests in flight; concurrency adapts below it.
    #[serde(default = "max_in_flight")]
    pub max_in_flight: usize,
    /// Seconds one request may take.
    #[serde(default = "request_timeout_secs")]
    pub request_timeout_secs: u64,
    /// Seconds between the last send of one run and the first of the next; 0 is off.
    #[serde(default = "settle_secs")]
    pub settle_secs: u64,
    /// First step of the backoff, milliseconds.
    #[serde(default = "retry_base_ms")]
    pub retry_base_ms: u64,
    /// Longest step of the backoff, seconds.
    #[serde(default = "retry_cap_secs")]
    pub retry_cap_secs: u64,
    /// How long a run puts up with unbroken 5xx or network failure, such as `24h`; seconds once read.
    #[serde(
        default = "give_up_after",
        deserialize_with = "super::duration::seconds",
        rename = "give_up_after"
    )]
    pub give_up_after_secs: u64,
}

fn yes() -> bool {
    true
}
/// Braze docs, Rate limits: 75 objects per request for most customers.
fn batch_size() -> usize {
    75
}
/// Braze docs, Rate limits: 3,000 requests per 3 seconds.
fn requests_per_3s() -> u32 {
    3_000
}
/// 75 requests per 100 ms answer saturate the default limit; the rest is headroom for slower answers.
fn max_in_flight() -> usize {
    128
}
/// At most 60 % of the default lease of 20 s, so that no request outlives its fence.
fn request_timeout_secs() -> u64 {
    12
}
/// Braze keeps no order between calls; its docs, Race conditions, put consistency at well under a minute.
fn settle_secs() -> u64 {
    60
}
fn retry_base_ms() -> u64 {
    500
}
fn retry_cap_secs() -> u64 {
    60
}
fn give_up_after() -> u64 {
    24 * 3600
}
