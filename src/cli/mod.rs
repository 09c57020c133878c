//! The commands, one file each.

mod check;
mod client;
mod config_schema;
mod demo;
mod forecast;
mod forget;
mod migrate;
mod openapi;
mod plan;
mod progress;
mod receipt;
mod runs;
mod sample_warehouse;
mod sandbox;
mod serve;
mod sign;
mod sync;
mod verify;

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
            Command::Check(args) => return check::run(&config, args).await,
            Command::Sync(args) => return sync::run(&config, args).await,
            Command::Plan(args) => return plan::run(&config, args).await,
            Command::Runs(args) => return runs::run(&config, args).await,
            Command::Sign(args) => sign::run(args)?,
            Command::Verify(args) => verify::run(args)?,
            Command::Sandbox(args) => sandbox::run(args).await?,
            Command::SampleWarehouse(args) => sample_warehouse::run(args).await?,
            Command::Forget(args) => forget::run(&config, args).await?,
            Command::Migrate(args) => migrate::run(&config, args).await?,
            Command::Openapi => openapi::run()?,
            Command::ConfigSchema => config_schema::run(config_schema::Args {})?,
        }
        Ok(Done::Well)
    }
}
