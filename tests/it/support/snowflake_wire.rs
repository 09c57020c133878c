//! A Snowflake that does as it is told, for what happens on the wire: sign-in, waits, parts, refusals.

use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::Request;
use axum::response::Response;
use peak_braze::clock::Clock;
use peak_braze::config;
use peak_braze::source::{Source, SourceError};
use serde_json::{Value, json};
use tokio::sync::watch;

use crate::source_suite::customers;

/// How long what is waited for may take, with other tests beside.
const PATIENCE: Duration = Duration::from_secs(20);

/// A request as it came.
#[derive(Clone, Debug)]
pub struct Seen {
    pub method: String,
    pub path: String,
    pub query: String,
    pub authorization: String,
    pub token_type: Option<String>,
    pub body: Value,
}

impl Seen {
    /// The SQL of a submitted statement; empty of other requests.
    pub fn sql(&self) -> &str {
        self.body["statement"].as_str().unwrap_or_default()
    }

    /// Whether it submits the statement that reads rows.
    pub fn is_read(&self) -> bool {
        self.query.contains("async=true")
    }

    /// The parameter of this name.
    pub fn parameter(&self, name: &str) -> Option<&str> {
        self.query.split('&').find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='))
    }
}

/// What to answer.
pub enum Reply {
    Json(u16, Value),
    /// With `Retry-After`.
    Throttle(u16, u64),
    /// The beginning of a body, then the connection's end.
    Cut,
}

type Script = Box<dyn Fn(&Seen) -> Option<Reply> + Send + Sync>;
type Rows = Box<dyn Fn(usize) -> Vec<Value> + Send + Sync>;

/// A result: its columns, and its rows part by part.
pub struct Table {
    columns: Value,
    parts: Vec<usize>,
    rows: Rows,
}

impl Table {
    /// Columns by name and type, and the rows of one part.
    pub fn new(columns: &[(&str, &str)], rows: Vec<Value>) -> Self {
        let parts = vec![rows.len()];
        Self::in_parts(columns, parts, move |_| rows.clone())
    }

    /// Rows in parts of these sizes, made when asked for.
    pub fn in_parts(
        columns: &[(&str, &str)],
        parts: Vec<usize>,
        rows: impl Fn(usize) -> Vec<Value> + Send + Sync + 'static,
    ) -> Self {
        let of = |(name, kind): &(&str, &str)| {
            let (kind, scale) = kind.split_once(':').unwrap_or((kind, "0"));
            let scale: u32 = scale.parse().expect("a scale");
            json!({"name": name, "type": kind, "precision": 38, "scale": scale, "nullable": true, "collation": null})
        };
        Self { columns: columns.iter().map(of).collect(), parts, rows: Box::new(rows) }
    }

    fn described(&self) -> Value {
        json!({"resultSetMetaData": {"numRows": 0, "format": "jsonv2", "rowType": self.columns,
            "partitionInfo": [{"rowCount": 0}]}, "data": [], "code": "090001", "statementHandle": "described"})
    }

    /// The answer to a statement that reads rows.
    pub fn result(&self) -> Value {
        let parts: Vec<Value> = self.parts.iter().map(|rows| json!({"rowCount": rows})).collect();
        json!({"resultSetMetaData": {"numRows": self.parts.iter().sum::<usize>(), "format": "jsonv2",
            "rowType": self.columns, "partitionInfo": parts}, "data": (self.rows)(0), "code": "090001",
            "sqlState": "00000", "statementHandle": "read"})
    }
}

/// A running one; stopped when dropped.
pub struct Wire {
    url: String,
    seen: watch::Receiver<Vec<Seen>>,
    task: tokio::task::JoinHandle<()>,
}

