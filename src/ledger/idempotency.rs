//! Idempotency keys: a repeated request finds the first one's run, for 24 hours.

use chrono::{DateTime, TimeDelta, Utc};
use uuid::Uuid;

use super::column::At;
use super::statement::{execute, fetch_one, fetch_optional};
use super::store::{Side, Tx};
use super::{Enqueued, Idempotency, LedgerError};
use crate::run::{RunId, RunState};

/// How long a key is honoured. Source: contract, `POST /v1/syncs/{sync}/runs`.
pub(super) const HONOURED: TimeDelta = TimeDelta::hours(24);

/// The run of an earlier request with this key.
///
/// # Errors
/// [`LedgerError::KeyReused`] when that request had another body.
pub(super) async fn known(
    tx: &mut Tx,
    idempotency: &Idempotency,
    now: DateTime<Utc>,
) -> Result<Option<Enqueued>, LedgerError> {
    let during = LedgerError::during("look up an idempotency key");
    one_at_a_time(tx, idempotency).await?;
    execute!(
        tx,
        "-- idempotency::known\n delete from idempotency where scope = $1 and key = $2 and created_at < $3",
        &idempotency.scope,
        &idempotency.key,
        At(now - HONOURED)
    )
    .map_err(&during)?;
    let known: Option<(Vec<u8>, Uuid, bool, Option<String>)> = fetch_optional!(
        tx,
        query_as(
            "-- idempotency::known
         select body_digest, run_id, coalesced, (select state from runs where runs.id = run_id)
         from idempotency where scope = $1 and key = $2",
            &idempotency.scope,
            &idempotency.key
        )
    )
    .map_err(&during)?;
    match known {
        None => Ok(None),
        Some((digest, ..)) if digest != idempotency.body_digest => Err(LedgerError::KeyReused),
        Some((_, id, coalesced, state)) => {
            let state = state.and_then(|state| state.parse().ok()).unwrap_or(RunState::Queued);
            Ok(Some(Enqueued { run_id: RunId(id), state, coalesced }))
        }
    }
}

/// A request that comes meanwhile with the same key waits until this one is committed.
async fn one_at_a_time(tx: &mut Tx, idempotency: &Idempotency) -> Result<(), LedgerError> {
    if let Side::Sqlite(_) = tx.side() {
        return Ok(());
    }
    let text = format!("peak-braze {}\n{}", idempotency.scope, idempotency.key);
    let locked: Result<i32, sqlx::Error> = fetch_one!(
        tx,
        query_scalar(
            "-- idempotency::one_at_a_time
             select 1 from (select pg_advisory_xact_lock(hashtextextended($1, 0))) as locked",
            text,
        )
    );
    locked.map(drop).map_err(LedgerError::during("look up an idempotency key"))
}

/// Remembers what a request with this key came to.
pub(super) async fn remember(
    tx: &mut Tx,
    idempotency: &Idempotency,
    queued: &Enqueued,
    now: DateTime<Utc>,
) -> Result<(), LedgerError> {
    execute!(
        tx,
        "-- idempotency::remember
         insert into idempotency (scope, key, body_digest, run_id, coalesced, created_at)
         values ($1, $2, $3, $4, $5, $6)",
        &idempotency.scope,
        &idempotency.key,
        &idempotency.body_digest[..],
        queued.run_id.0,
        queued.coalesced,
        At(now)
    )
    .map(drop)
    .map_err(LedgerError::during("remember an idempotency key"))
}
