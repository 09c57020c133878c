//! `peak-braze serve`: the service, until told to stop.

use std::net::SocketAddr;
use std::path::Path;

use anyhow::Context;
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::app::{App, Options};
use crate::clock::Clock;

/// Arguments of `serve`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Listens here instead of where the config says.
    #[arg(long, value_name = "ADDR:PORT")]
    listen: Option<SocketAddr>,
}

/// Serves until SIGTERM or SIGINT, then drains; a second one ends at once. SIGHUP reads the config again.
pub(super) async fn run(config: &Path, args: Args) -> anyhow::Result<()> {
    let mut signals = Signals::listen()?;
    let options = Options { clock: Clock::system(), serve: true, listen: args.listen, plans_only: false };
    let app = App::start(config, options).await?;
    if let (Some(addr), Some(pages)) = (app.addr(), app.pages_url()) {
        // In one piece: whoever started us may stop reading once it knows the address.
        let said =
            format!("peak-braze listens on {addr}\nPages: {pages} (sign in with a token of the config)\n");
        print!("{said}");
    }
    while signals.next().await == Asked::Reload {
        if let Err(error) = app.reload().await {
            tracing::error!("config not reloaded, the old one stays in force: {error:#}");
        }
    }
    tracing::info!("draining");
    tokio::select! {
        () = app.drain() => Ok(()),
        () = signals.stop() => std::process::exit(0),
    }
}

#[derive(PartialEq, Eq)]
enum Asked {
    Reload,
    Stop,
}

/// The signals a service answers to.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hangup: Signal,
}

impl Signals {
    fn listen() -> anyhow::Result<Self> {
        let of = |kind| signal(kind).context("cannot listen for signals");
        Ok(Self {
            terminate: of(SignalKind::terminate())?,
            interrupt: of(SignalKind::interrupt())?,
            hangup: of(SignalKind::hangup())?,
        })
    }

    async fn next(&mut self) -> Asked {
        tokio::select! {
            _ = self.terminate.recv() => Asked::Stop,
            _ = self.interrupt.recv() => Asked::Stop,
            _ = self.hangup.recv() => Asked::Reload,
        }
    }

    async fn stop(&mut self) {
        while self.next().await != Asked::Stop {}
    }
}
