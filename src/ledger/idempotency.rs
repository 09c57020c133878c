//! Idempotency keys: a repeated request finds the first one's run, for 24 hours.

use chrono::{DateTime, TimeDelta, Utc};
use sqlx::{Sqlite, Transaction};
use uuid::Uuid;

use super::row::micros;
use super::{Enqueued, Idempotency, LedgerError};
use crate::run::{RunId, RunState};

/// How long a key is honoured. Source: contract, `POST /v1/syncs/{sync}/runs`.
pub(super) const HONOURED: TimeDelta = TimeDelta::hours(24);

/// The run of an earlier request with this key.
///
/// # Errors
/// [`LedgerError::KeyReused`] when that request had another body.
pub(super) async fn known(
    tx: &mut Transaction<'static, Sqlite>,
    idempotency: &Idempotency,
    now: DateTime<Utc>,
) -> Result<Option<Enqueued>, LedgerError> {
    let during = LedgerError::during("look up an idempotency key");
    sqlx::query(
        "-- idempotency::known\n delete from idempotency where scope = $1 and key = $2 and created_at < $3",
    )
    .bind(&idempotency.scope)
    .bind(&idempotency.key)
    .bind(micros(now - HONOURED))
    .execute(&mut **tx)
    .await
    .map_err(&during)?;
    let known: Option<(Vec<u8>, Uuid, bool, Option<String>)> = sqlx::query_as(
        "-- idempotency::known
         select body_digest, run_id, coalesced, (select state from runs where runs.id = run_id)
         from idempotency where scope = $1 and key = $2",
    )
    .bind(&idempotency.scope)
    .bind(&idempotency.key)
    .fetch_optional(&mut **tx)
    .await
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

/// Remembers what a request with this key came to.
pub(super) async fn remember(
    tx: &mut Transaction<'static, Sqlite>,
    idempotency: &Idempotency,
    queued: &Enqueued,
    now: DateTime<Utc>,
) -> Result<(), LedgerError> {
    sqlx::query(
        "-- idempotency::remember
         insert into idempotency (scope, key, body_digest, run_id, coalesced, created_at)
         values ($1, $2, $3, $4, $5, $6)",
    )
    .bind(&idempotency.scope)
    .bind(&idempotency.key)
    .bind(&idempotency.body_digest[..])
    .bind(queued.run_id.0)
    .bind(queued.coalesced)
    .bind(micros(now))
    .execute(&mut **tx)
    .await
    .map(drop)
    .map_err(LedgerError::during("remember an idempotency key"))
}
