//! Bulk look-ups in the sent table, on read-only connections of their own and off the async threads.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rusqlite::{Connection, OpenFlags, OptionalExtension, params};

use super::{Flag, Ledger, LedgerError, Remembered};
use crate::customer::{Chunk, Code};

/// Connections kept open: a few runs look up at a time.
const KEPT: usize = 4;
/// How long a look-up waits for a foreign process that holds the file.
const BUSY_TIMEOUT: Duration = Duration::from_secs(2);

/// A small pool of read-only connections.
pub(super) struct Lookups {
    path: PathBuf,
    idle: Arc<Mutex<Vec<Connection>>>,
}

impl Lookups {
    pub(super) fn new(path: PathBuf) -> Self {
        Self { path, idle: Arc::default() }
    }

    /// Closes idle connections.
    pub(super) fn let_go(&self) {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    async fn remembered(&self, target: i64, chunk: Arc<Chunk>) -> Result<Remembered, LedgerError> {
        let (path, idle) = (self.path.clone(), self.idle.clone());
        let task = tokio::task::spawn_blocking(move || {
            let kept = idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
            let connection = kept.map_or_else(|| open(&path), Ok)?;
            let remembered = look_up(&connection, target, &chunk)?;
            let mut idle = idle.lock().unwrap_or_else(PoisonError::into_inner);
            if idle.len() < KEPT {
                idle.push(connection);
            }
            Ok(remembered)
        });
        let unavailable = |error: Box<dyn std::error::Error + Send + Sync>| LedgerError::Unavailable {
            what: "look up what was sent",
            source: sqlx::Error::Io(std::io::Error::other(error)),
        };
        match task.await {
            Ok(found) => found.map_err(|error: rusqlite::Error| unavailable(error.into())),
            Err(joined) => Err(unavailable(joined.into())),
        }
    }
}

fn open(path: &PathBuf) -> rusqlite::Result<Connection> {
    let connection = Connection::open_with_flags(
        path,
        OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX,
    )?;
    connection.busy_timeout(BUSY_TIMEOUT)?;
    Ok(connection)
}

/// In key order, so that neighbours are found on the page just read, and in one read transaction.
fn look_up(connection: &Connection, target: i64, chunk: &Chunk) -> rusqlite::Result<Remembered> {
    let mut order: Vec<u32> = (0..u32::try_from(chunk.len()).expect("a chunk has thousands")).collect();
    order.sort_unstable_by_key(|index| chunk.key(*index as usize));
    let mut remembered = Remembered { bytes: Vec::new(), customers: vec![None; chunk.len()] };
    let transaction = connection.unchecked_transaction()?;
    let mut statement = transaction.prepare_cached(
        "select digests, in_doubt, rejected from sent where target = ?1 and customer_id = ?2",
    )?;
    for index in order {
        let index = index as usize;
        if chunk.customers()[index].bad == Some(Code::BadKey) {
            continue;
        }
        let bytes = &mut remembered.bytes;
        remembered.customers[index] = statement
            .query_row(params![target, chunk.key(index)], |row| {
                let digests = row.get_ref(0)?.as_blob()?;
                let start = u32::try_from(bytes.len()).expect("a chunk's digests stay far under 4 GiB");
                bytes.extend_from_slice(digests);
                let len = u32::try_from(digests.len()).expect("a chunk's digests stay far under 4 GiB");
                Ok((start, len, Flag { in_doubt: row.get(1)?, rejected: row.get(2)? }))
            })
            .optional()?;
    }
    Ok(remembered)
}

impl Ledger {
    /// What is remembered of a chunk's customers. Read on a connection of its own, in key order.
    ///
    /// # Errors
    /// [`LedgerError::Unavailable`].
    pub async fn remembered(&self, target: i64, chunk: Arc<Chunk>) -> Result<Remembered, LedgerError> {
        self.0.lookups.remembered(target, chunk).await
    }
}
