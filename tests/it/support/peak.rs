//! A stand-in for Peak's API on loopback: credentials and executions in the shapes Peak's SDK documents.

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard};

use axum::Router;
use axum::extract::{Query, State};
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::response::{IntoResponse, Json, Response};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio_util::task::AbortOnDropHandle;

pub const PEAK_KEY: &str = "peak-api-key-of-the-tests";

/// One request as it came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asked {
    pub address: String,
    pub authorization: String,
}

/// The stand-in; gone when dropped.
pub struct Peak {
    addr: SocketAddr,
    shared: Arc<Shared>,
    _task: AbortOnDropHandle<()>,
}

struct Shared {
    books: Mutex<Books>,
    count: watch::Sender<usize>,
    held: watch::Sender<bool>,
}

struct Books {
    key: String,
    /// Answers by warehouse name, `""` the default one: one after the other, the last for good.
    warehouses: BTreeMap<String, VecDeque<Value>>,
    executions: BTreeMap<(String, String), Value>,
    /// Statuses that the next requests are answered with.
    faults: VecDeque<u16>,
    spoke: Option<String>,
    asked: Vec<Asked>,
}

impl Peak {
    pub async fn start() -> Self {
        let books = Books {
            key: PEAK_KEY.to_owned(),
            warehouses: BTreeMap::new(),
            executions: BTreeMap::new(),
            faults: VecDeque::new(),
            spoke: None,
            asked: Vec::new(),
        };
        let shared = Arc::new(Shared {
            books: Mutex::new(books),
            count: watch::Sender::new(0),
            held: watch::Sender::new(false),
        });
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("loopback");
        let addr = listener.local_addr().expect("a bound listener");
        let router = Router::new().fallback(answer).with_state(shared.clone());
        let task = tokio::spawn(async move { axum::serve(listener, router).await.expect("it serves") });
        Self { addr, shared, _task: AbortOnDropHandle::new(task) }
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.addr)
    }

    fn books(&self) -> MutexGuard<'_, Books> {
        self.shared.books.lock().expect("no test panics with it")
    }

    /// The key that is taken from now on.
    pub fn take_key(&self, key: &str) {
        key.clone_into(&mut self.books().key);
    }

    /// What is answered for a warehouse, one after the other, the last for good.
    pub fn warehouse(&self, name: &str, answers: impl IntoIterator<Item = Value>) {
        self.books().warehouses.insert(name.to_owned(), answers.into_iter().collect());
    }

    /// How the step `score-customers` of an execution stands; the execution itself still runs.
    pub fn execution(&self, workflow: &str, execution: &str, status: &str) {
        let key = (workflow.to_owned(), execution.to_owned());
        self.books().executions.insert(key, execution_of(status));
    }

    /// The next requests are answered with these statuses.
    pub fn fail(&self, statuses: impl IntoIterator<Item = u16>) {
        self.books().faults.extend(statuses);
    }

    /// Makes the tenant one of a spoke.
    pub fn spoke(&self, domain: &str) {
        self.books().spoke = Some(domain.to_owned());
    }

    /// Lets requests wait, or go on.
    pub fn hold(&self, held: bool) {
        self.shared.held.send_replace(held);
    }

    /// What was asked so far.
    pub fn asked(&self) -> Vec<Asked> {
        self.books().asked.clone()
    }

    /// Waits until so many requests have come.
    pub async fn when_asked(&self, times: usize) {
        let mut count = self.shared.count.subscribe();
        let come = count.wait_for(|count| *count >= times);
        let waited = tokio::time::timeout(std::time::Duration::from_secs(30), come).await;
        waited.expect("Peak is asked in time").expect("the stand-in is there");
    }
}

async fn answer(
    State(shared): State<Arc<Shared>>,
    uri: Uri,
    headers: HeaderMap,
    Query(query): Query<BTreeMap<String, String>>,
) -> Response {
    // Peak's own client reports every call; nothing here is about that.
    if uri.path().ends_with("/telemetry") {
        return Json(json!({})).into_response();
    }
    let authorization =
        headers.get("authorization").and_then(|value| value.to_str().ok()).unwrap_or_default();
    let asked = Asked { address: uri.to_string(), authorization: authorization.to_owned() };
    shared.books.lock().expect("no test panics with it").asked.push(asked);
    shared.count.send_modify(|count| *count += 1);
    let mut held = shared.held.subscribe();
    held.wait_for(|held| !held).await.expect("the stand-in is there");
    let mut books = shared.books.lock().expect("no test panics with it");
    let status = match books.faults.pop_front() {
        Some(fault) => StatusCode::from_u16(fault).expect("a test's own status"),
        None if authorization != books.key => StatusCode::UNAUTHORIZED,
        None => match books.look(uri.path(), &query) {
            Ok(found) => return Json(found).into_response(),
            Err(status) => status,
        },
    };
    (status, Json(json!({"detail": "not for you"}))).into_response()
}

