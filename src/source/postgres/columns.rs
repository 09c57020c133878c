//! The mapped columns as the database has them: names, types, and what they can become.

use std::collections::HashMap;
use std::sync::Arc;

use sqlx::postgres::PgConnection;

use super::dialect::Dialect;
use super::shape::Shape;
use super::{catalog, probe};
use crate::customer::{Attribute, Kind};
use crate::source::description::fits;
use crate::source::mapping::Mapping;
use crate::source::{Description, Role, SourceError};

/// Most table names looked through for the one somebody meant.
pub(super) const TABLES_LISTED: i64 = 1_000;

/// One mapped column that is there.
#[derive(Clone, Debug)]
pub(super) struct Found {
    /// As it stands in SQL.
    pub sql: String,
    pub shape: Shape,
    pub type_name: String,
}

/// What is read from, as it stands now.
#[derive(Debug)]
pub(super) struct Table {
    /// What stands after FROM, known as `s`.
    pub relation: String,
    /// Its columns' names, mapped or not.
    pub known: Vec<String>,
    /// The mapped columns by their names in the mapping.
    pub found: HashMap<String, Found>,
}

/// The mapped columns as they stand now.
#[derive(Clone, Debug)]
pub(super) struct Columns {
    pub dialect: Dialect,
    pub description: Description,
    /// Those left as given now of the kind their column has.
    pub attributes: Arc<[Attribute]>,
    /// What stands after FROM, known as `s`.
    pub relation: String,
    found: HashMap<String, Found>,
}

impl Columns {
    pub(super) async fn look(
        dialect: Dialect,
        connection: &mut PgConnection,
        mapping: &Mapping,
    ) -> Result<Self, SourceError> {
        let table = match dialect {
            Dialect::Postgres => catalog::table(connection, mapping).await?,
            Dialect::Redshift => probe::table(connection, mapping).await?,
        };
        let Some(Table { relation, known, found }) = table else {
            let tables = match dialect {
                Dialect::Postgres => catalog::tables(connection).await?,
                Dialect::Redshift => probe::tables(connection).await?,
            };
            return Ok(Self {
                dialect,
                description: Description::missing_table(mapping, &tables),
                attributes: Arc::default(),
                relation: String::new(),
                found: HashMap::new(),
            });
        };
        let mut description = Description::of(mapping, &known, |name| {
            found.get(name).map(|found| (found.type_name.clone(), found.shape.kind()))
        });
        note_misfits(&mut description, &found);
        let attributes = description.resolve(&mapping.attributes);
        Ok(Self { dialect, description, attributes, relation, found })
    }

    /// A mapped column. Only asked for where the description is sound.
    pub(super) fn found(&self, name: &str) -> &Found {
        self.found.get(name).expect("a sound description has every mapped column")
    }
}

/// A column by its exact name, else by the only one that differs in case alone.
pub(super) fn resolve<'k>(name: &str, known: &'k [String]) -> Option<&'k str> {
    if let Some(exact) = known.iter().find(|known| *known == name) {
        return Some(exact);
    }
    let mut alike = known.iter().filter(|known| known.eq_ignore_ascii_case(name));
    alike.next().filter(|_| alike.next().is_none()).map(String::as_str)
}

/// The mapped columns that are among `known`, each with the name it has there.
pub(super) fn present<'m>(mapping: &'m Mapping, known: &'m [String]) -> Vec<(&'m str, &'m str)> {
    let attributes = mapping.attributes.iter().map(|attribute| &attribute.column);
    let wanted = [&mapping.key, &mapping.updated_at].into_iter().chain(attributes);
    wanted.filter_map(|name| Some((name.as_str(), resolve(name, known)?))).collect()
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
