//! Names from the config as they may stand in SQL: checked, then quoted.

use super::SourceError;

/// Most parts of a table's name: database, schema, table.
const PARTS: usize = 3;
/// Longest part; every warehouse read here stops well before.
const PART_BYTES: usize = 255;

/// Refuses a column's name that is not plain letters, digits and underscores.
pub(super) fn column(key: &'static str, name: &str) -> Result<String, SourceError> {
    match is_plain(name) {
        true => Ok(name.to_owned()),
        false => Err(unquotable(key, name)),
    }
}

/// The parts of a table's name, each as plain as a column's.
pub(super) fn table(name: &str) -> Result<Vec<String>, SourceError> {
    let parts: Vec<String> = name.split('.').map(str::to_owned).collect();
    match parts.len() <= PARTS && parts.iter().all(|part| is_plain(part)) {
        true => Ok(parts),
        false => Err(unquotable("table", name)),
    }
}

/// The name in the double quotes every warehouse takes.
pub(super) fn quote(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

fn is_plain(name: &str) -> bool {
    let mut bytes = name.bytes();
    let first = bytes.next().is_some_and(|byte| byte.is_ascii_alphabetic() || byte == b'_');
    first && name.len() <= PART_BYTES && bytes.all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

fn unquotable(key: &'static str, name: &str) -> SourceError {
    let why = format!(
        "{name:?} is not a plain name of letters, digits and underscores; give it one in a view or query"
    );
    SourceError::config(key, why)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_plain_names_reach_sql() {
        assert_eq!(
            table("publish.customer_predictions"),
            Ok(vec!["publish".into(), "customer_predictions".into()])
        );
        for name in ["", "a b", "a;b", "a\"b", "1a", "a.", "a.b.c.d", "é", "x--"] {
            assert!(table(name).is_err(), "{name}");
        }
        assert!(column("key", "a.b").is_err());
        assert_eq!(quote("a\"b"), "\"a\"\"b\"");
    }
}
