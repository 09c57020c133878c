//! The sample warehouse: one SQLite table of believable predictions, such as a Peak model run leaves behind.
//!
//! The same seed writes the same customers everywhere. Timestamps all have one width, so that text order is time
//! order, and a thousand rows share each second, as the rows of one statement do.

use std::path::{Path, PathBuf};
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use rusqlite::{Connection, OpenFlags, Transaction, params};

use super::chance::Chance;
use super::customer_id;
use prediction::{Prediction, band, rounded};

mod prediction;

/// How long a touch waits for a reader to let go of the file.
const BUSY_TIMEOUT: Duration = Duration::from_secs(30);
/// Rows that share one `updated_at`.
const ROWS_PER_SECOND: u32 = 1_000;
/// 2026-01-05T06:00:00Z, when the sample's first model run began, in epoch seconds.
const FIRST_RUN_EPOCH: i64 = 1_767_592_800;

const CREATE: &str = "
create table customer_predictions (
  customer_id text primary key not null,
  updated_at text not null,
  model_run_id text,
  churn_probability real,
  churn_risk_band text,
  predicted_clv_12m numeric,
  value_tier text,
  next_purchase_date text,
  purchase_propensity_30d real,
  predicted_orders_12m numeric,
  discount_affinity real,
  lifecycle_segment text,
  favourite_category text,
  recommended_products text,
  is_reactivation_candidate integer
);";
const INDEX: &str = "create index customer_predictions_updated_at on customer_predictions (updated_at);";
const INSERT: &str = "insert into customer_predictions
  values (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15)";

/// Why a sample warehouse was not written or changed.
#[derive(Debug, thiserror::Error)]
pub enum WarehouseError {
    /// There is a file already.
    #[error("{} exists already; --touch changes it", .0.display())]
    Exists(PathBuf),
    /// There is no file to change.
    #[error("{} does not exist; without --touch it is written", .0.display())]
    Missing(PathBuf),
    /// The percentage is not one.
    #[error("a percentage lies between 0 and 100")]
    NotAPercentage,
    /// SQLite failed.
    #[error("SQLite could not {doing} the sample warehouse")]
    Sqlite {
        /// What was tried.
        doing: &'static str,
        /// What SQLite said.
        #[source]
        source: rusqlite::Error,
    },
}

/// What a touch does besides recomputing some customers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// Only the recomputed customers get a new `updated_at`.
    Values,
    /// Every row gets a new `updated_at`, as after a truncate and reload.
    TimestampsOnly,
}

/// Writes a new sample warehouse with `customers` rows, in one transaction.
///
/// # Errors
/// The file exists, or SQLite fails.
pub fn write(path: &Path, customers: u32, seed: u64) -> Result<(), WarehouseError> {
    if path.exists() {
        return Err(WarehouseError::Exists(path.to_owned()));
    }
    let fill = || {
        let mut connection = Connection::open(path)?;
        // A sample that a power cut spoils is written again.
        connection.pragma_update(None, "synchronous", "off")?;
        let transaction = connection.transaction()?;
        transaction.execute_batch(CREATE)?;
        insert_all(&transaction, customers, seed)?;
        transaction.execute_batch(INDEX)?;
        transaction.commit()
    };
    fill().map_err(|source| WarehouseError::Sqlite { doing: "write", source })
}

/// Recomputes the churn scores of `pct` percent of the customers, a different sample at each `now`; each gets a
/// really different probability. Gives the number of customers recomputed.
///
/// # Errors
/// The file is missing, `pct` is not a percentage, or SQLite fails.
pub fn touch(path: &Path, pct: f64, now: DateTime<Utc>, change: Change) -> Result<u32, WarehouseError> {
    if !(0.0..=100.0).contains(&pct) {
        return Err(WarehouseError::NotAPercentage);
    }
    if !path.exists() {
        return Err(WarehouseError::Missing(path.to_owned()));
    }
    let recompute = || {
        let mut connection = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
        connection.busy_timeout(BUSY_TIMEOUT)?;
        let transaction = connection.transaction()?;
        let mut chance = Chance::new(now.timestamp_micros().unsigned_abs());
        let sample = sample(&transaction, pct, &mut chance)?;
        rescore(&transaction, &sample, now, &mut chance)?;
        if change == Change::TimestampsOnly {
            transaction.execute("update customer_predictions set updated_at = ?1", [stamp(now)])?;
        }
        transaction.commit()?;
        Ok(u32::try_from(sample.len()).expect("no more than the rows written"))
    };
    recompute().map_err(|source| WarehouseError::Sqlite { doing: "change", source })
}

fn insert_all(transaction: &Transaction, customers: u32, seed: u64) -> rusqlite::Result<()> {
    let mut insert = transaction.prepare(INSERT)?;
    let first = DateTime::from_timestamp(FIRST_RUN_EPOCH, 0).expect("a date of our time");
    let run = run_id(first);
    for number in 1..=customers {
        let at = first + TimeDelta::seconds(i64::from((number - 1) / ROWS_PER_SECOND));
        let row = Prediction::of(seed, number);
        insert.execute(params![
            customer_id(number),
            stamp(at),
            run,
            row.churn_probability,
            band(row.churn_probability),
            row.predicted_clv_12m,
            row.value_tier,
            row.next_purchase_date,
            row.purchase_propensity_30d,
            row.predicted_orders_12m,
            row.discount_affinity,
            row.lifecycle_segment,
            row.favourite_category,
            row.recommended_products,
            row.is_reactivation_candidate,
        ])?;
    }
    Ok(())
}