impl Books {
    fn look(&mut self, path: &str, query: &BTreeMap<String, String>) -> Result<Value, StatusCode> {
        let parts: Vec<&str> = path.trim_matches('/').split('/').collect();
        match parts.as_slice() {
            ["connections", "api", "v2", "connections", "credentials"] => self.credentials(query),
            ["tenant-management", "api", "v1", "external", "tenants", "tenant-metadata"] => {
                Ok(match &self.spoke {
                    Some(domain) => json!({"id": 7, "name": "t", "spokeDetails": {"domain": domain}}),
                    None => json!({"id": 7, "name": "t"}),
                })
            }
            ["workflows", "api", "v1", "workflows", workflow, "executions", execution] => {
                let key = ((*workflow).to_owned(), (*execution).to_owned());
                self.executions.get(&key).cloned().ok_or(StatusCode::NOT_FOUND)
            }
            ["workflows", "api", "v1", "workflows", workflow] => {
                let mut known = self.executions.keys().map(|(known, _)| known.as_str());
                let found = known.any(|known| known == *workflow);
                found.then(|| json!({"id": 1, "name": "w"})).ok_or(StatusCode::NOT_FOUND)
            }
            _ => Err(StatusCode::NOT_FOUND),
        }
    }

    fn credentials(&mut self, query: &BTreeMap<String, String>) -> Result<Value, StatusCode> {
        if query.get("type").is_some_and(|wanted| wanted != "data-warehouse") {
            return Err(StatusCode::BAD_REQUEST);
        }
        let name = query.get("warehouse").map_or("", String::as_str);
        let answers = self.warehouses.get_mut(name).ok_or(StatusCode::NOT_FOUND)?;
        let last = answers.len() == 1;
        let answer = if last { answers.front().cloned() } else { answers.pop_front() };
        answer.ok_or(StatusCode::NOT_FOUND)
    }
}

/// Redshift's shape: the port is text.
pub fn redshift(port: u16, password: &str) -> Value {
    json!({
        "connectionString": format!("postgresql://peak_user:{password}@127.0.0.1:{port}/postgres"),
        "iamRole": "arn:aws:iam::1:role/a,arn:aws:iam::1:role/b", "port": port.to_string(), "schema": "publish",
        "user": "peak_user", "authType": "basic", "database": "postgres", "host": "127.0.0.1",
        "password": password, "dataWarehouseType": "amazon_redshift",
    })
}

/// Snowflake's shape for a password: the port is a number.
pub fn snowflake_basic() -> Value {
    json!({
        "application": "peak", "connectionString": "snowflake://u:p@h/d", "integration": "i", "port": 443, "role": "R",
        "schema": "PUBLISH", "user": "u", "warehouse": "W", "authType": "basic", "database": "D", "host": "acme-1",
        "password": "p", "dataWarehouseType": "snowflake",
    })
}

/// Snowflake's shape for a token: no user and no password.
pub fn snowflake_oauth(token: &str) -> Value {
    json!({
        "application": "peak", "connectionString": format!("snowflake://h/d?authenticator=OAUTH&token={token}"),
        "integration": "i", "port": 443, "role": "R", "schema": "publish", "warehouse": "W",
        "warehouseMap": {"default": "SMALL_WH", "large": "LARGE_WH"}, "accessToken": token, "authType": "oauth",
        "database": "D", "host": "acme-1", "dataWarehouseType": "snowflake",
    })
}

fn execution_of(status: &str) -> Value {
    let step = |name: &str, status: &str| {
        json!({"name": name, "status": status, "startedAt": "2026-11-01T03:00:00Z",
               "finishedAt": "2026-11-01T03:10:00Z", "stepType": "standard", "image": "i"})
    };
    json!({
        "steps": [step("notify-receiver", "Running"), step("score-customers", status)],
        "executedAt": "2026-11-01T03:00:00Z", "finishedAt": null,
        "runId": "7d1c5ad6-4f2f-4cbb-8a52-8f1d5f5b4b11", "status": "Running",
    })
}
