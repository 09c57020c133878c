//! `peak-braze migrate`: brings the ledger's schema up to date.

use std::path::Path;

use serde_json::json;

use super::print::{print, print_json};
use crate::clock::Clock;
use crate::config;
use crate::ledger::Ledger;

/// Arguments of `migrate`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Prints JSON.
    #[arg(long)]
    json: bool,
}

/// Opens the ledger, which migrates it, and closes it again.
pub(super) async fn run(config: &Path, args: Args) -> anyhow::Result<()> {
    let config = config::load(config)?;
    let ledger = Ledger::open(&config.ledger, Clock::system()).await?;
    ledger.close().await;
    match args.json {
        true => print_json(&json!({ "schema": "up to date" })),
        false => print("ledger.url: schema is up to date\n"),
    }
}
