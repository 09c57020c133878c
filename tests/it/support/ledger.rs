//! The ledger of a story: a file, or a PostgreSQL database. Each crate of stories says which
//! (`crate::ON_POSTGRES`).

use std::path::{Path, PathBuf};

use sqlx::{Connection, PgConnection};

use super::postgres::Postgres;

/// How long a writer of the story's waits for its turn.
const PATIENCE: std::time::Duration = std::time::Duration::from_secs(30);

/// A story's ledger, past the process that has it.
pub enum Place {
    File(PathBuf),
    Postgres(Postgres),
}

/// Keeps everybody else from writing until dropped.
pub enum Held {
    File(rusqlite::Connection),
    Postgres(PgConnection),
}

impl Place {
    /// A new one as the crate says; a file of this name in the folder.
    pub fn new(file: &Path) -> Self {
        match crate::ON_POSTGRES {
            false => Self::File(file.to_owned()),
            true => Self::Postgres(Postgres::start()),
        }
    }

    async fn connect(postgres: &Postgres) -> PgConnection {
        let mut connection = PgConnection::connect(&postgres.url()).await.expect("a connection");
        let path = sqlx::raw_sql("set search_path = peak_braze");
        path.execute(&mut connection).await.expect("set");
        connection
    }

    /// Runs a statement that both databases understand, as another replica would. How many rows it changed.
    pub async fn run(&self, sql: &'static str) -> u64 {
        match self {
            Self::File(path) => {
                let file = rusqlite::Connection::open(path).expect("the file");
                file.busy_timeout(PATIENCE).expect("a timeout");
                file.execute(sql, []).expect("the story's SQL") as u64
            }
            Self::Postgres(postgres) => {
                let done = sqlx::raw_sql(sql).execute(&mut Self::connect(postgres).await).await;
                done.expect("the story's SQL").rows_affected()
            }
        }
    }

    /// From now on nobody else can write.
    pub async fn hold(&self) -> Held {
        match self {
            Self::File(path) => {
                let file = rusqlite::Connection::open(path).expect("the file");
                file.busy_timeout(PATIENCE).expect("a timeout");
                file.execute_batch("begin immediate").expect("held");
                Held::File(file)
            }
            Self::Postgres(postgres) => {
                let mut connection = Self::connect(postgres).await;
                let lock = "begin; lock table runs, sent, in_flight, deliveries in exclusive mode";
                sqlx::raw_sql(lock).execute(&mut connection).await.expect("held");
                Held::Postgres(connection)
            }
        }
    }

    /// Everything it holds, as text or bytes.
    pub async fn stored(&self) -> Vec<u8> {
        let postgres = match self {
            Self::File(path) => {
                let with = |ending: &str| PathBuf::from(format!("{}{ending}", path.display()));
                return ["", "-wal"].map(|ending| super::app::bytes(&with(ending))).concat();
            }
            Self::Postgres(postgres) => postgres,
        };
        let all = "select query_to_xml('select * from ' || quote_ident(tablename), true, false, '')::text
                   from pg_tables where schemaname = 'peak_braze'";
        let tables: Vec<String> =
            sqlx::query_scalar(all).fetch_all(&mut Self::connect(postgres).await).await.expect("every table");
        tables.concat().into_bytes()
    }
}

impl Held {
    pub async fn let_go(self) {
        match self {
            Self::File(file) => file.execute_batch("rollback").expect("let go"),
            Self::Postgres(mut connection) => {
                sqlx::raw_sql("rollback").execute(&mut connection).await.map(drop).expect("let go");
            }
        }
    }
}
