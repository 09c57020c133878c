//! This process's part in a budget that replicas have together: what it asks for, and what it is dealt.

use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use tokio::sync::Notify;

use super::budget::Standing;
use super::gate::Gate;
use crate::clock::Moment;
use crate::share::{Ask, Dealt};

/// For whoever deals: one per budget and process. It does not keep the destination alive.
#[derive(Debug)]
pub struct Stake {
    pub(super) gate: Weak<Gate>,
    pub(super) calls: Arc<Calls>,
    pub(super) budget: String,
}

/// What passes between requests and whoever deals to them.
#[derive(Debug, Default)]
pub(super) struct Calls {
    /// A request waits for a share.
    pub(super) wanted: Notify,
    /// The others must hear of a hold, or nobody needs the budget any more.
    urged: Notify,
    /// Another share was dealt. For one waiter at a time: the first in the queue.
    pub(super) changed: Notify,
    /// Until when nothing may be sent, as others have yet to hear.
    hold: Mutex<Option<Moment>>,
}

/// The gate's end: nobody needs the budget any more once it is gone.
#[derive(Debug, Default)]
pub(super) struct Line(pub(super) Arc<Calls>);

impl Drop for Line {
    fn drop(&mut self) {
        self.0.urged.notify_one();
    }
}

impl Calls {
    /// The others must hear that nothing may be sent for so long.
    pub(super) fn tell_hold(&self, wait: Duration) {
        let until = Moment::now() + wait;
        let mut hold = self.hold.lock().unwrap_or_else(PoisonError::into_inner);
        *hold = Some(hold.map_or(until, |known| known.max(until)));
        self.urged.notify_one();
    }

    pub(super) fn untold(&self) -> Option<Moment> {
        *self.hold.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn told(&self, what: Option<Moment>) {
        let mut hold = self.hold.lock().unwrap_or_else(PoisonError::into_inner);
        if *hold == what {
            *hold = None;
        }
    }
}

/// An ask, to be answered.
#[derive(Debug)]
pub struct Asked {
    /// What to say.
    pub ask: Ask,
    at: Moment,
    hold: Option<Moment>,
}

impl Stake {
    /// Names the budget: what the limit belongs to at Braze, as far as it can be told from here, and the table that
    /// says how much of it is ours.
    pub fn budget(&self) -> &str {
        &self.budget
    }

    /// Resolves when a request waits for a share.
    pub async fn wanted(&self) {
        self.calls.wanted.notified().await;
    }

    /// Resolves when there is something to say that cannot wait.
    pub async fn urged(&self) {
        self.calls.urged.notified().await;
    }

    /// What to say and to ask for now; none once the destination is no longer used.
    pub fn ask(&self) -> Option<Asked> {
        let gate = self.gate.upgrade()?;
        let (at, hold) = (Moment::now(), self.calls.untold());
        let wait = hold.map(Moment::remaining).filter(|wait| !wait.is_zero());
        Some(Asked { ask: gate.ask(wait)?, at, hold })
    }

    /// Takes in what was dealt.
    pub fn dealt(&self, asked: &Asked, dealt: &Dealt) -> Standing {
        self.calls.told(asked.hold);
        self.gate.upgrade().map_or(Standing::Idle, |gate| gate.dealt(dealt, asked.at))
    }

    /// Starts nothing any more, so that the next ask gives everything back.
    pub fn give_back(&self) {
        if let Some(gate) = self.gate.upgrade() {
            gate.give_back();
        }
    }
}
