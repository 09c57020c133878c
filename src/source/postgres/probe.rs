//! What one row of NULLs tells of tables and columns, where the catalog does not have what the driver would ask it.
//!
//! Redshift has no `regtype`, ranges or enums, on which the driver's look-ups rest. Statements without parameters are
//! sent as they stand, their columns' types come as numbers, and nothing else is asked. A SELECT without rows would
//! not tell its columns here; one that joins nothing to a row of its own does, and reads no table.

use std::collections::HashMap;

use sqlx::postgres::{PgConnection, PgRow};
use sqlx::{AssertSqlSafe, Column as _, Row, TypeInfo, ValueRef};

use super::columns::{Found, TABLES_LISTED, Table, present};
use super::connect::begin;
use super::dialect::Dialect;
use super::error::is_missing_table;
use super::shape::Shape;
use crate::source::SourceError;
use crate::source::identifier::quote;
use crate::source::mapping::{Mapping, Relation};

const DIALECT: Dialect = Dialect::Redshift;
/// Bytes of the longest text. Without a length, Redshift may take text for 256 bytes. Source: Redshift docs,
/// Character types.
const TEXT: &str = "varchar(65535)";

/// What is read from; none if there is no such table.
pub(super) async fn table(
    connection: &mut PgConnection,
    mapping: &Mapping,
) -> Result<Option<Table>, SourceError> {
    for relation in relations(&mapping.relation) {
        let sql = null_row(&relation);
        match sqlx::raw_sql(AssertSqlSafe(sql)).fetch_one(&mut *connection).await {
            Ok(row) => return Ok(Some(described(&row, relation, mapping))),
            Err(error) if is_missing_table(&error) && matches!(mapping.relation, Relation::Table(_)) => {
                // The error ended the transaction.
                roll_back(connection).await?;
                begin(DIALECT, connection).await?;
            }
            Err(error) => return Err(DIALECT.unprepared(&error, mapping)),
        }
    }
    Ok(None)
}

/// A table as written, else folded as Redshift folds names; a query as it stands.
fn relations(relation: &Relation) -> Vec<String> {
    match relation {
        // On lines of its own: it may end in a comment.
        Relation::Query(query) => vec![format!("(\n{query}\n) AS s")],
        Relation::Table(parts) => {
            let exact = parts.iter().map(|part| quote(part)).collect::<Vec<_>>().join(".");
            let mut names = vec![exact.clone(), exact.to_lowercase()];
            names.dedup();
            names.into_iter().map(|name| format!("{name} AS s")).collect()
        }
    }
}

fn null_row(relation: &str) -> String {
    format!(
        "SELECT n.* FROM (SELECT 1 AS one) AS o LEFT JOIN (SELECT * FROM {relation} WHERE 1 = 0) AS n ON 1 = 1"
    )
}

fn described(row: &PgRow, relation: String, mapping: &Mapping) -> Table {
    let known: Vec<String> = row.columns().iter().map(|column| column.name().to_owned()).collect();
    let mut found = HashMap::new();
    for (name, actual) in present(mapping, &known) {
        let at = known.iter().position(|known| known == actual).expect("a name of this very list");
        let info = row.columns()[at].type_info();
        let number = info.oid().map_or(0, |oid| oid.0);
        let (shape, is_plain) = shape(number);
        let column = format!("s.{}", quote(actual));
        let sql = match shape {
            // Blanks at the end of a CHAR are none of its value.
            Shape::Text if number == BPCHAR => format!("rtrim({column}::{TEXT})"),
            Shape::Text | Shape::Printed if !is_plain => format!("{column}::{TEXT}"),
            _ => column,
        };
        let type_name = match number {
            SUPER => "super".to_owned(),
            VARBYTE => "varbyte".to_owned(),
            number if shape == Shape::Bytes => format!("type {number}"),
            _ => info.name().to_lowercase(),
        };
        found.insert(name.to_owned(), Found { sql, shape, type_name });
    }
    Table { relation, known, found }
}

const BPCHAR: u32 = 1042;
const SUPER: u32 = 4000;
const VARBYTE: u32 = 6551;

/// What a type is by its number, and whether its values are text as they stand. Source: PostgreSQL's `pg_type.dat`,
/// from which Redshift took them; SUPER and VARBYTE: Amazon's own drivers. Others (GEOMETRY, HLLSKETCH) have no text.
fn shape(number: u32) -> (Shape, bool) {
    match number {
        16 => (Shape::Boolean, false),
        20 | 21 | 23 => (Shape::Integer, false),
        700 | 701 => (Shape::Float, false),
        1700 => (Shape::Decimal, false),
        25 | 1043 => (Shape::Text, true),
        18 | 19 | BPCHAR => (Shape::Text, false),
        1082 => (Shape::Date, false),
        1114 => (Shape::Local, false),
        1184 => (Shape::Instant, false),
        // The first two are PostgreSQL's JSON.
        114 | 3802 | SUPER => (Shape::Json, false),
        // A time of day, an identifier (PostgreSQL's alone), a bare literal of a query.
        1083 | 1266 | 2950 | 705 => (Shape::Printed, false),
        _ => (Shape::Bytes, false),
    }
}

/// Names of tables, for the one somebody meant.
pub(super) async fn tables(connection: &mut PgConnection) -> Result<Vec<String>, SourceError> {
    let sql = format!(
        "SELECT table_name FROM information_schema.tables \
         WHERE table_schema NOT IN ('pg_catalog', 'information_schema') LIMIT {TABLES_LISTED}"
    );
    let rows = sqlx::raw_sql(AssertSqlSafe(sql)).fetch_all(connection).await;
    let rows = rows.map_err(|error| DIALECT.failed(&error))?;
    let name = |row: &PgRow| {
        let cell = row.try_get_raw(0).ok().filter(|cell| !cell.is_null())?;
        cell.as_str().ok().map(str::to_owned)
    };
    Ok(rows.iter().filter_map(name).collect())
}

async fn roll_back(connection: &mut PgConnection) -> Result<(), SourceError> {
    sqlx::raw_sql("ROLLBACK").execute(connection).await.map(drop).map_err(|error| DIALECT.failed(&error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_is_looked_for_as_written_and_folded() {
        let table = |parts: &[&str]| Relation::Table(parts.iter().map(|part| (*part).to_owned()).collect());
        assert_eq!(relations(&table(&["publish", "t"])), ["\"publish\".\"t\" AS s"]);
        assert_eq!(
            relations(&table(&["PUBLISH", "T"])),
            ["\"PUBLISH\".\"T\" AS s", "\"publish\".\"t\" AS s"]
        );
    }
}
