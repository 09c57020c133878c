//! First deliveries into their table, with the run that answers for them.

use std::collections::BTreeMap;
use std::sync::Arc;

use sqlx::{AssertSqlSafe, SqliteConnection};

use super::Identified;
use crate::ledger::Enqueued;
use crate::ledger::column::{At, Key};
use crate::ledger::postgres::{Session, answered};
use crate::ledger::store::{Side, Tx};

/// Inserts those whose ids are new; gives how many. The unique index decides, not a check.
pub(super) async fn insert(
    tx: &mut Tx,
    fresh: &[&Identified],
    runs: &BTreeMap<String, Enqueued>,
) -> Result<usize, sqlx::Error> {
    let inserted = match tx.side() {
        Side::Sqlite(connection) => insert_sqlite(connection, fresh, runs).await?,
        Side::Postgres(session) => insert_postgres(session, fresh, runs).await?,
    };
    Ok(usize::try_from(inserted).expect("no more than were asked for"))
}

/// By statements of 1, 2, 4 … rows: each is prepared once, however many deliveries come together.
async fn insert_sqlite(
    connection: &mut SqliteConnection,
    fresh: &[&Identified],
    runs: &BTreeMap<String, Enqueued>,
) -> Result<u64, sqlx::Error> {
    const ROW: &str = "(?, ?, ?, ?, ?, ?, ?, ?, ?)";
    let (mut rest, mut inserted) = (fresh, 0);
    while !rest.is_empty() {
        let (some, others) = rest.split_at(1 << rest.len().ilog2());
        let statement = format!(
            "-- inbox::insert
             insert into deliveries
               (sync, delivery_id, outcome, body_digest, received_at, event_type, reason, run_id, secret)
             values {} on conflict do nothing",
            vec![ROW; some.len()].join(", ")
        );
        let mut insert = sqlx::query(AssertSqlSafe(statement));
        for one in some {
            let (outcome, reason) = one.outcome();
            insert = insert
                .bind(Arc::<str>::from(one.new.sync.as_str()))
                .bind(Key(one.id.as_str()))
                .bind(outcome)
                .bind(one.new.body_digest.to_vec())
                .bind(At(one.new.received_at))
                .bind(Key(one.new.event_type.as_str()))
                .bind(reason)
                .bind(one.run_of(runs))
                .bind(one.new.secret);
        }
        inserted += insert.execute(&mut *connection).await?.rows_affected();
        rest = others;
    }
    Ok(inserted)
}

/// In the order of ids: replicas that record the same ones wait for each other in turn, and never in a circle.
async fn insert_postgres(
    session: &mut Session,
    fresh: &[&Identified],
    runs: &BTreeMap<String, Enqueued>,
) -> Result<u64, sqlx::Error> {
    let mut sorted = fresh.to_vec();
    sorted.sort_by_key(|delivery| (&delivery.new.sync, &delivery.id));
    let each = || sorted.iter();
    let (connection, line) = session.parts();
    let asked = sqlx::query(
        "-- inbox::insert
         insert into deliveries
           (sync, delivery_id, outcome, body_digest, received_at, event_type, reason, run_id, secret)
         select * from unnest($1::text[], $2::text[], $3::text[], $4::bytea[], $5::timestamptz[], $6::text[],
           $7::text[], $8::uuid[], $9::bigint[])
         on conflict do nothing",
    )
    .bind(each().map(|one| one.new.sync.as_str()).collect::<Vec<_>>())
    .bind(each().map(|one| Key(one.id.as_str())).collect::<Vec<_>>())
    .bind(each().map(|one| one.outcome().0).collect::<Vec<_>>())
    .bind(each().map(|one| &one.new.body_digest[..]).collect::<Vec<_>>())
    .bind(each().map(|one| At(one.new.received_at)).collect::<Vec<_>>())
    .bind(each().map(|one| Key(one.new.event_type.as_str())).collect::<Vec<_>>())
    .bind(each().map(|one| one.outcome().1).collect::<Vec<_>>())
    .bind(each().map(|one| one.run_of(runs)).collect::<Vec<_>>())
    .bind(each().map(|one| i64::from(one.new.secret)).collect::<Vec<_>>())
    .persistent(false)
    .execute(connection);
    answered(line, asked).await.map(|done| done.rows_affected())
}
