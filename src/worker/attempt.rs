//! One attempt of one run: claimed, kept alive, seen to its end, and what comes after.

use std::sync::Arc;
use std::time::Duration;

use chrono::TimeDelta;
use futures_util::FutureExt;
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::Instrument;

use super::{Syncs, heartbeat, measure};
use crate::clock::Clock;
use crate::ledger::{Finish, Lease, Ledger, LedgerError};
use crate::run::{RunError, RunState};
use crate::sync::{self, Claim, Stopped};
use crate::telemetry::trace;

/// How long a run waits after its attempt was cut short by a panic or by the ledger.
const AFTER_A_FALL: TimeDelta = TimeDelta::seconds(5);
/// How often, and how far apart, the last write of an attempt is tried: a claim that is not given back delays the
/// next attempt by the rest of its lease, no more.
const LAST_WRITE_TRIES: u32 = 5;
const LAST_WRITE_WAIT: Duration = Duration::from_millis(200);

pub(super) struct Attempt {
    pub ledger: Ledger,
    pub syncs: Arc<dyn Syncs>,
    pub clock: Clock,
    pub lease_lasts: Duration,
    pub drain: Duration,
    pub draining: CancellationToken,
}

impl Attempt {
    /// Runs the run, and records how the attempt ended.
    pub(super) async fn see_through(self, lease: Lease) {
        let traced = trace::resumed("run", lease.traceparent.as_deref());
        let span = tracing::info_span!("run", run.id = %lease.run.id, sync = %lease.run.sync,
            attempt = lease.run.attempt, trace.id = traced.trace_id());
        traced.set("run.id", lease.run.id.to_string());
        traced.set("sync", lease.run.sync.clone());
        traced.set("attempt", i64::from(lease.run.attempt));
        traced.set("mode", lease.run.mode.as_str());
        let attempt = async {
            tracing::info!(mode = %lease.run.mode, "run claimed");
            measure::claimed(&lease);
            let claimed_at = Instant::now();
            // Whatever panics, the process and its other runs go on.
            let ending = std::panic::AssertUnwindSafe(self.run(&lease)).catch_unwind().await;
            let mut ending = ending.unwrap_or(Ending::Panicked);
            match (self.record(&lease, &mut ending).await, &ending) {
                (Ok(()), Ending::Finished(finish)) => measure::finished(&lease, finish, claimed_at),
                (Ok(()), _) => {}
                (Err(error), _) => tracing::warn!(
                    error = &error as &dyn std::error::Error,
                    "the attempt's end could not be recorded"
                ),
            }
            ending.tell(&traced);
        };
        traced.around(Box::pin(attempt.instrument(span))).await;
    }

    async fn run(&self, lease: &Lease) -> Ending {
        if lease.cancel_requested {
            return Ending::Finished(Box::new(cancelled(lease)));
        }
        let rooms = match self.syncs.rooms(&lease.run.sync) {
            Ok(rooms) => rooms,
            Err(message) => return Ending::Finished(Box::new(misconfigured(lease, message))),
        };
        let (renewed, expires) = watch::channel(lease.expires);
        let claim = Claim {
            expires,
            lease: self.lease_lasts,
            // The rest is for writing down what they said, and for giving the claim back.
            last_answers: self.drain * 7 / 10,
            cancelled: CancellationToken::new(),
            draining: self.draining.clone(),
            lost: CancellationToken::new(),
        };
        let keep = heartbeat::keep(self.ledger.clone(), lease.clone(), claim.clone(), renewed);
        tokio::select! {
            outcome = sync::run(&rooms, lease, &claim) => match outcome {
                Ok(finish) => Ending::Finished(Box::new(finish)),
                Err(stopped) => Ending::of(stopped, lease),
            },
            never = keep => match never {},
        }
    }

