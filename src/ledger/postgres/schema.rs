//! Brings the schema on PostgreSQL up to date.
//!
//! Several replicas may start at once: one applies what is missing, in one transaction, and the others wait for it.

use std::collections::BTreeMap;
use std::time::Duration;

use sqlx::PgConnection;
use sqlx::migrate::{Migration, Migrator};

use super::{Server, Session};
use crate::ledger::{LedgerError, version};

static MIGRATIONS: Migrator = sqlx::migrate!("src/ledger/migrations/postgres");

/// How long all of it may take, with the wait for another replica that is at it.
const PATIENCE: Duration = Duration::from_secs(60);
/// Of this ledger's migrations, among all advisory locks of the database: the first bytes of "peak-braze".
const LOCK: i64 = i64::from_be_bytes(*b"peak-bra");

/// The oldest server, as `server_version_num`: what is older had been given up before the first ledger stood on one.
/// Source: PostgreSQL docs, Versioning Policy.
const OLDEST_SERVER: i32 = 130_000;

/// Version and checksum of the migrations applied.
type Applied = BTreeMap<i64, Vec<u8>>;

impl Server {
    /// Applies what is missing, in one transaction, one replica at a time.
    pub(in crate::ledger) async fn migrate(&self) -> Result<(), LedgerError> {
        let mut session = self.write().await.map_err(unavailable)?;
        let (connection, line) = session.parts();
        line.is_asking = true;
        let migrated = tokio::time::timeout(PATIENCE, bring_up(connection)).await;
        let late = |_| unavailable(sqlx::Error::Io(std::io::ErrorKind::TimedOut.into()));
        let changed = migrated.map_err(late)??;
        line.is_asking = false;
        finish(session, changed).await
    }
}

async fn finish(session: Session, changed: bool) -> Result<(), LedgerError> {
    if changed { session.commit().await.map_err(unavailable) } else { Ok(()) }
}

fn unavailable(source: sqlx::Error) -> LedgerError {
    LedgerError::Unavailable { what: "migrate", source }
}

/// Whether anything was missing.
async fn bring_up(connection: &mut PgConnection) -> Result<bool, LedgerError> {
    let number =
        sqlx::query_scalar("-- schema::bring_up\n select current_setting('server_version_num')::int");
    check_server(number.persistent(false).fetch_one(&mut *connection).await.map_err(unavailable)?)?;
    if missing(&applied(connection).await?)?.is_empty() {
        return Ok(false);
    }
    run(connection, "set local statement_timeout = '60s'; set local lock_timeout = '60s'").await?;
    sqlx::query("-- schema::bring_up\n select pg_advisory_xact_lock($1)")
        .bind(LOCK)
        .persistent(false)
        .execute(&mut *connection)
        .await
        .map_err(unavailable)?;
    // Another replica may have been at it meanwhile.
    let applied = applied(connection).await?;
    if applied.is_empty() {
        create(connection).await?;
    }
    for migration in missing(&applied)? {
        apply(connection, migration).await?;
    }
    Ok(true)
}

/// A server of an older version has not all that is asked of it.
fn check_server(number: i32) -> Result<(), LedgerError> {
    if number >= OLDEST_SERVER {
        return Ok(());
    }
    let found = match number / 10_000 {
        // Before version 10 there were two numbers before the last.
        major @ ..10 => format!("{major}.{}.{}", number / 100 % 100, number % 100),
        major => format!("{major}.{}", number % 10_000),
    };
    Err(LedgerError::Unusable(format!(
        "ledger.url: the server is PostgreSQL {found}, and a ledger needs {} or newer; nothing was changed",
        OLDEST_SERVER / 10_000
    )))
}

/// Read from the catalog: `to_regclass` and its like believe what they found before, also where another replica has
/// made the table while we waited for the lock.
const IS_THERE: &str = "-- schema::applied
     select exists (select 1 from pg_tables where schemaname = 'peak_braze' and tablename = 'migrations')";
