//! Connections: only trusted ones, and to no other host.

use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use super::fake::{Act, FakeBraze, all_accepted, batch, braze_at};
use crate::braze::{Fatal, Stop, Verdict};

struct Tls {
    server: Arc<rustls::ServerConfig>,
    root: String,
}

fn tls(name: &str, versions: &[&'static rustls::SupportedProtocolVersion]) -> Tls {
    let made = rcgen::generate_simple_self_signed([name.to_owned()]).expect("a certificate");
    let key = rustls::pki_types::PrivateKeyDer::try_from(made.signing_key.serialize_der()).expect("a key");
    let server =
        rustls::ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_protocol_versions(versions)
            .expect("known versions")
            .with_no_client_auth()
            .with_single_cert(vec![made.cert.der().clone()], key)
            .expect("a server");
    Tls { server: Arc::new(server), root: made.cert.pem() }
}

#[tokio::test]
async fn only_a_certificate_that_is_trusted_and_names_the_host_is_taken() {
    let (ours, other) = (tls("localhost", rustls::ALL_VERSIONS), tls("localhost", rustls::ALL_VERSIONS));
    let misnamed = tls("rest.example.com", rustls::ALL_VERSIONS);
    for (server, root, trusted) in
        [(&ours, &ours, true), (&ours, &other, false), (&misnamed, &misnamed, false)]
    {
        let fake =
            FakeBraze::start_with_tls(Some(Arc::clone(&server.server)), |_, request| all_accepted(request))
                .await;
        let endpoint = format!("https://localhost:{}", fake.port);
        let braze =
            Arc::new(braze_at(&endpoint, "", &[root.root.as_bytes()]).expect("the settings are good"));
        let pushed = braze.pusher(Arc::new(|| true), CancellationToken::new()).push(&batch(2)).await;
        if trusted {
            assert_eq!(pushed.expect("answered").verdicts, [Verdict::Accepted; 2]);
        } else {
            assert_eq!(pushed.expect_err("refused").stop, Stop::Fatal(Fatal::Tls));
            assert!(fake.seen().is_empty());
        }
    }
}

#[tokio::test]
async fn redirects_are_not_followed() {
    let other = FakeBraze::start(|_, request| all_accepted(request)).await;
    for status in [301, 302, 303, 307, 308] {
        let location = format!("location: {}/users/track\r\n", other.endpoint());
        let fake = FakeBraze::start(move |_, _| Act::Reply(status, location.clone(), String::new())).await;
        let failed = fake.pusher("").push(&batch(2)).await.expect_err("refused");
        assert_eq!(failed.stop, Stop::Fatal(Fatal::Redirected));
    }
    assert!(other.seen().is_empty());
}

#[tokio::test]
async fn connections_are_kept() {
    let fake = FakeBraze::start(|_, request| all_accepted(request)).await;
    let pusher = fake.pusher("path = \"track_bulk\"");
    for _ in 0..3 {
        pusher.push(&batch(2)).await.expect("answered");
    }
    assert!(fake.seen().iter().all(|request| request.head.starts_with("POST /users/track/bulk HTTP/1.1")));
}
