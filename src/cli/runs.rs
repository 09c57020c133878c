//! `peak-braze runs`: lists runs, or shows one.

use std::path::Path;

use anyhow::Context;
use chrono::{DateTime, Utc};

use super::client::{Client, ServerArgs};
use super::print::{Ink, Paper, print, print_json};
use super::receipt::{bare, receipt, right_align};
use super::{Done, Usage};
use crate::clock::Clock;
use crate::config;
use crate::figures::{grouped, length, relative};
use crate::ledger::{Ledger, RunFilter};
use crate::run::{Run, RunId};

/// Arguments of `runs`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Shows this run; without, lists the newest.
    id: Option<String>,
    /// Lists only this sync's runs.
    #[arg(long, value_name = "ID")]
    sync: Option<String>,
    /// Lists at most this many.
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=200))]
    limit: u32,
    /// Prints JSON.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    server: ServerArgs,
}

/// Prints runs from a running server, or from the ledger itself.
pub(super) async fn run(config: &Path, args: Args) -> anyhow::Result<Done> {
    let id = args.id.as_deref().map(|id| id.parse::<RunId>()).transpose();
    let id = id.map_err(|_| Usage("runs ID: not a run's id".to_owned()))?;
    let runs = match Client::named(&args.server)? {
        Some(client) => match id {
            Some(id) => vec![client.run(id).await?],
            None => client.runs(args.sync.as_deref(), args.limit).await?.runs,
        },
        None => from_ledger(config, id, &args).await?,
    };
    let (paper, now) = (Paper::stdout(), Clock::system().now());
    match (args.json, id) {
        (true, Some(_)) => print_json(&runs[0])?,
        (true, None) => print_json(&runs)?,
        (false, Some(_)) => print(&receipt(&runs[0], paper, now))?,
        (false, None) => print(&list(&runs, paper, now))?,
    }
    Ok(Done::Well)
}

async fn from_ledger(config: &Path, id: Option<RunId>, args: &Args) -> anyhow::Result<Vec<Run>> {
    let config = config::load(config)?;
    let ledger = Ledger::open(&config.ledger, Clock::system()).await?;
    let runs = match id {
        Some(id) => vec![ledger.run(id).await?.with_context(|| format!("there is no run {id}"))?],
        None => {
            let filter = RunFilter { sync: args.sync.clone(), ..RunFilter::default() };
            ledger.runs(&filter, args.limit, None).await?.items
        }
    };
    ledger.close().await;
    Ok(runs)
}

/// A line a run. The state stands last, so that its colour moves no column.
fn list(runs: &[Run], paper: Paper, now: DateTime<Utc>) -> String {
    if runs.is_empty() {
        return "no runs yet: a callback, a trigger or the cadence starts one\n".to_owned();
    }
    let mut table = bare();
    table.add_row([
        "run",
        "sync",
        "mode",
        "created",
        "took",
        "customers",
        "changed",
        "accepted",
        "rejected",
        "state",
    ]);
    for run in runs {
        let took = run.started_at.zip(run.finished_at).map(|(from, to)| length(to - from));
        table.add_row([
            run.id.to_string(),
            run.sync.clone(),
            run.mode.to_string(),
            relative(run.created_at, now),
            took.unwrap_or_else(|| "-".to_owned()),
            grouped(run.tally.customers),
            grouped(run.tally.changed),
            grouped(run.tally.accepted),
            grouped(run.tally.rejected),
            run.state.to_string(),
        ]);
    }
    right_align(&mut table, 3..9);
    let text = table.trim_fmt();
    let lines = text.lines().enumerate().map(|(line, text)| match line.checked_sub(1) {
        Some(index) => {
            let state = runs[index].state;
            let before = text.trim_end().strip_suffix(state.as_str()).unwrap_or(text);
            format!("{before}{}\n", paper.ink(state, Ink::of(state)))
        }
        None => format!("{}\n", paper.ink(text, Ink::Quiet)),
    });
    lines.collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::sample_run;
    use crate::run::RunState;

    #[test]
    fn runs_are_listed_like_this() {
        let now = "2026-03-28T06:10:00Z".parse().expect("an instant");
        let states = [RunState::Queued, RunState::Running, RunState::Partial, RunState::Failed];
        let runs: Vec<Run> = states.map(sample_run).into();
        insta::assert_snapshot!(list(&runs, Paper::plain(), now));
        assert!(list(&[], Paper::plain(), now).contains("no runs yet"));
    }
}
