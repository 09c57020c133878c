//! Who is told of what.

use super::finding::{Report, causes};
use crate::config::{self, Config, NotifyEvent, NotifyFormat};
use crate::notify;

/// Looks at every receiver: what it takes to tell it, and of what it is told. Nothing is posted.
pub(super) fn check(config: &Config, report: &mut Report) {
    for (index, settings) in config.notify.iter().enumerate() {
        let what = format!("notify[{index}]");
        match notify::receivers(std::slice::from_ref(settings)) {
            Ok(receivers) => {
                let hosts: Vec<&str> = receivers.iter().map(|receiver| receiver.host.as_str()).collect();
                report.ok(&what, format!("{}, {}", hosts.join(", "), says(settings)));
            }
            Err((_, error)) => report.failed(&what, format!("{}; nobody is told", causes(&error))),
        }
    }
    let has_bound =
        |sync: &config::Sync| sync.cadence.as_ref().is_some_and(|cadence| cadence.stale_after_secs.is_some());
    let is_awaited = config.notify.iter().any(|notify| notify.on.contains(&NotifyEvent::Stale));
    if is_awaited && !config.syncs.iter().any(has_bound) {
        report.warning("notify", "no sync has cadence.stale_after: nothing is ever told to be stale");
    }
}

fn says(settings: &config::Notify) -> String {
    let proof = match (settings.format, &settings.secret, &settings.authorization) {
        (_, Some(_), Some(_)) => "signed and authorized",
        (_, Some(_), None) => "signed",
        (_, None, Some(_)) => "authorized",
        (NotifyFormat::Slack, None, None) => "by its address alone",
        (_, None, None) => "unsigned",
    };
    let events: Vec<&str> = settings.on.iter().map(|event| event.as_str()).collect();
    let syncs = settings.syncs.as_ref().map_or_else(|| "all syncs".to_owned(), |syncs| syncs.join(", "));
    format!("{}, {proof}: {} of {syncs}", settings.format.as_str(), events.join(", "))
}