/// Picks exactly `pct` percent of the rows, each with the same chance (Knuth, selection sampling).
fn sample(transaction: &Transaction, pct: f64, chance: &mut Chance) -> rusqlite::Result<Vec<(i64, f64)>> {
    let rows: u32 =
        transaction.query_row("select count(*) from customer_predictions", [], |row| row.get(0))?;
    let mut left = f64::from(rows);
    let mut wanted = (left * pct / 100.0).round();
    let mut select =
        transaction.prepare("select rowid, churn_probability from customer_predictions order by rowid")?;
    let mut found = select.query([])?;
    let mut picked = Vec::new();
    while let Some(row) = found.next()? {
        if chance.unit() * left < wanted {
            picked.push((row.get(0)?, row.get::<_, Option<f64>>(1)?.unwrap_or(0.5)));
            wanted -= 1.0;
        }
        left -= 1.0;
    }
    Ok(picked)
}

fn rescore(
    transaction: &Transaction,
    sample: &[(i64, f64)],
    now: DateTime<Utc>,
    chance: &mut Chance,
) -> rusqlite::Result<()> {
    let mut update = transaction.prepare(
        "update customer_predictions set churn_probability = ?2, churn_risk_band = ?3, updated_at = ?4,
           model_run_id = ?5 where rowid = ?1",
    )?;
    let (at, run) = (stamp(now), run_id(now));
    for (row, before) in sample {
        // Moves by 0.1 to 0.4 around the circle: different at any sensible rounding.
        let after = rounded((before + 0.1 + 0.3 * chance.unit()) % 1.0, 4);
        update.execute(params![row, after, band(after), at, run])?;
    }
    Ok(())
}

fn stamp(at: DateTime<Utc>) -> String {
    at.format("%Y-%m-%dT%H:%M:%S%.3fZ").to_string()
}

fn run_id(at: DateTime<Utc>) -> String {
    at.format("run-%Y%m%dT%H%M%S").to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(path: &Path, sql: &str) -> Vec<String> {
        let connection = Connection::open(path).expect("opens");
        let mut select = connection.prepare(sql).expect("valid SQL");
        let read = select.query_map([], |row| row.get(0)).expect("runs");
        read.collect::<Result<_, _>>().expect("text")
    }

    const DUMP: &str =
        "select customer_id || updated_at || churn_probability || coalesce(favourite_category, '')
                        || recommended_products from customer_predictions order by 1";
    const NOW: DateTime<Utc> = DateTime::from_timestamp_nanos(1_790_000_000_250_000_000);

    fn written(customers: u32) -> (tempfile::TempDir, PathBuf) {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("sample.db");
        write(&path, customers, 7).expect("written");
        (dir, path)
    }

    #[test]
    fn same_seed_writes_same_rows() {
        let (_one, first) = written(1_500);
        let (_two, second) = written(1_500);
        assert_eq!(rows(&first, DUMP), rows(&second, DUMP));
        assert_eq!(rows(&first, "select min(customer_id) from customer_predictions"), ["c-0000001"]);
        let stamps = rows(&first, "select distinct updated_at from customer_predictions order by 1");
        assert_eq!(stamps, ["2026-01-05T06:00:00.000Z", "2026-01-05T06:00:01.000Z"]);
    }

    #[test]
    fn an_existing_file_is_left_alone() {
        let (_dir, path) = written(1);
        assert!(matches!(write(&path, 1, 7), Err(WarehouseError::Exists(_))));
    }

    #[test]
    fn touch_really_changes_exactly_its_share() {
        let (_dir, path) = written(1_000);
        let scores =
            "select customer_id || ' ' || round(churn_probability, 2) from customer_predictions order by 1";
        let before = rows(&path, scores);
        assert_eq!(touch(&path, 1.0, NOW, Change::Values).expect("touched"), 10);
        let after = rows(&path, scores);
        assert_eq!(before.iter().zip(&after).filter(|(before, after)| before != after).count(), 10);
        let stamped = rows(&path, "select updated_at from customer_predictions where updated_at > '2026-02'");
        assert_eq!(stamped, vec![stamp(NOW); 10]);
    }

    #[test]
    fn a_reload_stamps_every_row() {
        let (_dir, path) = written(100);
        assert_eq!(touch(&path, 5.0, NOW, Change::TimestampsOnly).expect("touched"), 5);
        assert_eq!(rows(&path, "select distinct updated_at from customer_predictions"), [stamp(NOW)]);
    }

    #[test]
    fn bad_calls_are_refused() {
        let (_dir, path) = written(1);
        assert!(matches!(touch(&path, 101.0, NOW, Change::Values), Err(WarehouseError::NotAPercentage)));
        let missing = touch(&path.with_extension("none"), 1.0, NOW, Change::Values);
        assert!(matches!(missing, Err(WarehouseError::Missing(_))));
    }
}
