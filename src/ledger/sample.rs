//! A random sample of what Braze accepted.

use super::column::Key;
use super::postgres::{Session, answered};
use super::statement::fetch_all;
use super::store::Side;
use super::{Ledger, LedgerError};

/// A row of `sent`: the customer, its digests, and whether it is in doubt.
type Row = (Key<String>, Vec<u8>, bool);

/// What is kept of one customer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Accepted {
    /// The customer.
    pub customer_id: String,
    /// Packed digests of the values last accepted.
    pub digests: Vec<u8>,
    /// Whether its last send has no verdict: nothing can be said of what Braze has.
    pub in_doubt: bool,
}

/// Rows looked at for each that is wanted, of a server's table: the rows of a page were often written together, and of
/// so many pages few give more than one.
const ROWS_LOOKED_AT: f64 = 50.0;

const SAMPLE: &str = "-- ledger::sample
     select customer_id, packed, in_doubt from sent where target = $1 order by random() limit $2";

impl Ledger {
    /// So many customers of a target, each as likely as any other. Of a table on PostgreSQL that is large only some
    /// pages are read: all of it would take longer than an answer may.
    ///
    /// # Errors
    /// [`LedgerError::Unavailable`].
    pub async fn sample(&self, target: i64, limit: u32) -> Result<Vec<Accepted>, LedgerError> {
        let during = LedgerError::during("draw a sample");
        let mut tx = self.read("draw a sample").await?;
        let mut rows = Vec::new();
        if let Side::Postgres(session) = tx.side() {
            rows = some_pages(session, target, limit).await.map_err(&during)?;
        }
        if rows.len() < limit as usize {
            // The target's rows are few, or all of them were asked for.
            rows = fetch_all!(tx, query_as(SAMPLE, target, i64::from(limit))).map_err(during)?;
        }
        let accepted = rows.into_iter().map(|(customer_id, digests, in_doubt)| Accepted {
            customer_id: customer_id.0,
            digests,
            in_doubt,
        });
        Ok(accepted.collect())
    }
}

/// The same from some of the table's pages, as many as its size by the server's own estimate asks for.
async fn some_pages(session: &mut Session, target: i64, limit: u32) -> Result<Vec<Row>, sqlx::Error> {
    let (connection, line) = session.parts();
    let sized = sqlx::query_scalar(
        "-- ledger::some_pages\n select reltuples::float8 from pg_class where oid = 'sent'::regclass",
    );
    let size: f64 = answered(line, sized.persistent(false).fetch_one(&mut *connection)).await?;
    let percent = 100.0 * f64::from(limit) * ROWS_LOOKED_AT / size.max(1.0);
    if percent >= 100.0 {
        return Ok(Vec::new());
    }
    let asked = sqlx::query_as(
        "-- ledger::some_pages
         select customer_id, packed, in_doubt from sent tablesample system ($3) where target = $1
         order by random() limit $2",
    );
    let asked = asked.bind(target).bind(i64::from(limit)).bind(percent);
    answered(line, asked.persistent(false).fetch_all(connection)).await
}
