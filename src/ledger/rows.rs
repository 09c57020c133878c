//! Many rows of the sent table at once: the way each database writes them fastest.

use std::sync::{Arc, LazyLock};

use futures_util::future::join;
use sqlx::query::Query;
use sqlx::sqlite::SqliteArguments;
use sqlx::{AssertSqlSafe, Sqlite, SqliteConnection};

use super::column::Key;
use super::postgres::{Session, answered};
use super::store::{Side, Tx};
use super::{Flag, SentRow};

/// Marks of run number `$2`, to whatever workspace its earlier attempts sent, and of this target those that no other
/// claim stands behind: a plan may begin beside an active run.
macro_rules! left_behind {
    () => {
        "where in_flight.run = $2
           or in_flight.target = $1 and not exists (select 1 from runs where runs.number = in_flight.run
             and runs.state in ('running', 'waiting') and runs.lease_expires_at is not null)"
    };
}
pub(super) use left_behind;

/// Rows of one statement, a fifth of the largest group. Each statement costs two changes of thread, which take longer
/// than many rows where the processors are busy; more cost memory: SQLite keeps the statement, and what is bound to it,
/// for the next time.
const ROWS_TOGETHER: usize = 1_125;

/// Writes these rows, of two on one customer the later.
pub(super) async fn write(tx: &mut Tx, target: i64, rows: &[SentRow<'_>]) -> Result<(), sqlx::Error> {
    match tx.side() {
        Side::Sqlite(connection) => write_sqlite(connection, target, rows).await,
        Side::Postgres(session) => write_postgres(session, target, rows).await,
    }
}

async fn write_sqlite(
    connection: &mut SqliteConnection,
    target: i64,
    rows: &[SentRow<'_>],
) -> Result<(), sqlx::Error> {
    let mut statements = rows.chunks(ROWS_TOGETHER).map(|some| statement(target, some));
    let mut next = statements.next();
    while let Some(upsert) = next {
        // While one is executed, on the connection's own thread, what the next one binds is put together.
        let executed = upsert.execute(&mut *connection);
        let (executed, following) = join(executed, async { statements.next() }).await;
        executed?;
        next = following;
    }
    Ok(())
}

/// Writes these rows, [`ROWS_TOGETHER`] at most.
fn statement<'q>(target: i64, rows: &[SentRow<'_>]) -> Query<'q, Sqlite, SqliteArguments> {
    static PLAIN: LazyLock<String> = LazyLock::new(|| upsert(ROWS_TOGETHER, false));
    static FLAGGED: LazyLock<String> = LazyLock::new(|| upsert(ROWS_TOGETHER, true));
    let has_flags = rows.iter().any(|row| row.flag != Flag::default());
    let upsert = match (rows.len() == ROWS_TOGETHER, has_flags) {
        (true, false) => sqlx::query(PLAIN.as_str()),
        (true, true) => sqlx::query(FLAGGED.as_str()),
        (false, _) => sqlx::query(AssertSqlSafe(upsert(rows.len(), has_flags))).persistent(false),
    };
    bound(upsert, target, rows, has_flags)
}

/// Flags are bound only where a row has any, which is seldom.
fn upsert(rows: usize, has_flags: bool) -> String {
    let row = if has_flags { "(?, ?, ?, ?, ?)" } else { "(?, ?, ?, 0, 0)" };
    format!(
        "-- rows::write
         insert into sent (target, customer_id, packed, in_doubt, rejected) values {}
         on conflict (target, customer_id) do update set packed = excluded.packed,
           in_doubt = excluded.in_doubt, rejected = excluded.rejected",
        vec![row; rows].join(", ")
    )
}

fn bound<'q>(
    mut upsert: Query<'q, Sqlite, SqliteArguments>,
    target: i64,
    rows: &[SentRow<'_>],
    has_flags: bool,
) -> Query<'q, Sqlite, SqliteArguments> {
    for row in rows {
        upsert = upsert.bind(target).bind(Arc::<str>::from(row.customer_id)).bind(row.digests);
        if has_flags {
            upsert = upsert.bind(row.flag.in_doubt).bind(row.flag.rejected);
        }
    }
    upsert
}

/// In one statement and in key order: two writers cannot wait for each other, and pages are touched once.
async fn write_postgres(session: &mut Session, target: i64, rows: &[SentRow<'_>]) -> Result<(), sqlx::Error> {
    let mut sorted: Vec<&SentRow<'_>> = rows.iter().rev().collect();
    // Of two the later comes first, and is the one that is kept.
    sorted.sort_by_key(|row| row.customer_id);
    sorted.dedup_by_key(|row| row.customer_id);
    if sorted.is_empty() {
        return Ok(());
    }
    let (connection, line) = session.parts();
    let asked = sqlx::query(
        "-- rows::write
         insert into sent (target, customer_id, packed, in_doubt, rejected)
         select $1, * from unnest($2::text[], $3::bytea[], $4::bool[], $5::bool[])
         on conflict (target, customer_id) do update set packed = excluded.packed,
           in_doubt = excluded.in_doubt, rejected = excluded.rejected",
    )
    .bind(target)
    .bind(sorted.iter().map(|row| Key(row.customer_id)).collect::<Vec<_>>())
    .bind(sorted.iter().map(|row| row.digests).collect::<Vec<_>>())
    .bind(sorted.iter().map(|row| row.flag.in_doubt).collect::<Vec<_>>())
    .bind(sorted.iter().map(|row| row.flag.rejected).collect::<Vec<_>>())
    .persistent(false)
    .execute(connection);
    answered(line, asked).await.map(drop)
}

/// Turns the marks left behind into customers in doubt.
pub(super) async fn doubt(tx: &mut Tx, target: i64, run: i64) -> Result<(), sqlx::Error> {
    match tx.side() {
        Side::Sqlite(connection) => doubt_sqlite(connection, target, run).await,
        Side::Postgres(session) => doubt_postgres(session, target, run).await,
    }
}

async fn doubt_sqlite(connection: &mut SqliteConnection, target: i64, run: i64) -> Result<(), sqlx::Error> {
    let doubted = sqlx::query(concat!(
        "-- rows::doubt
         insert into sent (target, customer_id, packed, in_doubt)
         select in_flight.target, key.value, x'', 1
         from in_flight, json_each(cast(in_flight.customers as text)) as key ",
        left_behind!(),
        " on conflict (target, customer_id) do update set in_doubt = 1",
    ));
    doubted.bind(target).bind(run).execute(&mut *connection).await?;
    let gone = sqlx::query(concat!("-- rows::doubt\n delete from in_flight ", left_behind!()));
    gone.bind(target).bind(run).execute(connection).await.map(drop)
}

/// In one statement: between two of them another run may leave a mark behind, which would go undoubted.
async fn doubt_postgres(session: &mut Session, target: i64, run: i64) -> Result<(), sqlx::Error> {
    let (connection, line) = session.parts();
    let asked = sqlx::query(concat!(
        "-- rows::doubt
         with behind as (delete from in_flight ",
        left_behind!(),
        " returning in_flight.target, in_flight.customers)
         insert into sent (target, customer_id, packed, in_doubt)
         select distinct target, customer collate \"C\" as customer, '\\x'::bytea, true
         from behind, unnest(customers) as customer order by 1, 2
         on conflict (target, customer_id) do update set in_doubt = true"
    ))
    .bind(target)
    .bind(run)
    .persistent(false)
    .execute(connection);
    answered(line, asked).await.map(drop)
}
