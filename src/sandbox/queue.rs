//! Accepted updates that are not applied yet: Braze answers first and applies later, and keeps no order between
//! requests. Braze docs, "Create and update users", FAQ.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};

use super::chance::Chance;
use super::settings::Settings;
use super::shared::Shared;
use super::store::Update;

type Waiting = BTreeMap<(Instant, u64), Vec<Update>>;

/// The waiting updates by the time they are due.
#[derive(Debug)]
pub(super) struct Queue {
    waiting: Mutex<Inner>,
    wake: Notify,
}

#[derive(Debug)]
struct Inner {
    waiting: Waiting,
    chance: Chance,
    /// When the last one in order is due; none may be due earlier unless reordering is allowed.
    latest: Option<Instant>,
}

impl Queue {
    pub(super) fn new(settings: &Settings) -> Self {
        let chance = Chance::new(settings.seed);
        Self {
            waiting: Mutex::new(Inner { waiting: Waiting::new(), chance, latest: None }),
            wake: Notify::new(),
        }
    }

    fn inner(&self) -> std::sync::MutexGuard<'_, Inner> {
        self.waiting.lock().expect("no holder of the queue panics")
    }
}

impl Inner {
    fn due(&mut self, settings: &Settings) -> Instant {
        let (least, most) = settings.apply_delay;
        let spread = most.saturating_sub(least).as_secs_f64() * self.chance.unit();
        let due = Instant::now() + least + Duration::from_secs_f64(spread);
        if settings.reorder {
            return due;
        }
        let due = self.latest.map_or(due, |latest| due.max(latest));
        self.latest = Some(due);
        due
    }
}

/// Applies the updates of `request`, or lets them wait as the settings say.
pub(super) fn accept(shared: &Shared, request: u64, updates: Vec<Update>) {
    if shared.settings.apply_delay.1.is_zero() {
        return shared.apply(request, updates);
    }
    shared.books(|books| books.stats.pending_applies += 1);
    let mut inner = shared.queue.inner();
    let due = inner.due(&shared.settings);
    inner.waiting.insert((due, request), updates);
    drop(inner);
    shared.queue.wake.notify_one();
}

/// Applies what is due, until dropped.
pub(super) async fn run(shared: Arc<Shared>) {
    loop {
        let next = shared.queue.inner().waiting.first_key_value().map(|((due, _), _)| *due);
        match next {
            None => shared.queue.wake.notified().await,
            Some(due) if due <= Instant::now() => apply_first(&shared),
            Some(due) => tokio::select! {
                () = sleep_until(due) => {}
                () = shared.queue.wake.notified() => {}
            },
        }
    }
}

fn apply_first(shared: &Shared) {
    let first = shared.queue.inner().waiting.pop_first();
    if let Some(((_, request), updates)) = first {
        shared.apply(request, updates);
        shared.books(|books| books.stats.pending_applies -= 1);
    }
}
