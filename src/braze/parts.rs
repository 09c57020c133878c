//! A batch on its way to one verdict per update: which parts of it are still to be sent, and in what pieces.

use std::ops::Range;

use super::update::Batch;
use super::verdict::{Reply, Verdict};
use crate::customer::Code;

/// How often one payload is sent when its successes cannot be read.
const UNREADABLE_TRIES: u32 = 3;

/// Some neighbouring updates of a batch, sent in one request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Part {
    pub(super) updates: Range<usize>,
    /// How often this payload was sent without a usable answer.
    pub(super) tries: u32,
    /// How often of these it failed, or its success could not be read: what earns a backoff.
    pub(super) failures: u32,
    unreadable: u32,
    /// Whether it is sent alone because an answer's counts did not add up.
    is_check: bool,
}

/// A batch and what is known of it.
pub(super) struct Parts<'b> {
    batch: &'b Batch,
    open: Vec<Part>,
    verdicts: Vec<Verdict>,
    pub(super) queued: bool,
}

impl Part {
    fn of(updates: Range<usize>) -> Self {
        Self { updates, tries: 0, failures: 0, unreadable: 0, is_check: false }
    }

    pub(super) fn len(&self) -> usize {
        self.updates.len()
    }
}

impl<'b> Parts<'b> {
    pub(super) fn new(batch: &'b Batch) -> Self {
        let open = if batch.is_empty() { Vec::new() } else { vec![Part::of(0..batch.len())] };
        // Until an answer says otherwise, nothing is known.
        Self { batch, open, verdicts: vec![Verdict::Unknown; batch.len()], queued: false }
    }

    /// The next part to send: at most `updates` of them, and at most `bytes` long unless one alone is longer.
    pub(super) fn next(&mut self, updates: usize, bytes: usize) -> Option<Part> {
        let mut part = self.open.pop()?;
        if part.len() > updates {
            let cut = part.updates.start + updates;
            self.open.push(Part::of(cut..part.updates.end));
            part = Part::of(part.updates.start..cut);
        }
        while part.len() > 1 && self.batch.body_bytes(&part.updates) > bytes {
            let cut = self.middle_by_bytes(&part.updates);
            self.open.push(Part::of(cut..part.updates.end));
            part = Part::of(part.updates.start..cut);
        }
        Some(part)
    }

    /// Takes in the reply to `part`. Returns the code of an update that was refused when sent alone.
    pub(super) fn settle(&mut self, mut part: Part, reply: &Reply) -> Option<Code> {
        part.tries += 1;
        match reply {
            Reply::Settled { rejected, queued } => {
                self.queued |= queued;
                self.verdicts[part.updates.clone()].fill(Verdict::Accepted);
                self.reject(&part, rejected);
            }
            Reply::Unaccounted { rejected } => {
                self.reject(&part, rejected);
                self.check_others(&part, rejected);
            }
            Reply::Unplaceable => self.halve(&part, part.updates.start + part.len() / 2),
            Reply::Unreadable => {
                part.unreadable += 1;
                part.failures += 1;
                if part.unreadable < UNREADABLE_TRIES {
                    self.open.push(part);
                }
            }
            Reply::TooMany | Reply::Refused if part.len() == 1 => {
                return Some(self.refuse(&part, Code::BrazeRefused));
            }
            Reply::TooLarge if part.len() == 1 => return Some(self.refuse(&part, Code::TooLarge)),
            Reply::TooMany => self.open.push(Part::of(part.updates)),
            Reply::Refused => self.halve(&part, part.updates.start + part.len() / 2),
            Reply::TooLarge => self.halve(&part, self.middle_by_bytes(&part.updates)),
            Reply::Down => {
                part.failures += 1;
                self.open.push(part);
            }
            Reply::RateLimited(_) | Reply::Fatal(_) => self.open.push(part),
        }
        None
    }

    fn reject(&mut self, part: &Part, rejected: &[(usize, Code)]) {
        for (index, code) in rejected {
            self.verdicts[part.updates.start + index] = Verdict::Rejected(*code);
        }
    }

    fn refuse(&mut self, part: &Part, code: Code) -> Code {
        self.verdicts[part.updates.start] = Verdict::Rejected(code);
        code
    }

    /// Sends each update alone, once, that an answer did not account for.
    fn check_others(&mut self, part: &Part, rejected: &[(usize, Code)]) {
        if part.is_check {
            return;
        }
        let others = part.updates.clone().rev().filter(|update| {
            rejected.binary_search_by_key(&(update - part.updates.start), |(index, _)| *index).is_err()
        });
        self.open.extend(others.map(|update| Part { is_check: true, ..Part::of(update..update + 1) }));
    }

    /// Sends both sides of `cut` on their own; an update that is alone already stays unknown.
    fn halve(&mut self, part: &Part, cut: usize) {
        if part.len() > 1 {
            self.open.push(Part::of(cut..part.updates.end));
            self.open.push(Part::of(part.updates.start..cut));
        }
    }

    /// Where both sides are about as long, and neither is empty.
    fn middle_by_bytes(&self, updates: &Range<usize>) -> usize {
        let half = self.batch.body_bytes(updates) / 2;
        let (mut low, mut high) = (updates.start + 1, updates.end - 1);
        while low < high {
            let middle = low.midpoint(high + 1);
            if self.batch.body_bytes(&(updates.start..middle)) <= half {
                low = middle
            } else {
                high = middle - 1
            }
        }
        low
    }

