//! Wall-clock time as an argument.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use futures::future::BoxFuture;
use schemas::Micros;

/// Where the edges take their time from. Tests move theirs by hand.
pub trait Clock: Send + Sync {
    /// Now.
    fn now(&self) -> Micros;
    /// Returns when `now` has reached this.
    fn sleep_until(&self, at: Micros) -> BoxFuture<'static, ()>;
}

/// The system's clock.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Micros {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Micros(i64::try_from(since.as_micros()).unwrap_or(i64::MAX))
    }

    fn sleep_until(&self, at: Micros) -> BoxFuture<'static, ()> {
        let wait = Duration::from_micros(u64::try_from(at.0 - self.now().0).unwrap_or(0));
        Box::pin(tokio::time::sleep(wait))
    }
}
