//! The sandbox seen from outside, over HTTP on loopback: each point of what a faithful stand-in does.

mod answers;
mod applying;
mod faults;
mod routes;
mod watching;

use std::net::{Ipv4Addr, SocketAddr};

use reqwest::{Response, StatusCode};
use serde_json::{Value, json};

use super::{Rule, Sandbox, Settings};

const LOOPBACK: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

/// A running sandbox and a client for it.
struct Bench {
    sandbox: Sandbox,
    client: reqwest::Client,
}

impl Bench {
    async fn new(settings: Settings) -> Self {
        // A second install is refused, and the first one does.
        rustls::crypto::ring::default_provider().install_default().ok();
        let client = reqwest::Client::builder()
            .tls_certs_only([])
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none());
        let client = client.build().expect("a plain client");
        Self { sandbox: Sandbox::start(LOOPBACK, settings).await.expect("a free port"), client }
    }

    async fn plain() -> Self {
        Self::new(Settings::default()).await
    }

    async fn with_rule(rule: Rule) -> Self {
        let bench = Self::plain().await;
        bench.sandbox.rule(rule);
        bench
    }

    fn post(&self, path: &str) -> reqwest::RequestBuilder {
        let url = self.sandbox.url() + path;
        self.client.post(url).bearer_auth("key").header("content-type", "application/json")
    }

    async fn get(&self, path: &str) -> Response {
        self.client.get(self.sandbox.url() + path).bearer_auth("key").send().await.expect("an answer")
    }

    async fn send(&self, path: &str, body: Value) -> Result<Response, reqwest::Error> {
        self.post(path).body(body.to_string()).send().await
    }

    /// Sends attribute objects to `/users/track`, and gives status and body.
    async fn track(&self, objects: Value) -> (StatusCode, Value) {
        read(self.send("/users/track", json!({ "attributes": objects })).await.expect("an answer")).await
    }
}

async fn read(response: Response) -> (StatusCode, Value) {
    (response.status(), response.json().await.expect("JSON"))
}

fn objects(count: usize) -> Value {
    (0..count).map(|number| json!({"external_id": format!("c-{number}"), "x": number})).collect()
}

fn header<'a>(response: &'a Response, name: &str) -> Option<&'a str> {
    response.headers().get(name).map(|value| value.to_str().expect("text"))
}
