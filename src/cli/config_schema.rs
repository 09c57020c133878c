//! `peak-braze config-schema`.

use std::io::Write;

use crate::config::schema;

/// Prints the JSON Schema of the config file.
#[derive(Debug, clap::Args)]
pub struct Args {}

/// Prints the schema.
///
/// # Errors
/// When standard output is closed.
pub fn run(_args: Args) -> anyhow::Result<()> {
    let text = serde_json::to_string_pretty(&schema())?;
    writeln!(std::io::stdout(), "{text}")?;
    Ok(())
}
