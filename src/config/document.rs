//! The file as written: every key's line, and everything in it that the schema does not know.

use serde_json::Value;
use std::collections::BTreeMap;
use std::ops::Range;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::problem::Problems;
use super::{SecretRef, duration, sync::Identifier};

/// Reads a file against its schema.
pub(super) struct Document<'a> {
    root: &'a Value,
    pub(super) spans: BTreeMap<String, Range<usize>>,
    pub(super) problems: Problems,
}

impl<'a> Document<'a> {
    /// Walks `table` and `schema` side by side.
    pub(super) fn read(table: &DeTable<'_>, schema: &'a Value) -> Self {
        let mut document = Self { root: schema, spans: BTreeMap::new(), problems: Problems::default() };
        document.table("", table, schema);
        document
    }

    fn table(&mut self, path: &str, table: &DeTable<'_>, schema: &'a Value) {
        let known = &schema["properties"];
        for (key, value) in table {
            let name = key.get_ref().as_ref();
            let child = if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") };
            self.spans.insert(child.clone(), key.span());
            match known.get(name).or_else(|| {
                schema["additionalProperties"].as_object().map(|_| &schema["additionalProperties"])
            }) {
                Some(of) => self.value(&child, value, of),
                None => self.problems.add(child, unknown(name, known)),
            }
        }
        for name in schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str) {
            if !table.keys().any(|key| key.get_ref() == name) {
                let about = known[name]["description"].as_str().unwrap_or_default();
                let key = if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") };
                self.problems.add(key, format!("is missing. {about}"));
            }
        }
    }

    fn value(&mut self, path: &str, value: &Spanned<DeValue<'_>>, schema: &'a Value) {
        let rule = schema["$ref"].as_str().and_then(|name| name.strip_prefix("#/$defs/"));
        let shape = rule.map_or(schema, |rule| &self.root["$defs"][rule]);
        let wanted = shape["type"].as_str().unwrap_or_default();
        match (wanted, value.get_ref()) {
            ("object", DeValue::Table(table)) => self.table(path, table, shape),
            ("array", DeValue::Array(items)) => {
                for (index, item) in items.iter().enumerate() {
                    let child = format!("{path}[{index}]");
                    self.spans.insert(child.clone(), item.span());
                    self.value(&child, item, &shape["items"]);
                }
            }
            ("boolean", DeValue::Boolean(_)) => {}
            ("string", DeValue::String(text)) => self.text(path, text, rule, shape),
            ("integer" | "number", DeValue::Integer(number)) => {
                let digits = number.as_str().replace('_', "");
                let number = i128::from_str_radix(&digits, number.radix()).map(|number| number as f64);
                self.number(path, number.ok(), shape);
            }
            ("number", DeValue::Float(number)) => {
                self.number(path, number.as_str().replace('_', "").parse().ok(), shape);
            }
            _ => self.problems.add(path, format!("must be {}", article(wanted))),
        }
    }

    fn text(&mut self, path: &str, text: &str, rule: Option<&str>, shape: &Value) {
        if let Some(words) = shape["enum"].as_array()
            && !words.iter().any(|word| word == text)
        {
            let words: Vec<_> = words.iter().filter_map(Value::as_str).collect();
            self.problems.add(path, format!("must be one of {}", words.join(", ")));
        }
        if let Err(message) = rule.map_or(Ok(()), |rule| follows(rule, text)) {
            self.problems.add(path, message);
        }
    }

    fn number(&mut self, path: &str, number: Option<f64>, shape: &Value) {
        let limit = |name: &str| shape[name].as_f64();
        let fits = number.is_some_and(|number| {
            number.is_finite()
                && limit("minimum").is_none_or(|least| number >= least)
                && limit("exclusiveMinimum").is_none_or(|least| number > least)
                && limit("maximum").is_none_or(|most| number <= most)
        });
        if !fits {
            let least = match (limit("minimum"), limit("exclusiveMinimum")) {
                (_, Some(least)) => format!("more than {least} and at most"),
                (least, None) => format!("{} to", least.unwrap_or(0.0)),
            };
            let why = shape["$comment"].as_str().unwrap_or_default();
            let most = limit("maximum").unwrap_or(f64::MAX);
            self.problems.add(path, format!("must be {least} {most}: {why}"));
        }
    }
}

/// The refusals that hang on a name under `$defs`.
fn follows(rule: &str, text: &str) -> Result<(), String> {
    match rule {
        "secret" => SecretRef::try_from(text.to_owned()).map(|_| ()),
        "duration" => duration::parse(text).map(|_| ()).map_err(str::to_owned),
        "duration_or_off" => duration::parse_or_off(text).map(|_| ()).map_err(str::to_owned),
        "identifier" => Identifier::try_from(text.to_owned()).map(|_| ()),
        "address" => match text.parse::<std::net::SocketAddr>() {
            Ok(_) => Ok(()),
            Err(_) => Err("must be an IP address and a port, such as 127.0.0.1:8080".to_owned()),
        },
        _ => Ok(()),
    }
}

fn article(wanted: &str) -> &'static str {
    match wanted {
        "object" => "a table",
        "array" => "a list, […]",
        "boolean" => "true or false",
        "string" => "text in quotes",
        "integer" => "a whole number",
        _ => "a number",
    }
}

fn unknown(name: &str, known: &Value) -> String {
    let names: Vec<&str> = known.as_object().into_iter().flatten().map(|(name, _)| name.as_str()).collect();
    let nearest = names.iter().map(|known| (distance(name, known), known)).min();
    match nearest {
        // A third of the letters wrong is still a slip of the fingers.
        Some((steps, known)) if steps <= name.len().max(3) / 3 + 1 => {
            format!("is no known key; did you mean {known}?")
        }
        _ => format!("is no known key; known here: {}", names.join(", ")),
    }
}

/// Letters to insert, drop or exchange to get from one name to the other.
fn distance(from: &str, to: &str) -> usize {
    let to: Vec<char> = to.chars().collect();
    let mut row: Vec<usize> = (0..=to.len()).collect();
    for (done, letter) in from.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = done + 1;
        for (column, other) in to.iter().enumerate() {
            let exchange = diagonal + usize::from(letter != *other);
            diagonal = row[column + 1];
            row[column + 1] = exchange.min(row[column] + 1).min(diagonal + 1);
        }
    }
    row[to.len()]
}

#[cfg(test)]
mod tests {
    use super::distance;

    #[test]
    fn distance_counts_slips() {
        assert_eq!(distance("lease_secs", "lease_secs"), 0);
        assert_eq!(distance("lease_sec", "lease_secs"), 1);
        assert_eq!(distance("", "abc"), 3);
        assert_eq!(distance("kitten", "sitting"), 3);
    }
}
