//! What a sync's runs came to over time.

use chrono::{DateTime, TimeDelta, Utc};
use maud::{Markup, html};

use super::chart::{Bars, Series, Slot, standstill};
use super::overview::Seen;
use super::visitor::Visitor;
use super::words::{percent, short, took};
use crate::figures::{counted, grouped, length};
use crate::run::{Run, RunState, Tally};

/// Runs in a chart: as many as are told apart on a phone.
pub(super) const RUNS: u32 = 40;

/// Charts of the runs that have ended.
pub(super) fn charts(visitor: &Visitor, sync: &Seen<'_>) -> Markup {
    let mut runs: Vec<&Run> =
        sync.runs.iter().filter(|run| run.state.is_final() && run.started_at.is_some()).collect();
    runs.reverse();
    if runs.is_empty() {
        return html! { div.empty { p { "Charts appear once a run has ended." } } };
    }
    let slots: Vec<Slot> =
        runs.iter().map(|run| Slot { run: run.id, at: run.started_at.unwrap_or(run.created_at) }).collect();
    html! {
        div.charts {
            (customers(&runs, &slots))
            (points(&runs, &slots))
            (durations(visitor, &runs, &slots))
            (verdicts(&runs, &slots))
            (freshness(visitor, sync, &runs))
            (requests(&runs, &slots))
        }
    }
}

fn of(runs: &[&Run], value: impl Fn(&Tally) -> u64) -> Vec<f64> {
    runs.iter().map(|run| value(&run.tally) as f64).collect()
}

fn whole(value: f64) -> String {
    grouped(value as u64)
}

fn customers(runs: &[&Run], slots: &[Slot]) -> Markup {
    let sum = |value: fn(&Tally) -> u64| runs.iter().map(|run| value(&run.tally)).sum::<u64>();
    let text = format!(
        "{}: {} changed, {} accepted, {} rejected, {} unknown.",
        counted(runs.len() as u64, "run"),
        counted(sum(|tally| tally.changed), "customer"),
        grouped(sum(|tally| tally.accepted)),
        grouped(sum(|tally| tally.rejected)),
        grouped(sum(|tally| tally.unknown))
    );
    // What a failed or cancelled run found changed and sent to nobody.
    let open = |tally: &Tally| tally.changed.saturating_sub(tally.accepted + tally.rejected + tally.unknown);
    let series = vec![
        Series { name: "accepted", class: "accepted", values: of(runs, |tally| tally.accepted) },
        Series { name: "rejected", class: "rejected", values: of(runs, |tally| tally.rejected) },
        Series { name: "unknown", class: "unknown", values: of(runs, |tally| tally.unknown) },
        Series { name: "changed, not sent", class: "open", values: of(runs, open) },
    ];
    Bars {
        id: "chart-customers",
        title: "Changed customers",
        unit: "customers per run",
        text,
        slots,
        series,
        shares: false,
        least_step: 1.0,
        label: short,
        value: whole,
    }
    .draw()
}

fn points(runs: &[&Run], slots: &[Slot]) -> Markup {
    let (sent, saved) = runs
        .iter()
        .fold((0, 0), |(sent, saved), run| (sent + run.data_points.sent, saved + run.data_points.saved));
    let text = format!(
        "{} sent and {} saved, which is {} of all.",
        counted(sent, "data point"),
        grouped(saved),
        percent(saved, sent + saved)
    );
    let series = vec![
        Series {
            name: "sent",
            class: "accepted",
            values: runs.iter().map(|run| run.data_points.sent as f64).collect(),
        },
        Series {
            name: "saved",
            class: "saved",
            values: runs.iter().map(|run| run.data_points.saved as f64).collect(),
        },
    ];
    Bars {
        id: "chart-points",
        title: "Data points",
        unit: "values of customers read, per run",
        text,
        slots,
        series,
        shares: false,
        least_step: 1.0,
        label: short,
        value: whole,
    }
    .draw()
}

fn durations(visitor: &Visitor, runs: &[&Run], slots: &[Slot]) -> Markup {
    let secs: Vec<f64> = runs
        .iter()
        .map(|run| took(run, visitor.now).map_or(0.0, |time| time.num_milliseconds() as f64 / 1e3))
        .collect();
    let longest = secs.iter().copied().fold(0.0, f64::max);
    let (unit, divisor) = match longest {
        n if n < 180.0 => ("seconds per run", 1.0),
        n if n < 10_800.0 => ("minutes per run", 60.0),
        _ => ("hours per run", 3_600.0),
    };
    let shown = |secs: f64| length(TimeDelta::milliseconds((secs * 1e3) as i64));
    let latest = secs.last().copied().unwrap_or(0.0);
    let text =
        format!("From claim to outcome. The latest took {}, the longest {}.", shown(latest), shown(longest));
    Bars {
        id: "chart-duration",
        title: "Duration",
        unit,
        text,
        slots,
        series: vec![Series {
            name: "duration",
            class: "time",
            values: secs.iter().map(|secs| secs / divisor).collect(),
        }],
        shares: false,
        least_step: 0.0,
        label: short,
        value: short,
    }
    .draw()
}

