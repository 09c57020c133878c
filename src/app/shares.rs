//! Keeps this process's shares of the budgets that replicas have together: asks the ledger for each, about once a
//! second while there is something to send, and never on the way of a request.

use std::time::Duration;

use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::braze::{Asked, Stake, Standing};
use crate::ledger::Ledger;
use crate::share::Dealt;

/// Renewals in the life of a share at least: three may fail before it runs out.
const RENEWALS: u32 = 4;
/// Longest time between two: others that come to need a share, and holds where no notice gets through, wait for it.
const LONGEST: Duration = Duration::from_secs(1);
/// How soon it is asked again where others have to give something up first: they do so in a moment.
const SHORT: Duration = Duration::from_millis(250);
/// Shortest time between two, where a request finds its share used up before its time.
const SHORTEST: Duration = Duration::from_millis(100);
/// How long an answer is waited for: well under the life of a share, so that another try still comes in time.
const PATIENCE: Duration = Duration::from_secs(2);
/// How long giving back may take at the end; what is not given back runs out by itself.
const GIVING_BACK: Duration = Duration::from_secs(1);

/// The shares of this process.
pub(super) struct Shares {
    ledger: Ledger,
    keepers: TaskTracker,
    ending: CancellationToken,
}

impl Shares {
    pub(super) fn new(ledger: Ledger) -> Self {
        Self { ledger, keepers: TaskTracker::new(), ending: CancellationToken::new() }
    }

    /// Asks for a destination's share from now on, for as long as it is used.
    pub(super) fn keep(&self, stake: Stake) {
        let keeper = Keeper { stake, ledger: self.ledger.clone(), ending: self.ending.clone() };
        self.keepers.spawn(keeper.keep());
    }

    /// Gives everything back. Nothing is sent any more.
    pub(super) async fn give_back(&self) {
        self.ending.cancel();
        self.keepers.close();
        // What is not given back in time runs out by itself.
        let _ = tokio::time::timeout(GIVING_BACK, self.keepers.wait()).await;
    }
}

struct Keeper {
    stake: Stake,
    ledger: Ledger,
    ending: CancellationToken,
}

impl Keeper {
    async fn keep(self) {
        let calls = self.ledger.share_calls();
        let (mut is_away, mut rest) = (false, Rest::Idle);
        loop {
            let called = calls.notified();
            tokio::pin!(called);
            called.as_mut().enable();
            self.pause(rest, called).await;
            if self.ending.is_cancelled() {
                break;
            }
            let Some(asked) = self.stake.ask() else { return };
            rest = match self.deal(&asked, &mut is_away).await {
                Some(dealt) => Rest::after(&dealt, self.stake.dealt(&asked, &dealt)),
                None => Rest::Short(SHORT),
            };
        }
        self.stake.give_back();
        if let Some(asked) = self.stake.ask() {
            self.deal(&asked, &mut is_away).await;
        }
    }

    /// Until it is time to ask again. `called`: another replica waits for a share, or has heard a hold.
    async fn pause(&self, rest: Rest, called: impl Future<Output = ()>) {
        let wanted = async {
            match rest {
                Rest::Idle => self.stake.wanted().await,
                Rest::Served(_) => {
                    tokio::time::sleep(SHORTEST).await;
                    self.stake.wanted().await;
                }
                Rest::Short(_) | Rest::None => std::future::pending().await,
            }
        };
        let time = async {
            match rest {
                Rest::Idle => std::future::pending().await,
                Rest::Served(wait) | Rest::Short(wait) => {
                    tokio::select! {
                        () = tokio::time::sleep(wait) => {}
                        () = called => {}
                    }
                }
                Rest::None => {}
            }
        };
        tokio::select! {
            () = self.ending.cancelled() => {}
            () = self.stake.urged() => {}
            () = wanted => {}
            () = time => {}
        }
    }

    async fn deal(&self, asked: &Asked, is_away: &mut bool) -> Option<Dealt> {
        let budget = self.stake.budget();
        let error = match tokio::time::timeout(PATIENCE, self.ledger.deal(budget, &asked.ask)).await {
            Ok(Ok(dealt)) => {
                *is_away = false;
                tracing::debug!(budget, share = dealt.share, due = dealt.due, "share dealt");
                return Some(dealt);
            }
            Ok(Err(error)) => anyhow::Error::new(error),
            Err(late) => anyhow::Error::new(late),
        };
        if !std::mem::replace(is_away, true) {
            tracing::warn!(
                budget,
                error = format!("{error:#}"),
                "no share of the budget can be had: once the last runs out, nothing is sent"
            );
        }
        None
    }
}

/// How long until the next ask.
#[derive(Clone, Copy, Debug)]
enum Rest {
    /// Until something is to be sent: nothing is held that would have to be renewed.
    Idle,
    /// The share is as large as it gets.
    Served(Duration),
    /// Others have to give something up first, or the ledger is out of reach.
    Short(Duration),
    /// Others wait to hear that this process keeps to less.
    None,
}

impl Rest {
    fn after(dealt: &Dealt, standing: Standing) -> Self {
        let renewal = (dealt.lasts / RENEWALS).min(LONGEST);
        match standing {
            Standing::Lowered => Self::None,
            Standing::Short => Self::Short(SHORT.min(renewal)),
            Standing::Served => Self::Served(renewal),
            Standing::Idle => Self::Idle,
        }
    }
}
