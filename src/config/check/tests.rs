use std::path::Path;

use crate::config::load::parse;

const FULL: &str = include_str!("../load/full.toml");

fn refusal(text: &str) -> String {
    parse(text, Path::new("x.toml")).expect_err(text).to_string()
}

/// One change to the full example, and the one refusal it earns.
fn refused(was: &str, becomes: &str, says: &str) {
    assert!(FULL.contains(was), "the example holds no {was}");
    let error = refusal(&FULL.replacen(was, becomes, 1));
    assert!(error.contains(says), "{becomes}\n  says: {error}\n  not: {says}");
    assert!(error.lines().all(|line| line.starts_with("x.toml:")), "{error}");
}

#[test]
fn names_and_references_that_lead_nowhere_are_refused() {
    let cases = [
        ("source = \"warehouse\"", "source = \"lake\"", "syncs[0].source: names no"),
        ("destination = \"braze\"", "destination = \"brass\"", "syncs[0].destination: names no"),
        ("syncs = [\"customer-predictions\"]", "syncs = [\"other\"]", "tokens[0].syncs[0]: names no sync"),
        ("id = \"customer-predictions\"", "id = \"a/b\"", "syncs[0].id: must be 1 to 64"),
        ("name = \"ops\"", "name = \"\"", "tokens[0].name: must be 1 to 64"),
        ("scopes = [\"read\", \"trigger\", \"admin\"]", "scopes = []", "tokens[0].scopes: is empty"),
        ("\"admin\"]", "\"root\"]", "tokens[0].scopes[2]: must be one of read, trigger, admin"),
        ("timezone = \"UTC\"", "timezone = \"Mars/Base\"", "sources.warehouse.timezone: must be a time zone"),
        ("timezone = \"Europe/London\"", "timezone = \"GMT+99\"", "cadence.timezone: must be a time zone"),
        ("tls_key = \"file:tls\"\n", "", "server.tls_cert: needs server.tls_key"),
        ("tls_cert = \"file:cert\"\n", "", "server.tls_key: needs server.tls_cert"),
    ];
    cases.into_iter().for_each(|(was, becomes, says)| refused(was, becomes, says));
}

#[test]
fn unquotable_identifiers_are_refused() {
    let wrong = ["1abc", "a b", "a;drop", "", "a\\\"b", "é", "a-b"];
    for name in wrong {
        refused(
            "table = \"customer_predictions\"",
            &format!("table = \"{name}\""),
            "syncs[0].table: must be a plain",
        );
        refused("key = \"customer_id\"", &format!("key = \"{name}\""), "syncs[0].key: must be a plain");
        refused(
            "updated_at = \"updated_at\"",
            &format!("updated_at = \"{name}\""),
            "updated_at: must be a plain",
        );
        let column = format!("column = \"{name}\"");
        refused("column = \"churn_probability\"", &column, "attributes[0].column: must be a plain");
    }
    refused("table = \"customer_predictions\"", "table = \"a.b.c.d\"", "syncs[0].table: must be a plain");
    refused("key = \"customer_id\"", "key = \"a.b\"", "syncs[0].key: must be a plain");
}

#[test]
fn table_or_query_but_not_both() {
    let table = "table = \"customer_predictions\"";
    refused(table, "", "syncs[0].table: is missing: write table or query");
    refused(table, &format!("{table}\nquery = \"select 1\""), "syncs[0].query: stands beside table");
    refused(table, "query = \"delete from x\"", "syncs[0].query: must begin with select");
    refused(table, "query = \"select 1;\"", "syncs[0].query: must not end with a semicolon");
    let query = FULL.replacen(table, "query = \"with a as (select 1) select * from a\"", 1);
    assert!(parse(&query, Path::new("x.toml")).is_ok());
}

