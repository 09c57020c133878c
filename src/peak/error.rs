//! What can go wrong with Peak, in words that show nothing of a key or an answer.

/// Why Peak did not tell.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PeakError {
    /// A setting that cannot work.
    #[error("{0}")]
    Setting(String),
    /// Out of reach for now, or overloaded. Worth another try.
    #[error("{0}")]
    Unreachable(String),
    /// It turned the API key away.
    #[error(
        "Peak refused the API key (status {0}): make a new one under Console > Access Tokens; keys end after three months"
    )]
    Refused(u16),
    /// It knows nothing of that name or id.
    #[error("Peak knows no {0}")]
    NotFound(&'static str),
    /// An answer, but not one that can be used.
    #[error("{0}")]
    Answer(String),
}

impl PeakError {
    /// Whether trying the same again later may help.
    pub fn is_retryable(&self) -> bool {
        matches!(self, Self::Unreachable(_))
    }
}
