//! What stories are told with.

pub mod api;
pub mod app;
pub mod command;
pub mod postgres;
pub mod process;
