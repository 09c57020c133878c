//! Who asks, and what they may do: tokens, the sessions a browser gets for one, and how often either may try.
//!
//! Sessions need no memory: a cookie names its token and its end, under a MAC whose key comes from the token itself.
//! Every replica reads it alike, and a token that is changed or removed takes its sessions with it.

mod flood;
mod session;
mod token;

use std::net::IpAddr;

pub use flood::Flood;
pub use session::{SESSION_TIME, Session};
pub use token::{Caller, TokenError, Tokens};

/// Where a request came from, as the server saw it: of a proxy, the proxy's. An IPv6 network of 64 bits is one address.
#[derive(Clone, Copy, Debug)]
pub struct Peer(pub IpAddr);
