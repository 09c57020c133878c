//! What is proposed to be sent, what is left out, and why: decided by types, names and a sample.

use serde::Serialize;

use super::answers::Answers;
use super::column::Looks;
use super::look::{Look, Seen};
use crate::cli::receipt::bare;
use crate::config::MAX_ATTRIBUTES;
use crate::customer::Kind;
use crate::figures::{counted, grouped};

/// Fewer rows do not tell that a column never changes.
const ROWS_THAT_TELL: usize = 20;
/// Decimals of a probability: a change of a tenth of a percent is worth a data point, jitter beyond it is not.
const PROBABILITY_DECIMALS: u8 = 3;
/// Decimals of any other fraction, as of money.
const DECIMALS: u8 = 2;
/// A text longer than this on average, and different for everybody, is prose rather than a segment.
const PROSE_CHARS: usize = 60;

/// A column and the attribute it becomes.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub(super) struct Choice {
    pub column: String,
    pub name: String,
    #[serde(rename = "type")]
    pub kind: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub round: Option<u8>,
    pub why: String,
}

/// A column that is not sent.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub(super) struct Left {
    pub column: String,
    pub why: String,
}

/// The mapping.
#[derive(Debug, Serialize)]
pub(super) struct Proposal {
    pub table: String,
    pub key: String,
    pub updated_at: String,
    pub attributes: Vec<Choice>,
    pub left_out: Vec<Left>,
}

impl Proposal {
    pub(super) fn of(look: &Look, answers: &Answers) -> Self {
        let (mut attributes, mut left_out) = (Vec::new(), Vec::new());
        for seen in &look.columns {
            match left_for(seen) {
                Some(why) => left_out.push(Left { column: seen.name.clone(), why }),
                None => attributes.push(choice(seen, &answers.prefix)),
            }
        }
        let beyond = attributes.split_off(attributes.len().min(MAX_ATTRIBUTES));
        left_out.extend(beyond.into_iter().map(|Choice { column, .. }| Left {
            column,
            why: format!("could be sent, but the {MAX_ATTRIBUTES} before it are all that one sync may send"),
        }));
        let odd = look.odd_names.iter().map(|name| Left {
            column: name.clone(),
            why: "its name holds more than letters, digits and underscores; give it another in a view"
                .to_owned(),
        });
        left_out.extend(odd);
        Self {
            table: answers.table.clone(),
            key: look.key.name.clone(),
            updated_at: look.updated_at.name.clone(),
            attributes,
            left_out,
        }
    }

    /// The proposal as a table.
    pub(super) fn shown(&self, look: &Look) -> String {
        let rows = counted(look.rows as u64, "customer");
        let mut text = format!("{}: looked at {rows}\n", self.table);
        let mut table = bare();
        table.add_row(["  column", "becomes", "type", "because"]);
        let (key, updated_at, why) =
            (format!("  {}", self.key), format!("  {}", self.updated_at), key_why(look));
        table.add_row([key.as_str(), "(the key)", "", &why]);
        table.add_row([updated_at.as_str(), "(the time)", "", "tells when a row last changed"]);
        for Choice { column, name, kind, round, why } in &self.attributes {
            let rounded = round.map_or(String::new(), |round| format!(", {round} decimals"));
            table.add_row([&format!("  {column}"), name, &format!("{kind}{rounded}"), why]);
        }
        for Left { column, why } in &self.left_out {
            table.add_row([format!("  {column}").as_str(), "-", "", why]);
        }
        text += &format!("{}\n", table.trim_fmt());
        text
    }
}

/// What is to be said of the key.
pub(super) fn key_why(look: &Look) -> String {
    let looks = &look.key.looks;
    let several =
        if look.has_several_rows { "; of several rows of one customer the latest counts" } else { "" };
    let unusable = match looks.unusable {
        0 => String::new(),
        count => format!("; {} of the sample cannot be used as keys", grouped(count as u64)),
    };
    format!("the customer's id{several}{unusable}")
}

