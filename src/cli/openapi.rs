//! `peak-braze openapi`: the HTTP contract.

use anyhow::Context;

use super::print::print;

/// Prints the OpenAPI document.
pub(super) fn run() -> anyhow::Result<()> {
    let document = crate::api::openapi_json().context("the OpenAPI document cannot be written")?;
    print(&(document + "\n"))
}
