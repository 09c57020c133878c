//! The stories: what the whole promises, told against real parts.

mod answers;
mod api_access;
mod api_callbacks;
mod api_events;
mod api_metrics;
mod api_reads;
mod api_reference;
mod api_server;
mod api_triggers;
mod cadence;
mod chaos;
mod check;
mod delta;
mod layers;
mod ledger;
mod ledger_suite;
mod plan;
mod postgres_run;
mod queue;
mod recovery;
mod source_postgres;
mod source_sqlite;
mod source_suite;
mod support;
mod verdicts;
