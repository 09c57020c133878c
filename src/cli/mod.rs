//! The commands, one file each.

mod check;
mod client;
mod completions;
mod config_schema;
mod demo;
mod forecast;
mod forget;
mod init;
mod man;
mod migrate;
mod openapi;
mod plan;
mod print;
mod progress;
mod receipt;
mod runs;
mod sample_warehouse;
mod sandbox;
mod serve;
mod sign;
mod sync;
mod verify;
mod verify_braze;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::run::RunState;
use crate::telemetry::{self, LogFormat};

/// Sends the customer predictions that changed in Peak to Braze, and keeps a receipt of every run.
#[derive(Debug, Parser)]
#[command(name = "peak-braze", version, about, disable_help_subcommand = true)]
struct Cli {
    /// The config file.
    #[arg(
        long,
        global = true,
        env = "PEAK_BRAZE_CONFIG",
        default_value = "peak-braze.toml",
        value_name = "FILE"
    )]
    config: PathBuf,
    /// How log lines are written to standard error; RUST_LOG chooses which.
    #[arg(long, global = true, value_enum, default_value_t = LogFormat::Text, value_name = "FORMAT")]
    log_format: LogFormat,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Shows the whole product on embedded parts: no config, no network.
    Demo(demo::Args),
    /// Runs the service: callbacks, API, workers.
    Serve(serve::Args),
    /// Looks at a warehouse's table and writes a config for it.
    Init(Box<init::Args>),
    /// Looks at everything a run needs, and says what to do where something is amiss.
    Check(check::Args),
    /// Triggers a run and shows its receipt.
    Sync(sync::Args),
    /// Shows what a run would send; nothing is sent.
    Plan(plan::Args),
    /// Lists runs, or shows one.
    Runs(runs::Args),
    /// Signs a callback body from standard input, for trying one by hand.
    Sign(sign::Args),
    /// Says why a delivery is refused.
    Verify(verify::Args),
    /// Reads a random sample of customers back from Braze, and compares.
    VerifyBraze(verify_braze::Args),
    /// Runs the sandbox Braze alone.
    Sandbox(sandbox::Args),
    /// Writes, or changes, the sample SQLite warehouse.
    SampleWarehouse(sample_warehouse::Args),
    /// Erases one customer from the ledger.
    Forget(forget::Args),
    /// Brings the ledger's schema up to date.
    Migrate(migrate::Args),
    /// Prints the OpenAPI document.
    Openapi,
    /// Prints the JSON Schema of the config file.
    ConfigSchema,
    /// Prints what a shell needs to complete commands and flags.
    Completions(completions::Args),
    /// Prints the manual, or writes its pages.
    Man(man::Args),
}

/// What a command came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Done {
    /// As asked.
    Well,
    /// It did not come out as it should.
    Failed,
    /// A run ended partial.
    Partial,
}

impl Done {
    /// How a command ends that shows a finished run.
    pub(crate) fn of(state: RunState) -> Self {
        match state {
            RunState::Failed | RunState::Cancelled => Self::Failed,
            RunState::Partial => Self::Partial,
            _ => Self::Well,
        }
    }
}

/// A usage or config error: ends with status 2.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct Usage(pub String);

/// Runs the command given on the command line. 0 done, 1 failed, 2 usage or config, 3 a run that ended partial.
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("peak-braze: cannot start: {error}");
            return ExitCode::from(1);
        }
    };
    let done = runtime.block_on(cli.run());
    // Blocking reads of a source may still hang; the process does not wait for them.
    runtime.shutdown_background();
    match done {
        Ok(Done::Well) => ExitCode::SUCCESS,
        Ok(Done::Failed) => ExitCode::from(1),
        Ok(Done::Partial) => ExitCode::from(3),
        Err(error) => {
            eprintln!("peak-braze: {error:#}");
            let is_usage =
                error.chain().any(|cause| cause.is::<Usage>() || cause.is::<crate::config::ConfigError>());
            ExitCode::from(if is_usage { 2 } else { 1 })
        }
    }
}

impl Cli {
    async fn run(self) -> anyhow::Result<Done> {
        let quiet = !matches!(self.command, Command::Serve(_) | Command::Sandbox(_));
        telemetry::init(self.log_format, if quiet { "warn" } else { "info" });
        let config = self.config;
        match self.command {
            Command::Demo(args) => return demo::run(args).await,
            Command::Serve(args) => serve::run(&config, args).await?,
            Command::Init(args) => init::run(&config, *args).await?,
            Command::Check(args) => return check::run(&config, args).await,
            Command::Sync(args) => return sync::run(&config, args).await,
            Command::Plan(args) => return plan::run(&config, args).await,
            Command::Runs(args) => return runs::run(&config, args).await,
            Command::Sign(args) => sign::run(args)?,
            Command::Verify(args) => verify::run(args)?,
            Command::VerifyBraze(args) => return verify_braze::run(&config, args).await,
            Command::Sandbox(args) => sandbox::run(args).await?,
            Command::SampleWarehouse(args) => sample_warehouse::run(args).await?,
            Command::Forget(args) => forget::run(&config, args).await?,
            Command::Migrate(args) => migrate::run(&config, args).await?,
            Command::Openapi => openapi::run()?,
            Command::ConfigSchema => config_schema::run(config_schema::Args {})?,
            Command::Completions(args) => completions::run(&args)?,
            Command::Man(args) => man::run(&args)?,
        }
        Ok(Done::Well)
    }
}

/// A run as it stands in its receipt.
#[cfg(test)]
fn sample_run(state: RunState) -> crate::run::Run {
    let finished_at = state.is_final().then_some("2026-03-28T06:01:32.4Z");
    let started_at = (state != RunState::Queued).then_some("2026-03-28T06:00:10Z");
    let error = (state == RunState::Failed).then(|| {
        serde_json::json!({
            "code": "braze_unauthorized", "message": "Braze does not take the key", "retryable": false,
        })
    });
    serde_json::from_value(serde_json::json!({
        "id": "019d3201-9b00-7000-8000-0000000000a1", "sync": "customer-predictions", "mode": "delta", "state": state,
        "trigger": {
            "kind": "manual", "deliveries": [], "actor": "ops", "reason": null, "retrigger_of": null,
        },
        "model": { "name": null, "version": null, "execution_id": null },
        "attempt": 1, "created_at": "2026-03-28T06:00:00Z", "started_at": started_at, "finished_at": finished_at,
        "window": { "after": null, "up_to": null },
        "tally": {
            "rows_read": 1_250_000, "customers": 1_250_000, "collapsed": 0, "unchanged": 1_237_500, "changed": 12_490,
            "invalid": 10, "invalid_values": 12, "accepted": 12_480, "rejected": 10, "unknown": 0, "requests": 168,
            "retries": 1, "bytes_sent": 1_412_345,
        },
        "data_points": {
            "sent": 13_002, "saved": 3_736_998,
            "by_attribute": {
                "peak_churn_probability": { "sent": 12_400, "saved": 1_237_600 },
                "peak_segment": { "sent": 602, "saved": 2_499_398 },
            },
        },
        "progress": { "phase": "recording", "done": 12_490, "total": 12_490, "per_sec": 900.0, "eta_secs": null },
        "promoted": null, "throttled_until": null, "held_by": null, "error": error, "plan": null,
    }))
    .expect("a run")
}
