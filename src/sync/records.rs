//! A group of answered portions in the ledger's terms.

use super::portion::Portion;
use super::push::Fate;
use crate::braze::Verdict;
use crate::customer::Code;
use crate::ledger::{Flag, NewRejection, SentRow};

/// A group in the ledger's terms.
pub(super) struct Records<'p> {
    pub sent: Vec<SentRow<'p>>,
    pub rejections: Vec<NewRejection<'p>>,
    pub cleared: Vec<&'p str>,
}

impl<'p> Records<'p> {
    pub(super) fn of(portions: &'p [(Portion, Fate)], names: &'p [String]) -> Self {
        let mut records = Self { sent: Vec::new(), rejections: Vec::new(), cleared: Vec::new() };
        for (portion, fate) in portions {
            match fate {
                Fate::Answered(pushed) => records.add_verdicts(portion, &pushed.verdicts),
                Fate::Unsent(_) => continue,
                // Refused clearly, as by a 401: nobody's values need go again for it.
                Fate::Ended(_, effort) if !effort.may_be_taken => continue,
                Fate::InDoubt(_) | Fate::Ended(..) => records.add_doubts(portion),
            }
            records.sent.extend(portion.noted_rows());
            records.rejections.extend(portion.noted_rejections(names));
            records.cleared.extend(portion.noted_cleared());
        }
        records
    }

    fn add_verdicts(&mut self, portion: &'p Portion, verdicts: &[Verdict]) {
        for (change, verdict) in portion.changes.iter().zip(verdicts) {
            let is_accepted = *verdict == Verdict::Accepted;
            // A refusal does not tell what became of an earlier send.
            let in_doubt = *verdict == Verdict::Unknown || (change.was_in_doubt && !is_accepted);
            let flag = Flag { in_doubt, rejected: change.has_invalid || !is_accepted };
            self.sent.push(portion.row(change, is_accepted, flag));
            let code = match verdict {
                Verdict::Accepted => continue,
                Verdict::Rejected(code) => *code,
                Verdict::Unknown => Code::Unknown,
            };
            let customer_id = portion.key(change);
            self.rejections.push(NewRejection { customer_id, attribute: None, code });
        }
    }

    fn add_doubts(&mut self, portion: &'p Portion) {
        let flag = Flag { in_doubt: true, rejected: false };
        self.sent.extend(portion.changes.iter().map(|change| portion.row(change, false, flag)));
    }
}
