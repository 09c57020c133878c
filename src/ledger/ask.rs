//! How much a queued run is asked for, and what joining makes of two asks.

use std::collections::BTreeSet;

use crate::run::Mode;

/// What a run is asked to cover: everybody in some mode, chosen customers with all their values, or both.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Ask {
    /// With `Force` and `customers`: only these. Else: everybody in this mode.
    pub mode: Mode,
    /// Customers all of whose values go.
    pub customers: Option<Vec<String>>,
}

impl Ask {
    /// The mode for everybody; none where only chosen customers are asked for.
    fn general(&self) -> Option<Mode> {
        match (self.mode, &self.customers) {
            (Mode::Force, Some(_)) => None,
            (mode, _) => Some(mode),
        }
    }

    /// One ask that covers both.
    pub(super) fn join(self, other: Self) -> Self {
        let general = self.general().max(other.general());
        let chosen: BTreeSet<String> =
            [self.customers, other.customers].into_iter().flatten().flatten().collect();
        let customers = (!chosen.is_empty()).then(|| chosen.into_iter().collect());
        match general {
            Some(Mode::Force) => Self { mode: Mode::Force, customers: None },
            Some(mode) => Self { mode, customers },
            None => Self { mode: Mode::Force, customers: Some(customers.unwrap_or_default()) },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ask(mode: Mode, customers: &[&str]) -> Ask {
        let customers: Vec<String> = customers.iter().map(|id| (*id).to_owned()).collect();
        Ask { mode, customers: Some(customers).filter(|ids| !ids.is_empty()) }
    }

    /// What is left once the only chosen customer was forgotten.
    fn nobody() -> Ask {
        Ask { mode: Mode::Force, customers: Some(Vec::new()) }
    }

    #[test]
    fn joining_covers_both_and_forces_nobody_who_was_not_chosen() {
        use Mode::{Delta, Force, Full};
        for (one, other, both) in [
            (ask(Delta, &[]), ask(Full, &[]), ask(Full, &[])),
            (ask(Delta, &[]), ask(Force, &[]), ask(Force, &[])),
            (ask(Delta, &[]), ask(Force, &["a"]), ask(Delta, &["a"])),
            (ask(Force, &["a"]), ask(Force, &["b", "a"]), ask(Force, &["a", "b"])),
            (ask(Full, &["a"]), ask(Force, &["b"]), ask(Full, &["a", "b"])),
            (ask(Full, &["a"]), ask(Force, &[]), ask(Force, &[])),
            (nobody(), nobody(), nobody()),
            (nobody(), ask(Force, &["a"]), ask(Force, &["a"])),
            (nobody(), ask(Delta, &[]), ask(Delta, &[])),
        ] {
            assert_eq!(one.clone().join(other.clone()), both);
            assert_eq!(other.join(one), both);
        }
    }
}
