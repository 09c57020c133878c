//! What can go wrong with a warehouse, in its own words. No message carries a secret or a value.

/// Why a warehouse could not be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SourceError {
    /// Out of reach for now: gone, restarting, cut off, out of room. Worth another try.
    #[error("{0}")]
    Unreachable(String),
    /// Somebody else holds it. Worth another try.
    #[error("{0}")]
    Busy(String),
    /// There, but not what it should be: no waiting heals it.
    #[error("{0}")]
    Unusable(String),
    /// It turned us away: login, grant, file rights.
    #[error("{0}")]
    Refused(String),
    /// Table or columns are not as mapped.
    #[error("{}", mismatch(table, column.as_deref(), why, nearest.as_deref()))]
    SchemaMismatch {
        /// The table, or `query`.
        table: String,
        /// The column, unless it is about the whole table.
        column: Option<String>,
        /// What is wrong with it.
        why: String,
        /// A name that is there and looks alike.
        nearest: Option<String>,
    },
    /// A setting that cannot work.
    #[error("{key}: {why}")]
    Config {
        /// The setting.
        key: &'static str,
        /// What is wrong with it.
        why: String,
    },
}

fn mismatch(table: &str, column: Option<&str>, why: &str, nearest: Option<&str>) -> String {
    let column = column.map(|column| format!(", column {column}")).unwrap_or_default();
    let nearest = nearest.map(|nearest| format!("; did you mean {nearest}?")).unwrap_or_default();
    format!("{table}{column}: {why}{nearest}")
}

impl SourceError {
    pub(super) fn config(key: &'static str, why: impl Into<String>) -> Self {
        Self::Config { key, why: why.into() }
    }

    /// Whether trying the same again later may help.
    pub fn is_retryable(&self) -> bool {
        matches!(self, Self::Unreachable(_) | Self::Busy(_))
    }

    /// The word in a run's `error.code`.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Unreachable(_) | Self::Busy(_) | Self::Unusable(_) => "source_unreachable",
            Self::Refused(_) => "source_refused",
            Self::SchemaMismatch { .. } | Self::Config { .. } => "schema_mismatch",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mismatch_names_table_column_and_the_nearest_name() {
        let error = SourceError::SchemaMismatch {
            table: "customers".into(),
            column: Some("chrun".into()),
            why: "is missing".into(),
            nearest: Some("churn".into()),
        };
        assert_eq!(error.to_string(), "customers, column chrun: is missing; did you mean churn?");
        assert_eq!((error.code(), error.is_retryable()), ("schema_mismatch", false));
    }
}
