//! What PostgreSQL's own catalog says of tables and columns.

use std::collections::HashMap;

use sqlx::postgres::{PgConnection, PgTypeInfo};
use sqlx::{AssertSqlSafe, Column as _, Executor, SqlSafeStr, Statement, TypeInfo};

use super::columns::{Found, TABLES_LISTED, Table, present};
use super::dialect::Dialect;
use super::shape::Shape;
use crate::source::SourceError;
use crate::source::identifier::quote;
use crate::source::mapping::{Mapping, Relation};

const DIALECT: Dialect = Dialect::Postgres;

/// What is read from; none if there is no such table.
pub(super) async fn table(
    connection: &mut PgConnection,
    mapping: &Mapping,
) -> Result<Option<Table>, SourceError> {
    let Some((relation, known)) = relation(connection, mapping).await? else { return Ok(None) };
    let found = types(connection, mapping, &relation, &known).await?;
    Ok(Some(Table { relation, known, found }))
}

/// What stands after FROM, and the names of its columns; none if there is no such table.
async fn relation(
    connection: &mut PgConnection,
    mapping: &Mapping,
) -> Result<Option<(String, Vec<String>)>, SourceError> {
    match &mapping.relation {
        Relation::Query(query) => {
            // On lines of its own: it may end in a comment.
            let relation = format!("(\n{query}\n) AS s");
            let columns = prepare(connection, mapping, format!("SELECT * FROM {relation} LIMIT 0")).await?;
            Ok(Some((relation, columns.into_iter().map(|(name, _)| name).collect())))
        }
        Relation::Table(parts) => {
            let exact = parts.iter().map(|part| quote(part)).collect::<Vec<_>>().join(".");
            // As written, else folded as PostgreSQL folds a name without quotes.
            for name in [exact.clone(), exact.to_lowercase()] {
                let columns = column_names(connection, &name).await?;
                if !columns.is_empty() {
                    return Ok(Some((format!("{name} AS s"), columns)));
                }
            }
            Ok(None)
        }
    }
}

async fn column_names(connection: &mut PgConnection, table: &str) -> Result<Vec<String>, SourceError> {
    sqlx::query_scalar(
        "-- column_names
        SELECT attname::text FROM pg_catalog.pg_attribute
        WHERE attrelid = to_regclass($1) AND attnum > 0 AND NOT attisdropped ORDER BY attnum",
    )
    .bind(table)
    .persistent(false)
    .fetch_all(connection)
    .await
    .map_err(|error| DIALECT.failed(&error))
}

/// Names of tables, for the one somebody meant.
pub(super) async fn tables(connection: &mut PgConnection) -> Result<Vec<String>, SourceError> {
    sqlx::query_scalar(
        "-- tables
        SELECT relname::text FROM pg_catalog.pg_class
        WHERE relkind IN ('r', 'p', 'v', 'm', 'f') AND relnamespace NOT IN
            (SELECT oid FROM pg_catalog.pg_namespace WHERE nspname IN ('pg_catalog', 'information_schema'))
        LIMIT $1",
    )
    .bind(TABLES_LISTED)
    .persistent(false)
    .fetch_all(connection)
    .await
    .map_err(|error| DIALECT.failed(&error))
}

/// The mapped columns by their names in the mapping.
async fn types(
    connection: &mut PgConnection,
    mapping: &Mapping,
    relation: &str,
    known: &[String],
) -> Result<HashMap<String, Found>, SourceError> {
    let present: Vec<(&str, String)> = present(mapping, known)
        .into_iter()
        .map(|(name, actual)| (name, format!("s.{}", quote(actual))))
        .collect();
    let list = present.iter().map(|(_, sql)| sql.as_str()).collect::<Vec<_>>().join(", ");
    let columns = prepare(connection, mapping, format!("SELECT {list} FROM {relation} LIMIT 0")).await?;
    let found = present.into_iter().zip(columns).map(|((name, sql), (_, info))| {
        let found = Found { sql, shape: Shape::of(&info), type_name: info.name().to_lowercase() };
        (name.to_owned(), found)
    });
    Ok(found.collect())
}

/// Names and types of a statement's columns, which the server tells without running it.
async fn prepare(
    connection: &mut PgConnection,
    mapping: &Mapping,
    sql: String,
) -> Result<Vec<(String, PgTypeInfo)>, SourceError> {
    let statement = connection
        .prepare(AssertSqlSafe(sql).into_sql_str())
        .await
        .map_err(|error| DIALECT.unprepared(&error, mapping))?;
    Ok(statement
        .columns()
        .iter()
        .map(|column| (column.name().to_owned(), column.type_info().clone()))
        .collect())
}
