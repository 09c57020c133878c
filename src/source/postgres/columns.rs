//! The mapped columns as the database has them: names, types, and what they can become.

use std::collections::HashMap;
use std::sync::Arc;

use sqlx::postgres::{PgConnection, PgTypeInfo};
use sqlx::{AssertSqlSafe, Column as _, Executor, SqlSafeStr, Statement, TypeInfo};

use super::error::{failed, unprepared};
use super::shape::Shape;
use crate::customer::{Attribute, Kind};
use crate::source::description::fits;
use crate::source::identifier::quote;
use crate::source::mapping::{Mapping, Relation};
use crate::source::{Description, Role, SourceError};

/// Most table names looked through for the one somebody meant.
const TABLES_LISTED: i64 = 1_000;

/// One mapped column that is there.
#[derive(Clone, Debug)]
pub(super) struct Found {
    /// As it stands in SQL.
    pub sql: String,
    pub shape: Shape,
    type_name: String,
}

/// The mapped columns as they stand now.
#[derive(Clone, Debug)]
pub(super) struct Columns {
    pub description: Description,
    /// Those left as given now of the kind their column has.
    pub attributes: Arc<[Attribute]>,
    /// What stands after FROM, known as `s`.
    pub relation: String,
    found: HashMap<String, Found>,
}

impl Columns {
    pub(super) async fn look(connection: &mut PgConnection, mapping: &Mapping) -> Result<Self, SourceError> {
        let Some((relation, known)) = relation(connection, mapping).await? else {
            let tables = tables(connection).await?;
            return Ok(Self {
                description: Description::missing_table(mapping, &tables),
                attributes: Arc::default(),
                relation: String::new(),
                found: HashMap::new(),
            });
        };
        let found = types(connection, mapping, &relation, &known).await?;
        let mut description = Description::of(mapping, &known, |name| {
            found.get(name).map(|found| (found.type_name.clone(), found.shape.kind()))
        });
        note_misfits(&mut description, &found);
        let attributes = description.resolve(&mapping.attributes);
        Ok(Self { description, attributes, relation, found })
    }

    /// A mapped column. Only asked for where the description is sound.
    pub(super) fn found(&self, name: &str) -> &Found {
        self.found.get(name).expect("a sound description has every mapped column")
    }
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
    .map_err(|error| failed(&error))
}

async fn tables(connection: &mut PgConnection) -> Result<Vec<String>, SourceError> {
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
    .map_err(|error| failed(&error))
}

/// The mapped columns by their names in the mapping.
async fn types(
    connection: &mut PgConnection,
    mapping: &Mapping,
    relation: &str,
    known: &[String],
) -> Result<HashMap<String, Found>, SourceError> {
    let values = mapping.attributes.iter().map(|attribute| &attribute.column);
    let present: Vec<(&String, String)> = [&mapping.key, &mapping.updated_at]
        .into_iter()
        .chain(values)
        .filter_map(|name| resolve(name, known).map(|actual| (name, format!("s.{}", quote(actual)))))
        .collect();
    let list = present.iter().map(|(_, sql)| sql.as_str()).collect::<Vec<_>>().join(", ");
    let columns = prepare(connection, mapping, format!("SELECT {list} FROM {relation} LIMIT 0")).await?;
    let found = present.into_iter().zip(columns).map(|((name, sql), (_, info))| {
        let found = Found { sql, shape: Shape::of(&info), type_name: info.name().to_lowercase() };
        (name.clone(), found)
    });
    Ok(found.collect())
}

/// A column by its exact name, else by the only one that differs in case alone.
fn resolve<'k>(name: &str, known: &'k [String]) -> Option<&'k str> {
    if let Some(exact) = known.iter().find(|known| *known == name) {
        return Some(exact);
    }
    let mut alike = known.iter().filter(|known| known.eq_ignore_ascii_case(name));
    alike.next().filter(|_| alike.next().is_none()).map(String::as_str)
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
        .map_err(|error| unprepared(&error, mapping))?;
    Ok(statement
        .columns()
        .iter()
        .map(|column| (column.name().to_owned(), column.type_info().clone()))
        .collect())
}

fn note_misfits(description: &mut Description, found: &HashMap<String, Found>) {
    for column in description.columns.clone() {
        let Some(Found { shape, type_name, .. }) = found.get(&column.name) else { continue };
        let (why, is_fatal) = match column.role {
            Role::Key if !shape.can_be_key() => (format!("is {type_name}, which cannot be a key"), true),
            Role::UpdatedAt if !shape.can_be_time() => {
                (format!("is {type_name}, which cannot tell when a row changed"), true)
            }
            Role::Attribute(_) if *shape == Shape::Bytes => {
                (format!("is {type_name}, which has no form in Braze: its values are rejected"), false)
            }
            Role::Attribute(_) if !fits(shape.kind(), column.kind) => {
                (format!("is {type_name}, which cannot become a {}", word(column.kind)), true)
            }
            _ => continue,
        };
        description.note(&column.name, why, is_fatal);
    }
}

fn word(kind: Kind) -> &'static str {
    match kind {
        Kind::AsGiven => "value",
        Kind::String => "string",
        Kind::Number => "number",
        Kind::Boolean => "boolean",
        Kind::Date => "date",
        Kind::Timestamp => "timestamp",
        Kind::Json => "json value",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_found_exactly_or_by_its_only_other_case() {
        let known = ["customer_id", "Band", "BAND", "Score"].map(str::to_owned);
        assert_eq!(resolve("CUSTOMER_ID", &known), Some("customer_id"));
        assert_eq!(resolve("BAND", &known), Some("BAND"));
        assert_eq!(resolve("band", &known), None);
        assert_eq!(resolve("score", &known), Some("Score"));
    }
}
