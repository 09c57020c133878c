//! `peak-braze migrate`: brings the ledger's schema up to date.

use std::path::Path;

use crate::clock::Clock;
use crate::config;
use crate::ledger::Ledger;

/// Arguments of `migrate`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {}

/// Opens the ledger, which migrates it, and closes it again.
pub(super) async fn run(config: &Path, _args: Args) -> anyhow::Result<()> {
    let config = config::load(config)?;
    let ledger = Ledger::open(&config.ledger, Clock::system()).await?;
    ledger.close().await;
    println!("ledger.url: schema is up to date");
    Ok(())
}
