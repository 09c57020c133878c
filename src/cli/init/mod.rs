//! `peak-braze init`: from a warehouse's address to a config that works.
//!
//! ```text
//! answers (flags, or asked for) -> look at the table -> propose key, time and mapping -> write -> what comes next
//! ```
//!
//! Nothing is sent to Braze, and nothing is written until the table was seen. The config holds no secret.

mod answers;
mod column;
mod endpoint;
mod look;
mod next;
mod proposal;
mod text;

use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use anyhow::Context;
use serde_json::json;

use super::Usage;
use super::print::{print, print_json};
use crate::clock::Clock;
use crate::config;
use answers::{Answers, Asker};
use look::Look;
use next::Secrets;
use proposal::Proposal;

pub(super) use answers::Args;

/// Looks, proposes, writes.
pub(super) async fn run(config: &Path, args: Args) -> anyhow::Result<()> {
    let out = args.out.clone().unwrap_or_else(|| config.to_owned());
    refuse_overwriting(&out, args.force)?;
    let asker = Asker::new(&args);
    let mut answers = Answers::gather(args, &asker)?;
    let clock = Clock::system();
    let look = Look::at(&mut answers, &asker, &out, &clock).await?;
    let proposal = Proposal::of(&look, &answers);
    let text = text::config(&answers, &look, &proposal);
    // What a run would say of it is better said now.
    let written = config::load::parse(&text, &out).context("the proposed config cannot be used")?;
    look.confirm(&answers, &written, &clock).await?;
    if !answers.json {
        print(&proposal.shown(&look))?;
        if !asker.agrees(&format!("Write {}?", out.display()))? {
            return print("nothing was written\n");
        }
    }
    write(&out, &text, answers.force)?;
    let secrets = Secrets::fresh()?;
    match answers.json {
        true => print_json(&json!({
            "config": out,
            "sync": answers.sync,
            "proposal": proposal,
            "environment": secrets.environment(&answers),
            "next": next::command(config, &out),
        })),
        false => print(&next::steps(config, &out, &answers, &secrets)),
    }
}

fn refuse_overwriting(out: &Path, force: bool) -> Result<(), Usage> {
    match out.exists() && !force {
        true => Err(Usage(format!(
            "{} is there already; --force replaces it, --out names another",
            out.display()
        ))),
        false => Ok(()),
    }
}

/// Whoever may read the config may read where the warehouse is: the owner alone.
fn write(out: &Path, text: &str, force: bool) -> anyhow::Result<()> {
    let mut options = std::fs::OpenOptions::new();
    options.write(true).mode(0o600);
    match force {
        true => options.create(true).truncate(true),
        false => options.create_new(true),
    };
    let written = options.open(out).and_then(|mut file| file.write_all(text.as_bytes()));
    written.with_context(|| format!("{}: cannot be written", out.display()))
}
