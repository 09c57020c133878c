//! Whether a row is read: decided on its key and time alone, before its values are touched.

use crate::customer::{KeyDigits, UpdatedAt, Value, Zone, usable_key};

use super::Rows;

/// Decides row by row what a [`Rows`] asks for.
#[derive(Clone, Debug)]
pub(super) struct Filter {
    rows: Rows,
    after_micros: Option<i64>,
    zone: Zone,
}

impl Filter {
    pub(super) fn new(rows: Rows, zone: Zone) -> Self {
        let after_micros = match &rows {
            Rows::Since { after, .. } => after.map(|after| after.timestamp_micros()),
            _ => None,
        };
        Self { rows, after_micros, zone }
    }

    pub(super) fn takes_all(&self) -> bool {
        matches!(self.rows, Rows::All)
    }

    pub(super) fn passes(&self, key: Value<'_>, updated_at: Value<'_>) -> bool {
        match &self.rows {
            Rows::All => true,
            Rows::Only(keys) => {
                usable_key(key, &mut KeyDigits::default()).is_some_and(|key| keys.contains(key))
            }
            Rows::Since { also, .. } => {
                self.is_recent(updated_at)
                    || usable_key(key, &mut KeyDigits::default()).is_none_or(|key| also.contains(key))
            }
        }
    }

    fn is_recent(&self, updated_at: Value<'_>) -> bool {
        match (self.zone.instant(updated_at), self.after_micros) {
            (UpdatedAt::Endless | UpdatedAt::Unreadable, _) | (_, None) => true,
            (UpdatedAt::At(micros), Some(after)) => micros > after,
            (UpdatedAt::Never, Some(_)) => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;
    use std::sync::Arc;

    use chrono::DateTime;

    use super::*;

    fn since(after_micros: Option<i64>, also: &[&str]) -> Filter {
        let also: HashSet<String> = also.iter().map(|key| (*key).to_owned()).collect();
        let after = after_micros.and_then(DateTime::from_timestamp_micros);
        Filter::new(Rows::Since { after, also: Arc::new(also) }, Zone::utc())
    }

    #[test]
    fn a_window_begins_right_after_its_edge() {
        let filter = since(Some(1_000), &[]);
        let key = Value::Text(b"c-1");
        assert!(!filter.passes(key, Value::Instant(1_000)));
        assert!(filter.passes(key, Value::Instant(1_001)));
        assert!(filter.passes(key, Value::Text(b"infinity")));
        assert!(filter.passes(key, Value::Text(b"soon")));
        assert!(!filter.passes(key, Value::Text(b"-infinity")));
        assert!(!filter.passes(key, Value::Null));
        assert!(since(None, &[]).passes(key, Value::Null));
    }

    #[test]
    fn unusable_keys_and_named_ones_pass_whatever_their_time() {
        let filter = since(Some(1_000), &["7", "c-1"]);
        for key in [Value::Null, Value::Text(b" "), Value::Float(1.5), Value::Integer(7), Value::Text(b"c-1")]
        {
            assert!(filter.passes(key, Value::Null), "{key:?}");
        }
        assert!(!filter.passes(Value::Integer(8), Value::Null));
        let only = Filter::new(Rows::Only(Arc::new(["7".to_owned()].into())), Zone::utc());
        assert!(only.passes(Value::Integer(7), Value::Null));
        assert!(!only.passes(Value::Null, Value::Instant(1)));
    }
}
