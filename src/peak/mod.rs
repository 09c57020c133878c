//! Peak's own HTTP API: the warehouse's credentials, and how a step of a model run ended.
//!
//! Written from what Peak's SDK 1.29.0 sends and its documentation shows; tests hold a stand-in, with which that SDK
//! talks too. Answers hold passwords: nothing of them reaches an error or a log.

mod client;
mod credentials;
mod error;
mod execution;

pub use client::Peak;
pub use credentials::{Server, Snowflake, SnowflakeAuth, Warehouse};
pub use error::PeakError;
pub use execution::StepStatus;
