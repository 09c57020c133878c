//! Where the servers that speak PostgreSQL's wire differ: PostgreSQL itself, and Amazon Redshift, which grew out of
//! PostgreSQL 8 and lacks much of what came later. Everything else is said once for both.

use std::time::Duration;

use crate::config::SourceKind;
use crate::source::CHUNK_CUSTOMERS;

/// Seconds to wait for a table that is being altered; the run's own patience follows.
const LOCK_SECS: u32 = 10;
/// Seconds after which the server ends a transaction nobody fetches from, should this process be gone without a
/// word: well over what a snapshot is held for.
const IDLE_SECS: u32 = 120;
/// Seconds until a server at work notices that this end is gone. PostgreSQL 14 and later; older ones notice when
/// they have something to say.
const GONE_SECS: u32 = 2;
/// Most rows of one FETCH that a Redshift of a single node allows. Source: Redshift docs, DECLARE, usage notes.
const REDSHIFT_FETCH_ROWS: usize = 1_000;

/// Whose SQL is spoken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Dialect {
    Postgres,
    Redshift,
}

impl Dialect {
    /// Of a kind of source that speaks this wire.
    pub(super) fn of(kind: SourceKind) -> Self {
        match kind {
            SourceKind::Redshift => Self::Redshift,
            _ => Self::Postgres,
        }
    }

    /// The server's name in messages.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Postgres => "PostgreSQL",
            Self::Redshift => "Redshift",
        }
    }

    /// Where it listens unless told otherwise.
    pub(super) fn port(self) -> u16 {
        match self {
            Self::Postgres => 5432,
            Self::Redshift => 5439,
        }
    }

    /// Binds a session: read-only, no wait without an end, and values spelled in one way only.
    pub(super) fn session(self, statement_wait: Duration) -> Vec<String> {
        let millis = statement_wait.as_millis();
        match self {
            Self::Postgres => vec![format!(
                "SET default_transaction_read_only = on; \
                 SET statement_timeout = {millis}; SET lock_timeout = '{LOCK_SECS}s'; \
                 SET idle_in_transaction_session_timeout = '{IDLE_SECS}s'; \
                 SET TimeZone = 'UTC'; SET DateStyle = 'ISO'; SET extra_float_digits = 1; \
                 SET bytea_output = 'hex'; SET cursor_tuple_fraction = 1; \
                 SELECT set_config('client_connection_check_interval', '{GONE_SECS}s', false) \
                 WHERE current_setting('client_connection_check_interval', true) IS NOT NULL"
            )],
            // Only what Redshift's configuration reference lists, one at a time. 2 is the most digits it knows.
            Self::Redshift => vec![
                format!("SET statement_timeout = {millis}"),
                "SET timezone = 'UTC'".to_owned(),
                "SET datestyle = 'ISO'".to_owned(),
                "SET extra_float_digits = 2".to_owned(),
            ],
        }
    }

    /// Begins the one transaction everything is read in. Redshift's transactions always read one snapshot.
    pub(super) fn begin(self) -> &'static str {
        match self {
            Self::Postgres => "BEGIN TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY",
            Self::Redshift => "BEGIN READ ONLY",
        }
    }

    /// Declares the cursor. On Redshift too: pages by key would sort the table anew for each page, and a plain SELECT
    /// would hold its place in the queue of queries for as long as Braze takes. What a cursor may hold there depends
    /// on the nodes, from gigabytes up. Source: Redshift docs, DECLARE.
    pub(super) fn declare(self, select: &str) -> String {
        match self {
            Self::Postgres => {
                format!("DECLARE peak_braze_rows NO SCROLL CURSOR WITHOUT HOLD FOR {select}")
            }
            Self::Redshift => format!("DECLARE peak_braze_rows CURSOR FOR {select}"),
        }
    }

    /// Rows of one FETCH: a chunk's worth of customers with a row each, where so many may be asked for.
    pub(super) fn fetch_rows(self) -> usize {
        match self {
            Self::Postgres => CHUNK_CUSTOMERS,
            Self::Redshift => REDSHIFT_FETCH_ROWS,
        }
    }
}