fn verdicts(runs: &[&Run], slots: &[Slot]) -> Markup {
    let (mut accepted, mut all) = (0, 0);
    for run in runs {
        accepted += run.tally.accepted;
        all += run.tally.accepted + run.tally.rejected + run.tally.unknown + run.tally.invalid;
    }
    let text =
        format!("Of {} with a verdict, {} were accepted.", counted(all, "customer"), percent(accepted, all));
    let series = vec![
        Series { name: "accepted", class: "accepted", values: of(runs, |tally| tally.accepted) },
        Series { name: "rejected", class: "rejected", values: of(runs, |tally| tally.rejected) },
        Series { name: "unknown", class: "unknown", values: of(runs, |tally| tally.unknown) },
        Series { name: "invalid", class: "invalid", values: of(runs, |tally| tally.invalid) },
    ];
    Bars {
        id: "chart-verdicts",
        title: "Verdicts",
        unit: "share of customers with a verdict",
        text,
        slots,
        series,
        shares: true,
        least_step: 1.0,
        label: whole,
        value: whole,
    }
    .draw()
}

fn requests(runs: &[&Run], slots: &[Slot]) -> Markup {
    let sum = |value: fn(&Tally) -> u64| runs.iter().map(|run| value(&run.tally)).sum::<u64>();
    let (all, repeated) = (sum(|tally| tally.requests), sum(|tally| tally.retries));
    let series = vec![
        Series {
            name: "first",
            class: "accepted",
            values: of(runs, |tally| tally.requests.saturating_sub(tally.retries)),
        },
        Series { name: "repeated", class: "unknown", values: of(runs, |tally| tally.retries) },
    ];
    Bars {
        id: "chart-requests",
        title: "Requests to Braze",
        unit: "requests per run",
        text: format!("{}, of which {} repeated an earlier one.", counted(all, "request"), grouped(repeated)),
        slots,
        series,
        shares: false,
        least_step: 1.0,
        label: short,
        value: whole,
    }
    .draw()
}

fn freshness(visitor: &Visitor, sync: &Seen<'_>, runs: &[&Run]) -> Markup {
    let bound = sync.config.cadence.as_ref().and_then(|cadence| cadence.stale_after_secs);
    let bound = bound.and_then(|secs| TimeDelta::try_seconds(i64::try_from(secs).ok()?));
    let last = sync.view.freshness_secs.map(|secs| visitor.now - TimeDelta::seconds(secs));
    standstill("chart-freshness", &moved(runs, last), visitor.now, bound)
}

/// When the watermark moved: with each run that reached farther than those before it, and at `last`, as the ledger has
/// it to the second. Whether the oldest run listed moved it, only a sync's first tells.
fn moved(runs: &[&Run], last: Option<DateTime<Utc>>) -> Vec<DateTime<Utc>> {
    let succeeded = runs.iter().filter(|run| matches!(run.state, RunState::Succeeded | RunState::Partial));
    let mut reached: Option<DateTime<Utc>> = None;
    let mut moved = Vec::new();
    for run in succeeded.filter(|run| run.window.up_to > None) {
        let is_first = run.promoted.as_deref() == Some("first_run");
        if run.window.up_to > reached {
            let is_known = reached.is_some() || is_first;
            moved.extend(run.finished_at.filter(|_| is_known));
            reached = run.window.up_to;
        }
    }
    moved.retain(|at| last.is_none_or(|last| *at <= last - TimeDelta::seconds(1)));
    moved.extend(last);
    moved
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(hours: i64) -> DateTime<Utc> {
        DateTime::UNIX_EPOCH + TimeDelta::hours(hours)
    }

    fn run(hour: usize, reached: Option<i64>) -> Run {
        let run = serde_json::json!({
            "id": "019d3201-9b00-7000-8000-0000000000a1", "sync": "predictions", "mode": "delta", "state": "succeeded",
            "trigger": {
                "kind": "schedule", "deliveries": [], "actor": null, "reason": null, "retrigger_of": null,
            },
            "model": { "name": null, "version": null, "execution_id": null },
            "attempt": 1, "created_at": at(0), "started_at": at(0), "finished_at": at(hour as i64),
            "window": { "after": null, "up_to": reached.map(at) },
            "tally": Tally::default(), "data_points": { "sent": 0, "saved": 0, "by_attribute": {} },
            "progress": crate::run::Progress::default(), "promoted": null, "throttled_until": null, "held_by": null,
            "error": null, "plan": null,
        });
        serde_json::from_value(run).expect("a run")
    }

    /// Of each hour a run, which reached so far.
    fn runs(reached: &[Option<i64>]) -> Vec<Run> {
        reached.iter().enumerate().map(|(hour, reached)| run(hour, *reached)).collect()
    }

    #[track_caller]
    fn assert_moved(runs: &[Run], last: Option<i64>, expected: &[i64]) {
        let runs: Vec<&Run> = runs.iter().collect();
        let expected: Vec<DateTime<Utc>> = expected.iter().map(|hours| at(*hours)).collect();
        assert_eq!(moved(&runs, last.map(at)), expected);
    }

    #[test]
    fn a_watermark_that_stands_longer_than_the_list_goes_back_has_not_moved_with_the_oldest_run() {
        let standing = runs(&[Some(-200); 40]);
        assert_moved(&standing, Some(-120), &[-120]);
        assert_moved(&standing, None, &[]);
    }

    #[test]
    fn the_watermark_moves_with_each_run_that_reached_farther() {
        let mut runs = runs(&[Some(-9), Some(1), Some(1), None, Some(4), Some(2)]);
        assert_moved(&runs, Some(4), &[1, 4]);
        runs[0].promoted = Some("first_run".to_owned());
        assert_moved(&runs, Some(4), &[0, 1, 4]);
        runs[4].state = RunState::Failed;
        assert_moved(&runs, Some(5), &[0, 1, 5]);
    }
}
