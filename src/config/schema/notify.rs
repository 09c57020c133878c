//! `[[notify]]`.

use serde_json::Value;

use super::{list, or, secret, table, text, word};
use crate::config::NotifyEvent;

pub(super) fn notify() -> Value {
    let events = NotifyEvent::ALL.map(NotifyEvent::as_str);
    let format = "How notices are written: as Standard Webhooks, as messages to a Slack channel, or as parameters of a \
                  Peak workflow to execute.";
    let sign = "Signs the notices: base64, 24 bytes or more. Required for standard without authorization.";
    let authorization = "The Authorization header, sent as it is, such as a Peak API key. Required for peak.";
    table(
        "A receiver of outgoing notices.",
        vec![
            ("url", text("Where notices are posted; https, except loopback; may be env:NAME or file:PATH.")),
            ("secret", secret(sign)),
            ("authorization", secret(authorization)),
            ("format", or(word(format, &["standard", "slack", "peak"]), "standard")),
            ("on", list("Which events are told.", word("An event.", &events))),
            ("syncs", list("Of these syncs alone; absent: of all.", text("A sync's id."))),
        ],
        &["url", "on"],
    )
}
