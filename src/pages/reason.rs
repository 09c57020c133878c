//! What the words of the ledger mean, and what to do about them.

use crate::customer::Code;

/// Why a delivery was ignored or refused.
pub(super) fn delivery(word: &str) -> Option<&'static str> {
    Some(match word {
        "event_type" => "The event is none of the sync's callback.events: recorded, and no run started.",
        "match" => "A field of its data differs from the sync's callback.match.",
        "model_failed" => "It says that the model run failed: there is nothing to send.",
        "missing_header" => "A header that signatures need is missing. A proxy may have dropped it.",
        "repeated_header" => "A signature header came twice, so nobody can tell which one was meant.",
        "unreadable_header" => "A signature header is not plain ASCII, or is too long.",
        "malformed_id" => "The delivery's id has no id's form.",
        "malformed_timestamp" => "The timestamp must be whole Unix seconds.",
        "too_old" => "Signed too long ago: a replay, or the sender's clock is behind.",
        "too_new" => "Signed in the future: the sender's clock is ahead, or ours behind.",
        "no_usable_signature" => "The signature header holds no signature of a known form.",
        "no_signature_matched" => {
            "Signed with another secret, or changed on its way. Compare the sender's secret; peak-braze verify tries it offline."
        }
        "unknown_sync" => "It was for a sync that does not exist.",
        "no_callback" => "The sync takes no callbacks.",
        _ => return None,
    })
}

/// Why an update or a value was refused.
pub(super) fn rejection(word: &str) -> &'static str {
    let code = Code::ALL.iter().find(|code| code.as_str() == word);
    match code {
        Some(Code::BadKey) => "The row has no usable key: empty, only white space, or over 987 bytes.",
        Some(Code::BadUpdatedAt) => "The row's timestamp cannot be read.",
        Some(Code::NotFinite) => "Not a finite number.",
        Some(Code::WrongType) => "The value does not fit the attribute's declared type.",
        Some(Code::BadUtf8) => "The text is not UTF-8.",
        Some(Code::TooLong) => "Over 255 characters; on_long = \"truncate\" would shorten it.",
        Some(Code::BadJson) => "The JSON cannot be parsed, or is nested too deep.",
        Some(Code::NestedNull) => "A null inside the JSON: Braze would drop the whole attribute.",
        Some(Code::Operation) => {
            "Braze would take this JSON for an operation, and count it twice when sent again."
        }
        Some(Code::TooLarge) => "Over 500 items or 100 KB: Braze would drop the update.",
        Some(Code::Unreadable) => "The source could not decode it.",
        Some(Code::BrazeIdentifier) => "Braze: no identifier, or more than one.",
        Some(Code::BrazeIdTooLong) => "Braze: the id is over 987 bytes.",
        Some(Code::BrazeBlocklisted) => "Braze: the profile is blocklisted.",
        Some(Code::BrazeBadEmail) => "Braze: not an email address.",
        Some(Code::BrazeRefused) => "Braze refused the update for another reason.",
        Some(Code::Unknown) => "Braze's answer did not say; all its values go again.",
        None => "",
    }
}

/// Why Braze lets nothing of a sync through, and the next step.
pub(super) fn blocked(word: &str) -> &'static str {
    match word {
        "braze_unauthorized" => {
            "Braze refuses the API key. Correct it and send SIGHUP; it is tried at once, and every five minutes."
        }
        "braze_forbidden" => {
            "The API key lacks users.track, or this address is not allowed. Change it in Braze; it is tried every five minutes."
        }
        "braze_not_found" => {
            "Braze does not know the endpoint. Correct destinations.….endpoint and send SIGHUP."
        }
        _ => "Braze lets nothing through. peak-braze check says more; it is tried every five minutes.",
    }
}

/// Why a run compares every row though it was not asked to.
pub(super) fn promoted(word: &str) -> &'static str {
    match word {
        "first_run" => "the first run reads every row",
        "mapping_changed" => "the mapping changed, so every row is compared",
        "workspace_changed" => "the workspace changed, so nothing counts as sent",
        "full_every" => "the scheduled full comparison was due",
        "outstanding" => "many rejections are outstanding, so every row is read",
        _ => "every row is compared",
    }
}
