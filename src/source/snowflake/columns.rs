//! The mapped columns as Snowflake has them: names, types, and what they can become.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use super::api::{Api, Refusal};
use super::partition::ColumnType;
use super::place::fold;
use super::running::run;
use super::shape::Shape;
use super::statement::Statement;
use super::tables::{known_tables, same_table};
use crate::customer::Attribute;
use crate::source::description::Fitness;
use crate::source::identifier::quote;
use crate::source::mapping::{Mapping, Relation};
use crate::source::{Description, SourceError};

/// A look at names and types reads no row; a warehouse that has to wake up for it does within a minute or two.
pub(super) const LOOK_WAIT: Duration = Duration::from_secs(180);

/// One mapped column that is there.
#[derive(Clone, Debug)]
pub(super) struct Found {
    /// As it stands in SQL.
    pub sql: String,
    pub shape: Shape,
    /// Whether it compares in another way than by bytes.
    pub is_collated: bool,
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
    pub(super) async fn look(api: &Arc<Api>, mapping: &Mapping) -> Result<Self, SourceError> {
        match relation(api, mapping).await? {
            Ok((relation, columns)) => Ok(Self::of(mapping, relation, &columns)),
            Err(missing) => Ok(Self {
                description: missing,
                attributes: Arc::default(),
                relation: String::new(),
                found: HashMap::new(),
            }),
        }
    }

    pub(super) fn of(mapping: &Mapping, relation: String, columns: &[ColumnType]) -> Self {
        let known: Vec<&str> = columns.iter().map(|column| column.name.as_str()).collect();
        let values = mapping.attributes.iter().map(|attribute| &attribute.column);
        let mapped = [&mapping.key, &mapping.updated_at].into_iter().chain(values);
        let found: HashMap<String, Found> = mapped
            .filter_map(|name| resolve(name, &known).map(|at| (name.clone(), Found::of(&columns[at]))))
            .collect();
        let shown: Vec<String> = known.iter().map(|name| unfold(name)).collect();
        let mut description = Description::of(mapping, &shown, |name| {
            found.get(name).map(|found| (found.type_name.clone(), found.shape.kind()))
        });
        description.note_misfits(|name| {
            found.get(name).map(|Found { shape, type_name, .. }| Fitness {
                type_name,
                can_be_key: shape.can_be_key(),
                can_be_time: shape.can_be_time(),
                kind: Some(shape.kind()).filter(|_| *shape != Shape::Formless),
            })
        });
        let attributes = description.resolve(&mapping.attributes);
        Self { description, attributes, relation, found }
    }

    /// A mapped column. Only asked for where the description is sound.
    pub(super) fn found(&self, name: &str) -> &Found {
        self.found.get(name).expect("a sound description has every mapped column")
    }
}

impl Found {
    fn of(column: &ColumnType) -> Self {
        Self {
            sql: format!("s.{}", quote(&column.name)),
            shape: Shape::of(column),
            is_collated: column.collation.as_deref().is_some_and(|collation| !collation.is_empty()),
            type_name: column.type_name.to_ascii_lowercase(),
        }
    }
}

type Related = (String, Vec<ColumnType>);

/// What stands after FROM, and its columns; what to say if there is no such table.
async fn relation(api: &Arc<Api>, mapping: &Mapping) -> Result<Result<Related, Description>, SourceError> {
    let parts = match &mapping.relation {
        Relation::Query(query) => {
            // On lines of its own: it may end in a comment.
            let relation = format!("(\n{query}\n) AS s");
            return match describe(api, &relation).await {
                Ok(columns) => Ok(Ok((relation, columns))),
                Err(Refusal::Statement(failure, access)) => Err(failure.means_of(mapping, &access.place)),
                Err(Refusal::Other(error)) => Err(error),
            };
        }
        Relation::Table(parts) => parts,
    };
    // As Snowflake folds a name without quotes, else as written.
    let folded: Vec<String> = parts.iter().map(|part| fold(part)).collect();
    for parts in [&folded, parts] {
        if let Some(related) = look_at(api, parts).await? {
            return Ok(Ok(related));
        }
    }
    let known = known_tables(api, parts).await?;
    if let Some(actual) = same_table(parts, &known)
        && let Some(related) = look_at(api, &actual).await?
    {
        return Ok(Ok(related));
    }
    let names: Vec<String> = known.iter().map(|(_, table)| unfold(table)).collect();
    let role = api.access().await?.place.role.clone();
    Ok(Err(missing_table(mapping, &names, role.as_deref())))
}

/// The table's columns; none if there is no such table.
async fn look_at(api: &Arc<Api>, parts: &[String]) -> Result<Option<Related>, SourceError> {
    let name = parts.iter().map(|part| quote(part)).collect::<Vec<_>>().join(".");
    let relation = format!("{name} AS s");
    match describe(api, &relation).await {
        Ok(columns) => Ok(Some((relation, columns))),
        Err(Refusal::Statement(failure, _)) if failure.is_missing_object() => Ok(None),
        Err(Refusal::Statement(failure, access)) => Err(failure.means(&access.place)),
        Err(Refusal::Other(error)) => Err(error),
    }
}

/// Names and types, which Snowflake tells with a result even if it has no row.
async fn describe(api: &Arc<Api>, relation: &str) -> Result<Vec<ColumnType>, Refusal> {
    let statement = Statement::short(format!("SELECT * FROM {relation} LIMIT 0"), LOOK_WAIT);
    Ok(run(api, &statement).await?.columns().to_vec())
}

/// Snowflake does not tell a table that is not there from one the role may not see.
fn missing_table(mapping: &Mapping, known: &[String], role: Option<&str>) -> Description {
    let mut missing = Description::missing_table(mapping, known);
    for problem in missing.problems.iter_mut().filter(|problem| problem.nearest.is_none()) {
        let role = role.map_or("the user's default role".to_owned(), |role| format!("role {role}"));
        problem.why = format!(
            "there is no such table or view, or {role} may not see it: grant it USAGE on database and schema, and SELECT"
        );
    }
    missing
}

/// Where a column is, as Snowflake folds a name without quotes, else by its exact name, else by the only one that
/// differs in case alone.
fn resolve(name: &str, known: &[&str]) -> Option<usize> {
    let is = |wanted: &str| known.iter().position(|known| *known == wanted);
    let mut alike = (0..known.len()).filter(|at| known[*at].eq_ignore_ascii_case(name));
    let only = || alike.next().filter(|_| alike.next().is_none());
    is(&fold(name)).or_else(|| is(name)).or_else(only)
}

/// A name as one would write it without quotes.
fn unfold(name: &str) -> String {
    let is_folded =
        name.bytes().all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b'_');
    if is_folded { name.to_ascii_lowercase() } else { name.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_found_folded_exactly_or_by_its_only_other_case() {
        let known = ["customer_id", "CUSTOMER_ID", "Band", "Bold", "BOld"];
        assert_eq!(resolve("customer_id", &known), Some(1));
        assert_eq!(resolve("Band", &known), Some(2));
        assert_eq!(resolve("band", &known), Some(2));
        assert_eq!(resolve("bold", &known), None);
        assert_eq!((unfold("SCORE_2"), unfold("Band")), ("score_2".to_owned(), "Band".to_owned()));
    }
}
