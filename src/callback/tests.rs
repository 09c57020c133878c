use std::collections::BTreeMap;

use axum::http::{HeaderName, HeaderValue};
use proptest::prelude::*;
use secrecy::SecretString;

use super::*;
use crate::config::SecretRef;

/// Known vectors: `standard` from the official libraries' own tests, `github` from GitHub docs.
const V1_SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
const V1_ID: &str = "msg_p5jXN8AQM9LWM0D4loKWxJek";
const V1_AT: i64 = 1_614_265_330;
const V1_BODY: &[u8] = b"{\"test\": 2432232314}";
const V1_SIGNATURE: &str = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=";
const V2_SECRET: &str = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD";
const V2_AT: i64 = 1_649_367_553;
const V2_BODY: &[u8] = b"{\"email\":\"test@example.com\",\"username\":\"test_user\"}";
const V3_PRIVATE: &str =
    "whsk_6Xb/dCcHpPea21PS1N9VY/NZW723CEc77N4rJCubMbfVKIDij2HKpMKkioLlX0dRqSKJp4AJ6p9lMicMFs6Kvg==";
const V3_PUBLIC: &str = "whpk_1SiA4o9hyqTCpIqC5V9HUakiiaeACeqfZTInDBbOir4=";
const V3_SIGNATURE: &str =
    "v1a,hnO3f9T8Ytu9HwrXslvumlUpqtNVqkhqw/enGzPCXe5BdqzCInXqYXFymVJaA7AZdpXwVLPo3mNl8EM+m7TBAg==";
const V4_SECRET: &str = "It's a Secret to Everybody";
const V4_BODY: &[u8] = b"Hello, World!";
const V4_SIGNATURE: &str = "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17";

fn verifier(scheme: CallbackScheme, secrets: &[&str]) -> Verifier {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let write = |(index, secret): (usize, &&str)| {
        let path = folder.path().join(index.to_string());
        std::fs::write(&path, secret).expect("a written secret");
        SecretRef::File(path)
    };
    let secrets = secrets.iter().enumerate().map(write).collect();
    let (events, matches) = (Vec::new(), BTreeMap::new());
    Verifier::new(&config::Callback {
        scheme,
        secrets,
        tolerance_secs: 300,
        events,
        matches,
        verify_run: None,
    })
    .expect("good secrets")
}

fn standard(secrets: &[&str]) -> Verifier {
    verifier(CallbackScheme::Standard, secrets)
}

fn at(secs: i64) -> DateTime<Utc> {
    DateTime::from_timestamp(secs, 0).expect("a time")
}

fn headers(pairs: &[(&str, &str)]) -> HeaderMap {
    let pair = |(name, value): &(&str, &str)| {
        let name = HeaderName::from_bytes(name.as_bytes()).expect("a header's name");
        (name, HeaderValue::from_bytes(value.as_bytes()).expect("a header's value"))
    };
    let mut headers = HeaderMap::new();
    for (name, value) in pairs.iter().map(pair) {
        headers.append(name, value);
    }
    headers
}

fn v1(id: &str, timestamp: &str, signature: &str) -> HeaderMap {
    headers(&[("webhook-id", id), ("webhook-timestamp", timestamp), ("webhook-signature", signature)])
}

/// The verdict on V1's body under V1's secret at V1's time.
fn v1_verdict(headers: &HeaderMap) -> Result<Verified, Refusal> {
    standard(&[V1_SECRET]).verify(headers, V1_BODY, at(V1_AT))
}

