//! How every HTTP client of ours begins: named, without redirects, proxies or surprises.

use std::time::Duration;

use reqwest::{Client, ClientBuilder, redirect};

/// Told to whoever is called.
pub const USER_AGENT: &str = concat!("peak-braze/", env!("CARGO_PKG_VERSION"));
/// Longest a connection may take to be made, so that a black hole is noticed well within a request's time.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// The same for whoever has a thread of its own to wait on, and none of the runtime's.
///
/// # Errors
/// When the system has no trusted certificates, or no thread to build it on.
pub fn blocking_client(is_plain: bool, timeout: Duration) -> std::io::Result<reqwest::blocking::Client> {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let build = move || {
        let builder = reqwest::blocking::Client::builder()
            .user_agent(USER_AGENT)
            .redirect(redirect::Policy::none())
            .no_proxy()
            .connect_timeout(CONNECT_TIMEOUT)
            .timeout(timeout);
        let builder = if is_plain { builder.tls_certs_only([]) } else { builder };
        builder.build().map_err(std::io::Error::other)
    };
    // It waits for a runtime of its own, which nobody may who is part of one.
    let built = std::thread::Builder::new().name("http-client".to_owned()).spawn(build)?.join();
    built.unwrap_or_else(|_| Err(std::io::Error::other("the client could not be built")))
}

/// A client that trusts the system's certificates. For a plain `http://` address none are loaded: a bare machine has
/// none, and the client could not be built.
pub fn client(is_plain: bool) -> ClientBuilder {
    // The second and every later installation fails, and that is fine: one is there.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let builder = Client::builder()
        .user_agent(USER_AGENT)
        .redirect(redirect::Policy::none())
        .referer(false)
        .no_proxy()
        .connect_timeout(CONNECT_TIMEOUT);
    if is_plain { builder.tls_certs_only([]) } else { builder }
}
