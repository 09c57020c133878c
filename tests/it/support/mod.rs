//! What stories are told with.

pub mod api;
pub mod app;
pub mod browser;
pub mod collector;
pub mod command;
pub mod exposition;
pub mod hook;
pub mod ledger;
pub mod peak;
pub mod postgres;
pub mod process;
pub mod proxy;
pub mod python;
pub mod replicas;
pub mod snowflake;
pub mod snowflake_wire;