#[test]
fn known_vectors_are_accepted() {
    let expected = Verified { delivery_id: Some(V1_ID.to_owned()), secret: 0, signed_at: Some(at(V1_AT)) };
    assert_eq!(v1_verdict(&v1(V1_ID, "1614265330", V1_SIGNATURE)), Ok(expected.clone()));
    let asymmetric =
        standard(&[V3_PUBLIC]).verify(&v1(V1_ID, "1614265330", V3_SIGNATURE), V1_BODY, at(V1_AT));
    assert_eq!(asymmetric, Ok(expected));
    let second = v1(
        "msg_27UH4WbU6Z5A5EzD8u03UvzRbpk",
        "1649367553",
        "v1,tZ1I4/hDygAJgO5TYxiSd6Sd0kDW6hPenDe+bTa3Kkw=",
    );
    assert!(standard(&[V2_SECRET]).verify(&second, V2_BODY, at(V2_AT)).is_ok());
    let github = verifier(CallbackScheme::Github, &[V4_SECRET]);
    let sent = headers(&[("X-Hub-Signature-256", V4_SIGNATURE), ("X-GitHub-Delivery", "72d3162e-cc78")]);
    let verified = github.verify(&sent, V4_BODY, at(0)).expect("GitHub's own example");
    assert_eq!(
        verified,
        Verified { delivery_id: Some("72d3162e-cc78".to_owned()), secret: 0, signed_at: None }
    );
}

#[test]
fn signing_makes_the_known_vectors() {
    for (secret, signature) in [(V1_SECRET, V1_SIGNATURE), (V3_PRIVATE, V3_SIGNATURE)] {
        let signed = sign(&SecretString::from(secret), V1_ID, at(V1_AT), V1_BODY).expect("a good secret");
        assert_eq!(signed[2], ("webhook-signature", signature.to_owned()));
    }
    let refused =
        |secret: &str, id: &str| sign(&SecretString::from(secret), id, at(0), b"").expect_err("no signature");
    assert!(matches!(refused(V3_PUBLIC, "a"), SignError::PublicKey));
    assert!(matches!(refused("whsk_AAAA", "a"), SignError::PrivateKey));
    assert!(matches!(refused("whsec_", "a"), SignError::Key(_)));
    assert!(matches!(refused(V1_SECRET, "a.b"), SignError::Id));
}

#[test]
fn known_forgeries_are_refused() {
    let forged = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OA=";
    assert_eq!(v1_verdict(&v1(V1_ID, "1614265330", forged)), Err(Refusal::NoSignatureMatched));
    let second = v1(
        "msg_27UH4WbU6Z5A5EzD8u03UvzRbpk",
        "1649367553",
        "v1,R3PTzyfHASBKHH98a7yexTwaJ4yNIcGhFQc1yuN+BPU=",
    );
    let verdict = standard(&[V2_SECRET]).verify(&second, V2_BODY, at(V2_AT));
    assert_eq!(verdict, Err(Refusal::NoSignatureMatched));
    for truncated in ["v1,", "v1,tZ1I4", "", "v1", ",", "v1,,"] {
        assert_eq!(
            v1_verdict(&v1(V1_ID, "1614265330", truncated)),
            Err(Refusal::NoUsableSignature),
            "{truncated}"
        );
    }
}

#[test]
fn one_good_signature_among_others_suffices() {
    let other = "Ceo5qEr07ixe2NLpvHk3FH9bwy/WavXrAFQ/9tdO6mc=";
    let list = format!("v1,{other} v2,{other} {V1_SIGNATURE}  v1,{other}");
    assert!(v1_verdict(&v1(V1_ID, "1614265330", &list)).is_ok());
    let fifteen = format!("{}{V1_SIGNATURE}", format!("v1,{other} ").repeat(15));
    assert!(v1_verdict(&v1(V1_ID, "1614265330", &fifteen)).is_ok());
    let sixteen = format!("{}{V1_SIGNATURE}", format!("v1,{other} ").repeat(16));
    assert_eq!(v1_verdict(&v1(V1_ID, "1614265330", &sixteen)), Err(Refusal::NoSignatureMatched));
    let thousand = format!("v1,{other} ").repeat(1_000);
    let refusal = Refusal::UnreadableHeader("webhook-signature");
    assert_eq!(v1_verdict(&v1(V1_ID, "1614265330", thousand.trim())), Err(refusal));
}

#[test]
fn rotation_accepts_old_and_new_and_says_which() {
    let sent = v1(V1_ID, "1614265330", V1_SIGNATURE);
    for (secrets, index) in
        [([V1_SECRET, V2_SECRET], 0), ([V2_SECRET, V1_SECRET], 1), ([V3_PUBLIC, V1_SECRET], 1)]
    {
        let verified = standard(&secrets).verify(&sent, V1_BODY, at(V1_AT)).expect("one of two matches");
        assert_eq!(verified.secret, index);
    }
    let removed = standard(&[V2_SECRET]).verify(&sent, V1_BODY, at(V1_AT));
    assert_eq!(removed, Err(Refusal::NoSignatureMatched), "a removed secret, or another sync's");
}

