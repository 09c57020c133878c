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
    /// Gzip that unpacks to about so many bytes of white space, and never comes to its end.
    GzipBomb(u64),
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
            Content::Huge(..) | Content::GzipBomb(_) => String::new(),
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
        let packed = matches!(self.body, Content::GzipBomb(_));
        let reply = if packed { self.with_header("content-encoding", "gzip") } else { self };
        let reply = reply.with_header("content-type", content_type).with_header("date", &http_date(epoch));
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
        Content::GzipBomb(bytes) => pieces(stream::iter(gzip_bomb(bytes)), Duration::ZERO),
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

/// RFC 1951: one block with fixed codes, a space, then "the last byte 258 times over" for ever: 13 bits each, so the
/// bytes recur after 13.
fn gzip_bomb(bytes: u64) -> impl Iterator<Item = io::Result<Bytes>> + Send {
    const BLOCK_AND_SPACE: &[u8; 11] = b"11001010000";
    const REPEAT_258: &[u8; 13] = b"1100010100000";
    let bit = |at: usize| match BLOCK_AND_SPACE.get(at) {
        Some(bit) => bit - b'0',
        None => REPEAT_258[(at - BLOCK_AND_SPACE.len()) % REPEAT_258.len()] - b'0',
    };
    let byte = |at: usize| (0..8).map(|place| bit(at * 8 + place) << place).sum::<u8>();
    let head = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255, byte(0), byte(1)];
    let cycle: Vec<u8> = (2..2 + REPEAT_258.len()).map(byte).collect();
    let cycles_per_piece = PIECE_BYTES / cycle.len();
    let unpacked_per_piece = (cycles_per_piece * 8 * 258) as u64;
    let count = usize::try_from(bytes.div_ceil(unpacked_per_piece)).unwrap_or(usize::MAX);
    let filler = Bytes::from(cycle.repeat(cycles_per_piece));
    std::iter::once(Bytes::copy_from_slice(&head)).chain(std::iter::repeat_n(filler, count)).map(Ok)
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
