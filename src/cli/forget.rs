//! `peak-braze forget`: erases one customer from the ledger.

use std::path::Path;

use serde_json::json;

use super::print::{print, print_json};
use crate::clock::Clock;
use crate::config;
use crate::figures::counted;
use crate::ledger::Ledger;

/// Arguments of `forget`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The sync whose ledger rows are erased.
    #[arg(long, value_name = "ID")]
    sync: String,
    /// The customer's id.
    customer_id: String,
    /// Prints JSON.
    #[arg(long)]
    json: bool,
}

/// Erases digests and rejections, also from free pages and the write-ahead log.
pub(super) async fn run(config: &Path, args: Args) -> anyhow::Result<()> {
    let config = config::load(config)?;
    let ledger = Ledger::open(&config.ledger, Clock::system()).await?;
    let rows = ledger.forget(&args.sync, &args.customer_id).await;
    ledger.close().await;
    // The id is not repeated: the terminal's log may outlive the ledger's memory of it.
    let rows = rows?;
    match args.json {
        true => print_json(&json!({ "sync": args.sync, "rows_erased": rows })),
        false => print(&format!("forgotten: {} of sync {} erased\n", counted(rows, "row"), args.sync)),
    }
}
