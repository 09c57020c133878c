//! Bulk look-ups in the sent table: of a file on read-only connections of their own and off the async threads.

use std::cmp::Ordering;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rusqlite::{Connection, OpenFlags, Rows, params};
use tokio::task::spawn_blocking;

use super::store::Database;
use super::{Flag, Ledger, LedgerError, Remembered};
use crate::customer::{Chunk, Code};

/// Connections kept open: a few runs look up at a time.
const KEPT: usize = 4;
/// How long a look-up waits for a foreign process that holds the file.
const BUSY_TIMEOUT: Duration = Duration::from_secs(2);

/// A small pool of read-only connections.
#[derive(Clone)]
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

    /// Blocks.
    fn look_up(&self, target: i64, chunk: &Chunk) -> rusqlite::Result<Remembered> {
        let kept = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let connection = kept.map_or_else(|| open(&self.path), Ok)?;
        let remembered = look_up(&connection, target, chunk)?;
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        if idle.len() < KEPT {
            idle.push(connection);
        }
        Ok(remembered)
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

/// The customers that have a usable key, by key.
pub(super) fn in_key_order(chunk: &Chunk) -> Vec<u32> {
    let is_usable = |index: &u32| chunk.customers()[*index as usize].bad != Some(Code::BadKey);
    let all = 0..u32::try_from(chunk.len()).expect("a chunk has thousands");
    let mut order: Vec<u32> = all.filter(is_usable).collect();
    order.sort_unstable_by_key(|index| chunk.key_bytes(*index as usize));
    order
}

/// Rows passed over on the way to the next customer before a look-up of its own is cheaper: one takes about as long
/// as passing five.
const FARTHEST: u32 = 8;

/// In key order and in one read transaction: where most customers are known, what is remembered of one is the row
/// right after the one before.
fn look_up(connection: &Connection, target: i64, chunk: &Chunk) -> rusqlite::Result<Remembered> {
    let order = in_key_order(chunk);
    let mut remembered = Remembered { bytes: Vec::new(), customers: vec![None; chunk.len()] };
    let transaction = connection.unchecked_transaction()?;
    let mut statement = transaction.prepare_cached(
        "select customer_id, packed, in_doubt, rejected from sent
         where target = ?1 and customer_id >= ?2 order by customer_id",
    )?;
    let (mut order, mut reach) = (&order[..], FARTHEST);
    while let [first, ..] = order {
        let rows = statement.query(params![target, chunk.key(*first as usize)])?;
        order = walk(rows, chunk, order, &mut reach, &mut remembered)?;
    }
    Ok(remembered)
}

/// Takes what is remembered of the customers from the rows, which begin at the first of them. Gives the customers
/// from the first whose row, if there is one, is too far off: each such shortens the reach, a near one restores it.
fn walk<'c>(
    mut rows: Rows<'_>,
    chunk: &Chunk,
    order: &'c [u32],
    reach: &mut u32,
    remembered: &mut Remembered,
) -> rusqlite::Result<&'c [u32]> {
    let mut row = rows.next()?;
    for (done, index) in order.iter().enumerate() {
        let index = *index as usize;
        let key = chunk.key_bytes(index);
        for passed in 0.. {
            let Some(found) = row else { return Ok(&[]) };
            match found.get_ref(0)?.as_bytes()?.cmp(key) {
                Ordering::Less if passed == *reach => {
                    *reach = (*reach / 2).max(1);
                    return Ok(&order[done..]);
                }
                Ordering::Less => row = rows.next()?,
                Ordering::Equal => {
                    *reach = if done > 0 { FARTHEST } else { *reach };
                    let flag = Flag { in_doubt: found.get(2)?, rejected: found.get(3)? };
                    remembered.put(order[done], found.get_ref(1)?.as_blob()?, flag);
                    break;
                }
                Ordering::Greater => break,
            }
        }
    }
    Ok(&[])
}

