//! Which rows a run asks for.

use std::collections::HashSet;
use std::sync::Arc;

use chrono::{DateTime, Utc};

use crate::customer::{Digester, Position};

/// Which rows to read, and from where on.
#[derive(Clone, Debug)]
pub struct Selection {
    /// Which rows.
    pub rows: Rows,
    /// Only customers after this one, in the source's key order.
    pub after: Option<Position>,
    /// Makes the digests of what is read; none where nobody compares them.
    pub digester: Option<Digester>,
}

/// Which rows to read.
#[derive(Clone, Debug)]
pub enum Rows {
    /// Rows changed after an instant, and those whose time or key cannot be used: every run lists them.
    Since {
        /// Rows of this instant or before are left out; absent: none are.
        after: Option<DateTime<Utc>>,
        /// Keys read whatever their time; at most 50,000.
        also: Arc<HashSet<String>>,
    },
    /// Every row.
    All,
    /// Only rows with these keys.
    Only(Arc<HashSet<String>>),
}