    /// Records how the attempt ended; a finish becomes what the ledger made of it.
    async fn record(&self, lease: &Lease, ending: &mut Ending) -> Result<(), LedgerError> {
        match ending {
            Ending::Finished(finish) => {
                **finish = self.last_write(|| self.ledger.finish(lease.clone(), (**finish).clone())).await?;
                tracing::info!(state = %finish.state, error = finish.error.as_ref().map(|error| &*error.code), "run ended");
                Ok(())
            }
            Ending::Panicked => {
                tracing::error!("the run panicked; it goes on in another attempt");
                let not_before = Some(self.clock.now() + AFTER_A_FALL);
                let error = fallen("crashed", "the attempt panicked");
                self.last_write(|| self.ledger.release(lease.clone(), not_before, true, Some(error.clone())))
                    .await
            }
            Ending::LeaseLost => {
                tracing::warn!("the lease was lost; whoever has it goes on");
                Ok(())
            }
            Ending::PutDown => {
                tracing::info!("run put down; it goes on in another attempt");
                self.last_write(|| self.ledger.release(lease.clone(), None, false, None)).await
            }
            Ending::LedgerFailed(error) => {
                tracing::warn!(error = error as &dyn std::error::Error, "the ledger failed under the run");
                let not_before = Some(self.clock.now() + AFTER_A_FALL);
                // What waiting does not heal counts like a panic, so that it comes to an end.
                let is_crash = !error.is_retryable();
                let error = fallen("ledger_unavailable", "the ledger could not be read or written");
                self.last_write(|| {
                    self.ledger.release(lease.clone(), not_before, is_crash, Some(error.clone()))
                })
                .await
            }
        }
    }

    async fn last_write<F, T>(&self, mut write: impl FnMut() -> F) -> Result<T, LedgerError>
    where
        F: Future<Output = Result<T, LedgerError>>,
    {
        for _ in 1..LAST_WRITE_TRIES {
            match write().await {
                Err(error) if error.is_retryable() => tokio::time::sleep(LAST_WRITE_WAIT).await,
                other => return other,
            }
        }
        write().await
    }
}

enum Ending {
    Finished(Box<Finish>),
    /// Another attempt goes on.
    PutDown,
    LeaseLost,
    LedgerFailed(LedgerError),
    Panicked,
}

impl Ending {
    fn tell(&self, span: &trace::Span) {
        let (word, code) = match self {
            Self::Finished(finish) => {
                (finish.state.as_str(), finish.error.as_ref().map(|error| error.code.clone()))
            }
            Self::PutDown => ("put_down", None),
            Self::LeaseLost => ("lease_lost", None),
            Self::LedgerFailed(_) => ("ledger_failed", Some("ledger_unavailable".to_owned())),
            Self::Panicked => ("panicked", Some("crashed".to_owned())),
        };
        span.set("state", word);
        code.into_iter().for_each(|code| span.fail(code));
    }

    fn of(stopped: Stopped, lease: &Lease) -> Self {
        match stopped {
            Stopped::Failed { error, blocks } => {
                Self::Finished(Box::new(Finish { blocks, ..failed(lease, error) }))
            }
            Stopped::Cancelled => Self::Finished(Box::new(cancelled(lease))),
            Stopped::Draining => Self::PutDown,
            Stopped::LeaseLost => Self::LeaseLost,
            Stopped::Ledger(error) => Self::LedgerFailed(error),
        }
    }
}

fn fallen(code: &str, message: &str) -> RunError {
    RunError { code: code.to_owned(), message: message.to_owned(), retryable: true }
}

fn failed(lease: &Lease, error: RunError) -> Finish {
    Finish {
        state: RunState::Failed,
        checkpoint: lease.checkpoint.clone(),
        error: Some(error),
        watermark: None,
        was_full: false,
        blocks: false,
    }
}

fn cancelled(lease: &Lease) -> Finish {
    Finish { state: RunState::Cancelled, ..failed(lease, RunError::cancelled()) }
}

fn misconfigured(lease: &Lease, message: String) -> Finish {
    failed(lease, RunError { code: "schema_mismatch".to_owned(), message, retryable: false })
}
