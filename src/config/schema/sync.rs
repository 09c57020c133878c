//! `[[syncs]]` and what is under it.

use serde_json::{Value, json};

use super::{checked, flag, list, or, real, secret, table, text, whole, word};
use crate::config::bound::{MEAN_SHIFT, OVERLAP_SECS, PERCENT, ROUND, TOLERANCE_SECS};

pub(super) fn sync() -> Value {
    let mut keys = selection();
    keys.extend(manner());
    keys.extend(vec![
        ("callback", callback()),
        ("cadence", cadence()),
        ("guards", guards()),
        ("attributes", list("What is sent.", attribute())),
    ]);
    table(
        "One table, its mapping, and the workspace it goes to.",
        keys,
        &["id", "source", "destination", "key", "updated_at", "attributes"],
    )
}

fn selection() -> Vec<(&'static str, Value)> {
    vec![
        ("id", text("Names the sync in paths, logs and the ledger.")),
        ("source", text("A [sources.NAME].")),
        ("destination", text("A [destinations.NAME].")),
        ("table", text("The table or view to read; or query.")),
        ("query", text("A select to read instead of a table.")),
        ("key", text("The column that holds the customer's id.")),
        ("identifier", or(checked("identifier", "What the key is in Braze."), "external_id")),
        ("updated_at", text("The column that tells when a row last changed.")),
    ]
}

fn manner() -> Vec<(&'static str, Value)> {
    let overlap = "Seconds before the watermark that are read again, for rows that came late.";
    let existing = "Whether unknown customers are left alone, rather than created.";
    let full = "How often a scheduled run compares every row.";
    let resend = "After how long a customer's values not sent are sent again.";
    let standard = "Lets a mapping write Braze's standard attributes, such as email.";
    vec![
        ("overlap_secs", or(whole(overlap, OVERLAP_SECS), 900)),
        ("update_existing_only", flag(existing, true)),
        ("full_every", or(checked("duration_or_off", full), "7d")),
        ("resend_every", or(checked("duration_or_off", resend), "off")),
        ("allow_standard", flag(standard, false)),
    ]
}

fn callback() -> Value {
    let scheme = word("How a callback proves where it comes from.", &["standard", "github", "bearer"]);
    let events =
        list("Event types that start a run; others are recorded as ignored.", text("An event type."));
    let usual = json!(["model.run.completed", "ai.peak.data_validation.run.completed"]);
    let tolerance = "Seconds a timestamp may lie in the past or future.";
    let matches = json!({
        "type": "object",
        "description": "Equality on fields of data; a mismatch is recorded as ignored.",
        "additionalProperties": { "type": "string" },
    });
    table(
        "How Peak's callbacks are verified; absent: the sync takes none.",
        vec![
            ("scheme", or(scheme, "standard")),
            ("secrets", list("Any one of these; more than one while rotating.", secret("A secret."))),
            ("tolerance_secs", or(whole(tolerance, TOLERANCE_SECS), 300)),
            ("events", or(events, usual)),
            ("match", or(matches, json!({}))),
            ("verify_run", verify_run()),
        ],
        &["secrets"],
    )
}

fn verify_run() -> Value {
    let about = "Asks Peak how the model's step ended before a run that a callback brought about reads the source; \
                 absent: the callback's word is enough.";
    let peak = table(
        "Who is asked.",
        vec![
            ("api_key", secret("Peak API key.")),
            ("base_url", text("Peak's service address; default the production one.")),
        ],
        &["api_key"],
    );
    table(
        about,
        vec![
            ("workflow_id", text("The workflow whose executions count; callbacks cannot name another.")),
            ("step", text("The step that must have ended well, such as score-customers.")),
            ("peak", peak),
        ],
        &["workflow_id", "step", "peak"],
    )
}

fn cadence() -> Value {
    let stale = "How long the watermark may stand still before the sync is stale.";
    table(
        "When the sync runs by itself.",
        vec![
            ("cron", text("Five-field cron expression.")),
            ("timezone", or(text("The zone the expression is read in."), "UTC")),
            ("stale_after", or(checked("duration_or_off", stale), "off")),
        ],
        &[],
    )
}

fn guards() -> Value {
    let changed = "Most changed customers, percent of those already known.";
    let mut nulls = real("Most NULLs of one attribute, percent of the customers read.", PERCENT);
    // None at all is a sensible bound here.
    if let Some(keys) = nulls.as_object_mut() {
        keys.remove("exclusiveMinimum");
        keys.insert("minimum".to_owned(), json!(0));
    }
    let shift = "Greatest shift of a numeric attribute's mean, in units of the previous standard deviation.";
    table(
        "Bounds whose breach holds a run before anything is sent.",
        vec![
            ("max_changed_pct", real(changed, PERCENT)),
            ("max_null_pct", nulls),
            ("min_rows_pct", real("Fewest rows, percent of the last full run.", PERCENT)),
            ("max_mean_shift", real(shift, MEAN_SHIFT)),
        ],
        &[],
    )
}

fn attribute() -> Value {
    let kinds = ["string", "number", "boolean", "date", "timestamp", "json"];
    let on_null = word("What NULL means: remove sends null.", &["remove", "skip"]);
    let on_long = word("What happens to strings over 255 characters.", &["reject", "truncate"]);
    table(
        "One column and the Braze attribute it becomes.",
        vec![
            ("column", text("The source's column.")),
            ("name", text("Braze attribute; default the column's name.")),
            ("type", word("The form the value takes; default as the source's column.", &kinds)),
            ("round", whole("Decimals kept of a number.", ROUND)),
            ("on_null", or(on_null, "remove")),
            ("on_long", or(on_long, "reject")),
        ],
        &["column"],
    )
}