#[test]
fn source_keys_must_fit_the_kind() {
    let cases = [
        ("url = \"sqlite://warehouse.db\"\n", "", "sources.warehouse.url: is missing"),
        (
            "\"sqlite://warehouse.db\"",
            "\"postgres://h/d\"",
            "sources.warehouse.url: must begin with sqlite://",
        ),
        ("\"sqlite://warehouse.db\"", "\"sqlite://:memory:\"", "sources.warehouse.url: must name a file"),
        ("kind = \"sqlite\"", "kind = \"sqlite\"\nrole = \"r\"", "sources.warehouse.role: fits kind"),
        ("url = \"file:warehouse\"\n", "", "sources.pg.url: is missing"),
        ("\"file:warehouse\"", "\"mysql://h/d\"", "sources.pg.url: must be postgres://"),
        ("kind = \"postgres\"", "kind = \"oracle\"", "sources.pg.kind: must be one of sqlite, postgres"),
        ("account = \"ORG-ACCOUNT\"\nuser", "user", "sources.sf.account: is missing"),
        ("\"ORG-ACCOUNT\"\nuser", "\"evil.com/\"\nuser", "sources.sf.account: must be letters"),
        ("user = \"READER\"\n", "", "sources.sf.user: is missing"),
        ("private_key = \"file:snowflake\"\n", "", "sources.sf.private_key: is missing"),
        ("kind = \"snowflake\"", "kind = \"snowflake\"\nurl = \"file:x\"", "sources.sf.url: does not fit"),
        ("role = \"READER\"", "token = \"file:pat\"", "sources.sf.token: stands beside"),
        ("role = \"READER\"", "token_type = \"pat\"", "sources.sf.token_type: needs token"),
        ("token_type = \"pat\"", "token_type = \"jwt\"", "sources.sf2.token_type: must be one of oauth, pat"),
        (
            "kind = \"sqlite\"",
            "kind = \"sqlite\"\ntoken_type = \"pat\"",
            "sources.warehouse.token_type: fits kind",
        ),
        ("http://127.0.0.1:9999", "http://sf.example.com", "sources.sf.base_url: must begin with https://"),
        ("https://service.peak.ai", "http://peak.ai", "credentials.peak.base_url: must begin with https://"),
        (
            "kind = \"redshift\"\n",
            "kind = \"redshift\"\nurl = \"file:x\"\n",
            "sources.rs.url: stands beside credentials",
        ),
    ];
    cases.into_iter().for_each(|(was, becomes, says)| refused(was, becomes, says));
}

#[test]
fn a_look_up_names_workflow_step_and_a_safe_address() {
    let cases = [
        ("workflow_id = \"42\"", "workflow_id = \"4/2\"", "verify_run.workflow_id: must be 1 to 64"),
        ("workflow_id = \"42\"", "workflow_id = 42", "verify_run.workflow_id: must be text in quotes"),
        ("step = \"score-customers\"", "step = \" \"", "verify_run.step: is empty"),
        ("step = \"score-customers\"\n", "", "verify_run.step: is missing"),
        (
            "https://service.beta.peak.ai",
            "http://peak.ai",
            "verify_run.peak.base_url: must begin with https://",
        ),
    ];
    cases.into_iter().for_each(|(was, becomes, says)| refused(was, becomes, says));
}

#[test]
fn endpoints_are_https_and_bare() {
    let cases = [
        ("http://rest.iad-01.braze.com", "must begin with https://"),
        ("ftp://rest.iad-01.braze.com", "must begin with https://"),
        ("https://user@rest.iad-01.braze.com", "must not hold a user"),
        ("https://:pw@rest.iad-01.braze.com", "must not hold a user"),
        ("https://rest.iad-01.braze.com/users/track", "must not hold a path"),
        ("https://rest.iad-01.braze.com?x=1", "must not hold a query"),
        ("https://rest.iad-01.braze.com#x", "must not hold a fragment"),
        ("rest.iad-01.braze.com", "must be an address"),
        ("", "must be an address"),
    ];
    for (endpoint, says) in cases {
        refused("https://rest.iad-01.braze.com", endpoint, &format!("destinations.braze.endpoint: {says}"));
    }
    for endpoint in ["http://127.0.0.1:1234", "http://[::1]:1234", "http://localhost:1/"] {
        let text = FULL.replacen("https://rest.iad-01.braze.com", endpoint, 1);
        assert!(parse(&text, Path::new("x.toml")).is_ok(), "{endpoint}");
    }
    refused(
        "https://hooks.example.com/",
        "http://hooks.example.com/",
        "notify[0].url: must begin with https://",
    );
}

