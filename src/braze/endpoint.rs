//! Where requests go: one address from the configuration, checked once, and never one from anywhere else.

use std::fmt;
use std::net::{IpAddr, SocketAddr};

use reqwest::Url;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};

use super::destination::BrazeError;
use crate::config::TrackPath;

/// A workspace's REST endpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Endpoint(Url);

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.as_str().trim_end_matches('/'))
    }
}

impl Endpoint {
    /// Takes an `https` address, or `http` to loopback, that is nothing but scheme, host and port.
    pub(super) fn parse(text: &str) -> Result<Self, BrazeError> {
        let url = Url::parse(text).map_err(|_| BrazeError::Endpoint("is not a URL"))?;
        let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']).to_owned();
        let address = host.parse::<IpAddr>().ok();
        let is_local = host == "localhost" || address.is_some_and(|address| address.is_loopback());
        let fault = if url.scheme() != "https" && !(url.scheme() == "http" && is_local) {
            "must be https; plain http only to loopback"
        } else if !url.username().is_empty() || url.password().is_some() {
            "must not hold a user or a password"
        } else if url.path() != "/" || url.query().is_some() || url.fragment().is_some() {
            "must be scheme and host alone, without a path"
        } else if address.is_some_and(is_forbidden) {
            "must not be a link-local address"
        } else {
            return Ok(Self(url));
        };
        Err(BrazeError::Endpoint(fault))
    }

    /// Plain http, so loopback.
    pub(super) fn is_plain(&self) -> bool {
        self.0.scheme() == "http"
    }

    /// Without a trailing slash: Braze answers one with 403 (Braze docs, API errors and responses).
    pub(super) fn track(&self, path: TrackPath) -> Url {
        self.at(match path {
            TrackPath::Track => "/users/track",
            TrackPath::TrackBulk => "/users/track/bulk",
        })
    }

    pub(super) fn custom_attributes(&self) -> Url {
        self.at("/custom_attributes")
    }

    pub(super) fn export_ids(&self) -> Url {
        self.at("/users/export/ids")
    }

    fn at(&self, path: &str) -> Url {
        let mut url = self.0.clone();
        url.set_path(path);
        url
    }
}

/// Addresses no Braze instance has, where cloud machines keep their credentials.
fn is_forbidden(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => v4.is_link_local() || v4.is_unspecified() || v4.is_multicast(),
        IpAddr::V6(v6) => match v6.to_ipv4_mapped() {
            Some(v4) => is_forbidden(IpAddr::V4(v4)),
            None => v6.is_unicast_link_local() || v6.is_unspecified() || v6.is_multicast(),
        },
    }
}

/// The system's resolver, less addresses that must not be reached.
#[derive(Debug)]
pub(super) struct Resolver;

impl Resolve for Resolver {
    fn resolve(&self, name: Name) -> Resolving {
        Box::pin(async move {
            let found = tokio::net::lookup_host((name.as_str(), 0)).await?;
            let allowed: Vec<SocketAddr> = found.filter(|address| !is_forbidden(address.ip())).collect();
            if allowed.is_empty() {
                return Err("no address that may be reached".into());
            }
            Ok(Box::new(allowed.into_iter()) as Addrs)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_bare_https_or_loopback_is_taken() {
        for good in [
            "https://rest.iad-01.braze.com",
            "https://rest.fra-01.braze.eu/",
            "http://127.0.0.1:8081",
            "http://localhost:8081",
            "http://[::1]:8081",
        ] {
            assert!(Endpoint::parse(good).is_ok(), "{good}");
        }
        for bad in [
            "rest.iad-01.braze.com",
            "http://rest.iad-01.braze.com",
            "http://127.0.0.1.example.com",
            "https://user:secret@rest.iad-01.braze.com",
            "https://rest.iad-01.braze.com/users/track",
            "https://rest.iad-01.braze.com?x=1",
            "https://rest.iad-01.braze.com#x",
            "https://169.254.169.254",
            "https://[fe80::1]",
            "https://[::ffff:169.254.169.254]",
            "ftp://localhost",
        ] {
            assert!(Endpoint::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn paths_have_no_trailing_slash() {
        let endpoint = Endpoint::parse("https://rest.us-10.braze.com/").expect("an endpoint");
        assert_eq!(endpoint.track(TrackPath::Track).as_str(), "https://rest.us-10.braze.com/users/track");
        assert_eq!(endpoint.track(TrackPath::TrackBulk).path(), "/users/track/bulk");
    }
}
