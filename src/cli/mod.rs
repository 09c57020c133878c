//! The commands, one file each.

pub mod sample_warehouse;
pub mod sandbox;
