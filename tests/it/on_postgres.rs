//! Stories that are told with the ledger on PostgreSQL too: what the service promises of deliveries, runs and their outcome
//! does not depend on where its memory is. Each has a cluster of its own.

#![allow(dead_code, unused_imports, reason = "the other crate of stories uses what this one does not")]

mod api_callbacks;
mod api_events;
mod api_triggers;
mod delta;
mod plan;
mod queue;
mod recovery;
mod source_suite;
mod support;
mod verdicts;

/// Whether the ledgers of these stories are on PostgreSQL.
const ON_POSTGRES: bool = true;
