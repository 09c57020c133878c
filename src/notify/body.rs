//! The body of a notice, in each format.

use serde_json::{Value, json};

use super::Notice;
use super::sentence::sentence;
use crate::config::NotifyFormat;
use crate::run::Occasion;

/// The body in this format.
pub(super) fn body(notice: &Notice<'_>, format: NotifyFormat) -> Vec<u8> {
    let value = match format {
        NotifyFormat::Standard => standard(notice),
        NotifyFormat::Slack => json!({ "text": escaped(&sentence(notice)) }),
        NotifyFormat::Peak => json!({ "params": { "global": parameters(notice) } }),
    };
    value.to_string().into_bytes()
}

/// Type, timestamp and data, as the specification advises.
fn standard(notice: &Notice<'_>) -> Value {
    let mut data = serde_json::to_value(notice.occasion).expect("own types are JSON");
    data["text"] = sentence(notice).into();
    json!({ "type": kind(notice), "timestamp": notice.at, "data": data })
}

fn kind(notice: &Notice<'_>) -> String {
    use crate::config::NotifyEvent::{Blocked, Failed, Held, Partial, Recovered, Stale, Succeeded};
    let about = match notice.event {
        Succeeded | Partial | Failed | Held => "run",
        Blocked | Stale | Recovered => "sync",
    };
    format!("{about}.{}", notice.event.as_str())
}

/// Characters that steer a message. Source: Slack docs, Formatting text for app surfaces, Escaping text.
fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

/// What a workflow's steps find in their environment: Peak's parameters are texts.
fn parameters(notice: &Notice<'_>) -> Value {
    let mut parameters = json!({
        "PEAK_BRAZE_EVENT": kind(notice),
        "PEAK_BRAZE_NOTICE_ID": notice.id,
        "PEAK_BRAZE_AT": notice.at,
        "PEAK_BRAZE_SYNC": notice.occasion.sync(),
        "PEAK_BRAZE_TEXT": sentence(notice),
    });
    if let Occasion::Run(run) = notice.occasion {
        let tally = &run.tally;
        parameters["PEAK_BRAZE_RUN_ID"] = json!(run.id);
        parameters["PEAK_BRAZE_EXECUTION_ID"] = run.model.execution_id.clone().unwrap_or_default().into();
        for (name, count) in [
            ("PEAK_BRAZE_CUSTOMERS", tally.customers),
            ("PEAK_BRAZE_CHANGED", tally.changed),
            ("PEAK_BRAZE_ACCEPTED", tally.accepted),
            ("PEAK_BRAZE_REJECTED", tally.rejected),
            ("PEAK_BRAZE_DATA_POINTS", run.data_points.sent),
        ] {
            parameters[name] = count.to_string().into();
        }
    }
    parameters
}

#[cfg(test)]
mod tests;
