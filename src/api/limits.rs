//! Every bound of the HTTP surface, and why it is what it is.

use std::time::Duration;

/// An honest client sends its whole head in one packet; ten seconds forgive a bad mobile line. An idle keep-alive
/// connection waits for its next head, so the same bound ends it.
const HEADER_TIMEOUT: Duration = Duration::from_secs(10);

/// Signature headers of sixteen keys, a long bearer token and a proxy's additions stay under half of this.
const HEADER_BYTES: usize = 16 * 1024;

/// The default body limit over a line of 140 kbit/s.
const BODY_TIMEOUT: Duration = Duration::from_secs(15);

/// A reader that takes nothing for so long is gone, or wants our memory.
const WRITE_TIMEOUT: Duration = Duration::from_secs(30);

/// The strictest sender known (Slack) hangs up after 3 s: an answer after that is heard by nobody.
const HANDLER_TIMEOUT: Duration = Duration::from_secs(3);

/// At some 20 KiB each they take 20 MiB. Where fewer files may be open, the accept loop waits for one to close.
const CONNECTIONS: usize = 1024;

/// Half: one address cannot shut out the others, and a proxy in front still has plenty.
const CONNECTIONS_PER_IP: usize = 512;

/// Each costs one ledger read per second at most; a hundred people watching is already a crowd.
const STREAMS: usize = 128;

/// After this a stream ends and the browser opens a new one, with its token looked at anew.
const STREAM_TIME: Duration = Duration::from_secs(3600);

/// Behind the ledger's own hint, for changes made by another replica.
const STREAM_POLL: Duration = Duration::from_secs(1);

/// Proxies cut connections silent for 30 s or more.
const STREAM_KEEP_ALIVE: Duration = Duration::from_secs(15);

/// Per token. A sync has at most one queued run, so more than a few a minute change nothing.
const TRIGGERS_PER_MINUTE: u32 = 300;

/// Bounds of the HTTP surface; tests give smaller ones.
#[derive(Clone, Debug)]
pub struct Limits {
    /// For a request's head, and between requests.
    pub header_timeout: Duration,
    /// Most bytes a request's head may have.
    pub header_bytes: usize,
    /// For a request's body.
    pub body_timeout: Duration,
    /// For a client to take the next part of an answer.
    pub write_timeout: Duration,
    /// For the ledger's part in an answer.
    pub handler_timeout: Duration,
    /// Most connections open at once.
    pub connections: usize,
    /// Most of them from one address.
    pub connections_per_ip: usize,
    /// Most event streams open at once.
    pub streams: usize,
    /// Longest life of an event stream.
    pub stream_time: Duration,
    /// How often an event stream looks at its run unasked.
    pub stream_poll: Duration,
    /// How often a silent event stream sends a comment.
    pub stream_keep_alive: Duration,
    /// Triggers one token may send a minute.
    pub triggers_per_minute: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            header_timeout: HEADER_TIMEOUT,
            header_bytes: HEADER_BYTES,
            body_timeout: BODY_TIMEOUT,
            write_timeout: WRITE_TIMEOUT,
            handler_timeout: HANDLER_TIMEOUT,
            connections: CONNECTIONS,
            connections_per_ip: CONNECTIONS_PER_IP,
            streams: STREAMS,
            stream_time: STREAM_TIME,
            stream_poll: STREAM_POLL,
            stream_keep_alive: STREAM_KEEP_ALIVE,
            triggers_per_minute: TRIGGERS_PER_MINUTE,
        }
    }
}