impl Wire {
    /// Answers with the table, unless the script says something else.
    pub async fn start(
        table: Table,
        script: impl Fn(&Seen) -> Option<Reply> + Send + Sync + 'static,
    ) -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let url = format!("http://{}", listener.local_addr().expect("an address"));
        let (kept, seen) = watch::channel(Vec::new());
        let (kept, table, script): (_, _, Script) = (Arc::new(kept), Arc::new(table), Box::new(script));
        let script = Arc::new(script);
        let router = axum::Router::new().fallback(move |request: Request| {
            let (kept, table, script) = (kept.clone(), table.clone(), script.clone());
            async move {
                let request = read(request).await;
                kept.send_modify(|seen| seen.push(request.clone()));
                respond(script(&request).unwrap_or_else(|| usual(&request, &table)))
            }
        });
        let task = tokio::spawn(async move { axum::serve(listener, router).await.expect("it serves") });
        Self { url, seen, task }
    }

    pub fn url(&self) -> &str {
        &self.url
    }

    /// Every request so far.
    pub fn seen(&self) -> Vec<Seen> {
        self.seen.borrow().clone()
    }

    /// Waits until so many requests of this kind came; fails when they stay away.
    pub async fn until(&self, count: usize, is_one: impl Fn(&Seen) -> bool) {
        let mut seen = self.seen.clone();
        let are_there = seen.wait_for(|seen| seen.iter().filter(|seen| is_one(seen)).count() >= count);
        drop(tokio::time::timeout(PATIENCE, are_there).await.expect("they come in time").expect("it runs"));
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// What a statement in good order is answered.
fn usual(request: &Seen, table: &Table) -> Reply {
    let clock = json!({"resultSetMetaData": {"numRows": 1, "rowType": [{"name": "C", "type": "FIXED"}],
        "partitionInfo": [{"rowCount": 1}]}, "data": [["1795000000000000"]], "statementHandle": "clock"});
    Reply::Json(
        200,
        match (request.method.as_str(), request.parameter("partition")) {
            ("GET", Some(part)) => {
                json!({"data": (table.rows)(part.parse().expect("a number"))})
            }
            ("GET", None) => table.result(),
            _ if request.path.ends_with("/cancel") => json!({"code": "090001", "statementHandle": "read"}),
            _ if request.sql().contains("CURRENT_TIMESTAMP") => clock,
            _ if request.sql().ends_with("LIMIT 0") => table.described(),
            _ => table.result(),
        },
    )
}

fn respond(reply: Reply) -> Response {
    let build = |status: u16, body: Body| {
        let response = Response::builder().status(status).header("content-type", "application/json");
        response.body(body).expect("a response")
    };
    match reply {
        Reply::Json(status, body) => build(status, Body::from(body.to_string())),
        Reply::Throttle(status, secs) => {
            let mut response = build(status, Body::from("busy"));
            response.headers_mut().insert("retry-after", secs.into());
            response
        }
        Reply::Cut => {
            let parts = [Ok(Bytes::from_static(b"{\"data\": [[")), Err(std::io::Error::other("cut"))];
            build(200, Body::from_stream(futures_util::stream::iter(parts)))
        }
    }
}

async fn read(request: Request) -> Seen {
    let (parts, body) = request.into_parts();
    let header =
        |name: &str| parts.headers.get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
    let body = axum::body::to_bytes(body, 64 << 20).await.unwrap_or_default();
    Seen {
        method: parts.method.to_string(),
        path: parts.uri.path().to_owned(),
        query: parts.uri.query().unwrap_or_default().to_owned(),
        authorization: header("authorization").unwrap_or_default(),
        token_type: header("x-snowflake-authorization-token-type"),
        body: serde_json::from_slice(&body).unwrap_or(Value::Null),
    }
}

pub const COLUMNS: [(&str, &str); 4] =
    [("CUSTOMER_ID", "TEXT"), ("UPDATED_AT", "TEXT"), ("BAND", "TEXT"), ("SCORE", "REAL")];

pub fn rows(keys: &[&str]) -> Vec<Value> {
    keys.iter().map(|key| json!([key, "2026-01-02 09:00:00", "low", "0.5"])).collect()
}

pub fn table() -> Table {
    Table::new(&COLUMNS, rows(&["a", "b"]))
}

/// Settings that point at the stand-in.
fn settings(wire: &Wire, more: &str) -> config::Source {
    let text = format!(
        "kind = \"snowflake\"\naccount = \"Org-My_Account\"\nbase_url = \"{}\"\nwarehouse = \"compute_wh\"\n\
         role = \"\\\"Reader\\\"\"\ndatabase = \"analytics\"\n{more}",
        wire.url()
    );
    toml::from_str(&text).expect("the test's own settings")
}

pub fn open(wire: &Wire, more: &str, sync: &config::Sync, clock: Clock) -> Result<Source, SourceError> {
    Source::open(&settings(wire, more), sync, clock)
}

/// A folder with a token in it, and the setting that points there.
pub struct Token(tempfile::TempDir);

impl Token {
    pub fn new(text: &str) -> Self {
        let token = Self(tempfile::tempdir().expect("a temporary folder"));
        token.write(text);
        token
    }

    pub fn write(&self, text: &str) {
        std::fs::write(self.0.path().join("token"), text).expect("written");
    }

    pub fn setting(&self) -> String {
        format!("token = \"file:{}\"", self.0.path().join("token").display())
    }
}

/// A source signed in by a token, over a wire with this script.
pub async fn scripted(
    script: impl Fn(&Seen) -> Option<Reply> + Send + Sync + 'static,
) -> (Wire, Source, Token) {
    let wire = Wire::start(table(), script).await;
    let token = Token::new("s3cret-token");
    let source = open(&wire, &token.setting(), &customers(), Clock::system()).expect("sound settings");
    (wire, source, token)
}
