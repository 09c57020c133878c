//! Drives batches to their verdicts, for one attempt of a run.

use std::fmt;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::announced::told;
use super::client::Trouble;
use super::destination::Braze;
use super::fenced::Permit;
use super::parts::{Part, Parts};
use super::stop::{Fatal, PushFailed, Stop};
use super::update::Batch;
use super::verdict::{Pushed, Reply, Verdict, classify};
use crate::clock::Moment;
use crate::customer::Code;
use crate::telemetry::trace;

/// Asked right before each request starts: false, and it does not.
pub type Fence = Arc<dyn Fn() -> bool + Send + Sync>;

/// Requests of an attempt that its trace shows: of a run of millions the rest look alike, and no trace is read that long.
const TRACED_REQUESTS: u32 = 1_000;
/// Updates refused alone in the same way, with none accepted, after which the mapping is at fault, not the customers.
const REFUSES_EVERYTHING: u32 = 20;

/// Pushes batches for one attempt of a run; many at a time.
pub struct Pusher {
    braze: Arc<Braze>,
    fence: Fence,
    halted: CancellationToken,
    started_at: Instant,
    standing: Mutex<Standing>,
    traced: AtomicU32,
}

/// What this run has seen of Braze's goodwill.
#[derive(Debug, Default)]
struct Standing {
    has_accepted: bool,
    refused: Option<(Code, u32)>,
}

/// What a push cost so far.
#[derive(Clone, Copy, Debug, Default)]
struct Effort {
    requests: u32,
    retries: u32,
    bytes_sent: u64,
    /// Whether Braze may have taken any of it.
    may_be_taken: bool,
}

impl Pusher {
    pub(super) fn new(braze: Arc<Braze>, fence: Fence, halted: CancellationToken) -> Self {
        Self {
            braze,
            fence,
            halted,
            started_at: Instant::now(),
            standing: Mutex::default(),
            traced: AtomicU32::new(0),
        }
    }

    /// The same for a run in which Braze has accepted some updates already.
    pub fn after_acceptance(self, has_accepted: bool) -> Self {
        self.standing.lock().expect("no holder of the standing panics").has_accepted = has_accepted;
        self
    }

    /// Sends a batch until every update has its verdict. Waits for the budget, concurrency, announced resets and
    /// backoff; where it is dropped, nothing more is sent.
    ///
    /// # Errors
    /// When there is no use in going on, or no leave to: see [`Stop`].
    pub async fn push(&self, batch: &Batch) -> Result<Pushed, PushFailed> {
        let mut effort = Effort::default();
        match self.settle(batch, &mut effort).await {
            Ok((verdicts, queued_by_braze)) => {
                let Effort { requests, retries, bytes_sent, .. } = effort;
                Ok(Pushed { verdicts, requests, retries, bytes_sent, queued_by_braze })
            }
            Err(stop) => {
                if let Stop::Fatal(fatal) = stop {
                    tracing::warn!(
                        destination = self.braze.name,
                        code = fatal.code(),
                        "Braze takes nothing more"
                    );
                }
                let Effort { requests, retries, bytes_sent, may_be_taken } = effort;
                Err(PushFailed { stop, may_be_taken, requests, retries, bytes_sent })
            }
        }
    }

    async fn settle(&self, batch: &Batch, effort: &mut Effort) -> Result<(Vec<Verdict>, bool), Stop> {
        let mut parts = Parts::new(batch);
        while let Some(part) = parts.next(self.braze.batch_size(), self.braze.max_body_bytes()) {
            let reply = self.ask(batch, &part, effort).await?;
            match &reply {
                Reply::Fatal(fatal) => return Err(Stop::Fatal(*fatal)),
                Reply::TooMany => self.braze.shrink(part.len()),
                Reply::Settled { rejected, .. } if rejected.len() < part.len() => self.accepted(),
                _ => {}
            }
            if let Some(code) = parts.settle(part, &reply) {
                self.refused(code)?;
            }
        }
        let queued = parts.queued;
        Ok((parts.into_verdicts(), queued))
    }

