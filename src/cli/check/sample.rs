//! Customers as they would be sent, masked unless asked otherwise.

use crate::customer::{Attribute, Cell, Chunk};

/// Stands for what is not shown.
const MASK: &str = "***";

/// A line for each customer.
pub(super) fn lines<'c>(
    chunk: &'c Chunk,
    attributes: &'c [Attribute],
    show_values: bool,
) -> impl Iterator<Item = String> + 'c {
    (0..chunk.len()).map(move |index| {
        let values = attributes.iter().zip(chunk.cells(index));
        let values: Vec<String> = values
            .map(|(attribute, cell)| format!("{} {}", attribute.name, value(chunk, *cell, show_values)))
            .collect();
        format!("{}: {}", key(chunk, index, show_values), values.join(", "))
    })
}

fn key(chunk: &Chunk, index: usize, show_values: bool) -> String {
    match chunk.customers()[index].bad {
        Some(code) => format!("not sent ({})", code.as_str()),
        None if show_values => serde_json::Value::from(chunk.key(index)).to_string(),
        None => MASK.to_owned(),
    }
}

fn value(chunk: &Chunk, cell: Cell, show_values: bool) -> String {
    match (cell, chunk.json(cell)) {
        (Cell::Null, _) => "null".to_owned(),
        (Cell::Invalid(code), _) => format!("not sent ({})", code.as_str()),
        (_, Some(json)) if show_values => String::from_utf8_lossy(json).into_owned(),
        (_, Some(_)) => MASK.to_owned(),
        (_, None) => "not sent".to_owned(),
    }
}
