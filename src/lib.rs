//! peak-braze sends the customer predictions that changed in Peak to Braze, and keeps a receipt of every run.
pub mod api;
pub mod cadence;
pub mod callback;
pub mod cli;
pub mod clock;
pub mod config;
pub mod customer;
pub mod ledger;
pub mod run;
pub mod sandbox;
pub mod source;