    /// One request, once it may start.
    async fn ask(&self, batch: &Batch, part: &Part, effort: &mut Effort) -> Result<Reply, Stop> {
        self.may_start()?;
        let gate = &self.braze.gate;
        let leave = async {
            self.back_off(part).await;
            gate.enter().await
        };
        // A wait may last an hour; whoever stops the run does not wait with it.
        let entry = tokio::select! {
            biased;
            () = self.halted.cancelled() => return Err(Stop::Fenced),
            entry = leave => entry,
        };
        self.may_start()?;
        let body = batch.body(&part.updates);
        let before = *effort;
        effort.add(body.len(), part.tries > 0);
        let (reply, told, status) = match self.braze.http.track(body, self.permit(entry.until)).await {
            Ok(heard) => {
                let reply = classify(heard.status, &heard.headers, heard.body.as_deref(), part.len());
                self.log(part, &reply, Some(heard.status.as_u16()));
                effort.may_be_taken |= !reply.is_clear_refusal();
                (reply, told(&heard.headers), Some(heard.status.as_u16()))
            }
            Err(Trouble::Fenced) => {
                *effort = before;
                return Err(Stop::Fenced);
            }
            Err(trouble) => {
                let reply = if trouble == Trouble::Tls { Reply::Fatal(Fatal::Tls) } else { Reply::Down };
                self.log(part, &reply, None);
                effort.may_be_taken |= trouble.may_be_taken();
                (reply, None, None)
            }
        };
        gate.heard(&entry.slot, &reply, told);
        self.trace(part, &reply, status, entry.slot.started_at);
        Ok(reply)
    }

    /// Waits before a payload that failed goes again, so that retries stay few and spread.
    async fn back_off(&self, part: &Part) {
        let Some(attempt) = part.failures.checked_sub(1) else { return };
        let gate = &self.braze.gate;
        tokio::time::sleep(gate.breaker.backoff(attempt, &gate.chance)).await;
        while let Err(wait) = gate.breaker.retry(Instant::now()) {
            tokio::time::sleep(wait).await;
        }
    }

    /// What is asked at the moment a request is written: the fence once more, and whether its leave still stands.
    fn permit(&self, until: Option<Moment>) -> Permit {
        let fence = self.fence.clone();
        Box::new(move || fence() && until.is_none_or(|until| !until.has_passed()))
    }

    fn may_start(&self) -> Result<(), Stop> {
        if !(self.fence)() {
            return Err(Stop::Fenced);
        }
        let failing_since = self.braze.gate.breaker.failing_since();
        let failing = failing_since.map(|since| since.max(self.started_at).elapsed());
        if failing.is_some_and(|failing| failing >= self.braze.give_up_after) {
            return Err(Stop::GaveUp);
        }
        Ok(())
    }

    fn accepted(&self) {
        self.standing.lock().expect("no holder of the standing panics").has_accepted = true;
    }

    /// An update was refused alone.
    fn refused(&self, code: Code) -> Result<(), Stop> {
        let mut standing = self.standing.lock().expect("no holder of the standing panics");
        let times = match standing.refused {
            Some((last, times)) if last == code => times + 1,
            _ => 1,
        };
        standing.refused = Some((code, times));
        if times >= REFUSES_EVERYTHING && !standing.has_accepted {
            return Err(Stop::Fatal(Fatal::RefusesEverything));
        }
        Ok(())
    }

    /// Shows the request in the run's trace. Braze is told nothing of it: it gets no header of ours that it has no use for.
    fn trace(&self, part: &Part, reply: &Reply, status: Option<u16>, started_at: Instant) {
        if !trace::is_on() || self.traced.fetch_add(1, Ordering::Relaxed) >= TRACED_REQUESTS {
            return;
        }
        trace::called("POST /users/track", started_at.elapsed(), || {
            let mut attributes = vec![
                trace::attribute("http.request.method", "POST"),
                trace::attribute("destination", self.braze.name.clone()),
                trace::attribute("class", reply.class()),
                trace::attribute("updates", i64::try_from(part.len()).unwrap_or(i64::MAX)),
                trace::attribute("http.request.resend_count", i64::from(part.tries)),
            ];
            attributes.extend(
                status.map(|status| trace::attribute("http.response.status_code", i64::from(status))),
            );
            attributes
        });
    }

    fn log(&self, part: &Part, reply: &Reply, status: Option<u16>) {
        if matches!(reply, Reply::Settled { .. } | Reply::Fatal(_) | Reply::RateLimited(_)) {
            return;
        }
        let class = reply.class();
        let (destination, updates, attempt) = (&self.braze.name, part.len(), part.tries + 1);
        tracing::info!(
            destination,
            status,
            class,
            updates,
            attempt,
            "Braze did not take a request as it was"
        );
    }
}

impl Effort {
    fn add(&mut self, bytes: usize, is_retry: bool) {
        self.requests += 1;
        self.retries += u32::from(is_retry);
        self.bytes_sent += bytes as u64;
    }
}

/// Shows the destination only.
impl fmt::Debug for Pusher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pusher").field("braze", &self.braze).finish_non_exhaustive()
    }
}
