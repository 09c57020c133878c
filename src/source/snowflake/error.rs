//! What Snowflake's errors mean to us, by its own codes. Its texts are shown only where they can speak of nothing but
//! the config's own words: they may quote what was read.

use serde::{Deserialize, Deserializer};

use super::place::Place;
use crate::source::SourceError;
use crate::source::mapping::Mapping;

/// Most characters of Snowflake's own text that are shown.
const SHOWN_CHARS: usize = 300;

/// A failed request or statement. Source: Snowflake docs, SQL API reference, `QueryFailureStatus`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Failure {
    #[serde(deserialize_with = "or_empty")]
    pub code: String,
    #[serde(deserialize_with = "or_empty")]
    pub sql_state: String,
    #[serde(deserialize_with = "or_empty")]
    pub message: String,
}

fn or_empty<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    Option::deserialize(deserializer).map(Option::unwrap_or_default)
}

impl Failure {
    /// What a body says, or what its status alone does.
    pub(super) fn read(status: u16, body: &[u8]) -> Self {
        let read: Option<Self> = serde_json::from_slice(body).ok();
        let mut failure = read.filter(|failure| !failure.code.is_empty()).unwrap_or_default();
        if failure.code.is_empty() {
            failure.code = format!("status {status}");
        }
        failure
    }

    /// Whether a name is not there, or hidden from the role: which of the two Snowflake does not tell.
    pub(super) fn is_missing_object(&self) -> bool {
        matches!(self.code.as_str(), "002003" | "002043")
    }

    /// Whether it is about the statement's own words: syntax, names, types.
    fn is_about_names(&self) -> bool {
        self.is_missing_object() || self.code.starts_with("0009") || self.code.starts_with("001")
    }

    /// What it means, whatever was asked. Snowflake lists its codes nowhere in full: these are told by its drivers and by
    /// whoever met them. SQLSTATE decides where a code does not.
    pub(super) fn means(&self, place: &Place) -> SourceError {
        let Self { code, sql_state, .. } = self;
        let role = named("role", place.role.as_deref());
        let warehouse = named("warehouse", place.warehouse.as_deref());
        match (code.as_str(), sql_state.as_str()) {
            ("000606", _) => SourceError::config(
                "warehouse",
                format!("no warehouse is active (error {code}): name one, and grant {role} USAGE on it"),
            ),
            ("090105", _) => SourceError::config("database", "is missing: the table's name does not tell it"),
            ("090106", _) => SourceError::config("schema", "is missing: the table's name does not tell it"),
            ("390186" | "390189", _) => refused(format!(
                "there is no {role}, or it is not granted to the user (error {code}): GRANT ROLE … TO USER …"
            )),
            ("390201", _) => refused(format!(
                "{warehouse}, database or schema is not there, or {role} may not use it (error {code}): grant it USAGE"
            )),
            ("390420" | "390422" | "390432", _) => refused(format!(
                "a network policy keeps this machine's address out (error {code}): have it let in"
            )),
            ("002003" | "002043", _) => {
                refused(format!("an object is not there, or {role} may not see it (error {code})"))
            }
            ("003001", _) | (_, "42501") => {
                refused(format!("{role} lacks a privilege (error {code}): grant it SELECT on the table"))
            }
            ("090073", _) => SourceError::Busy(format!(
                "{warehouse} is held back by a resource monitor's quota (error {code}): raise it, or wait for its reset"
            )),
            ("000630", _) => unreachable(format!(
                "the statement took longer than it may (error {code}): a larger {warehouse} or a higher \
                 STATEMENT_TIMEOUT_IN_SECONDS helps"
            )),
            ("000608", _) | (_, "57P03") => SourceError::Busy(format!(
                "{warehouse} is suspended or cannot start (error {code}): grant {role} OPERATE on it, or let it \
                 resume by itself (AUTO_RESUME)"
            )),
            (_, "57014") => unreachable(format!("somebody cancelled the statement (error {code})")),
            _ if code.starts_with("100") || sql_state.starts_with("22") => {
                SourceError::Unusable(format!("the table, view or query fails on a row (error {code})"))
            }
            _ if self.is_about_names() || sql_state.starts_with("42") || sql_state.starts_with("0A") => {
                SourceError::Unusable(format!("Snowflake cannot run the query (error {code})"))
            }
            _ => unreachable(format!("Snowflake is out of order for now (error {code})")),
        }
    }

