//! An answer, and how it goes out on the wire: whole, dripping, endless or cut off.

use std::io;
use std::time::Duration;

use futures_util::stream::{self, StreamExt};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::{Bytes, Frame};
use hyper::header::{HeaderName, HeaderValue};
use hyper::{Response, StatusCode};
use serde_json::{Value, json};

pub(super) type WireBody = UnsyncBoxBody<Bytes, io::Error>;

/// Size of one piece of a streamed body, in bytes.
const PIECE_BYTES: usize = 64 * 1024;

/// One answer.
#[derive(Debug)]
pub(super) struct Reply {
    pub(super) status: u16,
    pub(super) headers: Vec<(String, String)>,
    pub(super) body: Content,
}

/// What follows the headers.
#[derive(Debug)]
pub(super) enum Content {
    Json(Value),
    /// Content type and text.
    Text(&'static str, String),
    /// The first half of the text; then the connection is lost.
    Cut(String),
    /// The text in ten pieces, so far apart.
    Slow(String, Duration),
    /// A valid body with an `errors` array about so many bytes long, its pieces so far apart. Made while it is read.
    Huge(u64, Duration),
}

impl Reply {
    pub(super) fn json(status: u16, body: Value) -> Self {
        Self { status, headers: Vec::new(), body: Content::Json(body) }
    }

    pub(super) fn message(status: u16, message: &str) -> Self {
        Self::json(status, json!({ "message": message }))
    }

    pub(super) fn not_found() -> Self {
        Self::message(404, "Not Found")
    }

    /// The body as text; nothing for the streamed kinds.
    pub(super) fn text(&self) -> String {
        match &self.body {
            Content::Json(value) => value.to_string(),
            Content::Text(_, text) | Content::Cut(text) | Content::Slow(text, _) => text.clone(),
            Content::Huge(..) => String::new(),
        }
    }

    /// Adds a header unless one of that name is there.
    pub(super) fn with_header(mut self, name: &str, value: &str) -> Self {
        if !self.headers.iter().any(|(known, _)| known.eq_ignore_ascii_case(name)) {
            self.headers.push((name.to_owned(), value.to_owned()));
        }
        self
    }

    /// Turns the answer into a response, with the sandbox's own `date`. An unusable header or status is left out:
    /// rules may dictate any text.
    pub(super) fn into_response(self, epoch: f64) -> Response<WireBody> {
        let content_type = match &self.body {
            Content::Text(content_type, _) => content_type,
            _ => "application/json",
        };
        let reply = self.with_header("content-type", content_type).with_header("date", &http_date(epoch));
        let mut response = Response::new(wire(reply.body));
        *response.status_mut() =
            StatusCode::from_u16(reply.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        for (name, value) in &reply.headers {
            if let (Ok(name), Ok(value)) = (name.parse::<HeaderName>(), value.parse::<HeaderValue>()) {
                response.headers_mut().append(name, value);
            }
        }
        response
    }
}

fn http_date(epoch: f64) -> String {
    let at = chrono::DateTime::from_timestamp(epoch as i64, 0).unwrap_or_default();
    at.format("%a, %d %b %Y %H:%M:%S GMT").to_string()
}

fn wire(body: Content) -> WireBody {
    match body {
        Content::Json(value) => whole(value.to_string()),
        Content::Text(_, text) => whole(text),
        Content::Cut(text) => {
            let half = Bytes::from(text[..text.floor_char_boundary(text.len() / 2)].to_owned());
            pieces(
                stream::iter([Ok(half), Err(io::Error::other("cut off by a rule"))]),
                Duration::from_millis(1),
            )
        }
        Content::Slow(text, apart) => {
            let text = Bytes::from(text);
            let length = text.len().div_ceil(10).max(1);
            let starts = (0..text.len()).step_by(length);
            let cut = move |start: usize| Ok(text.slice(start..(start + length).min(text.len())));
            pieces(stream::iter(starts.map(cut)), apart)
        }
        Content::Huge(bytes, apart) => pieces(stream::iter(huge(bytes)), apart),
    }
}

fn whole(text: String) -> WireBody {
    Full::new(Bytes::from(text)).map_err(|never| match never {}).boxed_unsync()
}

fn pieces(
    parts: impl stream::Stream<Item = io::Result<Bytes>> + Send + 'static,
    apart: Duration,
) -> WireBody {
    let frames = parts.then(move |part| async move {
        if !apart.is_zero() {
            tokio::time::sleep(apart).await;
        }
        part.map(Frame::data)
    });
    StreamBody::new(frames).boxed_unsync()
}

fn huge(bytes: u64) -> impl Iterator<Item = io::Result<Bytes>> + Send {
    let entry = r#"{"type":"x","input_array":"attributes","index":0},"#;
    let filler = Bytes::from(entry.repeat(PIECE_BYTES / entry.len()));
    let count = usize::try_from(bytes / filler.len() as u64).unwrap_or(usize::MAX);
    let start = Bytes::from_static(br#"{"message":"success","attributes_processed":0,"errors":["#);
    let end = Bytes::from_static(b"{}]}");
    std::iter::once(start).chain(std::iter::repeat_n(filler, count)).chain([end]).map(Ok)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_written_as_http_wants_them() {
        assert_eq!(http_date(784_111_777.9), "Sun, 06 Nov 1994 08:49:37 GMT");
    }

    #[test]
    fn a_huge_body_is_valid_json_of_about_its_size() {
        let text: Vec<u8> = huge(200_000).flat_map(|piece| piece.expect("no error")).collect();
        assert!((100_000..300_000).contains(&text.len()));
        serde_json::from_slice::<Value>(&text).expect("JSON");
    }
}
