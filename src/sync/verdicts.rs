//! What the verdicts on a group come to.

use super::portion::Portion;
use super::push::Fate;
use crate::braze::Verdict;

/// Customers by verdict, and what was sent of the accepted ones.
#[derive(Debug)]
pub(super) struct Verdicts {
    pub accepted: u64,
    pub rejected: u64,
    pub unknown: u64,
    /// Values accepted, by attribute.
    pub values: Vec<u64>,
}

impl Verdicts {
    /// Adds up the verdicts on portions of so many attributes.
    pub(super) fn on(portions: &[(Portion, Fate)], attributes: usize) -> Self {
        let mut verdicts = Self { accepted: 0, rejected: 0, unknown: 0, values: vec![0; attributes] };
        for (portion, fate) in portions {
            let Fate::Answered(pushed) = fate else { continue };
            for (change, verdict) in portion.changes.iter().zip(&pushed.verdicts) {
                match verdict {
                    Verdict::Accepted => verdicts.add_accepted(portion.attributes(change)),
                    Verdict::Rejected(_) => verdicts.rejected += 1,
                    Verdict::Unknown => verdicts.unknown += 1,
                }
            }
        }
        verdicts
    }

    fn add_accepted(&mut self, attributes: &[u16]) {
        self.accepted += 1;
        for attribute in attributes {
            self.values[usize::from(*attribute)] += 1;
        }
    }
}
