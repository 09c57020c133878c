//! Forms: read within bounds, and taken only from pages of the same session.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::{Form, FromRequest, FromRequestParts, Request};
use axum::http::HeaderMap;
use http_body_util::{BodyExt, Limited};
use maud::{Markup, html};
use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::refusal::Refusal;
use super::state::Pages;
use super::visitor::Visitor;
use crate::config::Scope;
use crate::run::Mode;

/// The longest token that fits in a request's head anywhere, and the rest of the form.
const FORM_BYTES: usize = 16 * 1024;

/// The same over a line of 10 kbit/s.
const FORM_TIME: Duration = Duration::from_secs(15);

/// What the forms of pages carry.
#[derive(Deserialize)]
pub(super) struct Fields {
    #[serde(default)]
    csrf: String,
    /// How much to select and send.
    pub(super) mode: Option<Mode>,
    /// The page to go back to.
    pub(super) back: Option<String>,
}

/// A form of this session, by somebody who may act.
pub(super) struct Asked {
    pub(super) visitor: Visitor,
    pub(super) fields: Fields,
}

impl Asked {
    /// # Errors
    /// Where the token may not do it.
    pub(super) fn need(&self, scope: Scope, word: &'static str) -> Result<(), Refusal> {
        if self.visitor.caller().may(scope) { Ok(()) } else { Err(Refusal::Forbidden(word)) }
    }
}

impl FromRequest<Arc<Pages>> for Asked {
    type Rejection = Refusal;

    async fn from_request(request: Request, pages: &Arc<Pages>) -> Result<Self, Refusal> {
        let (mut parts, body) = request.into_parts();
        refuse_other_sites(&parts.headers)?;
        let visitor = Visitor::from_request_parts(&mut parts, pages).await?;
        let fields: Fields = read(Request::from_parts(parts, body)).await?;
        if visitor.session.is_mine(&fields.csrf) {
            Ok(Self { visitor, fields })
        } else {
            Err(Refusal::NotMine)
        }
    }
}

/// Reads a form, within bounds.
///
/// # Errors
/// Where it is too large, too slow, or none.
pub(super) async fn read<T: DeserializeOwned>(request: Request) -> Result<T, Refusal> {
    let (parts, body) = request.into_parts();
    let reading = Limited::new(body, FORM_BYTES).collect();
    let body = tokio::time::timeout(FORM_TIME, reading).await.map_err(|_| Refusal::Unreadable)?;
    let body = body.map_err(|_| Refusal::Unreadable)?.to_bytes();
    let form = Form::<T>::from_request(Request::from_parts(parts, Body::from(body)), &()).await;
    form.map(|Form(fields)| fields).map_err(|_| Refusal::Unreadable)
}

/// Browsers say where a request comes from (Fetch Metadata); one of another site's is none of ours. The form's own word
/// proves the rest.
///
/// # Errors
/// Where another site sent it.
pub(super) fn refuse_other_sites(headers: &HeaderMap) -> Result<(), Refusal> {
    match headers.get("sec-fetch-site") {
        Some(site) if site != "same-origin" && site != "none" => Err(Refusal::NotMine),
        _ => Ok(()),
    }
}

/// A form of one button.
pub(super) fn button(visitor: &Visitor, action: &str, id: &str, kind: &str, label: Markup) -> Markup {
    button_with(visitor, action, id, kind, label, &[])
}

/// The same with hidden fields.
pub(super) fn button_with(
    visitor: &Visitor,
    action: &str,
    id: &str,
    kind: &str,
    label: Markup,
    fields: &[(&str, &str)],
) -> Markup {
    html! {
        form method="post" action=(action) {
            input type="hidden" name="csrf" value=(visitor.session.csrf());
            @for (name, value) in fields { input type="hidden" name=(name) value=(value); }
            button.(kind) id=(id) type="submit" { (label) }
        }
    }
}

/// The page to go back to: one of ours, or the first.
pub(super) fn way_back(asked: Option<&str>) -> &str {
    let is_ours = |path: &&str| {
        path.starts_with('/')
            && !path.starts_with("//")
            && path.len() <= 2_048
            && path.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'\\')
    };
    asked.filter(is_ours).unwrap_or("/")
}

#[cfg(test)]
mod tests {
    use super::way_back;

    #[test]
    fn the_way_back_leads_nowhere_else() {
        for ours in ["/", "/runs/x?y=z", "/deliveries?sync=a%20b"] {
            assert_eq!(way_back(Some(ours)), ours);
        }
        for other in
            ["", "//evil.example", "/\\evil.example", "https://evil.example", "/a\r\nb", "javascript:x"]
        {
            assert_eq!(way_back(Some(other)), "/", "{other}");
        }
        assert_eq!(way_back(None), "/");
    }
}
