//! Snowflake as a source: the suite on fakesnow, which runs the SQL on DuckDB, and what only Snowflake can do to us.

use peak_braze::clock::Clock;
use peak_braze::config;
use peak_braze::source::{Source, SourceError};

use crate::source_suite::Warehouse;
use crate::support::snowflake::Fakesnow;

struct Account {
    fakesnow: Fakesnow,
    folder: tempfile::TempDir,
}

impl Account {
    fn open(&self, more: &str, sync: &config::Sync) -> Result<Source, SourceError> {
        let text = format!(
            "kind = \"snowflake\"\naccount = \"org-test\"\nbase_url = \"{}\"\ntoken = \"file:{}\"\n\
             database = \"db\"\nschema = \"public\"\nwarehouse = \"wh\"\nrole = \"reader\"\n{more}",
            self.fakesnow.url(),
            self.folder.path().join("token").display()
        );
        Source::open(&toml::from_str(&text).expect("the test's own settings"), sync, Clock::system())
    }
}

impl Warehouse for Account {
    const TYPES: [&'static str; 8] =
        ["VARCHAR", "TIMESTAMP_NTZ", "FLOAT", "NUMBER(12,2)", "DATE", "BOOLEAN", "VARIANT", "INTEGER"];
    const HAS_INFINITY: bool = false;

    async fn run(&self, sql: &str) {
        self.fakesnow.run(sql).await;
    }

    fn source(&self, sync: &config::Sync) -> Result<Source, SourceError> {
        self.open("", sync)
    }
}

async fn account() -> Account {
    let folder = tempfile::tempdir().expect("a temporary folder");
    std::fs::write(folder.path().join("token"), "a-token-of-the-tests").expect("written");
    Account { fakesnow: Fakesnow::start(), folder }
}

crate::source_suite!(account());
