//! What has to be known before anything is looked at: from flags, or asked for on a terminal.

use std::io::{IsTerminal, Write};
use std::path::PathBuf;

use anyhow::Context;

use super::super::Usage;
use super::endpoint::endpoint;
use crate::config::SourceKind;

/// What the kit for Peak writes, and so what is looked for unless told otherwise.
const TABLE: &str = "customer_predictions";
/// Where the address of a warehouse is kept that holds a password.
pub(super) const URL_VARIABLE: &str = "WAREHOUSE_URL";

/// Arguments of `init`.
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Args {
    /// The warehouse: sqlite://FILE, files://PATTERN, s3://BUCKET/PATTERN, postgres://…, or env:NAME of one. Left out with Snowflake or Peak's credentials.
    #[arg(long, value_name = "URL")]
    source_url: Option<String>,
    /// The kind of warehouse: sqlite, postgres, redshift, snowflake or files; told from the URL where it can be.
    #[arg(long, value_name = "KIND", value_parser = kind)]
    kind: Option<SourceKind>,
    /// The table or view of predictions [default: customer_predictions, or the only table there is]
    #[arg(long, value_name = "NAME")]
    table: Option<String>,
    /// The column that holds the customer's id in Braze; proposed unless given.
    #[arg(long, value_name = "COLUMN")]
    key: Option<String>,
    /// The column that tells when a row last changed; proposed unless given.
    #[arg(long, value_name = "COLUMN")]
    updated_at: Option<String>,
    /// Braze's REST endpoint, or the instance's name, such as US-01.
    #[arg(long, value_name = "URL")]
    braze_endpoint: Option<String>,
    /// What the key is in Braze: external_id, braze_id, email or alias:LABEL.
    #[arg(long, value_name = "KIND", default_value = "external_id")]
    identifier: String,
    /// The sync's id: the callback's address ends in it [default: from the table's name]
    #[arg(long, value_name = "ID")]
    sync: Option<String>,
    /// What the Braze attributes' names begin with.
    #[arg(long, value_name = "TEXT", default_value = "peak_")]
    prefix: String,
    /// Asks Peak for the warehouse's credentials, with the API key in env:NAME or file:PATH.
    #[arg(long, value_name = "REF", help_heading = "Peak")]
    peak_api_key: Option<String>,
    /// Peak's service address, if it is not the production one.
    #[arg(long, value_name = "URL", requires = "peak_api_key", help_heading = "Peak")]
    peak_base_url: Option<String>,
    /// The tenant's warehouse by name, if it is not the default one.
    #[arg(long, value_name = "NAME", requires = "peak_api_key", help_heading = "Peak")]
    peak_warehouse: Option<String>,
    /// Account identifier.
    #[arg(long, value_name = "ACCOUNT", help_heading = "Snowflake")]
    account: Option<String>,
    /// User name.
    #[arg(long, value_name = "NAME", help_heading = "Snowflake")]
    user: Option<String>,
    /// PKCS#8 private key, env:NAME or file:PATH.
    #[arg(long, value_name = "REF", help_heading = "Snowflake")]
    private_key: Option<String>,
    /// OAuth or programmatic access token, env:NAME or file:PATH.
    #[arg(long, value_name = "REF", help_heading = "Snowflake")]
    token: Option<String>,
    /// Role.
    #[arg(long, value_name = "NAME", help_heading = "Snowflake")]
    role: Option<String>,
    /// Virtual warehouse.
    #[arg(long, value_name = "NAME", help_heading = "Snowflake")]
    warehouse: Option<String>,
    /// Database.
    #[arg(long, value_name = "NAME", help_heading = "Snowflake")]
    database: Option<String>,
    /// Schema.
    #[arg(long, value_name = "NAME", help_heading = "Snowflake")]
    schema: Option<String>,
    /// Base URL, if it does not follow from the account.
    #[arg(long, value_name = "URL", help_heading = "Snowflake")]
    base_url: Option<String>,
    /// The file to write [default: that of --config]
    #[arg(long, value_name = "FILE")]
    pub out: Option<PathBuf>,
    /// Replaces a file that is there.
    #[arg(long)]
    pub force: bool,
    /// Asks nothing: takes what is proposed.
    #[arg(long)]
    yes: bool,
    /// Prints JSON, and asks nothing.
    #[arg(long)]
    json: bool,
}

