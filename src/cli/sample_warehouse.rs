//! `peak-braze sample-warehouse`: writes or changes a SQLite file with believable predictions.

use std::path::PathBuf;

use anyhow::Context;

use serde_json::json;

use super::print::print;
use crate::clock::Clock;
use crate::figures::counted;
use crate::sandbox::warehouse::{self, Change};

/// Write a sample SQLite warehouse, or change one as a model run would.
///
/// The table is `customer_predictions`; customers are c-0000001 and up, the same for the same seed.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The SQLite file. Without --touch it must not exist yet
    pub file: PathBuf,

    /// Customers to write
    #[arg(long, value_name = "N", default_value_t = 10_000, conflicts_with = "touch")]
    pub customers: u32,

    /// Seed of the made-up values
    #[arg(long, value_name = "SEED", default_value_t = 1, conflicts_with = "touch")]
    pub seed: u64,

    /// Recompute the churn scores of so many percent of the customers of an existing file, such as 1 or 0.5
    #[arg(long, value_name = "PCT")]
    pub touch: Option<f64>,

    /// With --touch: give every row a new updated_at, as a truncate and reload does, though only PCT percent change
    #[arg(long, requires = "touch")]
    pub reload: bool,

    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// Runs the command.
///
/// # Errors
/// The file is there when it must not be, or the other way round, or SQLite fails.
pub async fn run(args: Args) -> anyhow::Result<()> {
    // SQLite blocks, and a million rows take seconds.
    let said =
        tokio::task::spawn_blocking(move || work(&args)).await.context("the writing task ended early")??;
    print(&said)
}

fn work(args: &Args) -> anyhow::Result<String> {
    let file = args.file.display();
    let told = |customers: u64, says: &str| match args.json {
        true => format!("{:#}\n", json!({ "file": args.file, "customers": customers })),
        false => format!("{file}: {} {says}\n", counted(customers, "customer")),
    };
    let Some(pct) = args.touch else {
        warehouse::write(&args.file, args.customers, args.seed)?;
        return Ok(told(args.customers.into(), "in customer_predictions"));
    };
    let change = if args.reload { Change::TimestampsOnly } else { Change::Values };
    let changed = warehouse::touch(&args.file, pct, Clock::system().now(), change)?;
    let rest = if args.reload { ", and every row a new updated_at" } else { "" };
    Ok(told(changed.into(), &format!("with new churn scores{rest}")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::{CommandFactory, Parser};

    #[derive(Debug, Parser)]
    struct Command {
        #[command(flatten)]
        args: Args,
    }

    #[test]
    fn the_flags_are_well_formed() {
        Command::command().debug_assert();
        assert!(Command::try_parse_from(["sample-warehouse", "f.db", "--reload"]).is_err());
        assert!(
            Command::try_parse_from(["sample-warehouse", "f.db", "--touch", "1", "--customers", "9"])
                .is_err()
        );
    }

    #[tokio::test]
    async fn a_file_is_written_then_touched() {
        let dir = tempfile::tempdir().expect("a directory");
        let file = dir.path().join("sample.db");
        let with =
            |touch| Args { file: file.clone(), customers: 200, seed: 1, touch, reload: false, json: false };
        assert!(run(with(Some(1.0))).await.is_err());
        run(with(None)).await.expect("written");
        assert!(work(&with(Some(1.0))).expect("touched").contains("2 customers with new churn scores"));
        assert!(run(with(None)).await.is_err());
    }
}
