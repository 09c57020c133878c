//! A SQLite file as a source: opened read-only, scanned in key order on a thread of its own.

mod cell;
mod declared;
mod file;
mod hand_over;
mod scan;
mod schema;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use secrecy::ExposeSecret;
use tokio::sync::{mpsc, oneshot};

use crate::clock::Clock;
use crate::config;
use crate::customer::Chunk;

use super::address::address;
use super::filter::Filter;
use super::mapping::Mapping;
use super::reading::{CHUNKS_AHEAD, Reader};
use super::{Description, Reading, SNAPSHOT_HOLD, Selection, SourceError};

pub(super) use hand_over::Hold;

/// How long to wait for what others hold, and to hold what others wait for.
#[derive(Clone, Copy, Debug)]
struct Waits {
    /// A snapshot is held so long while nobody takes from it.
    snapshot: Duration,
    /// Somebody else's lock is waited for so long.
    lock: Duration,
}

/// Writers commit in far less than the five seconds; the run's own patience follows. A held snapshot keeps a
/// `-wal` from shrinking, or in the older journal mode keeps writers out.
const WAITS: Waits = Waits { snapshot: SNAPSHOT_HOLD, lock: Duration::from_secs(5) };

/// A SQLite file, read for one sync.
#[derive(Clone, Debug)]
pub struct Sqlite {
    path: PathBuf,
    mapping: Arc<Mapping>,
    clock: Clock,
    waits: Waits,
}

impl Sqlite {
    pub(super) fn new(
        settings: &config::Source,
        mapping: Arc<Mapping>,
        clock: Clock,
    ) -> Result<Self, SourceError> {
        Ok(Self::at(path(settings.url.as_deref())?, mapping, clock))
    }

    pub(super) fn at(path: PathBuf, mapping: Arc<Mapping>, clock: Clock) -> Self {
        Self { path, mapping, clock, waits: WAITS }
    }

    pub(super) fn mapping(&self) -> &Mapping {
        &self.mapping
    }

    pub(super) async fn describe(&self) -> Result<Description, SourceError> {
        let sqlite = self.clone();
        on_thread(move || {
            let file = sqlite.open_file()?;
            schema::Schema::look(&file, &sqlite.mapping).map(|schema| schema.description)
        })
        .await
    }

    pub(super) async fn sample(&self, rows: usize) -> Result<Chunk, SourceError> {
        let sqlite = self.clone();
        on_thread(move || {
            let file = sqlite.open_file()?;
            let schema = schema::Schema::look(&file, &sqlite.mapping)?;
            schema.description.require_sound()?;
            scan::sample(&file, &sqlite.mapping, &schema, rows)
        })
        .await
    }

    fn open_file(&self) -> Result<file::File, SourceError> {
        file::File::open(&self.path, &self.mapping, self.waits.lock)
    }

    pub(super) async fn read(&self, selection: Selection) -> Result<Reading, SourceError> {
        let (sender, chunks) = mpsc::channel(CHUNKS_AHEAD);
        let (ready, opened) = oneshot::channel();
        let (hold, outlet) = hand_over::pair(sender, self.waits.snapshot);
        let filter = Filter::new(selection.rows.clone(), self.mapping.zone);
        let scan = scan::Scan::new(self.clone(), selection, filter, outlet);
        let thread = std::thread::Builder::new()
            .name("source".to_owned())
            .spawn(move || {
                give_way();
                scan.run(ready);
            })
            .map_err(|_| SourceError::Unreachable("no thread is left to read the source on".to_owned()))?;
        // Made before the wait, so that dropping the wait ends the thread too.
        let reader = Reader::Thread(hold.on(thread.thread().clone()));
        let opened = opened.await.map_err(|_| stopped())??;
        let scan::Opened { ceiling, total } = opened;
        Ok(Reading::new(ceiling, total, chunks, reader))
    }
}

/// Lets others go first, on Linux, where the nice value is a thread's own: callbacks and the record of what was sent are
/// waited for, while whoever reads is mostly ahead. At 5 a thread gets a third of what another one gets beside it. Left out
/// where system calls are filtered: a filter that does not know this one may end the process for it.
/// Source: Linux man-pages, setpriority(2), sched(7), seccomp(2).
fn give_way() {
    #[cfg(target_os = "linux")]
    if is_unfiltered()
        && let Err(error) = rustix::process::nice(5)
    {
        tracing::debug!(
            error = &error as &dyn std::error::Error,
            "the source is read as urgently as all else is done"
        );
    }
}

/// Whether the kernel says that no filter of system calls is on this thread.
/// Source: Linux man-pages, proc_pid_status(5), Seccomp.
#[cfg(target_os = "linux")]
fn is_unfiltered() -> bool {
    let status = std::fs::read_to_string("/proc/thread-self/status").unwrap_or_default();
    status.lines().any(|line| line.strip_prefix("Seccomp:").is_some_and(|mode| mode.trim() == "0"))
}

fn stopped() -> SourceError {
    SourceError::Unreachable("opening the source stopped before its end".to_owned())
}

async fn on_thread<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, SourceError> + Send + 'static,
) -> Result<T, SourceError> {
    tokio::task::spawn_blocking(work).await.map_err(|_| stopped())?
}

/// The file behind `sqlite://PATH`, `sqlite:PATH`, or a reference to one.
fn path(url: Option<&str>) -> Result<PathBuf, SourceError> {
    let resolved = address(url)?;
    let text = resolved.expose_secret();
    let path = text.strip_prefix("sqlite://").or_else(|| text.strip_prefix("sqlite:"));
    match path {
        Some(path) if !path.is_empty() => Ok(path.into()),
        _ => Err(SourceError::config("url", "must be sqlite://FILE")),
    }
}

#[cfg(test)]
mod tests;