/// Everything that is settled.
#[derive(Debug)]
pub(super) struct Answers {
    pub kind: SourceKind,
    /// As given: may hold a password, and goes into no file.
    pub url: Option<String>,
    /// Further keys of the source, by name.
    pub source: Vec<(&'static str, String)>,
    /// `credentials.peak`, by name.
    pub peak: Vec<(&'static str, String)>,
    pub table: String,
    /// Whether somebody named the table.
    pub is_table_given: bool,
    pub key: Option<String>,
    pub updated_at: Option<String>,
    pub endpoint: String,
    pub identifier: String,
    pub sync: String,
    pub prefix: String,
    pub force: bool,
    pub json: bool,
    is_sync_given: bool,
}

impl Answers {
    /// # Errors
    /// [`Usage`] where a flag is missing and nobody can be asked, or flags do not go together.
    pub(super) fn gather(args: Args, asker: &Asker) -> anyhow::Result<Self> {
        let by_keys = args.account.is_some() || args.peak_api_key.is_some();
        let url = match (args.source_url, by_keys) {
            (Some(url), _) => Some(url),
            (None, true) => None,
            (None, false) => Some(asker.ask(
                "--source-url",
                "Where is the warehouse? (sqlite://FILE, files://PATTERN, postgres://… or env:NAME)",
            )?),
        };
        let kind = match args.kind {
            Some(kind) => kind,
            None => kind_of(url.as_deref(), args.account.is_some())?,
        };
        let endpoint = match &args.braze_endpoint {
            Some(given) => endpoint(given),
            None => endpoint(&asker.ask(
                "--braze-endpoint",
                "Which Braze instance? (its REST endpoint, or a name such as US-01)",
            )?),
        };
        let named = |all: Vec<(&'static str, Option<String>)>| {
            all.into_iter().filter_map(|(name, value)| Some((name, value?))).collect()
        };
        let table = args.table.clone().unwrap_or_else(|| TABLE.to_owned());
        Ok(Self {
            kind,
            url,
            source: named(vec![
                ("account", args.account),
                ("user", args.user),
                ("private_key", args.private_key),
                ("token", args.token),
                ("role", args.role),
                ("warehouse", args.warehouse),
                ("database", args.database),
                ("schema", args.schema),
                ("base_url", args.base_url),
            ]),
            peak: named(vec![
                ("api_key", args.peak_api_key),
                ("base_url", args.peak_base_url),
                ("warehouse", args.peak_warehouse),
            ]),
            is_table_given: args.table.is_some(),
            sync: args.sync.clone().unwrap_or_else(|| sync_id(&table)),
            is_sync_given: args.sync.is_some(),
            table,
            key: args.key,
            updated_at: args.updated_at,
            endpoint,
            identifier: args.identifier,
            prefix: args.prefix,
            force: args.force,
            json: args.json,
        })
    }

    /// Reads from this table instead.
    pub(super) fn take_table(&mut self, table: String) {
        if !self.is_sync_given {
            self.sync = sync_id(&table);
        }
        self.table = table;
    }

    /// Whether the address must not stand in a file.
    pub(super) fn hides_url(&self) -> bool {
        let Some(url) = &self.url else { return false };
        matches!(self.kind, SourceKind::Postgres | SourceKind::Redshift)
            && !url.starts_with("env:")
            && !url.starts_with("file:")
    }
}

fn kind(text: &str) -> Result<SourceKind, &'static str> {
    Ok(match text {
        "sqlite" => SourceKind::Sqlite,
        "postgres" => SourceKind::Postgres,
        "redshift" => SourceKind::Redshift,
        "snowflake" => SourceKind::Snowflake,
        "files" => SourceKind::Files,
        _ => return Err("must be sqlite, postgres, redshift, snowflake or files"),
    })
}

fn kind_of(url: Option<&str>, has_account: bool) -> anyhow::Result<SourceKind> {
    let variable = url.and_then(|url| url.strip_prefix("env:")).and_then(|name| std::env::var(name).ok());
    let url = variable.as_deref().or(url).unwrap_or_default();
    let is = |schemes: &[&str]| schemes.iter().any(|scheme| url.starts_with(scheme));
    Ok(match () {
        () if is(&["sqlite:"]) => SourceKind::Sqlite,
        () if is(&["files://", "s3://"]) => SourceKind::Files,
        // Redshift speaks the same wire; its hosts have names of their own.
        () if is(&["postgres://", "postgresql://"]) && url.contains(".redshift") => SourceKind::Redshift,
        () if is(&["postgres://", "postgresql://"]) => SourceKind::Postgres,
        () if has_account => SourceKind::Snowflake,
        () => return Err(Usage("--kind: the address does not tell; name it".to_owned()).into()),
    })
}

/// `publish.Customer_Predictions` as `customer-predictions`.
fn sync_id(table: &str) -> String {
    let last = table.rsplit('.').next().unwrap_or_default();
    last.to_ascii_lowercase().replace('_', "-").trim_matches('-').to_owned()
}

/// Asks where somebody can answer.
#[derive(Debug)]
pub(super) struct Asker {
    can_ask: bool,
}

impl Asker {
    pub(super) fn new(args: &Args) -> Self {
        let is_terminal = std::io::stdin().is_terminal() && std::io::stdout().is_terminal();
        Self { can_ask: is_terminal && !args.yes && !args.json }
    }

