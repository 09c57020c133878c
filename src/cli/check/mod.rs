//! `peak-braze check`: the doctor. One line per check, each warning and failure with its cure; nothing is sent.
//!
//! ```text
//! secrets -> ledger -> per sync: source, callback, cadence -> per destination: key -> per sync: attributes -> notices
//! ```

mod alike;
mod destination;
mod finding;
mod ledger;
mod notify;
mod sample;
mod source;
mod sync;

use std::path::Path;

use super::{Done, Usage};
use crate::clock::Clock;
use crate::config::{self, Config, ConfigError};
use finding::Report;

/// Arguments of `check`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Checks only what this sync needs.
    #[arg(long, value_name = "ID")]
    sync: Option<String>,
    /// Shows the samples' customers and values, which are masked else.
    #[arg(long)]
    show_values: bool,
    /// Prints JSON.
    #[arg(long)]
    json: bool,
}

/// Checks everything a run needs.
pub(super) async fn run(path: &Path, args: Args) -> anyhow::Result<Done> {
    let config = config::load(path)?;
    let syncs = chosen(&config, args.sync.as_deref())?;
    let (clock, mut report) = (Clock::system(), Report::new(args.json));
    report.ok("config", format!("{} can be used", path.display()));
    check_secrets(&config, &mut report);
    ledger::check(&config, &syncs, &clock, &mut report).await;
    let mut mapped = Vec::new();
    for sync in &syncs {
        let kinds = source::check(&config, sync, args.show_values, &clock, &mut report).await;
        mapped.push((*sync, kinds));
        sync::check(sync, &clock, &mut report).await;
    }
    if syncs.is_empty() {
        report.warning("syncs", "there are no [[syncs]]: nothing is ever sent");
    }
    destination::check_all(&config, &mapped, &clock, &mut report).await;
    notify::check(&config, &mut report);
    report.finish()?;
    Ok(if report.has_failed() { Done::Failed } else { Done::Well })
}

fn chosen<'c>(config: &'c Config, id: Option<&str>) -> Result<Vec<&'c config::Sync>, Usage> {
    let Some(id) = id else { return Ok(config.syncs.iter().collect()) };
    match config.sync(id) {
        Some(sync) => Ok(vec![sync]),
        None => Err(Usage(format!("--sync {id}: there is no such [[syncs]] id"))),
    }
}

fn check_secrets(config: &Config, report: &mut Report) {
    match config::check_secrets(config) {
        Ok(()) => report.ok("secrets", "all are there, long enough, and each has one purpose"),
        Err(ConfigError::Invalid(problems)) => {
            problems.iter().for_each(|problem| report.failed("secrets", problem));
        }
        Err(error) => report.failed("secrets", &error),
    }
    if config.tokens.is_empty() {
        report.warning("tokens", "there are no [[tokens]]: API and pages let nobody in");
    }
}