#[test]
fn zero_and_absurd_numbers_are_refused() {
    let cases = [
        ("body_limit_bytes = 262144", "body_limit_bytes = 0", "server.body_limit_bytes: must be 1024 to"),
        ("drain_secs = 10", "drain_secs = 0", "server.drain_secs: must be 1 to 300"),
        ("lease_secs = 20", "lease_secs = 1", "ledger.lease_secs: must be 2 to"),
        ("lease_secs = 20", "lease_secs = 99999999999999999999", "ledger.lease_secs: must be 2 to"),
        ("retention_days = 90", "retention_days = 0", "ledger.retention_days: must be 1 to"),
        ("batch_size = 75", "batch_size = 0", "braze.batch_size: must be 1 to"),
        ("batch_size = 75", "batch_size = 226", "braze.batch_size: must be 1 to 225"),
        ("batch_size = 75", "batch_size = -1", "braze.batch_size: must be 1 to"),
        ("batch_size = 75", "batch_size = 7.5", "braze.batch_size: must be a whole number"),
        ("requests_per_3s = 3000", "requests_per_3s = 0", "braze.requests_per_3s: must be 1 to"),
        ("requests_per_hour = 200000", "requests_per_hour = 0", "braze.requests_per_hour: must be 1 to"),
        ("max_in_flight = 128", "max_in_flight = 1025", "braze.max_in_flight: must be 1 to 1024"),
        (
            "request_timeout_secs = 12",
            "request_timeout_secs = 13",
            "must be at most 60 % of ledger.lease_secs",
        ),
        ("request_timeout_secs = 12", "request_timeout_secs = 0", "request_timeout_secs: must be 1 to"),
        ("settle_secs = 60", "settle_secs = 3601", "braze.settle_secs: must be 0 to"),
        ("retry_base_ms = 500", "retry_base_ms = 0", "braze.retry_base_ms: must be 1 to"),
        ("retry_cap_secs = 60", "retry_cap_secs = 0", "braze.retry_cap_secs: must be 1 to"),
        (
            "retry_base_ms = 500\nretry_cap_secs = 60",
            "retry_base_ms = 2000\nretry_cap_secs = 1",
            "retry_base_ms: must not",
        ),
        ("overlap_secs = 900", "overlap_secs = 2592001", "syncs[0].overlap_secs: must be 0 to"),
        ("tolerance_secs = 300", "tolerance_secs = 3601", "callback.tolerance_secs: must be 1 to 3600"),
        ("tolerance_secs = 300", "tolerance_secs = 0", "callback.tolerance_secs: must be 1 to 3600"),
        ("max_changed_pct = 40.0", "max_changed_pct = 0", "guards.max_changed_pct: must be more than 0"),
        ("max_null_pct = 10.0", "max_null_pct = nan", "guards.max_null_pct: must be 0 to 100"),
        (
            "min_rows_pct = 50.0",
            "min_rows_pct = 101",
            "guards.min_rows_pct: must be more than 0 and at most 100",
        ),
        ("max_mean_shift = 0.25", "max_mean_shift = inf", "guards.max_mean_shift: must be more than 0"),
        ("round = 3", "round = 16", "attributes[0].round: must be 0 to 15"),
    ];
    cases.into_iter().for_each(|(was, becomes, says)| refused(was, becomes, says));
    for fits in ["path = \"track_bulk\"\nbatch_size = 1000", "batch_size = 225", "max_null_pct = 0"] {
        let was = if fits.contains("null") {
            "max_null_pct = 10.0"
        } else {
            "path = \"track\"\nbulk_header = true\nbatch_size = 75"
        };
        assert!(parse(&FULL.replacen(was, fits, 1), Path::new("x.toml")).is_ok(), "{fits}");
    }
}

#[test]
fn durations_and_schedules_that_make_no_sense_are_refused() {
    let cases = [
        ("\"24h\"", "\"soon\"", "braze.give_up_after: must be a whole number and s, m, h or d"),
        ("\"24h\"", "\"0s\"", "braze.give_up_after: must be 1 s to 30 d"),
        ("\"24h\"", "\"off\"", "braze.give_up_after: must be a whole number"),
        ("full_every = \"7d\"", "full_every = \"0d\"", "syncs[0].full_every: must be 1 s to"),
        (
            "resend_every = \"off\"",
            "resend_every = \"30 d\"",
            "syncs[0].resend_every: must be a whole number",
        ),
        ("stale_after = \"26h\"", "stale_after = \"9999d\"", "cadence.stale_after: must be 1 s to 366 d"),
        ("cron = \"0 6 * * *\"", "cron = \"0 25 * * *\"", "cadence.cron: must be five fields"),
        ("cron = \"0 6 * * *\"", "cron = \"0 0 6 * * *\"", "cadence.cron: must be five fields"),
        ("cron = \"0 6 * * *\"", "cron = \"0 6 30 2 *\"", "cadence.cron: names a day that never comes"),
    ];
    cases.into_iter().for_each(|(was, becomes, says)| refused(was, becomes, says));
}

#[test]
fn reserved_and_impossible_attribute_names_are_refused() {
    let long = "n".repeat(256);
    let cases = [
        ("email", "is a standard attribute"),
        ("_private", "begins with _ or $"),
        ("__proto__", "begins with _ or $"),
        ("$set", "begins with _ or $"),
        ("external_id", "says whom an update is for"),
        ("bio", "is no longer stored"),
        (" email", "must not begin or end with space"),
        ("", "must be 1 to 255 bytes"),
        (long.as_str(), "must be 1 to 255 bytes"),
    ];
    for (name, says) in cases {
        let becomes = format!("name = \"{name}\"");
        refused(
            "name = \"peak_churn_probability\"",
            &becomes,
            &format!("syncs[0].attributes[0].name: {says}"),
        );
    }
    let allowed = FULL.replace("\"peak_churn_probability\"", "\"email\"");
    let allowed = allowed.replace("allow_standard = false", "allow_standard = true");
    assert!(parse(&allowed, Path::new("x.toml")).is_ok());
    refused("type = \"number\"", "type = \"string\"", "attributes[0].round: fits type");
}

