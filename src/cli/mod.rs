//! One file per command.

pub mod config_schema;
pub mod sample_warehouse;
pub mod sandbox;
pub mod sign;
pub mod verify;
