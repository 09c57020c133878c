//! `peak-braze sync`: triggers a run, here or on a running server, and shows its receipt.

use std::path::Path;
use std::time::Duration;

use super::client::{Client, ServerArgs, Triggered};
use super::print::{Ink, Paper, print, print_json};
use super::progress::Shown;
use super::receipt::receipt;
use super::{Done, Usage};
use crate::app::{self, App, Options};
use crate::clock::Clock;
use crate::ledger::{Ledger, NewRun};
use crate::run::{Mode, Run, RunId, TriggerKind};

/// How often a run is looked at while it is waited for.
const LOOK_EVERY: Duration = Duration::from_millis(300);

/// Arguments of `sync`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The sync to run.
    pub id: String,
    /// How much to select and send: delta, full, force or plan.
    #[arg(long, default_value = "delta", value_parser = clap::value_parser!(Mode))]
    pub mode: Mode,
    /// Waits for the run's end; always so without --server.
    #[arg(long)]
    pub wait: bool,
    /// Prints JSON.
    #[arg(long)]
    pub json: bool,
    #[command(flatten)]
    pub server: ServerArgs,
}

/// Triggers the run and, where it is waited for, ends as the run does.
pub(super) async fn run(config: &Path, args: Args) -> anyhow::Result<Done> {
    let run = match Client::named(&args.server)? {
        Some(client) => match on_server(&client, &args).await? {
            Some(run) => run,
            None => return Ok(Done::Well),
        },
        None => in_process(config, &args).await?,
    };
    match args.json {
        true => print_json(&run)?,
        false => print(&receipt(&run, Paper::stdout(), Clock::system().now()))?,
    }
    Ok(Done::of(run.state))
}

async fn on_server(client: &Client, args: &Args) -> anyhow::Result<Option<Run>> {
    let body = serde_json::json!({ "mode": args.mode, "reason": "peak-braze sync" });
    let triggered = client.trigger(&args.id, &body).await?;
    if !args.wait {
        show_triggered(&triggered, args.json)?;
        return Ok(None);
    }
    let mut shown = Shown::new();
    loop {
        let run = client.run(triggered.run_id).await?;
        if run.state.is_final() {
            shown.clear();
            return Ok(Some(run));
        }
        shown.show(&run);
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

fn show_triggered(triggered: &Triggered, json: bool) -> anyhow::Result<()> {
    if json {
        return print_json(triggered);
    }
    let joined = if triggered.coalesced { " (joined the queued run)" } else { "" };
    let state = Paper::stdout().ink(triggered.state, Ink::of(triggered.state));
    print(&format!("run {} {state}{joined}\n", triggered.run_id))
}

async fn in_process(config: &Path, args: &Args) -> anyhow::Result<Run> {
    if app::load(config)?.sync(&args.id).is_none() {
        return Err(Usage(format!(
            "sync {}: there is no such [[syncs]] id in {}",
            args.id,
            config.display()
        ))
        .into());
    }
    let plans_only = args.mode == Mode::Plan;
    let options = Options { clock: Clock::system(), serve: false, listen: None, plans_only };
    let app = App::start(config, options).await?;
    let queued = app
        .ledger()
        .enqueue(NewRun {
            sync: args.id.clone(),
            mode: args.mode,
            kind: TriggerKind::Cli,
            actor: None,
            reason: None,
            retrigger_of: None,
            customers: None,
            idempotency: None,
        })
        .await?;
    let run = tokio::select! {
        run = wait_for(app.ledger(), queued.run_id) => run,
        _ = tokio::signal::ctrl_c() => Err(anyhow::anyhow!("interrupted; the run goes on with the next command or server")),
    };
    app.drain().await;
    run
}

/// Looks whenever the ledger tells of the run, and now and then all the same.
async fn wait_for(ledger: &Ledger, id: RunId) -> anyhow::Result<Run> {
    let mut changed = ledger.watch();
    let mut shown = Shown::new();
    loop {
        if let Some(run) = ledger.run(id).await? {
            if run.state.is_final() {
                shown.clear();
                return Ok(run);
            }
            shown.show(&run);
        }
        let told = async { while changed.recv().await.is_ok_and(|changed| changed != id) {} };
        // Told or not, the next look decides.
        let _ = tokio::time::timeout(LOOK_EVERY, told).await;
    }
}