const HAS_SCHEMA: &str = "-- schema::create
     select exists (select 1 from pg_namespace where nspname = 'peak_braze')";

async fn applied(connection: &mut PgConnection) -> Result<Applied, LedgerError> {
    let is_there: bool = sqlx::query_scalar(IS_THERE)
        .persistent(false)
        .fetch_one(&mut *connection)
        .await
        .map_err(unavailable)?;
    if !is_there {
        return Ok(Applied::new());
    }
    let rows: Vec<(i64, Vec<u8>)> =
        sqlx::query_as("-- schema::applied\n select version, checksum from peak_braze.migrations")
            .persistent(false)
            .fetch_all(connection)
            .await
            .map_err(unavailable)?;
    Ok(rows.into_iter().collect())
}

/// The migrations not yet applied.
fn missing(applied: &Applied) -> Result<Vec<&'static Migration>, LedgerError> {
    let newest = MIGRATIONS.iter().map(|migration| migration.version).max().unwrap_or(0);
    version::check(newest, applied.keys().copied())?;
    let is_other = |migration: &&Migration| {
        applied.get(&migration.version).is_some_and(|checksum| *checksum != *migration.checksum)
    };
    if let Some(migration) = MIGRATIONS.iter().find(is_other) {
        return Err(LedgerError::Unusable(format!(
            "ledger.url: version {} of the schema is not the one this binary knows; nothing was changed",
            migration.version
        )));
    }
    Ok(MIGRATIONS.iter().filter(|migration| !applied.contains_key(&migration.version)).collect())
}

async fn create(connection: &mut PgConnection) -> Result<(), LedgerError> {
    let is_there: bool = sqlx::query_scalar(HAS_SCHEMA)
        .persistent(false)
        .fetch_one(&mut *connection)
        .await
        .map_err(unavailable)?;
    if !is_there {
        run(connection, "create schema peak_braze").await.map_err(refused)?;
    }
    run(
        connection,
        "create table peak_braze.migrations (
           version bigint primary key, description text not null, checksum bytea not null,
           applied_at timestamptz not null default clock_timestamp())",
    )
    .await
    .map_err(refused)
}

/// A role that may not create is told what to ask for.
fn refused(error: LedgerError) -> LedgerError {
    // Source: PostgreSQL docs, Error Codes: insufficient_privilege.
    let is_privilege = |source: &sqlx::Error| {
        source.as_database_error().and_then(|error| error.code()).is_some_and(|code| code == "42501")
    };
    match error {
        LedgerError::Unavailable { source, .. } if is_privilege(&source) => LedgerError::Unusable(
            "ledger.url: the role may not create the schema peak_braze; have it made: create schema peak_braze \
             authorization ROLE"
                .to_owned(),
        ),
        other => other,
    }
}

async fn apply(connection: &mut PgConnection, migration: &Migration) -> Result<(), LedgerError> {
    sqlx::raw_sql(migration.sql.clone()).execute(&mut *connection).await.map_err(unavailable)?;
    sqlx::query(
        "-- schema::apply\n insert into peak_braze.migrations (version, description, checksum) values ($1, $2, $3)",
    )
    .bind(migration.version)
    .bind(&*migration.description)
    .bind(&*migration.checksum)
    .persistent(false)
    .execute(connection)
    .await
    .map(drop)
    .map_err(unavailable)
}

async fn run(connection: &mut PgConnection, statement: &'static str) -> Result<(), LedgerError> {
    sqlx::raw_sql(statement).execute(connection).await.map(drop).map_err(unavailable)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn servers_before_thirteen_are_refused_by_their_version() {
        assert!(check_server(130_000).is_ok() && check_server(170_004).is_ok());
        for (number, found) in [(120_022, "PostgreSQL 12.22,"), (90_624, "PostgreSQL 9.6.24,")] {
            let refused = check_server(number).expect_err("too old").to_string();
            assert!(refused.contains(found) && refused.contains("needs 13 or newer"), "{refused}");
        }
    }
}
