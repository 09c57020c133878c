//! Customers as values: what a source gives, the JSON form Braze takes, and the digest the ledger keeps.
//!
//! Everything here is pure. Values are encoded once, straight from the source's own buffers into a
//! [`Chunk`]'s, and from then on are only slices of it: digested, compared, and copied into a request.

mod chunk;
mod decimal;
mod digest;
mod encode;
mod instant;
mod json;
mod key;
mod packed;
mod value;

pub use chunk::{Cell, Chunk, ChunkBuilder, Customer, Position};
pub use digest::{Digester, Hasher};
pub use encode::{Attribute, Kind, OnLong, OnNull};
pub use instant::{UpdatedAt, Zone};
pub use key::{KeyDigits, usable_key};
pub use packed::{Digests, Packer, Stamp};
pub use value::{Code, Value};