/// Why a column is better not sent; none: it is.
fn left_for(seen: &Seen) -> Option<String> {
    let (name, looks) = (seen.name.to_ascii_lowercase(), &seen.looks);
    let has = |words: &[&str]| words.iter().any(|word| is_word_of(&name, word));
    let tells = looks.rows >= ROWS_THAT_TELL;
    if looks.rows > 0 && looks.values == 0 && looks.too_long == 0 && looks.unusable > 0 {
        return Some("its values have no form in Braze".to_owned());
    }
    if tells && looks.nulls == looks.rows {
        return Some("is NULL in every row of the sample".to_owned());
    }
    if has(&["email", "phone", "mobile", "firstname", "lastname", "surname", "address", "postcode", "dob"])
        || ["first_name", "last_name", "full_name", "date_of_birth", "birth_date"].contains(&name.as_str())
    {
        return Some(
            "looks like personal data, not a prediction; Braze has fields of its own for it".to_owned(),
        );
    }
    if has(&["id", "uuid", "guid", "hash", "key", "pk"]) || looks.all(looks.ids) {
        return Some("looks like an identifier, not a prediction".to_owned());
    }
    let is_housekeeping = has(&[
        "created",
        "inserted",
        "loaded",
        "ingested",
        "etl",
        "dbt",
        "batch",
        "deleted",
        "scored",
        "refreshed",
    ]) && !has(&["propensity", "probability", "score"]);
    if is_housekeeping {
        return Some("looks like bookkeeping of the table".to_owned());
    }
    if looks.too_long > 0 {
        let count = grouped(looks.too_long as u64);
        return Some(format!("holds texts over 255 characters ({count} of the sample), which Braze drops"));
    }
    let is_prose = tells
        && looks.all(looks.texts)
        && looks.distinct() == looks.values
        && looks.chars / looks.texts.max(1) > PROSE_CHARS
        && looks.json_texts == 0;
    if is_prose {
        return Some("looks like free text: long, and different for everybody".to_owned());
    }
    if tells && looks.nulls == 0 && looks.values == looks.rows && looks.distinct() == 1 {
        return Some("has one and the same value in every row of the sample".to_owned());
    }
    None
}

/// Whether `word` is among the words of a name, which underscores part.
fn is_word_of(name: &str, word: &str) -> bool {
    name.split('_').any(|part| part == word)
}

fn choice(seen: &Seen, prefix: &str) -> Choice {
    let (kind, round, why) = form(seen);
    let lower = seen.name.to_ascii_lowercase();
    let name = if lower.starts_with(prefix) { lower } else { format!("{prefix}{lower}") };
    Choice { column: seen.name.clone(), name, kind, round, why }
}

/// The type, the rounding, and the reason.
fn form(seen: &Seen) -> (&'static str, Option<u8>, String) {
    let looks = &seen.looks;
    match seen.kind {
        Kind::Boolean => ("boolean", None, "declared so".to_owned()),
        Kind::Date => ("date", None, "declared so".to_owned()),
        Kind::Timestamp => ("timestamp", None, "declared so".to_owned()),
        Kind::Json => ("json", None, "declared so".to_owned()),
        Kind::Number => number(seen),
        Kind::String | Kind::AsGiven => untyped(seen, looks),
    }
}

/// What text, or a column without a type, holds.
fn untyped(seen: &Seen, looks: &Looks) -> (&'static str, Option<u8>, String) {
    let says = |what: &str| format!("text, but {what} in every row of the sample");
    match () {
        () if looks.all(looks.dates) => ("date", None, says("a date")),
        () if looks.all(looks.instants) => ("timestamp", None, says("an instant")),
        () if looks.all(looks.json_texts) => ("json", None, says("a JSON array or object")),
        () if looks.all(looks.documents) => ("json", None, "arrays or objects".to_owned()),
        () if looks.all(looks.booleans) => ("boolean", None, "true or false".to_owned()),
        () if looks.all(looks.numbers) => number(seen),
        () if looks.all(looks.boolean_texts) => ("boolean", None, says("true or false")),
        () if looks.all(looks.number_texts) && seen.is_bare => number(seen),
        () if looks.all(looks.number_texts) => {
            ("string", None, "text made of digits; write type = \"number\" if it is one".to_owned())
        }
        () if looks.values == 0 => ("string", None, "text; the sample holds none of it".to_owned()),
        () => {
            let distinct = looks.distinct();
            let few = distinct <= 50 && distinct * 4 <= looks.values;
            let why = match few {
                true => format!("text, {distinct} different ones in the sample"),
                false => "text".to_owned(),
            };
            ("string", None, why)
        }
    }
}

