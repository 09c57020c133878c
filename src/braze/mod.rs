//! Pushes batches to a Braze workspace and says what became of every update.
//!
//! Braze's answers hide failures: a 201 may list rejected objects by position, a 401 echoes the API key, a 429
//! announces its reset in four ways. This room turns all of that into one verdict per update, and keeps the
//! workspace's limits for every sync that shares it. Nothing Braze writes leaves it, only classified codes.
//!
//! ```text
//! Batch -> parts -> gate (hold, concurrency, budget) -> fence -> request -> classify -> verdicts
//!            ^                                                               |
//!            +-------- split, or the same payload again --------------------+
//! ```

mod announced;
mod answer;
mod breaker;
mod budget;
mod chance;
mod client;
mod concurrency;
mod destination;
mod endpoint;
mod export;
mod fenced;
mod gate;
mod hold;
mod measure;
mod parts;
mod pusher;
mod stake;
mod stop;
mod update;
mod verdict;
mod workspace;

#[cfg(test)]
mod tests;

pub use budget::Standing;
pub use destination::{Braze, BrazeError};
pub use export::Profiles;
pub use hold::{Hold, HoldReason};
pub use pusher::{Fence, Pusher};
pub use stake::{Asked, Stake};
pub use stop::{Fatal, PushFailed, Stop};
pub use update::{Batch, Template};
pub use verdict::{Pushed, Verdict};
pub use workspace::CustomAttribute;
