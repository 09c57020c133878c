//! A receiver of notices on loopback: keeps what it is posted, and answers as told.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// The longest any story waits for a post.
const PATIENCE: Duration = Duration::from_secs(60);

/// One post, as it came.
#[derive(Clone, Debug)]
pub struct Post {
    pub path: String,
    pub headers: HeaderMap,
    pub body: Bytes,
}

impl Post {
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().expect("ASCII"))
    }

    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).expect("JSON")
    }

    /// The `type` of a Standard Webhook.
    pub fn kind(&self) -> String {
        self.json()["type"].as_str().expect("a type").to_owned()
    }
}

/// An answer: status, and a header. Status 0 never comes.
pub type Answer = (u16, Option<(&'static str, String)>);

struct Books {
    posts: Vec<Post>,
    answers: VecDeque<Answer>,
}

pub struct Hook {
    addr: SocketAddr,
    books: Arc<Mutex<Books>>,
    count: watch::Receiver<usize>,
    served: JoinHandle<()>,
}

type Shared = (Arc<Mutex<Books>>, watch::Sender<usize>);

impl Hook {
    pub async fn start() -> Self {
        Self::at(SocketAddr::from(([127, 0, 0, 1], 0))).await
    }

    pub async fn at(addr: SocketAddr) -> Self {
        let listener = TcpListener::bind(addr).await.expect("a port");
        let addr = listener.local_addr().expect("bound");
        let books = Arc::new(Mutex::new(Books { posts: Vec::new(), answers: VecDeque::new() }));
        let (told, count) = watch::channel(0);
        let shared: Arc<Shared> = Arc::new((books.clone(), told));
        let router = axum::Router::new().fallback(take).with_state(shared);
        let served = tokio::spawn(async move { axum::serve(listener, router).await.expect("it serves") });
        Self { addr, books, count, served }
    }

    /// Answers the next posts like this, in order; all others with 204.
    pub fn answers(&self, answers: impl IntoIterator<Item = Answer>) {
        self.books.lock().expect("whole").answers.extend(answers);
    }

    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    pub fn url(&self) -> String {
        format!("http://{}/hook", self.addr)
    }

    /// Everything that was posted so far.
    pub fn posts(&self) -> Vec<Post> {
        self.books.lock().expect("whole").posts.clone()
    }

    /// Waits for so many posts in all, and returns them.
    pub async fn after(&self, count: usize) -> Vec<Post> {
        let mut seen = self.count.clone();
        let waiting = seen.wait_for(|posts| *posts >= count);
        match tokio::time::timeout(PATIENCE, waiting).await {
            Ok(done) => drop(done.expect("the receiver is up")),
            Err(_) => panic!("{} posts of {count}", self.posts().len()),
        }
        self.posts()
    }

    /// Nobody listens here any more.
    pub async fn stop(self) {
        self.served.abort();
        let _ = self.served.await;
    }
}

async fn take(State(shared): State<Arc<Shared>>, uri: Uri, headers: HeaderMap, body: Bytes) -> Response {
    let (books, told) = &*shared;
    let (posts, answer) = {
        let mut books = books.lock().expect("whole");
        books.posts.push(Post { path: uri.path().to_owned(), headers, body });
        (books.posts.len(), books.answers.pop_front())
    };
    // Of two that come at once the later may be told of first.
    told.send_modify(|told| *told = posts.max(*told));
    let (status, header) = answer.unwrap_or((204, None));
    if status == 0 {
        return std::future::pending().await;
    }
    let body = if status == 204 { "" } else { "{}" };
    let mut response = (StatusCode::from_u16(status).expect("a status"), body).into_response();
    if let Some((name, value)) = header {
        response.headers_mut().insert(name, value.parse().expect("a value"));
    }
    response
}
