//! What a plan came to: what the next run would send.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::Mode;

/// What the next delta would send, counted by reading and comparing as it would. Nothing was sent.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Forecast {
    /// What it would run as: delta, or full where it would be promoted.
    pub mode: Mode,
    /// Why a delta would become a full run.
    pub promoted: Option<String>,
    /// Customers it would read.
    pub customers: u64,
    /// Customers all of whose values Braze already has.
    pub unchanged: u64,
    /// Customers with something to send.
    pub changed: u64,
    /// Customers with nothing usable to send, or without a usable key.
    pub invalid: u64,
    /// Values it would send.
    pub data_points: u64,
    /// What would become of the values, by Braze attribute.
    pub by_attribute: BTreeMap<String, ForecastValues>,
    /// Requests, if Braze takes each at once.
    pub requests: u64,
    /// Bytes of their bodies.
    pub bytes: u64,
    /// Seconds these requests take at least, at the pace the destination's budget allows.
    pub budget_secs: f64,
}

/// What would become of one attribute's values.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ForecastValues {
    /// Sent for the first time.
    pub first: u64,
    /// Sent because they differ from what Braze accepted last.
    pub changed: u64,
    /// NULL now: sent as null, so that Braze forgets them.
    pub removed: u64,
    /// The same as Braze accepted last, and sent again: in doubt, or not sent for `resend_every`.
    pub again: u64,
    /// Not sent, because Braze already has them.
    pub unchanged: u64,
    /// Not sent, because they cannot be.
    pub invalid: u64,
}

impl ForecastValues {
    /// How many would be sent.
    pub fn sent(&self) -> u64 {
        self.first + self.changed + self.removed + self.again
    }
}