fn number(seen: &Seen) -> (&'static str, Option<u8>, String) {
    let (looks, name) = (&seen.looks, seen.name.to_ascii_lowercase());
    let is_flag = ["is_", "has_", "was_", "will_", "can_"].iter().any(|start| name.starts_with(start));
    let probable =
        ["probability", "prob", "propensity", "likelihood", "affinity", "confidence", "rate", "risk"];
    let is_probable = probable.iter().any(|word| is_word_of(&name, word));
    match () {
        () if is_flag && looks.texts == 0 && looks.all(looks.bits) => {
            ("boolean", None, "0 or 1, and named like a flag".to_owned())
        }
        () if looks.values == 0 && is_probable => {
            ("number", Some(PROBABILITY_DECIMALS), "named like a probability".to_owned())
        }
        () if looks.fractions == 0 => ("number", None, "whole numbers".to_owned()),
        () if looks.all(looks.units) => (
            "number",
            Some(PROBABILITY_DECIMALS),
            "from 0 to 1: jitter past the third decimal is no change".to_owned(),
        ),
        () => {
            let finer = looks.most_decimals > usize::from(DECIMALS);
            let why = match finer {
                true => {
                    format!("fractions of up to {} decimals; finer ones are no change", looks.most_decimals)
                }
                false => "fractions of two decimals at most".to_owned(),
            };
            ("number", Some(DECIMALS), why)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::customer::Cell;

    fn seen(name: &str, kind: Kind, values: &[&str]) -> Seen {
        let mut looks = Looks::default();
        for value in values.iter().cycle().take(40.max(values.len())) {
            match *value {
                "null" => looks.note(Cell::Null, None),
                json => {
                    let len = u32::try_from(json.len()).expect("short");
                    looks.note(Cell::Json { start: 0, len }, Some(json.as_bytes()));
                }
            }
        }
        Seen { name: name.to_owned(), declared: String::new(), kind, looks, is_bare: false }
    }

    #[test]
    fn predictions_take_the_form_their_values_have() {
        let form = |name, kind, values: &[&str]| {
            let (word, round, _) = form(&seen(name, kind, values));
            (word, round)
        };
        assert_eq!(form("churn_probability", Kind::Number, &["0.12345", "1"]), ("number", Some(3)));
        assert_eq!(form("clv", Kind::Number, &["120.5", "7"]), ("number", Some(2)));
        assert_eq!(form("orders", Kind::Number, &["3", "0"]), ("number", None));
        assert_eq!(form("is_vip", Kind::Number, &["1", "0"]), ("boolean", None));
        assert_eq!(form("next_on", Kind::String, &["\"2026-05-01\""]), ("date", None));
        assert_eq!(form("next_at", Kind::String, &["\"2026-05-01 10:00:00\""]), ("timestamp", None));
        assert_eq!(form("products", Kind::String, &["\"[1,2]\"", "\"[]\""]), ("json", None));
        assert_eq!(form("band", Kind::String, &["\"low\"", "\"high\"", "null"]), ("string", None));
        assert_eq!(form("code", Kind::String, &["\"007\""]), ("string", None));
        assert_eq!(form("shop", Kind::String, &["\"12\""]), ("string", None));
        assert_eq!(form("flag", Kind::String, &["\"true\"", "\"false\""]), ("boolean", None));
        let mut csv = seen("churn_probability", Kind::String, &["\"0.1234\"", "\"1\""]);
        csv.is_bare = true;
        assert_eq!(super::form(&csv).1, Some(3));
        assert_eq!(form("anything", Kind::AsGiven, &["true"]), ("boolean", None));
    }

    #[test]
    fn what_is_no_prediction_is_left_out() {
        let why = |name, values: &[&str]| left_for(&seen(name, Kind::String, values)).unwrap_or_default();
        assert!(why("model_run_id", &["\"a\"", "\"b\""]).contains("identifier"));
        assert!(why("token", &["\"0199d320-9b00-7000-8000-0000000000a1\""]).contains("identifier"));
        assert!(why("email", &["\"a@b.c\"", "\"d@e.f\""]).contains("personal data"));
        assert!(why("created_at", &["\"2026-01-01\"", "\"2026-01-02\""]).contains("bookkeeping"));
        assert!(why("note", &["null"]).contains("NULL"));
        assert!(why("tenant", &["\"acme\""]).contains("one and the same"));
        assert_eq!(why("band", &["\"low\"", "\"high\""]), "");
        assert_eq!(why("last_score", &["0.1", "0.2"]), "");
        let prose: Vec<String> = (0..40).map(|n| format!("\"{n} {}\"", "likes shoes ".repeat(8))).collect();
        let prose: Vec<&str> = prose.iter().map(String::as_str).collect();
        assert!(why("summary", &prose).contains("free text"));
        let mut long = seen("advice", Kind::String, &["\"a\"", "\"b\""]);
        long.looks.note(Cell::Invalid(crate::customer::Code::TooLong), None);
        assert!(left_for(&long).unwrap_or_default().contains("255"));
    }
}
