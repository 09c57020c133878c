//! `peak-braze plan`: what a run would send, with nothing sent.

use std::path::Path;

use super::client::ServerArgs;
use super::{Done, sync};
use crate::run::Mode;

/// Arguments of `plan`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The sync to plan a run of.
    id: String,
    /// Prints JSON.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    server: ServerArgs,
}

/// As `sync --mode plan`, waited for.
pub(super) async fn run(config: &Path, args: Args) -> anyhow::Result<Done> {
    let Args { id, json, server } = args;
    sync::run(config, sync::Args { id, mode: Mode::Plan, wait: true, json, server }).await
}
