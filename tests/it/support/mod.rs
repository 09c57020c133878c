//! What stories are told with.

pub mod api;
pub mod app;
pub mod browser;
pub mod command;
pub mod hook;
pub mod peak;
pub mod postgres;
pub mod process;
pub mod python;
pub mod replicas;
pub mod snowflake;
pub mod snowflake_wire;
