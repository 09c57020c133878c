//! `peak-braze verify-braze`: reads a random sample of customers back from Braze.
//!
//! ```text
//! ledger (what was accepted) + source (what it says now) + Braze (what it has) -> confirmed, different, missing
//! ```
//!
//! Braze answers "accepted", not "applied". Some of what it accepts vanishes in silence: updates of a profile that does
//! not exist, of a blocklisted attribute, of a forced type that does not fit. Only looking tells.

mod compare;
mod report;

use std::collections::{HashMap, HashSet};
use std::path::Path;
use std::sync::Arc;

use anyhow::Context;

use super::print::{Paper, print, print_json};
use super::{Done, Usage};
use crate::braze::{Braze, Profiles, Stop};
use crate::clock::Clock;
use crate::config::{self, Config};
use crate::customer::Attribute;
use crate::ledger::{Accepted, Ledger, LedgerError};
use crate::source::{Rows, Selection, Source};
use compare::Comparison;
use report::Report;

/// Most customers read back: 200 requests, which Braze takes within a minute.
const MOST: i64 = 10_000;

/// Arguments of `verify-braze`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The sync to verify.
    id: String,
    /// Customers to read back, drawn at random from those Braze accepted something of.
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=MOST))]
    sample: u32,
    /// Shows customers and values that are not confirmed, which are kept back else.
    #[arg(long)]
    show_values: bool,
    /// Prints JSON.
    #[arg(long)]
    json: bool,
}

/// The JSON of the values the source has now, as they would be sent, by customer and attribute.
type Current = HashMap<String, Vec<Option<Vec<u8>>>>;

/// Compares a sample. Fails where anything is different or missing.
pub(super) async fn run(path: &Path, args: Args) -> anyhow::Result<Done> {
    let config = config::load(path)?;
    let sync = config
        .sync(&args.id)
        .ok_or_else(|| Usage(format!("verify-braze {}: there is no such [[syncs]] id", args.id)))?;
    let clock = Clock::system();
    let braze = open_braze(&config, sync, &clock)?;
    let source = Source::open(&config.sources[&sync.source], sync, clock.clone())?;
    let ledger = Ledger::open(&config.ledger, clock.clone()).await.map_err(with_way_out)?;
    let compared = compare_sample(&ledger, &source, &braze, &config, sync, &args, &clock).await;
    ledger.close().await;
    let report = compared?;
    match args.json {
        true => print_json(&report)?,
        false => print(&report.text(Paper::stdout()))?,
    }
    Ok(if report.is_well() { Done::Well } else { Done::Failed })
}

fn open_braze(config: &Config, sync: &config::Sync, clock: &Clock) -> anyhow::Result<Braze> {
    let name = &sync.destination;
    let settings = &config.destinations[name];
    let key = settings.api_key.resolve().with_context(|| format!("destinations.{name}.api_key"))?;
    Ok(Braze::new(name, settings, key, clock.clone())?)
}

fn with_way_out(error: LedgerError) -> anyhow::Error {
    match error {
        LedgerError::InUse { path } => Usage(format!(
            "{path} is in use by another process, as when the service runs: stop it for the while, or verify with a \
             config whose ledger.url is a copy of it, with the copy's key beside it"
        ))
        .into(),
        error => error.into(),
    }
}

async fn compare_sample(
    ledger: &Ledger,
    source: &Source,
    braze: &Braze,
    config: &Config,
    sync: &config::Sync,
    args: &Args,
    clock: &Clock,
) -> anyhow::Result<Report> {
    let names: Vec<&str> = sync.attributes.iter().map(config::Attribute::name).collect();
    let workspace = &config.destinations[&sync.destination].workspace;
    let target = ledger.target(&sync.id, &sync.profiles(workspace), &names).await?;
    let sample = ledger.sample(target.number, args.sample).await?;
    // Of customers in doubt nobody knows what Braze has; the next run sends everything of theirs.
    let (in_doubt, sample): (Vec<Accepted>, Vec<Accepted>) = sample.into_iter().partition(|one| one.in_doubt);
    let attributes = resolved(source).await?;
    let current = current(source, &sample).await?;
    let profiles = profiles(braze, sync, &sample, &names, clock).await?;
    let comparison = Comparison { hasher: ledger.hasher(), target: &target, attributes: &attributes };
    let mut report = Report::new(&sync.id, &names, in_doubt.len(), args.show_values);
    for accepted in &sample {
        let (braze, now) = (profiles.get(&accepted.customer_id), current.get(&accepted.customer_id));
        comparison.customer(accepted, braze, now, &mut report);
    }
    Ok(report)
}

/// The attributes with the kinds their columns have.
async fn resolved(source: &Source) -> anyhow::Result<Vec<Attribute>> {
    let description = source.describe().await?;
    description.require_sound()?;
    Ok(description.attributes(source.attributes()))
}

/// What the source says of these customers now.
async fn current(source: &Source, sample: &[Accepted]) -> anyhow::Result<Current> {
    let keys: HashSet<String> = sample.iter().map(|one| one.customer_id.clone()).collect();
    if keys.is_empty() {
        return Ok(Current::new());
    }
    let selection = Selection { rows: Rows::Only(Arc::new(keys)), after: None, digester: None };
    let mut reading = source.read(selection).await?;
    let mut current = Current::new();
    while let Some(chunk) = reading.next().await? {
        for index in 0..chunk.len() {
            let values = chunk.cells(index).iter().map(|cell| chunk.json(*cell).map(<[u8]>::to_vec));
            current.insert(chunk.key(index).to_owned(), values.collect());
        }
    }
    Ok(current)
}

async fn profiles(
    braze: &Braze,
    sync: &config::Sync,
    sample: &[Accepted],
    names: &[&str],
    clock: &Clock,
) -> anyhow::Result<Profiles> {
    let keys: Vec<&str> = sample.iter().map(|one| one.customer_id.as_str()).collect();
    let standard: Vec<&str> = names.iter().copied().filter(|name| config::is_standard(name)).collect();
    let read = braze.profiles(&sync.identifier, &keys, &standard, clock).await;
    read.map_err(|stop| match stop {
        Stop::Fatal(fatal) => {
            anyhow::anyhow!("{fatal}; reading profiles needs the permission users.export.ids")
        }
        Stop::GaveUp | Stop::Fenced => anyhow::anyhow!("Braze gave no answer that tells; try again later"),
    })
}
