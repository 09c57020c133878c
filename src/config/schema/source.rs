//! `[sources.NAME]`.

use serde_json::Value;

use super::{or, secret, table, text, word};

pub(super) fn source() -> Value {
    let url = "sqlite, postgres, redshift, files: where the warehouse is; may be env:NAME or file:PATH.";
    table(
        "One warehouse.",
        vec![
            (
                "kind",
                word("Which kind of warehouse.", &["sqlite", "postgres", "redshift", "snowflake", "files"]),
            ),
            ("url", text(url)),
            ("timezone", or(text("The zone of timestamps that carry none."), "UTC")),
            ("account", text("Snowflake: account identifier.")),
            ("user", text("Snowflake: user name.")),
            ("private_key", secret("Snowflake: PKCS#8 private key in PEM.")),
            ("private_key_passphrase", secret("Snowflake: what the private key is encrypted with.")),
            ("token", secret("Snowflake: OAuth or programmatic access token.")),
            (
                "token_type",
                word("Snowflake: what the token is; absent: Snowflake examines it.", &["oauth", "pat"]),
            ),
            ("role", text("Snowflake: role.")),
            ("warehouse", text("Snowflake: virtual warehouse.")),
            ("database", text("Snowflake: database.")),
            ("schema", text("Snowflake: schema.")),
            ("base_url", text("Snowflake: base URL; default from the account.")),
            ("credentials", credentials()),
        ],
        &["kind"],
    )
}

fn credentials() -> Value {
    let peak = table(
        "Credentials from Peak's connections endpoint.",
        vec![
            ("api_key", secret("Peak API key.")),
            ("base_url", text("Peak's service address; default the production one.")),
            ("warehouse", text("The tenant's warehouse by name; default its default one.")),
        ],
        &["api_key"],
    );
    table("Credentials fetched from elsewhere for every run.", vec![("peak", peak)], &["peak"])
}
