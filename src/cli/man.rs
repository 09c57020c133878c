//! `peak-braze man`: the manual's pages, made from the commands themselves.

use std::path::{Path, PathBuf};

use anyhow::Context;
use clap::{Command, CommandFactory};
use clap_mangen::Man;

use super::Cli;
use super::print::print;
use crate::figures::counted;

/// Arguments of `man`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Writes every page into this folder; without, prints the first to standard output.
    #[arg(value_name = "DIR")]
    folder: Option<PathBuf>,
}

/// Writes a page for `peak-braze` and one for each command.
pub(super) fn run(args: &Args) -> anyhow::Result<()> {
    let mut cli = Cli::command();
    // Names the commands in full, and carries the common flags down to each.
    cli.build();
    let Some(folder) = &args.folder else { return print(&String::from_utf8(page(cli)?)?) };
    std::fs::create_dir_all(folder).with_context(|| format!("{}: cannot be made", folder.display()))?;
    let pages: Vec<Command> =
        cli.get_subcommands().filter(|command| !command.is_hide_set()).cloned().collect();
    let written = pages.len() as u64 + 1;
    for command in pages {
        // As `git` has it, and as the first page's list of commands refers to them.
        let name = format!("peak-braze-{}", command.get_name());
        write(folder, command.name(name))?;
    }
    write(folder, cli)?;
    print(&format!("{} written to {}\n", counted(written, "page"), folder.display()))
}

fn write(folder: &Path, command: Command) -> anyhow::Result<()> {
    let file = folder.join(format!("{}.1", command.get_name()));
    std::fs::write(&file, page(command)?).with_context(|| format!("{}: cannot be written", file.display()))
}

fn page(command: Command) -> anyhow::Result<Vec<u8>> {
    let mut text = Vec::new();
    Man::new(command).manual("peak-braze").render(&mut text)?;
    Ok(text)
}
