//! Gathers portions into groups on a task of its own, so that reading goes on while an earlier group is recorded.

use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_util::task::AbortOnDropHandle;

use super::portion::Portion;

/// Portions recorded together: a commit per batch would cost more than the batch.
const GROUP_PORTIONS: usize = 75;
/// How long a portion waits for others before its group is handed on; the first of a run waits for none.
const GROUP_WAIT: Duration = Duration::from_millis(250);

/// Groups as they are gathered, one ahead. Dropped, it gathers no more.
pub(super) struct Gathered {
    groups: mpsc::Receiver<Vec<Portion>>,
    task: AbortOnDropHandle<()>,
}

impl Gathered {
    pub(super) fn from(portions: mpsc::Receiver<Portion>) -> Self {
        let (sender, groups) = mpsc::channel(1);
        Self { groups, task: AbortOnDropHandle::new(tokio::spawn(gather(portions, sender))) }
    }

    /// The next group; none once every portion has been handed on. Safe to be dropped.
    pub(super) async fn next(&mut self) -> Option<Vec<Portion>> {
        if let Some(group) = self.groups.recv().await {
            return Some(group);
        }
        // An end that is none must not pass for one: what was not handed on would count as sent.
        if let Err(joined) = (&mut self.task).await {
            std::panic::resume_unwind(joined.into_panic());
        }
        None
    }

    /// The next group, if it is there.
    pub(super) fn waiting(&mut self) -> Option<Vec<Portion>> {
        self.groups.try_recv().ok()
    }
}

async fn gather(mut portions: mpsc::Receiver<Portion>, groups: mpsc::Sender<Vec<Portion>>) {
    let mut wait = Duration::ZERO;
    // Room first: of what is read ahead, a group waits and no second one beside it.
    while let Ok(room) = groups.reserve().await
        && let Some(group) = group(&mut portions, wait).await
    {
        room.send(group);
        wait = GROUP_WAIT;
    }
}

/// As many portions as come within `wait` of the first.
async fn group(portions: &mut mpsc::Receiver<Portion>, wait: Duration) -> Option<Vec<Portion>> {
    let mut group = vec![portions.recv().await?];
    let deadline = Instant::now() + wait;
    while group.len() < GROUP_PORTIONS {
        match tokio::time::timeout_at(deadline, portions.recv()).await {
            Ok(Some(portion)) => group.push(portion),
            Ok(None) | Err(_) => break,
        }
    }
    Some(group)
}
