//! The mapped columns as the database has them: names, types, and what they can become.

use std::collections::HashMap;
use std::sync::Arc;

use sqlx::postgres::PgConnection;

use super::dialect::Dialect;
use super::shape::Shape;
use super::{catalog, probe};
use crate::customer::Attribute;
use crate::source::description::Fitness;
use crate::source::mapping::Mapping;
use crate::source::{Description, SourceError};

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
        description.note_misfits(|name| {
            found.get(name).map(|Found { shape, type_name, .. }| Fitness {
                type_name,
                can_be_key: shape.can_be_key(),
                can_be_time: shape.can_be_time(),
                kind: Some(shape.kind()).filter(|_| *shape != Shape::Bytes),
            })
        });
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
