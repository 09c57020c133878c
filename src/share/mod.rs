//! How replicas share the budget of one destination: who may start how many requests in a window, and until when.
//! Pure values and one pure function; the ledger keeps the table, and the destination keeps to what it is dealt.
//!
//! A *share* is a number of requests per window that one holder alone may start, for a few seconds. What a share once
//! allowed counts until the window in which it may have been used has passed: whether it was lowered, given back, or
//! ran out with a holder that nobody has heard of since. So the sum over any window stays within the limit while
//! holders come, go and stop in the middle. A holder lowers its share before it says so, and raises it after it is
//! told; an answer that is lost leaves the table counting too much, never too little.

mod fair;
mod hour;
mod table;

#[cfg(test)]
mod tests;

use std::time::Duration;

use uuid::Uuid;

pub use hour::Minute;
pub use table::{Before, Holder, Table};

/// The window that shares count in. Source: Braze docs, Rate limits: requests per 3 seconds. Longer here by as much as
/// the ways of several machines to Braze may differ: their requests catch up with each other.
pub const WINDOW: Duration = Duration::from_millis(3_100);
/// A holder gives up using its share so long before the table has it run out: clocks run at slightly different speeds.
pub const MARGIN: Duration = Duration::from_millis(100);

/// What a holder says and asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ask {
    /// Who asks.
    pub holder: Uuid,
    /// Most requests it starts in a window from now on, until it hears the answer; what it started before counts too.
    pub keeping: u32,
    /// Requests per window it has use for; 0: it gives its share back.
    pub wants: u32,
    /// The limit it knows of, in requests per window.
    pub limit: u32,
    /// The hour's limit, where there is one.
    pub hour: Option<HourAsk>,
    /// Nobody may start anything for this long: Braze said so to this holder.
    pub hold: Option<Duration>,
}

/// The same of the hour. Requests are counted from the holder's beginning.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HourAsk {
    /// The limit it knows of, in requests per hour.
    pub limit: u32,
    /// Requests it has started.
    pub used: u64,
    /// It starts none beyond this many until it hears the answer.
    pub keeping: u64,
}

/// What a holder is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Dealt {
    /// Most requests it may start in a window from now on.
    pub share: u32,
    /// What it would have, had nobody else to give something up first.
    pub due: u32,
    /// How long that holds, from before it asked; see [`MARGIN`].
    pub lasts: Duration,
    /// The same of the hour.
    pub hour: Option<HourDealt>,
    /// Nothing may be started for this long: Braze said so to somebody.
    pub hold: Option<Duration>,
}

/// The same of the hour.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HourDealt {
    /// It may start so many, counted from its beginning.
    pub up_to: u64,
    /// There is nothing left of the hour, and nobody has any that could come back, until then.
    pub more_in: Option<Duration>,
}
