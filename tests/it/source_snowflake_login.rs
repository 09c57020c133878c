//! Signing in to Snowflake: key pairs and tokens, renewed in time or where they are refused.

use peak_braze::clock::Clock;
use peak_braze::source::Rows;
use serde_json::{Value, json};

use crate::source_suite::{all, customers, lines, utc};
use crate::support::python::run_script;
use crate::support::snowflake_wire::{Reply, Seen, Token, Wire, open, scripted, table};

/// Keys and tokens as others make and read them.
fn key_script(arguments: &[&str], input: &str) -> String {
    run_script("snowflake_key.py", arguments, input)
}

#[tokio::test]
async fn a_key_pair_signs_in_as_others_read_it() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = |name: &str| folder.path().join(name).display().to_string();
    std::fs::write(path("passphrase"), "of the tests").expect("written");
    let fingerprint = key_script(&["make", &path(""), "of the tests"], "");
    let plain = format!("user = \"sync_user\"\nprivate_key = \"file:{}\"", path("plain.p8"));
    let encrypted = format!(
        "user = \"sync_user\"\nprivate_key = \"file:{}\"\nprivate_key_passphrase = \"file:{}\"",
        path("encrypted.p8"),
        path("passphrase")
    );
    for more in [plain, encrypted] {
        let wire = Wire::start(table(), |_| None).await;
        let now = utc("2026-11-01T00:00:00Z");
        let clock = Clock::manual(now);
        let source = open(&wire, &more, &customers(), clock.clone()).expect("sound settings");
        assert_eq!(lines(&source, Rows::All).await.len(), 2);
        let first = wire.seen()[0].clone();
        assert!(wire.seen().iter().all(|seen| seen.token_type.as_deref() == Some("KEYPAIR_JWT")));
        assert!(wire.seen().iter().all(|seen| seen.authorization == first.authorization));
        let token = first.authorization.strip_prefix("Bearer ").expect("a bearer");
        let read: Value =
            serde_json::from_str(&key_script(&["verify", &path("public.pem")], token)).expect("JSON");
        let claims = &read["claims"];
        assert_eq!(read["header"], json!({"alg": "RS256", "typ": "JWT"}));
        assert_eq!(claims["sub"], "ORG-MY_ACCOUNT.SYNC_USER");
        assert_eq!(claims["iss"], format!("ORG-MY_ACCOUNT.SYNC_USER.{fingerprint}"));
        let (issued, ends) =
            (claims["iat"].as_i64().expect("a time"), claims["exp"].as_i64().expect("a time"));
        assert!(issued <= now.timestamp() && ends > now.timestamp() && ends - issued < 3600);

        clock.set(utc("2026-11-01T00:52:00Z"));
        assert_eq!(lines(&source, Rows::All).await.len(), 2);
        assert_eq!(wire.seen().last().expect("a request").authorization, first.authorization);
        clock.set(utc("2026-11-01T00:54:00Z"));
        assert_eq!(lines(&source, Rows::All).await.len(), 2);
        assert_ne!(wire.seen().last().expect("a request").authorization, first.authorization);
    }
}

#[tokio::test]
async fn a_refused_key_pair_is_told_with_its_fingerprint() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = |name: &str| folder.path().join(name).display().to_string();
    let fingerprint = key_script(&["make", &path(""), "x"], "");
    let refuse =
        |_: &Seen| Some(Reply::Json(401, json!({"code": "390144", "message": "JWT token is invalid. [x]"})));
    let wire = Wire::start(table(), refuse).await;
    let more = format!("user = \"u\"\nprivate_key = \"file:{}\"", path("plain.p8"));
    let source =
        open(&wire, &more, &customers(), Clock::manual(utc("2026-11-01T00:00:00Z"))).expect("sound settings");
    let error = source.read(all()).await.expect_err("a refusal");
    assert_eq!((error.code(), error.is_retryable()), ("source_refused", false));
    assert!(error.to_string().contains(&fingerprint), "{error}");
}

#[tokio::test]
async fn a_token_says_what_it_is_only_where_the_config_does() {
    for (more, name) in [
        ("", None),
        ("\ntoken_type = \"oauth\"", Some("OAUTH")),
        ("\ntoken_type = \"pat\"", Some("PROGRAMMATIC_ACCESS_TOKEN")),
    ] {
        let wire = Wire::start(table(), |_| None).await;
        let token = Token::new("s3cret-token\n");
        let source =
            open(&wire, &(token.setting() + more), &customers(), Clock::system()).expect("sound settings");
        assert_eq!(lines(&source, Rows::All).await.len(), 2);
        for seen in wire.seen() {
            assert_eq!(
                (seen.authorization.as_str(), seen.token_type.as_deref()),
                ("Bearer s3cret-token", name)
            );
        }
        assert!(!format!("{source:?}").contains("s3cret"));
    }
}

#[tokio::test]
async fn a_refused_token_is_looked_up_anew_once() {
    let refuse = |seen: &Seen| {
        let is_old = seen.authorization != "Bearer new-token";
        is_old.then(|| {
            Reply::Json(401, json!({"code": "390318", "message": "OAuth access token expired. [x]"}))
        })
    };
    let (wire, source, token) = scripted(refuse).await;
    let error = source.read(all()).await.expect_err("a refusal");
    assert_eq!((error.code(), error.is_retryable()), ("source_refused", false));
    assert!(error.to_string().contains("OAuth token (error 390318)"), "{error}");
    assert!(!error.to_string().contains("s3cret"));
    assert_eq!(wire.seen().len(), 1);
    token.write("new-token");
    assert_eq!(lines(&source, Rows::All).await.len(), 2);
    assert_eq!(wire.seen()[1].authorization, "Bearer s3cret-token");
    assert!(wire.seen()[2..].iter().all(|seen| seen.authorization == "Bearer new-token"));
    token.write("a third one");
    assert_eq!(lines(&source, Rows::All).await.len(), 2, "one that is taken is kept");
}
