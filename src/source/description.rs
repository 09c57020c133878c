//! What a warehouse says of the mapped columns, and what is wrong with them.

use std::sync::Arc;

use crate::customer::{Attribute, Kind};

use super::SourceError;
use super::mapping::Mapping;
use super::nearest::nearest;

/// What a mapped column is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Role {
    /// It holds the customer's id.
    Key,
    /// It tells when a row last changed.
    UpdatedAt,
    /// It becomes this Braze attribute.
    Attribute(String),
}

/// One mapped column that is there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Column {
    /// Its name in the mapping.
    pub name: String,
    /// What it is for.
    pub role: Role,
    /// Its type in the warehouse's words; may be empty where none is declared.
    pub source_type: String,
    /// The form its values take in Braze; of key and time, how they are read.
    pub kind: Kind,
}

/// Something wrong, or worth knowing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The column, unless it is about the whole table.
    pub column: Option<String>,
    /// What is wrong, and the cure where there is one.
    pub why: String,
    /// A name that is there and looks alike.
    pub nearest: Option<String>,
    /// Whether no run can begin like this.
    pub is_fatal: bool,
}

/// Mapped columns as the warehouse has them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Description {
    /// The table's name, or `query`.
    pub table: String,
    /// Mapped columns that are there: key, time, attributes in their order.
    pub columns: Vec<Column>,
    /// What is wrong, fatal or not.
    pub problems: Vec<Problem>,
    /// Every column of the table by name, mapped or not.
    pub known: Vec<String>,
    /// Where there is no such table: those that are there.
    pub tables: Vec<String>,
}

impl Description {
    pub(super) fn missing_table(mapping: &Mapping, known: &[String]) -> Self {
        let table = mapping.table();
        let last = table.rsplit('.').next().unwrap_or_default();
        let nearest = nearest(last, known.iter().map(String::as_str));
        let why = "there is no such table or view".to_owned();
        let problem = Problem { column: None, why, nearest, is_fatal: true };
        Self { table, problems: vec![problem], tables: known.to_vec(), ..Self::default() }
    }

    /// Goes through the mapped columns; `find` gives a column's type by its name.
    pub(super) fn of(
        mapping: &Mapping,
        known: &[String],
        find: impl Fn(&str) -> Option<(String, Kind)>,
    ) -> Self {
        let mut description = Self { table: mapping.table(), known: known.to_vec(), ..Self::default() };
        let roles = [(&mapping.key, Role::Key), (&mapping.updated_at, Role::UpdatedAt)].into_iter();
        let attributes =
            mapping.attributes.iter().map(|one| (&one.column, Role::Attribute(one.name.clone())));
        for (name, role) in roles.chain(attributes) {
            match find(name) {
                Some((source_type, kind)) => {
                    description.columns.push(Column { name: name.clone(), role, source_type, kind });
                }
                None => description.problems.push(Problem {
                    column: Some(name.clone()),
                    why: "is missing".to_owned(),
                    nearest: nearest(name, known.iter().map(String::as_str)),
                    is_fatal: true,
                }),
            }
        }
        description.settle_kinds(mapping);
        description
    }

    /// A declared type in the mapping wins over the column's own.
    fn settle_kinds(&mut self, mapping: &Mapping) {
        let declared = mapping.attributes.iter();
        for (attribute, name) in
            declared.map(|attribute| (attribute, Role::Attribute(attribute.name.clone())))
        {
            if let Some(column) = self.columns.iter_mut().find(|column| column.role == name)
                && attribute.kind != Kind::AsGiven
            {
                column.kind = attribute.kind;
            }
        }
    }

    /// The attributes, those left as given now of the kind their column has.
    pub fn attributes(&self, attributes: &[Attribute]) -> Vec<Attribute> {
        self.resolve(attributes).to_vec()
    }

    /// The same, shared.
    pub(super) fn resolve(&self, attributes: &[Attribute]) -> Arc<[Attribute]> {
        let kind_of = |name: &str| {
            let is_it = |column: &&Column| matches!(&column.role, Role::Attribute(own) if own == name);
            self.columns.iter().find(is_it).map_or(Kind::AsGiven, |column| column.kind)
        };
        attributes.iter().map(|one| Attribute { kind: kind_of(&one.name), ..one.clone() }).collect()
    }

    /// Notes the columns whose type does not fit what they are mapped to; `fitness` knows those that were found.
    pub(super) fn note_misfits<'f>(&mut self, fitness: impl Fn(&str) -> Option<Fitness<'f>>) {
        for column in self.columns.clone() {
            let Some(found) = fitness(&column.name) else { continue };
            let name = found.type_name;
            let (why, is_fatal) = match (&column.role, found.kind) {
                (Role::Key, _) if !found.can_be_key => (format!("is {name}, which cannot be a key"), true),
                (Role::UpdatedAt, _) if !found.can_be_time => {
                    (format!("is {name}, which cannot tell when a row changed"), true)
                }
                (Role::Attribute(_), None) => {
                    (format!("is {name}, which has no form in Braze: its values are rejected"), false)
                }
                (Role::Attribute(_), Some(kind)) if !fits(kind, column.kind) => {
                    (format!("is {name}, which cannot become a {}", word(column.kind)), true)
                }
                _ => continue,
            };
            self.note(&column.name, why, is_fatal);
        }
    }

    /// Adds what is wrong with a column.
    pub(super) fn note(&mut self, column: &str, why: impl Into<String>, is_fatal: bool) {
        self.problems.push(Problem {
            column: Some(column.to_owned()),
            why: why.into(),
            nearest: None,
            is_fatal,
        });
    }

    /// The first fatal problem as the error that ends a run before any row.
    ///
    /// # Errors
    /// [`SourceError::SchemaMismatch`].
    pub fn require_sound(&self) -> Result<(), SourceError> {
        match self.problems.iter().find(|problem| problem.is_fatal) {
            None => Ok(()),
            Some(problem) => Err(SourceError::SchemaMismatch {
                table: self.table.clone(),
                column: problem.column.clone(),
                why: problem.why.clone(),
                nearest: problem.nearest.clone(),
            }),
        }
    }
}

/// What a column of a warehouse can be used for.
pub(super) struct Fitness<'f> {
    /// As the warehouse calls it.
    pub type_name: &'f str,
    pub can_be_key: bool,
    pub can_be_time: bool,
    /// What its values are in Braze; none: they have no form there.
    pub kind: Option<Kind>,
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

/// Whether values of one kind can become another at all.
fn fits(given: Kind, wanted: Kind) -> bool {
    match wanted {
        Kind::AsGiven | Kind::String => true,
        Kind::Number => matches!(given, Kind::Number | Kind::String | Kind::AsGiven),
        Kind::Boolean => matches!(given, Kind::Boolean | Kind::Number | Kind::String | Kind::AsGiven),
        Kind::Date => matches!(given, Kind::Date | Kind::Timestamp | Kind::String | Kind::AsGiven),
        Kind::Timestamp => !matches!(given, Kind::Boolean | Kind::Json),
        Kind::Json => matches!(given, Kind::Json | Kind::String | Kind::AsGiven),
    }
}
