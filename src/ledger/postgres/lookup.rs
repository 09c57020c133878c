//! Bulk look-ups in the sent table.

use std::borrow::Cow;

use futures_util::TryStreamExt;
use sqlx::postgres::PgRow;
use sqlx::{Executor, PgConnection, Row};

use super::{Server, answered};
use crate::customer::Chunk;
use crate::ledger::column::Key;
use crate::ledger::lookup::in_key_order;
use crate::ledger::{Flag, Remembered};

/// The index is what is read, whatever the planner makes of a table it has not counted yet: a scan of the whole table
/// for every chunk would be the end.
const BY_INDEX: &str = "set local enable_seqscan = off; set local enable_bitmapscan = off;
     set local enable_hashjoin = off; set local enable_mergejoin = off";

/// Customers first looked up as a stretch of the table. If most rows of it are theirs, so it is with the others, and a
/// stretch is read in a tenth of the time that looking for each takes.
const FIRST_STRETCH: usize = 250;

impl Server {
    pub(in crate::ledger) async fn remembered(
        &self,
        target: i64,
        chunk: &Chunk,
    ) -> Result<Remembered, sqlx::Error> {
        let order = in_key_order(chunk);
        let mut remembered = Remembered { bytes: Vec::new(), customers: vec![None; chunk.len()] };
        if order.is_empty() {
            return Ok(remembered);
        }
        let mut session = self.read().await?;
        let (connection, line) = session.parts();
        answered(line, connection.execute(BY_INDEX)).await?;
        let mut left = &order[..];
        if order.iter().all(|index| chunk.key(*index as usize).is_ascii()) {
            let (first, others) = order.split_at(FIRST_STRETCH.min(order.len()));
            let far = answered(line, stretch(connection, target, chunk, first, &mut remembered)).await?;
            left = match far.len() {
                0 => answered(line, stretch(connection, target, chunk, others, &mut remembered)).await?,
                far => &order[first.len() - far..],
            };
        }
        answered(line, each(connection, target, chunk, left, &mut remembered)).await?;
        Ok(remembered)
    }
}

/// Reads the table from the first of these customers to the last, but at most twice as many rows as there are customers.
/// Gives those that were not reached. Their keys are ASCII, which stands before all else and in one order, whatever
/// encoding the server keeps text in.
async fn stretch<'o>(
    connection: &mut PgConnection,
    target: i64,
    chunk: &Chunk,
    order: &'o [u32],
    remembered: &mut Remembered,
) -> Result<&'o [u32], sqlx::Error> {
    let ([first, ..], [.., last]) = (order, order) else { return Ok(order) };
    let most = order.len() * 2;
    let mut rows = sqlx::query(
        "-- lookup::stretch
         select customer_id, packed, in_doubt, rejected from sent
         where target = $1 and customer_id between $2 and $3 order by customer_id limit $4",
    )
    .bind(target)
    .bind(Key(chunk.key(*first as usize)))
    .bind(Key(chunk.key(*last as usize)))
    .bind(i64::try_from(most).unwrap_or(i64::MAX))
    .persistent(false)
    .fetch(connection);
    let (mut order, mut read) = (order, 0);
    while let Some(row) = rows.try_next().await? {
        let Key(key): Key<Cow<'_, str>> = row.try_get(0)?;
        while let [index, after @ ..] = order
            && chunk.key(*index as usize) <= &*key
        {
            if chunk.key(*index as usize) == key {
                put(remembered, *index, &row)?;
            }
            order = after;
        }
        read += 1;
    }
    Ok(if read < most { &[] } else { order })
}

/// Looks for each of these customers.
async fn each(
    connection: &mut PgConnection,
    target: i64,
    chunk: &Chunk,
    order: &[u32],
    remembered: &mut Remembered,
) -> Result<(), sqlx::Error> {
    if order.is_empty() {
        return Ok(());
    }
    let mut rows = sqlx::query(
        "-- lookup::each
         select place, packed, in_doubt, rejected
         from unnest($2::text[]) with ordinality as asked (customer_id, place)
           join sent on target = $1 and sent.customer_id = asked.customer_id",
    )
    .bind(target)
    .bind(order.iter().map(|index| Key(chunk.key(*index as usize))).collect::<Vec<_>>())
    .persistent(false)
    .fetch(connection);
    while let Some(row) = rows.try_next().await? {
        let place = usize::try_from(row.try_get::<i64, _>(0)?).unwrap_or(0);
        if let Some(index) = place.checked_sub(1).and_then(|place| order.get(place)) {
            put(remembered, *index, &row)?;
        }
    }
    Ok(())
}

fn put(remembered: &mut Remembered, index: u32, row: &PgRow) -> Result<(), sqlx::Error> {
    let flag = Flag { in_doubt: row.try_get(2)?, rejected: row.try_get(3)? };
    remembered.put(index, row.try_get(1)?, flag);
    Ok(())
}
