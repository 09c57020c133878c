//! Delivers notices: claims what is due for each receiver, posts it, and writes down what became of it.
//!
//! A receiver that is slow or away costs the others nothing, and the runs nothing. A notice whose process falls is
//! claimed again a minute later and goes out with the same id.

use std::sync::Arc;
use std::time::Duration;

use chrono::TimeDelta;
use tokio::sync::Notify;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::own::Own;
use super::{LOOK_EVERY, Syncs, measure};
use crate::clock::Clock;
use crate::ledger::{Ledger, LedgerError, Notice};
use crate::notify::{self, Receiver, Verdict};

/// How often what nobody will be told any more is dropped, and what waits is counted.
const SWEEP_EVERY: Duration = Duration::from_secs(10);
/// Longest that deliveries are waited for at the end: what is not out by then goes out after the next start.
const LAST_POSTS: Duration = Duration::from_secs(3);

/// Delivers notices until told to stop.
pub(super) struct Notices {
    pub ledger: Ledger,
    pub syncs: Arc<dyn Syncs>,
    pub clock: Clock,
    /// Told once no run can end here any more.
    pub stopping: CancellationToken,
    /// How long a drain may take in all.
    pub drain: Duration,
}

impl Notices {
    pub(super) async fn keep(self) {
        let (posts, ended) = (Posts::default(), Arc::new(Notify::new()));
        let wake = self.ledger.wake();
        let mut swept: Option<Instant> = None;
        while !self.stopping.is_cancelled() {
            let rung = wake.notified();
            tokio::pin!(rung);
            rung.as_mut().enable();
            tell(self.look(&posts, &ended).await);
            if swept.is_none_or(|at| at.elapsed() >= SWEEP_EVERY) {
                tell(self.sweep().await);
                swept = Some(Instant::now());
            }
            tokio::select! {
                () = &mut rung => {}
                () = ended.notified() => {}
                () = tokio::time::sleep(LOOK_EVERY) => {}
                () = self.stopping.cancelled() => {}
            }
        }
        // What the last runs came to. The runs themselves have most of the drain for their last answers.
        let last = async {
            tell(self.look(&posts, &ended).await);
            posts.tasks.close();
            posts.tasks.wait().await;
        };
        let _ = tokio::time::timeout(LAST_POSTS.min(self.drain / 5), last).await;
        posts.over.cancel();
    }

    /// Claims what is due, as much as each receiver may be given at once.
    async fn look(&self, posts: &Posts, ended: &Arc<Notify>) -> Result<(), LedgerError> {
        let now = self.clock.now();
        let receivers: Vec<Arc<Receiver>> =
            self.syncs.receivers().into_iter().filter(|receiver| receiver.room(now) > 0).collect();
        if receivers.is_empty() {
            return Ok(());
        }
        let names: Vec<String> = receivers.iter().map(|receiver| receiver.name.clone()).collect();
        let due = self.ledger.due_receivers(&names).await?;
        for receiver in receivers.into_iter().filter(|receiver| due.contains(&receiver.name)) {
            let own = posts.own.numbers();
            for notice in self.ledger.claim_notices(&receiver.name, receiver.room(now), &own).await? {
                let place = (receiver.place(), posts.own.take(notice.number));
                let (ledger, clock, ended) = (self.ledger.clone(), self.clock.clone(), ended.clone());
                let receiver = receiver.clone();
                let over = posts.over.clone();
                posts.tasks.spawn(async move {
                    let delivering = deliver(&ledger, &receiver, &notice, &clock);
                    if let Some(done) = over.run_until_cancelled(delivering).await {
                        tell(done);
                    }
                    drop(place);
                    ended.notify_one();
                });
            }
        }
        Ok(())
    }

    async fn sweep(&self) -> Result<(), LedgerError> {
        let receivers: Vec<String> =
            self.syncs.receivers().iter().map(|receiver| receiver.name.clone()).collect();
        let mut backlog = self.ledger.backlog().await?;
        if !receivers.is_empty() || backlog.pending > 0 {
            let dropped = self.ledger.sweep_notices(&receivers).await?;
            if !dropped.is_empty() {
                tracing::warn!(notices = dropped.len(), "notices dropped: too many, too old, or for nobody");
                dropped.iter().for_each(|event| measure::notice(*event, "dropped"));
                backlog = self.ledger.backlog().await?;
            }
        }
        let age = backlog.oldest_at.map_or(TimeDelta::zero(), |at| self.clock.now() - at);
        measure::backlog(backlog.pending, age);
        Ok(())
    }
}

/// Deliveries under way.
#[derive(Default)]
struct Posts {
    tasks: TaskTracker,
    /// Told where they are waited for no longer.
    over: CancellationToken,
    own: Own<i64>,
}

/// One delivery, and what follows from it: counted once it is written down.
async fn deliver(
    ledger: &Ledger,
    receiver: &Receiver,
    notice: &Notice,
    clock: &Clock,
) -> Result<(), LedgerError> {
    let Notice { id, event, at, ref occasion, .. } = *notice;
    let told = notify::Notice { id, event, at, occasion };
    let verdict = receiver.post(&told, clock.now()).await;
    let (host, event, tries) = (&receiver.host, notice.event, notice.tries);
    let (why, wait) = match verdict {
        Verdict::Delivered => {
            ledger.settle_notice(notice).await?;
            measure::notice(event, "delivered");
            return Ok(());
        }
        Verdict::Gone => {
            let says =
                "a receiver of notices said 410 Gone: nothing is posted to it until the config is read again";
            tracing::warn!(%host, "{says}");
            ("410 Gone".to_owned(), (tries < notify::MOST_TRIES).then_some(Duration::ZERO))
        }
        Verdict::Failed { why, asked } => (why, notify::wait(tries, asked, chance())),
    };
    match wait.and_then(|wait| TimeDelta::from_std(wait).ok()) {
        Some(wait) => {
            tracing::warn!(%host, event = event.as_str(), tries, %why, "notice not delivered; tried again later");
            ledger.postpone_notice(notice, wait).await?;
            measure::notice(event, "retried");
        }
        None => {
            tracing::error!(%host, event = event.as_str(), tries, %why, "notice given up");
            ledger.settle_notice(notice).await?;
            measure::notice(event, "given_up");
        }
    }
    Ok(())
}

/// Spreads retries; nothing secret depends on it.
fn chance() -> u32 {
    // The first field of a random id is random throughout.
    uuid::Uuid::new_v4().as_fields().0
}

fn tell(done: Result<(), LedgerError>) {
    if let Err(error) = done {
        tracing::warn!(error = &error as &dyn std::error::Error, "notices wait; tried again");
    }
}