    /// What it means where only the config's own words were sent.
    pub(super) fn means_of(&self, mapping: &Mapping, place: &Place) -> SourceError {
        match self.is_about_names() {
            true => SourceError::SchemaMismatch {
                table: mapping.table(),
                column: None,
                why: self.shown(),
                nearest: None,
            },
            false => self.means(place),
        }
    }

    /// Snowflake's own text on one line.
    fn shown(&self) -> String {
        let line = self.message.split_whitespace().collect::<Vec<_>>().join(" ");
        let shown: String = line.chars().take(SHOWN_CHARS).collect();
        format!("{shown} (error {})", self.code)
    }

    /// What it means that a sign-in was refused. Source: Snowflake's Python connector 4.8.1, `network.py`.
    pub(super) fn refuses_login(&self, place: &Place, hint: &str) -> SourceError {
        let what = match self.code.as_str() {
            "390186" | "390189" | "390201" | "390420" | "390422" | "390432" => return self.means(place),
            "390144" | "394300" | "394301" | "394302" | "394303" | "394304" | "394305" | "394306" => {
                "the key pair's token"
            }
            "390303" | "390318" => "the OAuth token",
            "394400" => "the programmatic access token",
            _ => "the sign-in",
        };
        refused(format!("Snowflake refused {what} (error {}): {hint}", self.code))
    }
}

fn named(what: &str, name: Option<&str>) -> String {
    match name {
        Some(name) => format!("{what} {name}"),
        None => format!("the user's default {what}"),
    }
}

fn refused(what: String) -> SourceError {
    SourceError::Refused(what)
}

pub(super) fn unreachable(what: impl Into<String>) -> SourceError {
    SourceError::Unreachable(what.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failure(code: &str, sql_state: &str) -> Failure {
        Failure {
            code: code.to_owned(),
            sql_state: sql_state.to_owned(),
            message: "a 'secret' value".to_owned(),
        }
    }

    #[test]
    fn codes_tell_what_may_heal_from_what_cannot() {
        let place = Place { role: Some("READER".to_owned()), ..Place::default() };
        for (code, sql_state, word, is_retryable, says) in [
            ("000606", "57P03", "schema_mismatch", false, "warehouse: no warehouse is active"),
            ("000608", "", "source_unreachable", true, "is suspended or cannot start"),
            ("000630", "57014", "source_unreachable", true, "took longer"),
            ("000604", "57014", "source_unreachable", true, "cancelled"),
            ("000603", "XX000", "source_unreachable", true, "out of order"),
            ("090073", "22000", "source_unreachable", true, "resource monitor"),
            ("100038", "22018", "source_unreachable", false, "fails on a row"),
            ("001003", "42000", "source_unreachable", false, "cannot run the query"),
            ("002003", "42S02", "source_refused", false, "role READER may not see it"),
            ("003001", "42501", "source_refused", false, "role READER lacks a privilege"),
            ("390201", "08004", "source_refused", false, "USAGE"),
            ("390189", "08001", "source_refused", false, "there is no role READER"),
            ("390422", "", "source_refused", false, "network policy"),
            ("090105", "22000", "schema_mismatch", false, "database: is missing"),
            ("status 502", "", "source_unreachable", true, "status 502"),
        ] {
            let error = failure(code, sql_state).means(&place);
            assert_eq!((error.code(), error.is_retryable()), (word, is_retryable), "{code}");
            let text = error.to_string();
            assert!(text.contains(says) && !text.contains("secret"), "{code}: {text}");
        }
    }

    #[test]
    fn a_refused_sign_in_names_what_was_refused() {
        for (code, what) in
            [("390144", "key pair"), ("390303", "OAuth"), ("390318", "OAuth"), ("390100", "sign-in")]
        {
            let error = failure(code, "").refuses_login(&Place::default(), "look again");
            assert_eq!(error.code(), "source_refused");
            assert!(error.to_string().contains(what) && error.to_string().ends_with("look again"), "{error}");
        }
    }

    #[test]
    fn a_sign_in_that_may_not_do_so_from_here_is_told_from_a_wrong_one() {
        let error = failure("390422", "").refuses_login(&Place::default(), "look again");
        assert!(error.to_string().contains("network policy"), "{error}");
    }

    #[test]
    fn a_body_that_says_nothing_leaves_its_status() {
        assert_eq!(Failure::read(503, b"<html>").code, "status 503");
        assert_eq!(Failure::read(422, b"{\"message\":\"m\"}").code, "status 422");
        assert_eq!(Failure::read(422, b"{\"code\":\"001003\",\"sqlState\":null}").code, "001003");
    }
}
