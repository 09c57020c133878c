//! Stories against a scripted Braze on loopback.

mod answers;
mod fake;
mod limits;
mod transport;