#[test]
fn tolerance_ends_exactly_where_it_says() {
    let sent = v1(V1_ID, "1614265330", V1_SIGNATURE);
    let verdict = |late: i64| standard(&[V1_SECRET]).verify(&sent, V1_BODY, at(V1_AT + late)).map(|_| ());
    for late in [-300, -299, 0, 299, 300] {
        assert_eq!(verdict(late), Ok(()), "{late}");
    }
    assert_eq!(verdict(301), Err(Refusal::TooOld { off_secs: 301, tolerance_secs: 300 }));
    assert_eq!(verdict(-301), Err(Refusal::TooNew { off_secs: 301, tolerance_secs: 300 }));
}

#[test]
fn odd_timestamps_are_refused() {
    let odd = [
        "",
        "+1614265330",
        "-1614265330",
        "1614265330.0",
        "1.614e9",
        "1_614_265_330",
        "0x60",
        "1614265330 1",
        "99999999999999999999",
        "٣",
    ];
    for timestamp in odd {
        let mut sent = v1(V1_ID, "1", V1_SIGNATURE);
        sent.insert("webhook-timestamp", HeaderValue::from_bytes(timestamp.as_bytes()).expect("a value"));
        let refusal = v1_verdict(&sent).expect_err(timestamp);
        assert!(matches!(refusal.step(), Step::Timestamp | Step::Headers), "{timestamp}: {refusal}");
    }
    let far = v1_verdict(&v1(V1_ID, &i64::MAX.to_string(), V1_SIGNATURE)).expect_err("the far future");
    assert_eq!(far.code(), "too_new");
    assert_eq!(v1_verdict(&v1(V1_ID, "0", V1_SIGNATURE)).expect_err("1970").code(), "too_old");
}

#[test]
fn ids_with_a_dot_or_no_form_are_refused() {
    let long = "a".repeat(257);
    for id in ["", "a.b", "msg.1614265330", "a b", "a\tb", long.as_str()] {
        assert_eq!(v1_verdict(&v1(id, "1614265330", V1_SIGNATURE)), Err(Refusal::MalformedId), "{id}");
    }
    let unreadable = v1("é", "1614265330", V1_SIGNATURE);
    assert_eq!(v1_verdict(&unreadable), Err(Refusal::UnreadableHeader("webhook-id")));
    let longest =
        sign(&SecretString::from(V1_SECRET), &"a".repeat(256), at(V1_AT), V1_BODY).expect("256 bytes fit");
    let sent = longest.each_ref().map(|(name, value)| (*name, value.as_str()));
    assert!(v1_verdict(&headers(&sent)).is_ok());
}

#[test]
fn missing_and_repeated_headers_are_named() {
    for name in header::WEBHOOK {
        let mut sent = v1(V1_ID, "1614265330", V1_SIGNATURE);
        sent.append(name, HeaderValue::from_static("again"));
        assert_eq!(v1_verdict(&sent), Err(Refusal::RepeatedHeader(name)));
        sent.remove(name);
        assert_eq!(v1_verdict(&sent), Err(Refusal::MissingHeader(name)));
    }
    assert_eq!(v1_verdict(&HeaderMap::new()), Err(Refusal::MissingHeader("webhook-id")));
}

#[test]
fn svix_names_serve_but_never_mix_with_the_others() {
    let svix = [("svix-id", V1_ID), ("svix-timestamp", "1614265330"), ("svix-signature", V1_SIGNATURE)];
    assert!(v1_verdict(&headers(&svix)).is_ok());
    let forged =
        [("webhook-id", "x"), ("webhook-timestamp", "1614265330"), ("webhook-signature", V1_SIGNATURE)];
    let both: Vec<_> = svix.into_iter().chain(forged).collect();
    assert_eq!(v1_verdict(&headers(&both)), Err(Refusal::NoSignatureMatched), "webhook-* goes first");
    let mixed = [svix[0], svix[1], forged[2]];
    assert_eq!(v1_verdict(&headers(&mixed)), Err(Refusal::MissingHeader("webhook-id")));
}

