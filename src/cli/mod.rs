//! One file per command.

pub mod config_schema;
pub mod sign;
pub mod verify;