    /// The answer, or that the flag is missing.
    pub(super) fn ask(&self, flag: &str, question: &str) -> anyhow::Result<String> {
        if !self.can_ask {
            return Err(Usage(format!("{flag} is missing, and there is no terminal to ask on")).into());
        }
        loop {
            let answer = line(&format!("{question}\n> "))?;
            if !answer.is_empty() {
                return Ok(answer);
            }
        }
    }

    /// One of several; none where nobody can be asked.
    pub(super) fn choose(&self, question: &str, of: &[String]) -> anyhow::Result<Option<String>> {
        if !self.can_ask {
            return Ok(None);
        }
        let answer = line(&format!("{question} {}\n> ", of.join(", ")))?;
        Ok(Some(answer).filter(|answer| !answer.is_empty()))
    }

    /// Whether to go on; nobody to ask means yes.
    pub(super) fn agrees(&self, question: &str) -> anyhow::Result<bool> {
        if !self.can_ask {
            return Ok(true);
        }
        let answer = line(&format!("\n{question} [Y/n] "))?.to_ascii_lowercase();
        Ok(matches!(answer.as_str(), "" | "y" | "yes"))
    }
}

fn line(question: &str) -> anyhow::Result<String> {
    print!("{question}");
    std::io::stdout().flush().context("standard output")?;
    let mut answer = String::new();
    let read = std::io::stdin().read_line(&mut answer).context("standard input")?;
    anyhow::ensure!(read > 0, "standard input ended; nothing was written");
    Ok(answer.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_address_tells_the_kind() {
        let of = |url: &str| kind_of(Some(url), false).ok();
        assert_eq!(of("sqlite://w.db"), Some(SourceKind::Sqlite));
        assert_eq!(of("s3://bucket/*.parquet"), Some(SourceKind::Files));
        assert_eq!(of("postgres://h/db"), Some(SourceKind::Postgres));
        assert_eq!(
            of("postgresql://u@c.eu-west-1.redshift.amazonaws.com:5439/db"),
            Some(SourceKind::Redshift)
        );
        assert_eq!(of("mysql://h/db"), None);
        assert_eq!(kind_of(None, true).ok(), Some(SourceKind::Snowflake));
    }

    #[test]
    fn the_sync_is_named_after_the_table() {
        assert_eq!(sync_id("publish.Customer_Predictions"), "customer-predictions");
    }
}
