//! `peak-braze config-schema`.

use super::print::print_json;
use crate::config::schema;

/// Prints the JSON Schema of the config file.
#[derive(Debug, clap::Args)]
pub struct Args {}

/// Prints the schema.
///
/// # Errors
/// When standard output cannot be written.
pub fn run(_args: Args) -> anyhow::Result<()> {
    print_json(&schema())
}
