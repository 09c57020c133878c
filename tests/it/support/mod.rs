//! What stories are told with.

pub mod api;
pub mod postgres;
