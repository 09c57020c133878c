//! `peak-braze runs`: lists runs, or shows one.

use std::path::Path;

use anyhow::Context;

use super::client::{Client, ServerArgs};
use super::receipt::{bare, grouped, receipt, right_align};
use super::{Done, Usage};
use crate::clock::Clock;
use crate::config;
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
    match (args.json, id) {
        (true, Some(_)) => println!("{}", serde_json::to_string_pretty(&runs[0])?),
        (true, None) => println!("{}", serde_json::to_string_pretty(&runs)?),
        (false, Some(_)) => print!("{}", receipt(&runs[0])),
        (false, None) => print!("{}", list(&runs)),
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

fn list(runs: &[Run]) -> String {
    let mut table = bare();
    table.add_row([
        "run",
        "sync",
        "mode",
        "state",
        "created",
        "customers",
        "changed",
        "accepted",
        "rejected",
    ]);
    for run in runs {
        table.add_row([
            run.id.to_string(),
            run.sync.clone(),
            run.mode.to_string(),
            run.state.to_string(),
            run.created_at.format("%Y-%m-%d %H:%M:%SZ").to_string(),
            grouped(run.tally.customers),
            grouped(run.tally.changed),
            grouped(run.tally.accepted),
            grouped(run.tally.rejected),
        ]);
    }
    right_align(&mut table, 5..9);
    format!("{}\n", table.trim_fmt())
}