#[test]
fn one_attribute_of_a_workspace_has_one_writer() {
    let attribute = "\n[[syncs.attributes]]\ncolumn = \"x\"\nname = \"peak_churn_probability\"\n";
    refused(
        "[[notify]]",
        &format!("{attribute}[[notify]]"),
        "syncs[0].attributes[1].name: is written by an attribute",
    );
    let second = "[[syncs]]\nid = \"second\"\nsource = \"pg\"\ndestination = \"other\"\ntable = \"t\"\nkey = \"k\"\n\
                  updated_at = \"u\"\n[[syncs.attributes]]\ncolumn = \"peak_churn_probability\"\n";
    let other =
        "[destinations.other]\nendpoint = \"https://rest.iad-01.braze.com\"\napi_key = \"file:braze\"\n";
    let apart = FULL.replacen("[[notify]]", &format!("{second}{other}[[notify]]"), 1);
    assert!(parse(&apart, Path::new("x.toml")).is_ok(), "two workspaces keep their own");
    let same = apart.replacen(
        "api_key = \"file:braze\"\n[[notify",
        "api_key = \"file:braze\"\nworkspace = \"braze\"\n[[notify",
        1,
    );
    let says = "syncs[1].attributes[0].name: is written by sync customer-predictions too";
    assert!(refusal(&same).contains(says), "{}", refusal(&same));
    let elsewhere = same.replacen(other, &other.replace("iad-01", "fra-01"), 1);
    assert!(refusal(&elsewhere).contains("is the label of another endpoint"), "{}", refusal(&elsewhere));
    let twice = apart.replacen("id = \"second\"", "id = \"customer-predictions\"", 1);
    assert!(refusal(&twice).contains("syncs[1].id: is taken"), "{}", refusal(&twice));
}

#[test]
fn empty_lists_and_duplicates_are_refused() {
    let head = &FULL[..FULL.find("  [[syncs.attributes]]").expect("the example maps")];
    let none = head.replacen("overlap_secs = 900", "overlap_secs = 900\nattributes = []", 1);
    assert!(refusal(&none).contains("syncs[0].attributes: is empty"));
    assert!(refusal(head).contains("syncs[0].attributes: is missing"));
    refused("secrets = [\"file:callback\"]", "secrets = []", "callback.secrets: is empty");
    refused("events = [\"model.run.completed\", ", "events = [\"\", ", "callback.events: must name");
    refused(
        "on = [\"failed\", \"partial\", \"held\", \"stale\", \"succeeded\"]",
        "on = []",
        "notify[0].on: is empty",
    );
    refused("syncs = [\"from-query\"]", "syncs = []", "notify[1].syncs: is empty");
    refused("syncs = [\"from-query\"]", "syncs = [\"nobody\"]", "notify[1].syncs[0]: names no sync");
    let many = format!("secrets = [{}]", "\"file:callback\",".repeat(9));
    refused("secrets = [\"file:callback\"]", &many, "callback.secrets: holds more than 8");
    let token = "[[tokens]]\nname = \"ops\"\ntoken = \"file:ops\"\nscopes = [\"read\"]\n[sources.warehouse]";
    refused("[sources.warehouse]", token, "tokens[1].name: is taken");
    refused(
        "identifier = \"external_id\"",
        "identifier = \"phone\"",
        "syncs[0].identifier: identifier must be",
    );
}

#[test]
fn a_shared_ledger_needs_its_digest_key() {
    let url = "url = \"sqlite://peak-braze.db\"";
    let text =
        FULL.replacen(url, "url = \"postgres://h/d\"", 1).replacen("digest_key = \"file:digest\"\n", "", 1);
    assert!(refusal(&text).contains("ledger.digest_key: is missing"));
    refused(url, "url = \"mysql://h/d\"", "ledger.url: must be sqlite://FILE or postgres://");
    refused(url, "url = \"sqlite://:memory:\"", "ledger.url: must name a file");
}

#[test]
fn every_receiver_gets_the_proof_it_looks_at() {
    refused("secret = \"file:notify\"\n", "", "notify[0].secret: is missing");
    refused("secret = \"file:notify\"\n", "secret = \"file:notify\"\nformat = \"slack\"\n", "signs nothing");
    refused("authorization = \"file:peak\"\n", "", "notify[1].authorization: is missing");
    for (from, to) in [
        ("secret = \"file:notify\"\n", "authorization = \"file:peak\"\n"),
        ("secret = \"file:notify\"\n", "format = \"slack\"\n"),
    ] {
        assert!(parse(&FULL.replacen(from, to, 1), Path::new("x.toml")).is_ok(), "{to}");
    }
}
