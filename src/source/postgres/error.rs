//! What the server's errors mean to us. Its texts are left out: they may quote what was read.

use super::dialect::Dialect;
use crate::source::SourceError;
use crate::source::mapping::Mapping;

impl Dialect {
    /// What a failure while connecting or reading means.
    pub(super) fn failed(self, error: &sqlx::Error) -> SourceError {
        let name = self.name();
        match error {
            sqlx::Error::Database(error) => self.refused(&error.code().unwrap_or_default()),
            sqlx::Error::Tls(_) => {
                unreachable(&format!("no verified TLS connection to {name} could be made"))
            }
            sqlx::Error::Io(error) => unreachable(&format!("{name} cannot be reached: {}", error.kind())),
            sqlx::Error::Configuration(_) => SourceError::config("url", format!("is not a {name} address")),
            _ => unreachable(&format!("the connection to {name} broke")),
        }
    }

    /// What a failure to prepare a statement means. The server speaks here of the config's own words; they may be
    /// shown.
    pub(super) fn unprepared(self, error: &sqlx::Error, mapping: &Mapping) -> SourceError {
        match error {
            sqlx::Error::Database(error) if is_about_names(&error.code().unwrap_or_default()) => {
                SourceError::SchemaMismatch {
                    table: mapping.table(),
                    column: None,
                    why: error.message().to_owned(),
                    nearest: None,
                }
            }
            error => self.failed(error),
        }
    }

    fn refused(self, code: &str) -> SourceError {
        let name = self.name();
        let refusal = |what: String| SourceError::Refused(what);
        match code {
            _ if code.starts_with("28") => refusal(format!("{name} refused the login")),
            "42501" => refusal(format!("{name} refused to let the table be read: a grant is missing")),
            "3D000" => refusal(format!("there is no such {name} database")),
            "55P03" => SourceError::Busy("somebody else holds a lock on the table".to_owned()),
            "57014" => unreachable(&format!("{name} took too long, or somebody cancelled the statement")),
            "25001" | "25006" => SourceError::config("query", "writes; only a SELECT may be given"),
            _ if code.starts_with("22") => {
                SourceError::Unusable("the table, view or query fails on a row".to_owned())
            }
            _ if is_about_names(code) => {
                SourceError::Unusable(format!("{name} cannot run the query (error {code})"))
            }
            _ => unreachable(&format!("{name} is out of order for now (error {code})")),
        }
    }
}

/// Whether there is no such table or schema.
pub(super) fn is_missing_table(error: &sqlx::Error) -> bool {
    let code = error.as_database_error().and_then(|error| error.code());
    code.is_some_and(|code| code == "42P01" || code == "3F000")
}

/// Syntax and names, but not grants; features such as writing in a WITH. Source: PostgreSQL docs, Error Codes.
fn is_about_names(code: &str) -> bool {
    (code.starts_with("42") && code != "42501") || code.starts_with("0A") || code.starts_with("3F")
}

pub(super) fn unreachable(what: &str) -> SourceError {
    SourceError::Unreachable(what.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_tell_what_may_heal_from_what_cannot() {
        for (code, word, is_retryable) in [
            ("28P01", "source_refused", false),
            ("42501", "source_refused", false),
            ("3D000", "source_refused", false),
            ("57P01", "source_unreachable", true),
            ("57014", "source_unreachable", true),
            ("40001", "source_unreachable", true),
            ("53300", "source_unreachable", true),
            ("55P03", "source_unreachable", true),
            ("22012", "source_unreachable", false),
            ("25006", "schema_mismatch", false),
        ] {
            let error = Dialect::Postgres.refused(code);
            assert_eq!((error.code(), error.is_retryable()), (word, is_retryable), "{code}");
        }
    }
}
