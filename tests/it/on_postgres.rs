//! The same stories, told with the ledger on PostgreSQL: nothing the service promises depends on where its memory is.
//! Those that turn the clock by hand, or that are about a file, are told by `main.rs` alone.

#![allow(dead_code, unused_imports, reason = "the other crate of stories uses what this one does not")]

mod answers;
mod api_access;
mod api_callbacks;
mod api_events;
mod api_triggers;
mod delta;
mod plan;
mod queue;
mod recovery;
mod reload;
mod resets;
mod settle;
mod source_suite;
mod support;
mod verdicts;

/// Whether the ledgers of these stories are on PostgreSQL.
const ON_POSTGRES: bool = true;
