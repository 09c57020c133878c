//! What stories are told with.

pub mod api;
pub mod app;
pub mod command;
pub mod postgres;
pub mod process;
#[expect(dead_code, reason = "the stories that use it come next")]
pub mod python;
