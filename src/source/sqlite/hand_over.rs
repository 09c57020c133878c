//! Between the scanning thread and whoever awaits its chunks: handing over, waiting with a bound, cancelling.

use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::Thread;
use std::time::{Duration, Instant};

use rusqlite::InterruptHandle;
use tokio::sync::mpsc;
use tokio::sync::mpsc::error::TrySendError;

use crate::source::reading::Handed;

/// What both ends share.
#[derive(Default)]
struct Line {
    is_cancelled: AtomicBool,
    statement: Mutex<Option<InterruptHandle>>,
}

/// The reading end's hold on the thread. Dropping it interrupts whatever SQLite is doing and ends the thread.
pub(in crate::source) struct Hold {
    line: Arc<Line>,
    thread: Option<Thread>,
}

impl Hold {
    pub(super) fn on(mut self, thread: Thread) -> Self {
        self.thread = Some(thread);
        self
    }

    /// A chunk was taken: the thread may hand over another.
    pub(in crate::source) fn make_room(&self) {
        if let Some(thread) = &self.thread {
            thread.unpark();
        }
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        self.line.is_cancelled.store(true, Ordering::SeqCst);
        if let Some(statement) = &*self.line.statement.lock().expect("no holder panics") {
            statement.interrupt();
        }
        self.make_room();
    }
}

/// The thread's end.
pub(super) struct Outlet {
    line: Arc<Line>,
    sender: mpsc::Sender<Handed>,
    hold: Duration,
}

/// What became of a hand-over.
pub(super) enum Offered {
    Taken,
    /// There was no room for as long as a snapshot may be held.
    NoRoom(Handed),
    /// Nobody wants any more.
    Unwanted,
}

/// Both ends. The thread's waits for room take `hold` at most.
pub(super) fn pair(sender: mpsc::Sender<Handed>, hold: Duration) -> (Hold, Outlet) {
    let line = Arc::new(Line::default());
    (Hold { line: line.clone(), thread: None }, Outlet { line, sender, hold })
}

impl Outlet {
    /// Whether the reading end is gone.
    pub(super) fn is_unwanted(&self) -> bool {
        self.line.is_cancelled.load(Ordering::SeqCst)
    }

    /// Lets the reading end interrupt what runs on this connection from now on.
    pub(super) fn interrupt_with(&self, handle: InterruptHandle) {
        *self.line.statement.lock().expect("no holder panics") = Some(handle);
    }

    /// Hands over, waiting for room as long as a snapshot may be held.
    pub(super) fn offer(&self, handed: Handed) -> Offered {
        self.offer_until(handed, Some(Instant::now() + self.hold))
    }

    /// Hands over, waiting as long as the reading end lives: nothing is held meanwhile. False if it is gone.
    pub(super) fn offer_at_leisure(&self, handed: Handed) -> bool {
        matches!(self.offer_until(handed, None), Offered::Taken)
    }

    fn offer_until(&self, mut handed: Handed, until: Option<Instant>) -> Offered {
        loop {
            handed = match self.sender.try_send(handed) {
                Ok(()) => return Offered::Taken,
                Err(TrySendError::Closed(_)) => return Offered::Unwanted,
                Err(TrySendError::Full(back)) => back,
            };
            // Unparked by every take and by the drop; one that comes before the park is not lost.
            match until.map(|until| until.saturating_duration_since(Instant::now())) {
                None => std::thread::park(),
                Some(Duration::ZERO) => return Offered::NoRoom(handed),
                Some(left) => std::thread::park_timeout(left),
            }
        }
    }
}
