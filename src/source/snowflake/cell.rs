//! One cell of a result. Snowflake sends every value as a string, and NULL as null.

use std::borrow::Cow;
use std::fmt;

use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

/// A cell as it came.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Cell<'p> {
    Null,
    Text(Cow<'p, str>),
    /// Something no result should hold; it spoils its value alone.
    Odd,
}

impl<'p> Cell<'p> {
    /// The cells of a row, each on its own where the row as a whole cannot be read.
    pub(super) fn row(text: &'p str) -> Option<Vec<Self>> {
        serde_json::from_str(text).ok().or_else(|| {
            let cells: Vec<&RawValue> = serde_json::from_str(text).ok()?;
            Some(
                cells.into_iter().map(|cell| serde_json::from_str(cell.get()).unwrap_or(Self::Odd)).collect(),
            )
        })
    }

    /// The text, where there is any.
    pub(super) fn text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            Self::Null | Self::Odd => None,
        }
    }
}

impl<'de> Deserialize<'de> for Cell<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(CellVisitor)
    }
}

struct CellVisitor;

impl<'de> Visitor<'de> for CellVisitor {
    type Value = Cell<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a string or null")
    }

    fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Cell<'de>, E> {
        Ok(Cell::Text(Cow::Borrowed(text)))
    }

    fn visit_str<E>(self, text: &str) -> Result<Cell<'de>, E> {
        Ok(Cell::Text(Cow::Owned(text.to_owned())))
    }

    fn visit_unit<E>(self) -> Result<Cell<'de>, E> {
        Ok(Cell::Null)
    }

    fn visit_bool<E>(self, _: bool) -> Result<Cell<'de>, E> {
        Ok(Cell::Odd)
    }

    fn visit_i64<E>(self, _: i64) -> Result<Cell<'de>, E> {
        Ok(Cell::Odd)
    }

    fn visit_u64<E>(self, _: u64) -> Result<Cell<'de>, E> {
        Ok(Cell::Odd)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Cell<'de>, E> {
        Ok(Cell::Odd)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Cell<'de>, A::Error> {
        while items.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Cell::Odd)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Cell<'de>, A::Error> {
        while entries.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(Cell::Odd)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cell_that_cannot_be_read_spoils_itself_alone() {
        let row = Cell::row(r#"["a","\u00e9\n",null,1,[2],{"b":3},true,"\ud800","z"]"#).expect("a row");
        let texts: Vec<_> = row.iter().filter_map(Cell::text).collect();
        assert_eq!((row.len(), texts), (9, vec!["a", "é\n", "z"]));
        assert_eq!(row[2], Cell::Null);
        assert!(row[3..8].iter().all(|cell| *cell == Cell::Odd));
        assert!(matches!(&row[0], Cell::Text(Cow::Borrowed("a"))));
        assert_eq!(Cell::row("{}"), None);
    }
}
