//! Outgoing notices: what is told to whom, in which words, signed how, and when a delivery is tried again.
//!
//! ```text
//! occasion -> body -> signature -> post -> verdict -> done, or wait
//! ```
//!
//! The ledger keeps what is to be told, the worker carries it here.

mod body;
mod receiver;
mod schedule;
mod sentence;
mod sign;
mod verdict;

use chrono::{DateTime, Utc};
use uuid::Uuid;

use crate::config::NotifyEvent;
use crate::run::Occasion;

pub use receiver::{Place, Receiver, ReceiverError, receivers};
pub use schedule::{MOST_TRIES, wait};
pub use verdict::Verdict;

/// What is told.
#[derive(Clone, Copy, Debug)]
pub struct Notice<'n> {
    /// The same at every try: receivers tell a repeat by it.
    pub id: Uuid,
    /// What it tells of.
    pub event: NotifyEvent,
    /// When that happened.
    pub at: DateTime<Utc>,
    /// What happened.
    pub occasion: &'n Occasion,
}