    /// One verdict per update, once nothing is left to send.
    pub(super) fn into_verdicts(self) -> Vec<Verdict> {
        self.verdicts
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::braze::Template;
    use crate::config::Identifier;

    fn batch(sizes: &[usize]) -> Batch {
        let template = Template::new(&Identifier::ExternalId, true, &["score"]);
        let mut batch = Batch::new();
        for (number, size) in sizes.iter().enumerate() {
            batch.begin(&template, &number.to_string());
            batch.set(&template, 0, format!("\"{}\"", "x".repeat(*size)).as_bytes());
            batch.end();
        }
        batch
    }

    /// Settles `batch` against `braze` and counts the requests.
    fn drive(batch: &Batch, mut braze: impl FnMut(&Part) -> Reply) -> (Vec<Verdict>, usize) {
        let (mut parts, mut requests) = (Parts::new(batch), 0);
        while let Some(part) = parts.next(75, usize::MAX) {
            requests += 1;
            assert!(requests < 10_000, "it ends");
            let reply = braze(&part);
            parts.settle(part, &reply);
        }
        (parts.into_verdicts(), requests)
    }

    const ACCEPTED: Reply = Reply::Settled { rejected: Vec::new(), queued: false };

    #[test]
    fn one_bad_update_in_75_is_found_in_seven_levels() {
        let batch = batch(&[1; 75]);
        for bad in [0, 37, 74] {
            let (verdicts, requests) =
                drive(&batch, |part| if part.updates.contains(&bad) { Reply::Refused } else { ACCEPTED });
            assert_eq!(verdicts[bad], Verdict::Rejected(Code::BrazeRefused));
            assert_eq!(verdicts.iter().filter(|verdict| **verdict == Verdict::Accepted).count(), 74);
            assert!(requests <= 15, "{requests}");
        }
    }

    #[test]
    fn errors_that_name_nobody_leave_only_one_unknown() {
        let batch = batch(&[1; 75]);
        let (verdicts, _) =
            drive(&batch, |part| if part.updates.contains(&9) { Reply::Unplaceable } else { ACCEPTED });
        assert_eq!(verdicts[9], Verdict::Unknown);
        assert_eq!(verdicts.iter().filter(|verdict| **verdict == Verdict::Accepted).count(), 74);
    }

    #[test]
    fn what_is_not_accounted_for_is_sent_alone_once() {
        let batch = batch(&[1; 5]);
        let (verdicts, requests) = drive(&batch, |part| match part.len() {
            5 => Reply::Unaccounted { rejected: vec![(1, Code::BrazeBadEmail)] },
            _ if part.updates.start == 3 => Reply::Unaccounted { rejected: Vec::new() },
            _ => ACCEPTED,
        });
        let accepted = Verdict::Accepted;
        let rejected = Verdict::Rejected(Code::BrazeBadEmail);
        assert_eq!(verdicts, [accepted, rejected, accepted, Verdict::Unknown, accepted]);
        assert_eq!(requests, 5);
    }

    #[test]
    fn unreadable_successes_are_tried_three_times() {
        let batch = batch(&[1; 5]);
        let (verdicts, requests) = drive(&batch, |_| Reply::Unreadable);
        assert_eq!((verdicts, requests), (vec![Verdict::Unknown; 5], 3));
    }

    #[test]
    fn too_long_bodies_are_halved_by_bytes() {
        let batch = batch(&[10, 10, 10, 5_000, 10, 20_000]);
        let (verdicts, _) =
            drive(
                &batch,
                |part| {
                    if batch.body_bytes(&part.updates) > 10_000 { Reply::TooLarge } else { ACCEPTED }
                },
            );
        assert_eq!(verdicts[5], Verdict::Rejected(Code::TooLarge));
        assert!(verdicts[..5].iter().all(|verdict| *verdict == Verdict::Accepted));
    }

    proptest! {
        #[test]
        fn every_update_is_sent_in_order_and_once(sizes in prop::collection::vec(0_usize..400, 0..60), updates in 1_usize..80, bytes in 20_usize..4_000) {
            let batch = batch(&sizes);
            let mut parts = Parts::new(&batch);
            let mut sent = Vec::new();
            while let Some(part) = parts.next(updates, bytes) {
                prop_assert!(part.len() <= updates);
                prop_assert!(part.len() == 1 || batch.body_bytes(&part.updates) <= bytes);
                sent.extend(part.updates.clone());
                parts.settle(part, &ACCEPTED);
            }
            prop_assert_eq!(sent, (0..sizes.len()).collect::<Vec<_>>());
            prop_assert_eq!(parts.into_verdicts(), vec![Verdict::Accepted; sizes.len()]);
        }

        #[test]
        fn every_refused_update_is_found(sizes in prop::collection::vec(0_usize..40, 1..75), refused in prop::collection::vec(any::<bool>(), 75)) {
            let batch = batch(&sizes);
            let (verdicts, _) = drive(&batch, |part| {
                if part.updates.clone().any(|update| refused[update]) { Reply::Refused } else { ACCEPTED }
            });
            for (verdict, refused) in verdicts.iter().zip(&refused) {
                prop_assert_eq!(*verdict == Verdict::Accepted, !refused);
            }
        }
    }
}
