//! The line to a PostgreSQL server, which a story may spoil: it falls silent, is dead, or is cut at a commit.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream, UnixStream, unix};
use tokio::sync::watch;

/// How the line is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Line {
    Sound,
    /// Nothing comes through until it is sound again; then everything does.
    Silent,
    /// What comes in is lost, and so is every connection that was open: it stays silent for ever.
    Dead,
    /// Cut as soon as the server has answered a commit, before the client hears of it.
    CutAfterCommit,
    /// Cut as soon as the client asks for a commit, before the server hears of it.
    CutBeforeCommit,
    /// The same, and silent from then on.
    SilentBeforeCommit,
}

/// How a simple query ends that leaves a commit's mark and commits. Source: PostgreSQL docs, Message Formats.
const COMMIT: &[u8] = b"; commit\0";

/// A running proxy on loopback; stopped when dropped.
pub struct Proxy {
    port: u16,
    state: Arc<State>,
    task: tokio::task::JoinHandle<()>,
}

struct State {
    line: watch::Sender<Line>,
    /// The server's socket.
    server: watch::Sender<PathBuf>,
    /// Commits at which it was cut.
    cuts: watch::Sender<u64>,
}

impl Proxy {
    /// A sound line to this socket.
    pub async fn start(server: &Path) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("loopback");
        let port = listener.local_addr().expect("bound").port();
        let state = Arc::new(State {
            line: watch::Sender::new(Line::Sound),
            server: watch::Sender::new(server.to_owned()),
            cuts: watch::Sender::new(0),
        });
        let shared = state.clone();
        let task = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(carry(client, shared.clone()));
            }
        });
        Self { port, state, task }
    }

    /// Where the server is, behind the line.
    pub fn url(&self) -> String {
        format!("postgres://postgres@127.0.0.1:{}/postgres?sslmode=disable", self.port)
    }

    pub fn set(&self, line: Line) {
        self.state.line.send_replace(line);
    }

    /// New connections lead to another server, and those there are end.
    pub fn lead_to(&self, server: &Path) {
        self.state.server.send_replace(server.to_owned());
    }

    /// Waits until it was cut at so many commits.
    pub async fn cut(&self, times: u64) {
        let mut cuts = self.state.cuts.subscribe();
        let cut = cuts.wait_for(|cuts| *cuts >= times);
        tokio::time::timeout(std::time::Duration::from_secs(30), cut)
            .await
            .expect("a commit in time")
            .expect("it runs");
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn carry(client: TcpStream, state: Arc<State>) {
    let (mut line, mut server) = (state.line.subscribe(), state.server.subscribe());
    // A server does not stop while it waits for somebody's first word.
    open(&mut line).await;
    let path = server.borrow_and_update().clone();
    // A server that is down: the client sees its connection end.
    let Ok(upstream) = UnixStream::connect(path).await else { return };
    let (from_client, to_client) = client.into_split();
    let (from_server, to_server) = upstream.into_split();
    let cuts_answer = AtomicBool::new(false);
    let there = there(from_client, to_server, state.clone(), &cuts_answer);
    let back = back(from_server, to_client, state.clone(), &cuts_answer);
    tokio::select! {
        () = there => {}
        () = back => {}
        // Both ends stay open, and hear nothing.
        () = until(&mut line, Line::Dead) => std::future::pending().await,
        _ = server.changed() => {}
    }
}

async fn until(line: &mut watch::Receiver<Line>, wanted: Line) {
    if line.wait_for(|line| *line == wanted).await.is_err() {
        std::future::pending::<()>().await;
    }
}

/// Waits while nothing may come through.
async fn open(line: &mut watch::Receiver<Line>) {
    // Gone with the proxy: whoever waits is ended too.
    let _ = line.wait_for(|line| !matches!(line, Line::Silent | Line::Dead)).await;
}

async fn there(
    mut client: OwnedReadHalf,
    mut server: unix::OwnedWriteHalf,
    state: Arc<State>,
    cuts_answer: &AtomicBool,
) {
    let (mut line, mut bytes) = (state.line.subscribe(), vec![0; 64 * 1024]);
    loop {
        let Ok(count @ 1..) = client.read(&mut bytes).await else { return };
        open(&mut line).await;
        let now = *line.borrow();
        let is_commit = bytes[..count].ends_with(COMMIT);
        if is_commit && matches!(now, Line::CutBeforeCommit | Line::SilentBeforeCommit) {
            if now == Line::SilentBeforeCommit {
                state.line.send_replace(Line::Silent);
            }
            state.cuts.send_modify(|cuts| *cuts += 1);
            return;
        }
        if is_commit && now == Line::CutAfterCommit {
            cuts_answer.store(true, Ordering::SeqCst);
        }
        if server.write_all(&bytes[..count]).await.is_err() {
            return;
        }
    }
}

async fn back(
    mut server: unix::OwnedReadHalf,
    mut client: OwnedWriteHalf,
    state: Arc<State>,
    cuts_answer: &AtomicBool,
) {
    let (mut line, mut bytes) = (state.line.subscribe(), vec![0; 64 * 1024]);
    loop {
        let Ok(count @ 1..) = server.read(&mut bytes).await else { return };
        open(&mut line).await;
        if cuts_answer.load(Ordering::SeqCst) {
            state.cuts.send_modify(|cuts| *cuts += 1);
            return;
        }
        if client.write_all(&bytes[..count]).await.is_err() {
            return;
        }
    }
}
