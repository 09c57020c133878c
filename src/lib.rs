//! peak-braze sends the customer predictions that changed in Peak to Braze, and keeps a receipt of every run.
//!
//! ```text
//! receive -> verify -> record run -> claim -> extract delta -> diff -> batch -> push -> record outcome
//!   api     callback      ledger     worker      source        sync   sync    braze      ledger
//! ```
//!
//! A callback is a hint, not data: it says "look now". A run reads everything past the watermark, so lost, doubled
//! and late callbacks, re-triggers, the schedule and the command line share one path. The rooms, in flow order:

pub mod api;
pub mod braze;
pub mod callback;
pub mod ledger;
pub mod notify;
pub mod pages;
pub mod peak;
pub mod source;
pub mod sync;
pub mod worker;

pub mod access;
pub mod cadence;
pub mod clock;
pub mod config;
pub mod customer;
mod figures;
pub mod http;
pub mod postgres;
pub mod run;
pub mod share;
pub mod standing;
pub mod telemetry;

pub mod app;
pub mod cli;
pub mod sandbox;
