//! The furthest the watermark may go, looked up before the snapshot.
//!
//! A transaction that writes now may commit rows stamped with its start, after our snapshot and yet before our
//! clock: a watermark past that start would lose them.

use chrono::{DateTime, TimeDelta, Utc};
use sqlx::postgres::PgConnection;
use sqlx::{Row, ValueRef};

use super::dialect::Dialect;
use super::error::unreachable;
use crate::customer::{UpdatedAt, Value, Zone};
use crate::source::{Problem, SourceError};

/// What the server says of its clock and of those who write.
#[derive(Debug)]
pub(super) struct Ceiling {
    pub at: DateTime<Utc>,
    why_behind: Option<&'static str>,
    dialect: Dialect,
}

type Answer = (bool, i64, Option<i64>, bool, Option<i64>);

impl Ceiling {
    pub(super) async fn look(
        dialect: Dialect,
        connection: &mut PgConnection,
        overlap_secs: u64,
    ) -> Result<Self, SourceError> {
        match dialect {
            Dialect::Postgres => Self::postgres(connection, overlap_secs).await,
            Dialect::Redshift => Self::redshift(connection, overlap_secs).await,
        }
    }

    /// Redshift shows its transactions (SVV_TRANSACTIONS) to those alone who may see everybody's, and does not say
    /// that it hid some: the watermark stays behind the clock, as where PostgreSQL hides them.
    async fn redshift(connection: &mut PgConnection, overlap_secs: u64) -> Result<Self, SourceError> {
        let dialect = Dialect::Redshift;
        let row = sqlx::raw_sql("SELECT getdate()").fetch_one(connection).await;
        let row = row.map_err(|error| dialect.failed(&error))?;
        let cell = row.try_get_raw(0).map_err(|error| dialect.failed(&error))?;
        // The session's zone is UTC.
        let clock = match cell.is_null() {
            true => UpdatedAt::Never,
            false => Zone::utc().instant(Value::Text(cell.as_bytes().unwrap_or_default())),
        };
        let UpdatedAt::At(micros) = clock else { return Err(unreachable("Redshift's clock cannot be read")) };
        let now = DateTime::from_timestamp_micros(micros);
        let at = now.ok_or_else(|| unreachable("Redshift's clock is out of range"))? - overlap(overlap_secs);
        Ok(Self { at, why_behind: Some("does not show who writes"), dialect })
    }

    async fn postgres(connection: &mut PgConnection, overlap_secs: u64) -> Result<Self, SourceError> {
        let answer: Answer = sqlx::query_as(
            "-- ceiling
            WITH others AS (
                SELECT xact_start, backend_xid, query FROM pg_catalog.pg_stat_activity
                WHERE datname = current_database() AND pid <> pg_backend_pid() AND usesysid IS NOT NULL
            )
            SELECT pg_is_in_recovery(),
                (extract(epoch FROM clock_timestamp()) * 1000000)::bigint,
                (SELECT (extract(epoch FROM min(xact_start)) * 1000000)::bigint FROM others
                 WHERE backend_xid IS NOT NULL),
                EXISTS (SELECT FROM others WHERE query = '<insufficient privilege>'),
                (SELECT (extract(epoch FROM min(prepared)) * 1000000)::bigint FROM pg_catalog.pg_prepared_xacts
                 WHERE database = current_database())",
        )
        .persistent(false)
        .fetch_one(connection)
        .await
        .map_err(|error| Dialect::Postgres.failed(&error))?;
        Self::from_answer(answer, overlap_secs)
    }

    fn from_answer(answer: Answer, overlap_secs: u64) -> Result<Self, SourceError> {
        let (is_standby, clock, oldest_writer, some_are_hidden, oldest_prepared) = answer;
        let instant = |micros| {
            DateTime::from_timestamp_micros(micros)
                .ok_or_else(|| unreachable("PostgreSQL's clock is out of range"))
        };
        let overlap = overlap(overlap_secs);
        let why_behind = match (is_standby, some_are_hidden) {
            (true, _) => Some("is a standby, which does not show who writes on the primary"),
            (false, true) => Some("hides who writes from this user; grant it pg_read_all_stats"),
            (false, false) => None,
        };
        let mut at = instant(clock)?;
        if why_behind.is_some() {
            at -= overlap;
        }
        if let Some(writer) = oldest_writer {
            at = at.min(instant(writer)?);
        }
        if let Some(prepared) = oldest_prepared {
            // Only when it was prepared is known, not when it began.
            at = at.min(instant(prepared)? - overlap);
        }
        Ok(Self { at, why_behind, dialect: Dialect::Postgres })
    }

    /// What `check` says where the watermark has to stay behind.
    pub(super) fn problem(&self, overlap_secs: u64) -> Option<Problem> {
        let name = self.dialect.name();
        self.why_behind.map(|why| Problem {
            column: None,
            why: format!("{name} {why}: the watermark stays {overlap_secs} s behind its clock"),
            nearest: None,
            is_fatal: false,
        })
    }
}

fn overlap(secs: u64) -> TimeDelta {
    TimeDelta::seconds(i64::try_from(secs).unwrap_or(i64::MAX / 1_000))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(answer: Answer) -> i64 {
        Ceiling::from_answer(answer, 10).expect("in range").at.timestamp_micros() / 1_000_000
    }

    #[test]
    fn the_watermark_stays_behind_whoever_writes() {
        let secs = |secs: i64| secs * 1_000_000;
        assert_eq!(at((false, secs(1_000), None, false, None)), 1_000);
        assert_eq!(at((false, secs(1_000), Some(secs(900)), false, None)), 900);
        assert_eq!(at((false, secs(1_000), None, true, None)), 990);
        assert_eq!(at((true, secs(1_000), None, false, None)), 990);
        assert_eq!(at((false, secs(1_000), Some(secs(900)), true, None)), 900);
        assert_eq!(at((false, secs(1_000), Some(secs(900)), false, Some(secs(800)))), 790);
    }
}
