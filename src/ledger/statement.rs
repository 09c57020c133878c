//! One typed statement for both databases.
//!
//! `fetch_optional!(tx, query_as("-- room::name …", a, b))` says the same to whichever database the transaction is
//! in. Of PostgreSQL no statement is kept: behind a pooler the next transaction has another server's session.

macro_rules! statement {
    ($tx:expr, $kind:ident::<$($more:ty)?>, $fetch:ident, $text:expr $(, $value:expr)*) => {
        match $tx.side() {
            $crate::ledger::store::Side::Sqlite(connection) => {
                sqlx::$kind::<sqlx::Sqlite $(, $more)?>($crate::ledger::dialect::Words::sqlite($text))
                    $(.bind($value))* .$fetch(connection).await
            }
            $crate::ledger::store::Side::Postgres(session) => {
                let (connection, line) = session.parts();
                let asked = sqlx::$kind::<sqlx::Postgres $(, $more)?>(
                    $crate::ledger::dialect::Words::postgres($text)
                ) $(.bind($value))* .persistent(false).$fetch(connection);
                Box::pin($crate::ledger::postgres::answered(line, asked)).await
            }
        }
    };
}

/// How many rows it changed.
macro_rules! execute {
    ($tx:expr, $text:expr $(, $value:expr)* $(,)?) => {
        match $tx.side() {
            $crate::ledger::store::Side::Sqlite(connection) => {
                sqlx::query::<sqlx::Sqlite>($crate::ledger::dialect::Words::sqlite($text))
                    $(.bind($value))* .execute(connection).await.map(|done| done.rows_affected())
            }
            $crate::ledger::store::Side::Postgres(session) => {
                let (connection, line) = session.parts();
                let asked = sqlx::query::<sqlx::Postgres>($crate::ledger::dialect::Words::postgres($text))
                    $(.bind($value))* .persistent(false).execute(connection);
                Box::pin($crate::ledger::postgres::answered(line, asked)).await.map(|done| done.rows_affected())
            }
        }
    };
}

macro_rules! fetch_one {
    ($tx:expr, $kind:ident($text:expr $(, $value:expr)* $(,)?)) => {
        $crate::ledger::statement::statement!($tx, $kind::<_>, fetch_one, $text $(, $value)*)
    };
}

macro_rules! fetch_optional {
    ($tx:expr, $kind:ident($text:expr $(, $value:expr)* $(,)?)) => {
        $crate::ledger::statement::statement!($tx, $kind::<_>, fetch_optional, $text $(, $value)*)
    };
}

macro_rules! fetch_all {
    ($tx:expr, $kind:ident($text:expr $(, $value:expr)* $(,)?)) => {
        $crate::ledger::statement::statement!($tx, $kind::<_>, fetch_all, $text $(, $value)*)
    };
}

/// The same, of a statement put together piece by piece:
/// `built!(tx, |query| "-- room::name …", { query.push(…); }, build.execute)`.
macro_rules! built {
    ($tx:expr, |$query:ident| $start:expr, $pieces:block, $build:ident.$run:ident) => {
        match $tx.side() {
            $crate::ledger::store::Side::Sqlite(connection) => {
                let mut $query = sqlx::QueryBuilder::<sqlx::Sqlite>::new($start);
                $pieces
                $crate::ledger::statement::ran!($run, $query.$build().$run(connection).await)
            }
            $crate::ledger::store::Side::Postgres(session) => {
                let (connection, line) = session.parts();
                let mut $query = sqlx::QueryBuilder::<sqlx::Postgres>::new($start);
                $pieces
                let asked = $query.$build().persistent(false).$run(connection);
                let answer = Box::pin($crate::ledger::postgres::answered(line, asked)).await;
                $crate::ledger::statement::ran!($run, answer)
            }
        }
    };
}

macro_rules! ran {
    (execute, $answer:expr) => {
        $answer.map(|done| done.rows_affected())
    };
    ($fetch:ident, $answer:expr) => {
        $answer
    };
}

pub(super) use {built, execute, fetch_all, fetch_one, fetch_optional, ran, statement};
