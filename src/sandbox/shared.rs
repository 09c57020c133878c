//! What every connection of one sandbox shares. Locks are short, and never held across a wait.

use std::sync::{Arc, Mutex, MutexGuard};

use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::books::Books;
use super::hold::Holds;
use super::queue::Queue;
use super::rate::Limiter;
use super::rule::Rule;
use super::rules::Rules;
use super::settings::Settings;
use super::store::{Store, Update};

/// One sandbox.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) settings: Settings,
    pub(super) limiter: Mutex<Limiter>,
    pub(super) rules: Mutex<Rules>,
    pub(super) holds: Holds,
    pub(super) queue: Queue,
    pub(super) stop: CancellationToken,
    pub(super) tasks: TaskTracker,
    books: Mutex<Books>,
    store: Mutex<Store>,
    /// Moves with every change of the books.
    changed: watch::Sender<()>,
    started: Instant,
    started_epoch: f64,
}

impl Shared {
    pub(super) fn new(settings: Settings) -> Arc<Self> {
        let shared = Arc::new(Self {
            limiter: Mutex::new(Limiter::new(settings.rate)),
            rules: Mutex::default(),
            holds: Holds::default(),
            queue: Queue::new(&settings),
            stop: CancellationToken::new(),
            tasks: TaskTracker::new(),
            books: Mutex::new(Books::new(settings.bodies_kept, settings.reset_grace)),
            store: Mutex::default(),
            changed: watch::Sender::new(()),
            started: Instant::now(),
            started_epoch: (settings.now_epoch)(),
            settings,
        });
        let stop = shared.stop.clone();
        shared.tasks.spawn(stop.run_until_cancelled_owned(super::queue::run(Arc::clone(&shared))));
        shared
    }

    /// The sandbox's wall clock: where it stood at the start, moved on by tokio's, so that a paused clock rules both.
    pub(super) fn epoch(&self) -> f64 {
        self.started_epoch + self.started.elapsed().as_secs_f64()
    }

    /// Changes or reads the books, and wakes whoever waits for a change.
    pub(super) fn books<T>(&self, work: impl FnOnce(&mut Books) -> T) -> T {
        let outcome = work(&mut self.books.lock().expect("no holder of the books panics"));
        self.changed.send_replace(());
        outcome
    }

    /// Reads the books without waking anyone.
    pub(super) fn read<T>(&self, look: impl FnOnce(&Books) -> T) -> T {
        look(&self.books.lock().expect("no holder of the books panics"))
    }

    pub(super) fn changes(&self) -> watch::Receiver<()> {
        self.changed.subscribe()
    }

    pub(super) fn store(&self) -> MutexGuard<'_, Store> {
        self.store.lock().expect("no holder of the store panics")
    }

    pub(super) fn rules(&self) -> MutexGuard<'_, Rules> {
        self.rules.lock().expect("no holder of the rules panics")
    }

    pub(super) fn rule(&self, rule: Rule) {
        self.rules().add(rule);
    }

    /// Ends all rules and lets go everything they hold.
    pub(super) fn clear_rules(&self) {
        self.rules().clear();
        self.holds.release_all();
    }

    /// Applies updates now.
    pub(super) fn apply(&self, request: u64, updates: Vec<Update>) {
        let applied = self.store().apply(&self.settings, request, updates);
        if applied.unchanged > 0 || !applied.drops.is_empty() {
            self.books(|books| books.applied(&applied));
        }
    }
}
