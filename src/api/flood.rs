//! How often one token may trigger.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::problem::{Code, Problem};

const WINDOW: Duration = Duration::from_secs(60);

/// Counts triggers per token, in windows of a minute. Names come from the config, so there are few.
pub(super) struct Flood {
    per_window: u32,
    windows: Mutex<HashMap<String, (Instant, u32)>>,
}

impl Flood {
    pub(super) fn new(per_window: u32) -> Self {
        Self { per_window, windows: Mutex::default() }
    }

    /// # Errors
    /// 429 until the token's minute is over.
    pub(super) fn admit(&self, token: &str) -> Result<(), Problem> {
        let now = Instant::now();
        let mut windows = self.windows.lock().unwrap_or_else(PoisonError::into_inner);
        let (began, count) = windows.entry(token.to_owned()).or_insert((now, 0));
        if now.duration_since(*began) >= WINDOW {
            (*began, *count) = (now, 0);
        }
        if *count >= self.per_window {
            let left = WINDOW.saturating_sub(now.duration_since(*began));
            return Err(Problem::from(Code::TooManyTriggers).retry_after(left.as_secs() + 1));
        }
        *count += 1;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn token_over_its_share_waits_for_the_minute_to_end() {
        let flood = Flood::new(2);
        assert!(flood.admit("ops").is_ok() && flood.admit("ops").is_ok());
        assert_eq!(flood.admit("ops").map_err(|problem| problem.code), Err(Code::TooManyTriggers));
        assert!(flood.admit("other").is_ok());
        tokio::time::advance(WINDOW).await;
        assert!(flood.admit("ops").is_ok());
    }
}
