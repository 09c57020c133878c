//! What a file may say one by one but not together, and what is no value at all.

mod attribute;
mod destination;
mod name;
mod notify;
mod secrets;
mod server;
mod source;
mod sync;
mod telemetry;
mod url;

use super::Config;
use super::problem::Problems;

pub use attribute::is_standard;
pub(super) use notify::address as notice_address;
pub use secrets::check_secrets;

/// Every rule, every problem. Looks nothing up: no file, no variable, no network.
pub(super) fn rules(config: &Config) -> Problems {
    let mut problems = Problems::default();
    server::check(config, &mut problems);
    source::check(config, &mut problems);
    destination::check(config, &mut problems);
    sync::check(config, &mut problems);
    attribute::check(config, &mut problems);
    notify::check(config, &mut problems);
    telemetry::check(config, &mut problems);
    problems
}

#[cfg(test)]
mod tests;
