//! Bulk look-ups in the sent table: a chunk's keys go as one array, and what is known of them comes back in order.

use futures_util::TryStreamExt;
use sqlx::{Executor, Row};

use super::{Server, answered};
use crate::customer::Chunk;
use crate::ledger::column::Key;
use crate::ledger::lookup::in_key_order;
use crate::ledger::{Flag, Remembered};

/// A key is looked up in the index, one after the other, whatever the planner makes of a table it has not counted
/// yet: a scan of the whole table for every chunk would be the end.
const BY_INDEX: &str =
    "set local enable_seqscan = off; set local enable_hashjoin = off; set local enable_mergejoin = off";

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
        let asked = async {
            connection.execute(BY_INDEX).await?;
            let mut rows = sqlx::query(
                "-- lookup::remembered
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
                let Some(index) = place.checked_sub(1).and_then(|place| order.get(place)) else { continue };
                let flag = Flag { in_doubt: row.try_get(2)?, rejected: row.try_get(3)? };
                remembered.put(*index, row.try_get(1)?, flag);
            }
            Ok(())
        };
        answered(line, asked).await?;
        Ok(remembered)
    }
}