#[test]
fn other_versions_and_algorithms_do_not_stand_in() {
    let tag = V1_SIGNATURE.trim_start_matches("v1,");
    for version in ["v0", "V1", "v2", "v1a", "sha256", "", " v1"] {
        let text = format!("{version},{tag}x");
        assert_eq!(v1_verdict(&v1(V1_ID, "1614265330", &text)), Err(Refusal::NoUsableSignature), "{version}");
    }
    let hex = "v1,83484cf52b04f8e4cf2531adfed988";
    assert_eq!(v1_verdict(&v1(V1_ID, "1614265330", hex)), Err(Refusal::NoUsableSignature));
    let unpadded = V1_SIGNATURE.trim_end_matches('=');
    assert_eq!(v1_verdict(&v1(V1_ID, "1614265330", unpadded)), Err(Refusal::NoUsableSignature));
    // The public key's bytes as an HMAC key: the classic confusion of algorithms.
    let confused = sign(&SecretString::from(V3_PUBLIC.replace("whpk_", "whsec_")), V1_ID, at(V1_AT), V1_BODY);
    let [_, _, (_, signature)] = confused.expect("32 bytes are a key");
    let verdict = standard(&[V3_PUBLIC]).verify(&v1(V1_ID, "1614265330", &signature), V1_BODY, at(V1_AT));
    assert_eq!(verdict, Err(Refusal::NoSignatureMatched));
}

#[test]
fn github_takes_its_one_form_alone() {
    let github = verifier(CallbackScheme::Github, &["raw:another secret of enough bytes", V4_SECRET]);
    let verdict =
        |signature: &str| github.verify(&headers(&[("x-hub-signature-256", signature)]), V4_BODY, at(0));
    let verified = verdict(V4_SIGNATURE).expect("the second secret");
    assert_eq!(verified, Verified { delivery_id: None, secret: 1, signed_at: None });
    let digits = V4_SIGNATURE.trim_start_matches("sha256=");
    let odd = [
        digits.to_owned(),
        format!("sha1={digits}"),
        format!("sha256={}", &digits[1..]),
        format!("sha256={}", digits.to_uppercase()),
        format!("sha256={digits}0"),
        "sha256=".to_owned(),
    ];
    for signature in odd {
        assert_eq!(verdict(&signature), Err(Refusal::NoUsableSignature), "{signature}");
    }
    let empty = github.verify(&headers(&[("x-hub-signature-256", V4_SIGNATURE)]), b"", at(0));
    assert_eq!(empty, Err(Refusal::NoSignatureMatched));
    assert_eq!(github.steps().len(), 4);
}

#[test]
fn bearer_compares_the_whole_token() {
    let token = "a-bearer-token-of-enough-bytes";
    let bearer = verifier(CallbackScheme::Bearer, &[token]);
    let verdict = |pairs: &[(&str, &str)]| bearer.verify(&headers(pairs), b"anything", at(0));
    let good = format!("Bearer {token}");
    let id = |pairs: &[(&str, &str)]| verdict(pairs).expect("the token").delivery_id;
    assert_eq!(id(&[("authorization", &good)]), None);
    assert_eq!(
        id(&[("authorization", &good), ("idempotency-key", "\"run-7.1\"")]).as_deref(),
        Some("run-7.1")
    );
    let both = [("authorization", good.as_str()), ("idempotency-key", "b"), ("webhook-id", "a")];
    assert_eq!(id(&both).as_deref(), Some("a"));
    for wrong in [format!("Bearer {token}x"), format!("Bearer {}", &token[1..]), format!("bearer  {token}")] {
        assert_eq!(verdict(&[("authorization", &wrong)]), Err(Refusal::NoSignatureMatched), "{wrong}");
    }
    for odd in ["", "Bearer", "Bearer ", &format!("Basic {token}"), token] {
        assert_eq!(verdict(&[("authorization", odd)]), Err(Refusal::NoUsableSignature), "{odd}");
    }
    assert_eq!(verdict(&[]), Err(Refusal::MissingHeader("authorization")));
    let twice = [("authorization", good.as_str()), ("authorization", good.as_str())];
    assert_eq!(verdict(&twice), Err(Refusal::RepeatedHeader("authorization")));
}

