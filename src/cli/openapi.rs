//! `peak-braze openapi`: the HTTP contract.

use anyhow::Context;

/// Prints the OpenAPI document.
pub(super) fn run() -> anyhow::Result<()> {
    println!("{}", crate::api::openapi_json().context("the OpenAPI document cannot be written")?);
    Ok(())
}
