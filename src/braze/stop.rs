//! Why a push ended without verdicts.

/// Something no retry heals. Only the class is kept: Braze's own text may hold the API key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fatal {
    /// 401.
    #[error("Braze refused the API key (401): wrong key, wrong instance, or a permission is missing")]
    Unauthorized,
    /// 403, or another answer that says the account may not.
    #[error("Braze denied access (403): the key lacks a permission, or the plan does not cover it")]
    Forbidden,
    /// 404.
    #[error("Braze does not know the address (404): check the endpoint")]
    NotFound,
    /// 415.
    #[error("Braze does not take the content type (415)")]
    Unsupported,
    /// 3xx. Not followed: customers' data would go to another host.
    #[error("the endpoint answered with a redirect, which is not followed: check the endpoint")]
    Redirected,
    /// The certificate, or the TLS version, is not to be trusted.
    #[error("no trusted TLS connection to the endpoint: certificate or protocol version refused")]
    Tls,
    /// Every update tried alone was refused the same way, and none was accepted.
    #[error("Braze refuses every update tried alone, and accepted none: check the mapping")]
    RefusesEverything,
}

impl Fatal {
    /// The word in a run's `error.code`.
    pub fn code(self) -> &'static str {
        match self {
            Self::Unauthorized => "braze_unauthorized",
            Self::Forbidden => "braze_forbidden",
            Self::NotFound => "braze_not_found",
            Self::Unsupported => "braze_unsupported",
            Self::Redirected => "braze_redirected",
            Self::Tls => "braze_tls",
            Self::RefusesEverything => "braze_refuses_everything",
        }
    }

    /// Whether the sync stays blocked until [`super::Braze::probe`] succeeds: 401, 403 and 404.
    pub fn blocks(self) -> bool {
        matches!(self, Self::Unauthorized | Self::Forbidden | Self::NotFound)
    }
}

/// Why no verdicts came.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Stop {
    /// Braze will not take anything until somebody changes something.
    #[error(transparent)]
    Fatal(#[from] Fatal),
    /// The fence forbade the next request.
    #[error("the fence forbids another request")]
    Fenced,
    /// Nothing but failures for as long as the run may put up with.
    #[error("nothing but failures from Braze for longer than is put up with")]
    GaveUp,
}

/// A push that ended without verdicts, and what it cost.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("{stop}")]
pub struct PushFailed {
    /// Why.
    pub stop: Stop,
    /// Whether Braze may have taken some of its updates all the same: not every request was refused clearly.
    pub may_be_taken: bool,
    /// Requests started.
    pub requests: u32,
    /// Those of them that sent a payload again.
    pub retries: u32,
    /// Body bytes of all of them.
    pub bytes_sent: u64,
}