#[test]
fn the_dummy_refuses_even_what_its_key_signed() {
    let key = format!("raw:{}", "\0".repeat(32));
    let [_, _, (_, signature)] = sign(&SecretString::from(key), V1_ID, at(V1_AT), V1_BODY).expect("32 bytes");
    let verdict = Verifier::dummy().verify(&v1(V1_ID, "1614265330", &signature), V1_BODY, at(V1_AT));
    assert_eq!(verdict, Err(Refusal::NoSignatureMatched));
}

#[test]
fn nothing_prints_a_secret() {
    let shown = format!("{:?}", standard(&[V1_SECRET]));
    assert_eq!(shown, "Verifier { scheme: Standard, secrets: 1, .. }");
    let callback = config::Callback {
        verify_run: None,
        scheme: CallbackScheme::Standard,
        secrets: vec![SecretRef::File("/nowhere".into())],
        tolerance_secs: 300,
        events: Vec::new(),
        matches: BTreeMap::new(),
    };
    let error = Verifier::new(&callback).expect_err("no such file").to_string();
    assert_eq!(error, "callback secret 0 secret file /nowhere cannot be read");
}

#[test]
fn every_one_bit_change_is_refused() {
    let (verifier, mut changes) = (standard(&[V1_SECRET]), 0);
    let pieces = [V1_BODY.to_vec(), V1_ID.into(), V1_AT.to_string().into_bytes(), V1_SIGNATURE.into()];
    for (which, bit) in (0..4).flat_map(|which| (0..pieces[which].len() * 8).map(move |bit| (which, bit))) {
        let mut pieces = pieces.clone();
        pieces[which][bit / 8] ^= 1 << (bit % 8);
        let value = |piece: &Vec<u8>| HeaderValue::from_bytes(piece).ok();
        // What is no header value at all never reaches the verifier.
        let Some(values) = pieces[1..].iter().map(value).collect::<Option<Vec<_>>>() else { continue };
        let names = header::WEBHOOK.map(HeaderName::from_static);
        let sent: HeaderMap = names.into_iter().zip(values).collect();
        assert!(verifier.verify(&sent, &pieces[0], at(V1_AT)).is_err(), "bit {bit} of piece {which}");
        changes += 1;
    }
    assert!(changes > 700, "{changes}");
}

proptest! {
    #[test]
    fn no_input_panics_or_passes(
        values in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..80), 7),
        body in prop::collection::vec(any::<u8>(), 0..200),
        now in -8_000_000_000_000_i64..8_000_000_000_000,
    ) {
        let names = ["webhook-id", "webhook-timestamp", "webhook-signature", "svix-id", "authorization",
            "x-hub-signature-256", "x-github-delivery"];
        let mut sent = HeaderMap::new();
        for (name, value) in names.into_iter().zip(&values) {
            if let Ok(value) = HeaderValue::from_bytes(value) {
                sent.append(name, value);
            }
        }
        let Some(now) = DateTime::from_timestamp(now, 0) else { return Ok(()) };
        for scheme in [CallbackScheme::Standard, CallbackScheme::Github, CallbackScheme::Bearer] {
            let refused = verifier(scheme, &["raw:a secret of more than enough bytes"]).verify(&sent, &body, now);
            prop_assert!(refused.is_err());
        }
    }

    #[test]
    fn what_is_signed_is_accepted(
        id in "[!-\\-/-~]{1,256}",
        body in prop::collection::vec(any::<u8>(), 0..500),
        secs in 0_i64..4_000_000_000,
        key in prop::collection::vec(any::<u8>(), 24..64),
    ) {
        use base64::Engine;
        let secret = format!("whsec_{}", base64::engine::general_purpose::STANDARD.encode(key));
        let signed = sign(&SecretString::from(secret.as_str()), &id, at(secs), &body).expect("a good secret");
        let sent = signed.each_ref().map(|(name, value)| (*name, value.as_str()));
        let verified = standard(&[&secret]).verify(&headers(&sent), &body, at(secs));
        prop_assert_eq!(verified.map(|verified| verified.delivery_id), Ok(Some(id)));
    }
}
