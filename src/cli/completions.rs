//! `peak-braze completions`: what a shell needs to complete commands and flags.

use clap::CommandFactory;
use clap_complete::Shell;

use super::Cli;
use super::print::print;

/// Arguments of `completions`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The shell to write for.
    #[arg(value_enum)]
    shell: Shell,
}

/// Prints the shell's completion script.
pub(super) fn run(args: &Args) -> anyhow::Result<()> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "peak-braze", &mut script);
    print(&String::from_utf8(script)?)
}
