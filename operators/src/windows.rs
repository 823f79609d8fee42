//! Windows: how time is cut.

use crate::graph::WindowShape;

/// Windows of one size that begin at multiples of `advance`. All times in milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TimeWindows {
    size_ms: i64,
    advance_ms: i64,
    grace_ms: i64,
}

impl TimeWindows {
    /// Tumbling windows of `size_ms` (> 0), closed as soon as stream time reaches their end.
    ///
    /// # Panics
    /// When the size isn't positive.
    pub fn of_size(size_ms: i64) -> Self {
        assert!(size_ms > 0, "a window's size must be positive");
        Self { size_ms, advance_ms: size_ms, grace_ms: 0 }
    }

    /// Hopping windows: one begins every `advance_ms` (> 0, ≤ size).
    ///
    /// # Panics
    /// When the advance isn't in that range.
    pub fn advance_by(self, advance_ms: i64) -> Self {
        assert!(
            advance_ms > 0 && advance_ms <= self.size_ms,
            "a window's advance must be in 1..=size"
        );
        Self { advance_ms, ..self }
    }

    /// Late records are taken until stream time reaches the window's end plus `grace_ms` (≥ 0).
    ///
    /// # Panics
    /// When the grace is negative.
    pub fn grace(self, grace_ms: i64) -> Self {
        assert!(grace_ms >= 0, "a window's grace can't be negative");
        Self { grace_ms, ..self }
    }

    pub(crate) fn size_ms(&self) -> i64 {
        self.size_ms
    }

    pub(crate) fn advance_ms(&self) -> i64 {
        self.advance_ms
    }

    pub(crate) fn grace_ms(&self) -> i64 {
        self.grace_ms
    }

    pub(crate) fn shape(&self) -> WindowShape {
        WindowShape { kind: "time", size_ms: Some(self.size_ms) }
    }

    pub(crate) fn retention_ms(&self) -> i64 {
        self.size_ms.saturating_add(self.grace_ms)
    }

    /// Whether the window that begins at `start` takes no more records.
    pub(crate) fn is_closed(&self, start: i64, stream_time: i64) -> bool {
        start.saturating_add(self.size_ms) <= stream_time.saturating_sub(self.grace_ms)
    }

    /// Starts of the windows that contain `timestamp` (≥ 0), ascending.
    pub(crate) fn starts(&self, timestamp: i64) -> impl Iterator<Item = i64> + use<> {
        let first =
            (timestamp - self.size_ms + self.advance_ms).max(0) / self.advance_ms * self.advance_ms;
        (first..=timestamp).step_by(self.advance_ms as usize)
    }
}

/// Sessions: records of a key belong together while none is further than the gap from the next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SessionWindows {
    pub(crate) gap_ms: i64,
    pub(crate) grace_ms: i64,
}

impl SessionWindows {
    /// Sessions that end after `gap_ms` (> 0) without a record.
    ///
    /// # Panics
    /// When the gap isn't positive.
    pub fn of_gap(gap_ms: i64) -> Self {
        assert!(gap_ms > 0, "a session's gap must be positive");
        Self { gap_ms, grace_ms: 0 }
    }

    /// Late records are taken for `grace_ms` (≥ 0) of stream time more.
    ///
    /// # Panics
    /// When the grace is negative.
    pub fn grace(self, grace_ms: i64) -> Self {
        assert!(grace_ms >= 0, "a session's grace can't be negative");
        Self { grace_ms, ..self }
    }

    pub(crate) fn retention_ms(&self) -> i64 {
        self.gap_ms.saturating_add(self.grace_ms)
    }
}

/// A stretch of time. `end` is exclusive for time windows and inclusive for sessions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Window {
    /// First millisecond.
    pub start: i64,
    /// See above.
    pub end: i64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_that_contain_a_time_ascend() {
        let starts = |windows: TimeWindows, time| windows.starts(time).collect::<Vec<_>>();
        assert_eq!(starts(TimeWindows::of_size(100), 250), [200]);
        assert_eq!(starts(TimeWindows::of_size(100).advance_by(30), 100), [30, 60, 90]);
        assert_eq!(starts(TimeWindows::of_size(100).advance_by(30), 5), [0]);
    }
}