impl Ledger {
    /// Looks up what is remembered of a chunk's customers, and gives it to `then`. Read beside those who write, in key
    /// order; `then` may take its time, and has what was read where it was read: another core would fetch it anew.
    ///
    /// # Errors
    /// [`LedgerError::Unavailable`]; `then` was not called.
    ///
    /// # Panics
    /// Where `then` does.
    pub async fn look_up<T: Send + 'static>(
        &self,
        target: i64,
        chunk: Arc<Chunk>,
        then: impl FnOnce(&Chunk, Remembered) -> T + Send + 'static,
    ) -> Result<T, LedgerError> {
        let during = LedgerError::during("look up what was sent");
        let task = match &self.0.store.database {
            Database::Sqlite(file) => {
                let lookups = file.lookups.clone();
                spawn_blocking(move || {
                    let remembered = lookups.look_up(target, &chunk)?;
                    Ok(then(&chunk, remembered))
                })
            }
            Database::Postgres(server) => {
                let remembered = server.remembered(target, &chunk).await.map_err(&during)?;
                spawn_blocking(move || Ok(then(&chunk, remembered)))
            }
        };
        let unavailable = |error: Box<dyn std::error::Error + Send + Sync>| {
            during(sqlx::Error::Io(std::io::Error::other(error)))
        };
        match task.await {
            Ok(found) => found.map_err(|error: rusqlite::Error| unavailable(error.into())),
            Err(joined) => match joined.try_into_panic() {
                Ok(panic) => std::panic::resume_unwind(panic),
                Err(joined) => Err(unavailable(joined.into())),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;
    use crate::customer::{ChunkBuilder, Value, Zone};

    /// Remembers these customers of target 2, each by its own key, and strangers of others.
    fn remembering(known: &BTreeSet<u32>) -> Connection {
        let connection = Connection::open_in_memory().expect("memory");
        connection
            .execute_batch(
                "create table sent (target, customer_id text, packed, in_doubt, rejected,
                   primary key (target, customer_id)) without rowid;
                 insert into sent values (1, '0500', x'00', 0, 0), (3, '0500', x'00', 0, 0);",
            )
            .expect("a table");
        for number in known {
            let key = format!("{number:04}");
            let values = params![key, key.as_bytes(), number % 2];
            connection.execute("insert into sent values (2, ?1, ?2, ?3, 0)", values).expect("a row");
        }
        connection
    }

    fn chunk(asked: &[u32]) -> Chunk {
        let mut builder = ChunkBuilder::new([].into(), Zone::utc());
        for number in asked {
            let key = format!("{number:04}");
            builder.push(Value::Text(key.as_bytes()), Value::Instant(1), |_| Value::Null);
        }
        builder.push(Value::Null, Value::Instant(1), |_| Value::Null);
        builder.take()
    }

    proptest! {
        #[test]
        fn whoever_is_remembered_is_found_however_far_apart(
            known in prop_oneof![
                proptest::collection::btree_set(0..1_000u32, 0..1_000),
                proptest::collection::btree_set(0..1_000u32, 0..20),
            ],
            asked in prop_oneof![
                proptest::collection::btree_set(0..1_000u32, 0..1_000),
                proptest::collection::btree_set(0..1_000u32, 0..20),
            ],
            turned in any::<bool>(),
        ) {
            let mut asked: Vec<u32> = asked.into_iter().collect();
            if turned {
                asked.reverse();
            }
            let remembered = look_up(&remembering(&known), 2, &chunk(&asked)).expect("looked up");
            for (index, number) in asked.iter().enumerate() {
                let found = remembered.get(index).map(|sent| (sent.digests.packed().to_vec(), sent.flag.in_doubt));
                let key = format!("{number:04}").into_bytes();
                prop_assert_eq!(found, known.contains(number).then_some((key, number % 2 == 1)));
            }
            prop_assert!(remembered.get(asked.len()).is_none(), "a bad key remembers nothing");
        }
    }
}
