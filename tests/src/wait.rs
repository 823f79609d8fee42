//! Waiting for a condition, never for a time.

use std::future::Future;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};

/// Asks again until `ask` gives a value.
///
/// # Errors
/// After `seconds`, naming what was waited for.
pub async fn until<T, F>(what: &str, seconds: u64, mut ask: impl FnMut() -> F) -> Result<T>
where
    F: Future<Output = Option<T>>,
{
    let deadline = Instant::now() + Duration::from_secs(seconds);
    let mut pause = tokio::time::interval(Duration::from_millis(20));
    loop {
        pause.tick().await;
        if let Some(value) = ask().await {
            return Ok(value);
        }
        if Instant::now() >= deadline {
            bail!("{what}: not within {seconds} s");
        }
    }
}
