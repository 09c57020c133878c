//! How often somebody may do something.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

const WINDOW: Duration = Duration::from_secs(60);

/// Most names counted apart: tokens are few, and addresses beyond them share one count.
const MOST: usize = 4_096;

/// Counts by name, in windows of a minute.
pub struct Flood {
    per_window: u32,
    windows: Mutex<HashMap<String, (Instant, u32)>>,
}

impl Flood {
    /// Lets each name do it so many times a minute.
    pub fn new(per_window: u32) -> Self {
        Self { per_window, windows: Mutex::default() }
    }

    /// Counts one time more.
    ///
    /// # Errors
    /// How long to wait until the name's minute is over.
    pub fn admit(&self, name: &str) -> Result<(), Duration> {
        let now = Instant::now();
        let mut windows = self.windows.lock().unwrap_or_else(PoisonError::into_inner);
        if windows.len() >= MOST && !windows.contains_key(name) {
            windows.retain(|_, (began, _)| now.duration_since(*began) < WINDOW);
        }
        let name = if windows.len() >= MOST && !windows.contains_key(name) { "" } else { name };
        let (began, count) = windows.entry(name.to_owned()).or_insert((now, 0));
        if now.duration_since(*began) >= WINDOW {
            (*began, *count) = (now, 0);
        }
        if *count >= self.per_window {
            return Err(WINDOW.saturating_sub(now.duration_since(*began)));
        }
        *count += 1;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn name_over_its_share_waits_for_the_minute_to_end() {
        let flood = Flood::new(2);
        assert!(flood.admit("ops").is_ok() && flood.admit("ops").is_ok());
        assert_eq!(flood.admit("ops"), Err(WINDOW));
        assert!(flood.admit("other").is_ok());
        tokio::time::advance(WINDOW).await;
        assert!(flood.admit("ops").is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn names_without_end_are_counted_as_one() {
        let flood = Flood::new(2);
        let refused = (0..2 * MOST).filter(|name| flood.admit(&name.to_string()).is_err()).count();
        assert_eq!(refused, MOST - 2);
        assert!(flood.windows.lock().expect("no panic").len() <= MOST + 1);
        tokio::time::advance(WINDOW).await;
        assert!(flood.admit("new").is_ok());
        assert_eq!(flood.windows.lock().expect("no panic").len(), 1, "what is over is forgotten");
    }
}
