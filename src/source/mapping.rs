//! What of a warehouse a sync reads, in the words of customers.

use std::sync::Arc;

use crate::config;
use crate::customer::{Attribute, Kind, OnLong, OnNull, Zone};

use super::{SourceError, identifier, query};

/// What is read from.
#[derive(Clone, Debug)]
pub(super) enum Relation {
    /// A table or view; the parts of its name.
    Table(Vec<String>),
    /// A SELECT of its own.
    Query(String),
}

/// Relation, columns and zone of one sync, all checked.
#[derive(Clone, Debug)]
pub(super) struct Mapping {
    pub relation: Relation,
    pub key: String,
    pub updated_at: String,
    pub attributes: Arc<[Attribute]>,
    pub zone: Zone,
    /// The zone's name, for a warehouse that reads local times itself.
    pub timezone: String,
    pub overlap_secs: u64,
}

impl Mapping {
    pub(super) fn new(settings: &config::Source, sync: &config::Sync) -> Result<Self, SourceError> {
        let zone = Zone::named(&settings.timezone).ok_or_else(|| {
            SourceError::config("timezone", format!("{:?} is not an IANA time zone", settings.timezone))
        })?;
        let attributes = sync.attributes.iter().map(|attribute| convert(attribute, zone));
        Ok(Self {
            relation: relation(sync)?,
            key: identifier::column("key", &sync.key)?,
            updated_at: identifier::column("updated_at", &sync.updated_at)?,
            attributes: attributes.collect::<Result<_, _>>()?,
            zone,
            timezone: settings.timezone.clone(),
            overlap_secs: sync.overlap_secs,
        })
    }

    /// The relation's name in messages.
    pub(super) fn table(&self) -> String {
        match &self.relation {
            Relation::Table(parts) => parts.join("."),
            Relation::Query(_) => "query".to_owned(),
        }
    }
}

fn relation(sync: &config::Sync) -> Result<Relation, SourceError> {
    match (&sync.table, &sync.query) {
        (Some(table), None) => identifier::table(table).map(Relation::Table),
        (None, Some(text)) => query::one_select(text)
            .map(|text| Relation::Query(text.to_owned()))
            .map_err(|why| SourceError::config("query", why)),
        _ => Err(SourceError::config("table", "give either table or query")),
    }
}

fn convert(attribute: &config::Attribute, zone: Zone) -> Result<Attribute, SourceError> {
    use config::AttributeType;
    Ok(Attribute {
        column: identifier::column("column", &attribute.column)?,
        name: attribute.name().to_owned(),
        kind: match attribute.kind {
            None => Kind::AsGiven,
            Some(AttributeType::String) => Kind::String,
            Some(AttributeType::Number) => Kind::Number,
            Some(AttributeType::Boolean) => Kind::Boolean,
            Some(AttributeType::Date) => Kind::Date,
            Some(AttributeType::Timestamp) => Kind::Timestamp,
            Some(AttributeType::Json) => Kind::Json,
        },
        round: attribute.round,
        on_null: match attribute.on_null {
            config::OnNull::Remove => OnNull::Remove,
            config::OnNull::Skip => OnNull::Skip,
        },
        on_long: match attribute.on_long {
            config::OnLong::Reject => OnLong::Reject,
            config::OnLong::Truncate => OnLong::Truncate,
        },
        zone,
    })
}
