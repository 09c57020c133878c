//! The sandbox Braze and the sample warehouse: both ends of a sync, on one machine.
//!
//! The sandbox answers Braze's REST routes as Braze does, silent drops and late applies included, and breaks in every
//! way Braze has been seen to break when a [`Rule`] says so. It also watches its client: a customer in two requests
//! at once, a request before an announced reset and the like are noted as violations. It knows nothing of the rest
//! of the crate, so that it cannot share its mistakes. What it imitates is public: the Braze docs pages "Create and
//! update users", "Rate limits" and "API errors and responses"; where they are silent, the choice says so.

mod books;
mod call;
mod catalog;
mod chance;
mod check;
mod control;
mod counting;
mod export;
mod fault;
mod gate;
mod handle;
mod hold;
mod identity;
mod log;
mod queue;
mod rate;
mod refusal;
mod reply;
mod route;
mod rule;
mod rules;
mod server;
mod settings;
mod shared;
mod store;
#[cfg(test)]
mod tests;
mod track;
mod value;
pub mod warehouse;

pub use books::Stats;
pub use handle::Sandbox;
pub use log::RequestRecord;
pub use rule::{Announce, Answer, Rule, When};
pub use settings::{Cap, DataType, ErrorStyle, Permission, Rate, Settings};

/// The id of the `number`th sample customer, the same in the sample warehouse and among seeded profiles.
pub fn customer_id(number: u32) -> String {
    format!("c-{number:07}")
}
