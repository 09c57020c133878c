//! What this very process has under way, by number: a wall clock that jumps must not make it rob itself.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Numbers under way.
#[derive(Debug)]
pub(super) struct Own<N>(Arc<Mutex<BTreeSet<N>>>);

impl<N> Default for Own<N> {
    fn default() -> Self {
        Self(Arc::default())
    }
}

impl<N: Copy + Ord> Own<N> {
    pub(super) fn numbers(&self) -> Vec<N> {
        locked(&self.0).iter().copied().collect()
    }

    pub(super) fn take(&self, number: N) -> Taken<N> {
        locked(&self.0).insert(number);
        Taken { own: self.0.clone(), number }
    }
}

/// One of them, until dropped, however its task ends.
pub(super) struct Taken<N: Copy + Ord> {
    own: Arc<Mutex<BTreeSet<N>>>,
    number: N,
}

impl<N: Copy + Ord> Drop for Taken<N> {
    fn drop(&mut self) {
        locked(&self.own).remove(&self.number);
    }
}

fn locked<N>(own: &Mutex<BTreeSet<N>>) -> MutexGuard<'_, BTreeSet<N>> {
    // A set of numbers is whole between any two of its operations.
    own.lock().unwrap_or_else(PoisonError::into_inner)
}
