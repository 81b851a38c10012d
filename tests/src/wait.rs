//! Waiting for a condition, with a deadline.

use std::time::{Duration, Instant};

use tokio::time::sleep;

/// Looks once a `period` until something is found; fails, and says what was waited for, when `limit` is
/// over.
pub async fn within<T>(
    limit: Duration,
    period: Duration,
    what: &str,
    mut look: impl AsyncFnMut() -> Option<T>,
) -> T {
    let since = Instant::now();
    loop {
        if let Some(found) = look().await {
            return found;
        }
        assert!(since.elapsed() < limit, "not within {limit:?}: {what}");
        sleep(period).await;
    }
}
