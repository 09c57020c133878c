//! Questions about the workspace itself: whether the key is good, and which attributes it knows.

use std::time::Duration;

use hyper::body::Bytes;
use reqwest::Url;
use reqwest::header::LINK;
use serde::Deserialize;

use super::client::{Heard, Trouble};
use super::destination::Braze;
use super::stop::{Fatal, Stop};
use super::verdict::{Reply, classify};

/// A request that holds no update: Braze says so, once it took the key.
const NOTHING: &[u8] = b"{\"attributes\":[]}";
/// Longest a person or a schedule waits for these answers, holds included.
const PATIENCE: Duration = Duration::from_secs(30);
/// Most pages read of the attributes, 50 on each (Braze docs, Export custom attributes): 20,000 attributes.
const MOST_PAGES: usize = 400;

/// A custom attribute as the workspace knows it.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct CustomAttribute {
    /// Its name, exactly as spelled.
    pub name: String,
    /// The type Braze detected or was told, such as `Number`; none where it does not say. Other types are dropped
    /// in silence where it was told.
    #[serde(default)]
    pub data_type: Option<String>,
    /// `Active` or `Blocklisted`; values of a blocklisted one are dropped in silence.
    #[serde(default)]
    pub status: Option<String>,
}

#[derive(Deserialize)]
struct Page {
    attributes: Vec<CustomAttribute>,
}

impl Braze {
    /// Proves the key good without sending data.
    ///
    /// # Errors
    /// [`Stop::Fatal`] where Braze refuses the key or the address; [`Stop::GaveUp`] where it gives no answer that
    /// tells, within half a minute.
    pub async fn probe(&self) -> Result<(), Stop> {
        tokio::time::timeout(PATIENCE, self.probe_once()).await.unwrap_or(Err(Stop::GaveUp))
    }

    async fn probe_once(&self) -> Result<(), Stop> {
        let entry = self.gate.enter().await;
        let permit = Box::new(move || entry.until.is_none_or(|until| !until.has_passed()));
        let reply = meaning(&self.http.track(Bytes::from_static(NOTHING), permit).await);
        self.gate.heard(&entry.slot, &reply, None);
        match reply {
            Reply::Fatal(fatal) => Err(Stop::Fatal(fatal)),
            Reply::Unreadable | Reply::RateLimited(_) | Reply::Down => Err(Stop::GaveUp),
            // "Valid data must be provided…", or whatever else is said to a request that was let in.
            _ => Ok(()),
        }
    }

    /// The workspace's custom attributes. Needs the permission `custom_attributes.get`.
    ///
    /// # Errors
    /// As [`Braze::probe`].
    pub async fn custom_attributes(&self) -> Result<Vec<CustomAttribute>, Stop> {
        tokio::time::timeout(PATIENCE, self.every_page()).await.unwrap_or(Err(Stop::GaveUp))
    }

    async fn every_page(&self) -> Result<Vec<CustomAttribute>, Stop> {
        let mut attributes = Vec::new();
        let mut url = self.endpoint.custom_attributes();
        for _ in 0..MOST_PAGES {
            let heard = {
                let _entry = self.gate.enter().await;
                self.http.get(url.clone()).await
            };
            if let Reply::Fatal(fatal) = meaning(&heard) {
                return Err(Stop::Fatal(fatal));
            }
            let heard = heard.ok().filter(|heard| heard.status.is_success()).ok_or(Stop::GaveUp)?;
            let body = heard.body.as_deref().ok_or(Stop::GaveUp)?;
            let page: Page = serde_json::from_slice(body).map_err(|_| Stop::GaveUp)?;
            attributes.extend(page.attributes);
            let Some(cursor) = next_cursor(&heard, &url) else { return Ok(attributes) };
            url = self.endpoint.custom_attributes();
            url.query_pairs_mut().append_pair("cursor", &cursor);
        }
        Ok(attributes)
    }
}

fn meaning(heard: &Result<Heard, Trouble>) -> Reply {
    match heard {
        Ok(heard) => classify(heard.status, &heard.headers, heard.body.as_deref(), 0),
        Err(Trouble::Tls) => Reply::Fatal(Fatal::Tls),
        Err(Trouble::Unreached | Trouble::Timeout | Trouble::Connection | Trouble::Fenced) => Reply::Down,
    }
}

/// The cursor of the page after this one. Of the link only that is taken: never the host it names.
fn next_cursor(heard: &Heard, here: &Url) -> Option<String> {
    let links = heard.headers.get_all(LINK).iter().filter_map(|value| value.to_str().ok());
    let next = links.flat_map(|links| links.split(',')).find_map(|link| {
        link.split_once(';').filter(|(_, rel)| rel.contains("\"next\"") || rel.contains("=next"))
    })?;
    let url = here.join(next.0.trim().trim_matches(['<', '>'])).ok()?;
    let cursor = |url: &Url| {
        url.query_pairs().find(|(name, _)| name == "cursor").map(|(_, cursor)| cursor.into_owned())
    };
    cursor(&url).filter(|next| cursor(here).as_ref() != Some(next))
}
