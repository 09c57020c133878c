//! What a run has come to so far: its tally and data points, across its attempts.

use chrono::{DateTime, Utc};

use super::portion::Counted;
use super::verdicts::Verdicts;
use super::window::Plan;
use crate::ledger::{Checkpoint, Lease};
use crate::run::{DataPoints, ForecastValues, Points, Tally};

/// Everything counted up to the last group recorded.
#[derive(Debug)]
pub(super) struct Receipt {
    checkpoint: Checkpoint,
    /// Counts as this attempt found them.
    base: Tally,
    base_points: DataPoints,
    /// What this attempt sent.
    pushed: Tally,
    pushed_points: Vec<u64>,
    counted: Counted,
    base_newest: Option<DateTime<Utc>>,
    has_ceiling: bool,
}

impl Receipt {
    /// Goes on from an earlier attempt's checkpoint where there is one of the same mapping, table and workspace.
    pub(super) fn open(lease: &Lease, plan: &Plan) -> Self {
        let earlier =
            lease.checkpoint.clone().filter(|checkpoint| checkpoint.fingerprint == plan.fingerprint);
        let has_ceiling = earlier.is_some();
        let checkpoint = earlier.unwrap_or_else(|| Checkpoint {
            fingerprint: plan.fingerprint.clone(),
            position: None,
            ceiling: lease.run.created_at,
            newest: None,
            tally: Tally::default(),
            data_points: DataPoints::default(),
            complete: false,
        });
        let width = plan.target.slots.len();
        Self {
            base: checkpoint.tally,
            base_points: checkpoint.data_points.clone(),
            base_newest: checkpoint.newest,
            pushed: Tally::default(),
            pushed_points: vec![0; width],
            counted: Counted { saved: vec![0; width], sent_before: vec![0; width], ..Counted::default() },
            has_ceiling,
            checkpoint,
        }
    }

    /// Fixes the furthest the watermark may go, unless the run's first snapshot already has.
    pub(super) fn set_ceiling(&mut self, ceiling: DateTime<Utc>) {
        if !self.has_ceiling {
            self.checkpoint.ceiling = ceiling;
            self.has_ceiling = true;
        }
    }

    /// The run's counts and position as last brought up to date.
    pub(super) fn checkpoint(&self) -> &Checkpoint {
        &self.checkpoint
    }

    /// What would become of the values, by attribute, as far as a plan has counted.
    pub(super) fn foreseen(&self) -> impl Iterator<Item = ForecastValues> {
        let unchanged = self.counted.saved.iter();
        let foreseen = self.counted.foreseen.iter();
        foreseen.zip(unchanged).map(|(values, unchanged)| ForecastValues { unchanged: *unchanged, ..*values })
    }

    /// Whether everything was read and recorded.
    pub(super) fn is_complete(&self) -> bool {
        self.checkpoint.complete
    }

    /// Adds the effort of one batch, whatever came of it.
    pub(super) fn add_effort(&mut self, requests: u32, retries: u32, bytes_sent: u64) {
        self.pushed.requests += u64::from(requests);
        self.pushed.retries += u64::from(retries);
        self.pushed.bytes_sent += bytes_sent;
    }

    /// Adds the verdicts on a group.
    pub(super) fn add_verdicts(&mut self, verdicts: &Verdicts) {
        self.pushed.accepted += verdicts.accepted;
        self.pushed.rejected += verdicts.rejected;
        self.pushed.unknown += verdicts.unknown;
        for (points, values) in self.pushed_points.iter_mut().zip(&verdicts.values) {
            *points += values;
        }
    }

    /// Takes over the diff's counts up to a boundary, and its position.
    pub(super) fn count(&mut self, counted: Counted) {
        if counted.position.is_some() {
            self.checkpoint.position.clone_from(&counted.position);
        }
        self.checkpoint.complete = counted.complete;
        self.counted = counted;
    }

    /// Brings the checkpoint up to date with everything added.
    pub(super) fn sum_up(&mut self, names: &[String]) {
        let mut tally = self.base;
        tally += self.counted.tally;
        tally += self.pushed;
        self.checkpoint.tally = tally;
        let mut points = self.base_points.clone();
        for (index, name) in names.iter().enumerate() {
            let sent = self.pushed_points[index] + self.counted.sent_before[index];
            points.add(name, Points { sent, saved: self.counted.saved[index] });
        }
        self.checkpoint.data_points = points;
        self.checkpoint.newest = self.newest();
    }

    /// The greatest `updated_at` read, but never past the ceiling.
    fn newest(&self) -> Option<DateTime<Utc>> {
        let ceiling = self.checkpoint.ceiling;
        let read = self.counted.newest_micros.map(|micros| {
            DateTime::from_timestamp_micros(micros)
                .map_or(ceiling, |newest: DateTime<Utc>| newest.min(ceiling))
        });
        self.base_newest.max(read)
    }
}
