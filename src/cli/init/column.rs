//! What a sample of a column's values looks like. No value is kept beyond it, and none is shown.

use std::collections::HashSet;

use chrono::NaiveDate;
use serde_json::Value as Json;

use crate::customer::{Cell, Code, UpdatedAt, Value, Zone};

/// What the sampled values have in common.
#[derive(Debug, Default)]
pub(super) struct Looks {
    pub rows: usize,
    /// Values that are not NULL and can be read.
    pub values: usize,
    pub nulls: usize,
    /// Texts over what Braze takes.
    pub too_long: usize,
    /// Values that have no form in Braze, or not that of their column.
    pub unusable: usize,
    /// Of a column of times: those that read as one.
    pub readable: usize,
    pub numbers: usize,
    pub texts: usize,
    pub booleans: usize,
    pub documents: usize,
    pub dates: usize,
    pub instants: usize,
    /// Texts that are a JSON array or object.
    pub json_texts: usize,
    /// Texts that are a number.
    pub number_texts: usize,
    /// Texts that are `true` or `false`.
    pub boolean_texts: usize,
    pub ids: usize,
    pub most_chars: usize,
    pub chars: usize,
    pub fractions: usize,
    pub most_decimals: usize,
    /// Numbers from 0 to 1.
    pub units: usize,
    /// Numbers that are 0 or 1.
    pub bits: usize,
    seen: HashSet<Vec<u8>>,
}

impl Looks {
    /// How many different values there are.
    pub(super) fn distinct(&self) -> usize {
        self.seen.len()
    }

    /// Whether `count` is all of the values, and there are some.
    pub(super) fn all(&self, count: usize) -> bool {
        count > 0 && count == self.values
    }

    pub(super) fn note_key(&mut self, key: &str, bad: Option<Code>) {
        self.rows += 1;
        if bad == Some(Code::BadKey) {
            self.unusable += 1;
            return;
        }
        self.values += 1;
        self.seen.insert(key.as_bytes().to_vec());
    }

    /// Takes in one cell as it would be sent if left as the source gives it.
    pub(super) fn note(&mut self, cell: Cell, json: Option<&[u8]>) {
        self.rows += 1;
        match cell {
            Cell::Null | Cell::Absent => self.nulls += 1,
            Cell::Invalid(Code::TooLong) => self.too_long += 1,
            Cell::Invalid(_) => self.unusable += 1,
            Cell::Json { .. } => {
                let bytes = json.expect("a JSON cell has JSON");
                let value = serde_json::from_slice(bytes).expect("a cell holds JSON");
                self.values += 1;
                self.seen.insert(bytes.to_vec());
                self.note_value(&value, bytes);
            }
        }
    }

    fn note_value(&mut self, value: &Json, written: &[u8]) {
        match value {
            Json::Number(number) => self.note_number(number.as_f64().unwrap_or(f64::MAX), written),
            Json::String(text) => self.note_text(text),
            Json::Bool(_) => self.booleans += 1,
            Json::Array(_) | Json::Object(_) => self.documents += 1,
            Json::Null => {}
        }
    }

    fn note_number(&mut self, number: f64, written: &[u8]) {
        self.numbers += 1;
        self.note_size(number, std::str::from_utf8(written).unwrap_or_default());
    }

    fn note_size(&mut self, number: f64, text: &str) {
        self.fractions += usize::from(number.fract() != 0.0);
        self.units += usize::from((0.0..=1.0).contains(&number));
        self.bits += usize::from(number == 0.0 || number == 1.0);
        let decimals = text.split_once('.').map_or(0, |(_, decimals)| decimals.len());
        self.most_decimals = self.most_decimals.max(decimals);
    }

    fn note_text(&mut self, text: &str) {
        self.texts += 1;
        let chars = text.chars().count();
        self.chars += chars;
        self.most_chars = self.most_chars.max(chars);
        self.dates += usize::from(text.parse::<NaiveDate>().is_ok());
        let is_instant = chars > 10
            && text.contains(':')
            && matches!(Zone::utc().instant(Value::Text(text.as_bytes())), UpdatedAt::At(_));
        self.instants += usize::from(is_instant);
        let is_json = text.starts_with(['[', '{']) && serde_json::from_str::<Json>(text).is_ok();
        self.json_texts += usize::from(is_json);
        if let Some(number) = number_of(text) {
            self.number_texts += 1;
            self.note_size(number, text);
        }
        self.boolean_texts += usize::from(matches!(text, "true" | "false"));
        self.ids += usize::from(is_id(text));
    }
}

/// The number a text is. One with a leading zero, such as `007`, is a code.
fn number_of(text: &str) -> Option<f64> {
    let digits = text.strip_prefix('-').unwrap_or(text);
    let is_code = digits.len() > 1 && digits.starts_with('0') && !digits.starts_with("0.");
    let is_plain = digits.starts_with(|letter: char| letter.is_ascii_digit()) && !is_code;
    text.parse().ok().filter(|number: &f64| is_plain && number.is_finite())
}

/// A UUID, or a hash in hexadecimal.
fn is_id(text: &str) -> bool {
    let is_hash = text.len() >= 24 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    is_hash || (text.len() >= 32 && uuid::Uuid::try_parse(text).is_ok())
}
