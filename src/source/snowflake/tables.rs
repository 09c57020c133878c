//! Tables that are there, to find the one somebody meant.

use std::sync::Arc;

use super::api::{Api, Refusal};
use super::columns::LOOK_WAIT;
use super::place::fold;
use super::running::run;
use super::statement::{Bind, Statement};
use crate::source::SourceError;
use crate::source::identifier::quote;

/// Most table names looked through.
const TABLES_LISTED: usize = 1_000;

/// Schemas and names of tables and views the role may see, in the database and schema that the parts of a name tell.
pub(super) async fn known_tables(
    api: &Arc<Api>,
    parts: &[String],
) -> Result<Vec<(String, String)>, SourceError> {
    let (database, schema) = match parts {
        [database, schema, _] => (Some(fold(database)), Some(fold(schema))),
        [schema, _] => (None, Some(fold(schema))),
        _ => (None, api.access().await?.place.schema.clone()),
    };
    let catalog = database.map(|database| format!("{}.", quote(&database))).unwrap_or_default();
    let (condition, binds) = match schema {
        Some(schema) => (" WHERE UPPER(TABLE_SCHEMA) = UPPER(?)", vec![Bind::text(schema)]),
        None => (" WHERE TABLE_SCHEMA <> 'INFORMATION_SCHEMA'", Vec::new()),
    };
    let sql = format!(
        "SELECT TABLE_SCHEMA, TABLE_NAME FROM {catalog}INFORMATION_SCHEMA.TABLES{condition} LIMIT {TABLES_LISTED}"
    );
    let listed = run(api, &Statement { binds, ..Statement::short(sql, LOOK_WAIT) }).await;
    let mut rows = match listed {
        Ok(rows) => rows,
        // Without a database to look in there is nothing to list.
        Err(Refusal::Statement(..)) => return Ok(Vec::new()),
        Err(Refusal::Other(error)) => return Err(error),
    };
    let mut known = Vec::new();
    while let Some(part) = rows.next().await? {
        known.extend(part.rows().flatten().filter_map(|row| match row.as_slice() {
            [schema, table] => Some((schema.text()?.to_owned(), table.text()?.to_owned())),
            _ => None,
        }));
    }
    Ok(known)
}

/// The parts of the only table that differs from these in case alone.
pub(super) fn same_table(parts: &[String], known: &[(String, String)]) -> Option<Vec<String>> {
    let name = parts.last()?;
    let schema = parts.len().checked_sub(2).map(|at| &parts[at]);
    let is_it = |(known_schema, table): &&(String, String)| {
        table.eq_ignore_ascii_case(name)
            && schema.is_none_or(|schema| known_schema.eq_ignore_ascii_case(schema))
    };
    let mut alike = known.iter().filter(is_it);
    let (schema, table) = alike.next().filter(|_| alike.next().is_none())?;
    let database = parts.len().checked_sub(3).map(|at| fold(&parts[at]));
    Some(database.into_iter().chain([schema.clone(), table.clone()]).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_is_found_by_its_only_other_case() {
        let known: Vec<(String, String)> = [("PUBLIC", "Mixed"), ("PUBLIC", "Two"), ("Other", "TWO")]
            .map(|(s, t)| (s.into(), t.into()))
            .into();
        let find = |name: &str| {
            let parts: Vec<String> = name.split('.').map(str::to_owned).collect();
            same_table(&parts, &known).map(|parts| parts.join("."))
        };
        assert_eq!(find("mixed").as_deref(), Some("PUBLIC.Mixed"));
        assert_eq!(find("db.public.two").as_deref(), Some("DB.PUBLIC.Two"));
        assert_eq!(find("two"), None);
    }
}
