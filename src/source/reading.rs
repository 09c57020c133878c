//! A read under way: chunks as the warehouse gives them, at most two ahead of whoever takes them.

use chrono::{DateTime, Utc};
use tokio::sync::mpsc;
use tokio_util::task::AbortOnDropHandle;

use crate::customer::Chunk;

use super::SourceError;
use super::files::Scratch;

/// Chunks that may wait: one being taken, one to go on with.
pub(super) const CHUNKS_AHEAD: usize = 2;

/// What a reader hands over: a chunk, or `None` at the end.
pub(super) type Handed = Result<Option<Chunk>, SourceError>;

/// What stands behind a [`Reading`]. Dropping it ends the read.
pub(super) enum Reader {
    /// A thread that must be told of room.
    Thread(super::sqlite::Hold),
    /// A task that waits for room by itself, and ends when this is dropped.
    Task { _task: AbortOnDropHandle<()> },
}

impl Reader {
    fn make_room(&self) {
        match self {
            Self::Thread(hold) => hold.make_room(),
            Self::Task { .. } => {}
        }
    }
}

/// A read under way. Dropping it cancels the read.
pub struct Reading {
    ceiling: DateTime<Utc>,
    total: Option<u64>,
    // Closed before the reader is told, so that it finds nobody to hand over to.
    chunks: mpsc::Receiver<Handed>,
    reader: Reader,
    has_ended: bool,
    /// The copy that is read, where one was made.
    _scratch: Option<Scratch>,
}

impl Reading {
    pub(super) fn new(
        ceiling: DateTime<Utc>,
        total: Option<u64>,
        chunks: mpsc::Receiver<Handed>,
        reader: Reader,
    ) -> Self {
        Self { ceiling, total, chunks, reader, has_ended: false, _scratch: None }
    }

    /// The same, of a copy made after `ceiling`, which goes with it.
    pub(super) fn of_copy(self, scratch: Scratch, ceiling: DateTime<Utc>) -> Self {
        Self { ceiling, _scratch: Some(scratch), ..self }
    }

    /// The furthest the watermark may go: the source's clock at the first snapshot, and never past the start of
    /// the oldest writing transaction open then.
    pub fn ceiling(&self) -> DateTime<Utc> {
        self.ceiling
    }

    /// About how many rows will be read, where that is cheap to know.
    pub fn total(&self) -> Option<u64> {
        self.total
    }

    /// The next customers; `None` when all were read. Nothing is lost when the wait for it is dropped.
    ///
    /// # Errors
    /// Why the source could not be read on. Reading is then over; what was taken before stays good.
    pub async fn next(&mut self) -> Result<Option<Chunk>, SourceError> {
        if self.has_ended {
            return Ok(None);
        }
        let handed = self.chunks.recv().await;
        self.reader.make_room();
        match handed {
            Some(Ok(Some(chunk))) => Ok(Some(chunk)),
            Some(end) => {
                self.has_ended = true;
                end
            }
            None => {
                self.has_ended = true;
                Err(SourceError::Unreachable("reading the source stopped before its end".to_owned()))
            }
        }
    }
}

impl std::fmt::Debug for Reading {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Reading")
            .field("ceiling", &self.ceiling)
            .field("total", &self.total)
            .finish_non_exhaustive()
    }
}
