//! The routes Braze offers that the sandbox stands in for.

use hyper::Method;

use super::settings::Permission;

/// One REST route. Anything else, a trailing slash included, is 404.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Route {
    Track,
    Bulk,
    Sync,
    Export,
    Delete,
    CustomAttributes,
}

/// Braze docs, "Rate limits", payload size limits: 4 MB for most endpoints.
const BODY_BYTES: usize = 4_000_000;
/// Same page: 2 MB for `/users/track/bulk`.
const BULK_BODY_BYTES: usize = 2_000_000;

impl Route {
    pub(super) fn find(method: &Method, path: &str) -> Option<Self> {
        match (method.as_str(), path) {
            ("POST", "/users/track") => Some(Self::Track),
            ("POST", "/users/track/bulk") => Some(Self::Bulk),
            ("POST", "/users/track/sync") => Some(Self::Sync),
            ("POST", "/users/export/ids") => Some(Self::Export),
            ("POST", "/users/delete") => Some(Self::Delete),
            ("GET", "/custom_attributes") => Some(Self::CustomAttributes),
            _ => None,
        }
    }

    /// Whether the body is that of `/users/track`.
    pub(super) fn is_track(self) -> bool {
        matches!(self, Self::Track | Self::Bulk | Self::Sync)
    }

    pub(super) fn has_body(self) -> bool {
        self != Self::CustomAttributes
    }

    pub(super) fn permission(self) -> Permission {
        match self {
            Self::Track => Permission::UsersTrack,
            Self::Bulk => Permission::UsersTrackBulk,
            Self::Sync => Permission::UsersTrackSync,
            Self::Export => Permission::UsersExportIds,
            Self::Delete => Permission::UsersDelete,
            Self::CustomAttributes => Permission::CustomAttributesGet,
        }
    }

    pub(super) fn body_limit_bytes(self) -> usize {
        if self == Self::Bulk { BULK_BODY_BYTES } else { BODY_BYTES }
    }

    /// Requests and window length in seconds of the routes whose limit no contract changes: "Rate limits" page.
    pub(super) fn fixed_limit(self) -> Option<(u32, f64)> {
        match self {
            Self::Track => None,
            Self::Bulk => Some((50, 1.0)),
            Self::Sync => Some((500, 60.0)),
            Self::Export => Some((250, 60.0)),
            Self::Delete => Some((20_000, 60.0)),
            Self::CustomAttributes => Some((250_000, 3_600.0)),
        }
    }
}
