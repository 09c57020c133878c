//! `peak-braze migrate`: brings the ledger's schema up to date, or moves a ledger to PostgreSQL.

use std::io::IsTerminal;
use std::path::{Path, PathBuf};

use anyhow::Context;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use secrecy::ExposeSecret;
use serde_json::{Map, json};
use tokio::time::Instant;

use super::print::{print, print_json};
use super::receipt::{bare, right_align};
use crate::clock::Clock;
use crate::config;
use crate::figures::grouped;
use crate::ledger::{self, Ledger, MoveProgress, MovedTable};

/// Arguments of `migrate`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Moves this ledger: sqlite://FILE, which no process may have open. Paths are relative to where you are.
    #[arg(long, value_name = "URL", requires = "to")]
    from: Option<String>,
    /// To this empty one: postgres://…, or env:NAME or file:PATH of it.
    #[arg(long, value_name = "URL", requires = "from")]
    to: Option<String>,
    /// Prints JSON.
    #[arg(long)]
    json: bool,
}

/// Moves a ledger where both addresses are given. Else opens the configured one, which migrates it, and closes it.
pub(super) async fn run(config: &Path, args: Args) -> anyhow::Result<()> {
    if let (Some(from), Some(to)) = (args.from, args.to) {
        return move_ledger(&from, &to, args.json).await;
    }
    let config = config::load(config)?;
    let ledger = Ledger::open(&config.ledger, Clock::system()).await?;
    ledger.close().await;
    match args.json {
        true => print_json(&json!({ "schema": "up to date" })),
        false => print("ledger.url: schema is up to date\n"),
    }
}

async fn move_ledger(from: &str, to: &str, is_json: bool) -> anyhow::Result<()> {
    let from = config::resolve_url(from).context("--from")?;
    let to = config::resolve_url(to).context("--to")?;
    let (began, bar) = (Instant::now(), bar());
    let show = |progress: MoveProgress| {
        bar.set_length(progress.total);
        bar.set_position(progress.done);
    };
    let moved = ledger::transfer(from.expose_secret(), to.expose_secret(), show).await;
    bar.finish_and_clear();
    let moved = moved?;
    let (rows, secs) = (moved.iter().map(|table| table.rows).sum::<u64>(), began.elapsed().as_secs_f64());
    if is_json {
        let tables: Map<_, _> = moved.iter().map(|table| (table.name.clone(), table.rows.into())).collect();
        return print_json(&json!({ "rows_moved": rows, "secs": secs, "tables": tables }));
    }
    let next = what_next(from.expose_secret());
    let rows = grouped(rows);
    print(&format!("{}moved: {rows} rows in {secs:.1} s, counted on both sides\n{next}\n", told(&moved)))
}

/// Shown on a terminal alone.
fn bar() -> ProgressBar {
    if !std::io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr_with_hz(10));
    let style =
        ProgressStyle::with_template("{bar:30} {human_pos} / {human_len} rows  {per_sec}, {eta} to go");
    bar.with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
}

fn told(moved: &[MovedTable]) -> String {
    let mut table = bare();
    table.add_row(["table", "rows"]);
    for one in moved {
        table.add_row([one.name.clone(), grouped(one.rows)]);
    }
    right_align(&mut table, 1..2);
    format!("{}\n", table.trim_fmt())
}

/// The digests mean nothing without the key they were made with.
fn what_next(from: &str) -> String {
    let file = from.strip_prefix("sqlite://").unwrap_or(from);
    let key = PathBuf::from(format!("{file}.key"));
    let digest_key = match key.exists() {
        true => format!(
            "copy {0} to every replica, readable by the service alone, and name it there: \
             digest_key = \"file:{0}\"",
            key.display()
        ),
        false => "keep digest_key as it is".to_owned(),
    };
    format!(
        "next, in [ledger]: set url to the new address (as env:NAME or file:PATH); {digest_key}. Then start the \
         service there, and never again on {file}, which you may keep as a backup"
    )
}
