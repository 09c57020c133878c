use std::path::Path;

use crate::config::load::parse;
use crate::config::{ConfigError, check_secrets};

const FULL: &str = include_str!("../../load/full.toml");

/// The refusals of `check_secrets` for a small file whose secrets are `token`, `braze` and `callback`.
fn secrets(token: &str, braze: &str, callback: &str) -> Result<(), ConfigError> {
    let folder = tempfile::tempdir().expect("a temporary folder");
    for (name, value) in [("token", token), ("braze", braze), ("callback", callback)] {
        std::fs::write(folder.path().join(name), value).expect("a written secret");
    }
    let text = "[[tokens]]\nname = \"ops\"\ntoken = \"file:token\"\nscopes = [\"read\"]\n\
        [sources.w]\nkind = \"sqlite\"\nurl = \"sqlite://w.db\"\n\
        [destinations.b]\nendpoint = \"https://b.example\"\napi_key = \"file:braze\"\n\
        [[syncs]]\nid = \"s\"\nsource = \"w\"\ndestination = \"b\"\ntable = \"t\"\nkey = \"k\"\nupdated_at = \"u\"\n\
        [syncs.callback]\nsecrets = [\"file:callback\"]\n[[syncs.attributes]]\ncolumn = \"x\"\n";
    let config = parse(text, &folder.path().join("x.toml")).expect("the file itself is valid");
    check_secrets(&config)
}

#[test]
fn missing_short_and_shared_secrets_are_refused() {
    let (token, braze) = ("ops-token-0123456789-abcdefg", "braze-api-key-0123456789-abcdef");
    let callback = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
    secrets(token, braze, callback).expect("good secrets pass");
    let raw = format!("raw:{braze}");
    let cases = [
        ("short", braze, callback, "x.toml:3: tokens[0].token: has 5 bytes"),
        ("", braze, callback, "tokens[0].token: is empty"),
        (token, "", callback, "destinations.b.api_key: is empty"),
        (token, braze, "whsec_", "callback.secrets[0]: has 0 bytes of key"),
        (token, braze, "raw:hunter2", "callback.secrets[0]: has 7 bytes of key"),
        (token, braze, "not base64!", "callback.secrets[0]: is not base64"),
        (token, braze, raw.as_str(), "callback.secrets[0]: is the same secret as destinations.b.api_key"),
        (token, token, callback, "destinations.b.api_key: is the same secret as tokens[0].token"),
    ];
    for (token, braze, callback, says) in cases {
        let error = secrets(token, braze, callback).expect_err(says).to_string();
        assert!(error.contains(says), "{error}");
        let silent = [token, braze, callback].iter().all(|value| value.len() < 6 || !error.contains(value));
        assert!(silent && !error.contains("hunter2"), "{error}");
    }
}

#[test]
fn a_secret_file_that_is_not_there_is_named() {
    let config = parse(FULL, Path::new("/nowhere/x.toml")).expect("the file itself is valid");
    let error = check_secrets(&config).expect_err("no secret is there").to_string();
    assert!(
        error.contains("/nowhere/x.toml:17: tokens[0].token: secret file /nowhere/ops cannot be read"),
        "{error}"
    );
}

#[test]
fn an_authorization_that_no_header_holds_is_refused() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    std::fs::write(folder.path().join("key"), "a\nb").expect("a written secret");
    let text =
        "[[notify]]\nurl = \"https://hooks.example\"\nauthorization = \"file:key\"\non = [\"failed\"]\n";
    let config = parse(text, &folder.path().join("x.toml")).expect("the file itself is valid");
    let error = check_secrets(&config).expect_err("two lines").to_string();
    assert!(error.contains("notify[0].authorization: holds what no header can"), "{error}");
}

#[test]
fn a_notice_must_not_be_signed_with_a_callback_secret() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    for name in ["braze", "callback"] {
        let value = format!("raw:{name}-0123456789-0123456789");
        std::fs::write(folder.path().join(name), value).expect("a written secret");
    }
    let text = "[sources.w]\nkind = \"sqlite\"\nurl = \"sqlite://w.db\"\n\
        [destinations.b]\nendpoint = \"https://b.example\"\napi_key = \"file:braze\"\n\
        [[syncs]]\nid = \"s\"\nsource = \"w\"\ndestination = \"b\"\ntable = \"t\"\nkey = \"k\"\nupdated_at = \"u\"\n\
        attributes = [{ column = \"x\" }]\ncallback = { secrets = [\"file:callback\"] }\n\
        [[notify]]\nurl = \"https://hooks.example\"\nsecret = \"file:callback\"\non = [\"failed\"]\n";
    let mut config = parse(text, &folder.path().join("x.toml")).expect("the file itself is valid");
    let says = "notify[0].secret: is the same secret as syncs[0].callback.secrets[0]; each needs its own";
    let error = check_secrets(&config).expect_err("one secret, two purposes").to_string();
    assert!(error.contains(says), "{error}");
    // Not read from a file, the config has no lines to name.
    config.origin = crate::config::Origin::default();
    assert_eq!(check_secrets(&config).expect_err("the same").to_string(), says);
}
