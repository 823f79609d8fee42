//! Windows that are not of one size at multiples of an advance, and when the results of windows are emitted.

use crate::windows::TimeWindows;

/// Windows of one length that end at a record or begin 1 ms after one: a window exists where its content differs from
/// that of others. Both ends belong to the window. Times in milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SlidingWindows {
    pub(crate) difference_ms: i64,
    pub(crate) grace_ms: i64,
}

impl SlidingWindows {
    /// Records no more than `difference_ms` (≥ 0) apart are in one window, which is closed as soon as stream time is
    /// beyond its end.
    ///
    /// # Panics
    /// When the difference is negative.
    pub fn of_time_difference(difference_ms: i64) -> Self {
        assert!(difference_ms >= 0, "a sliding window's time difference can't be negative");
        Self { difference_ms, grace_ms: 0 }
    }

    /// Late records are taken until stream time is beyond the window's end plus `grace_ms` (≥ 0).
    ///
    /// # Panics
    /// When the grace is negative.
    pub fn grace(self, grace_ms: i64) -> Self {
        assert!(grace_ms >= 0, "a window's grace can't be negative");
        Self { grace_ms, ..self }
    }

    /// End of the window that begins at `start`, inclusive.
    pub(crate) fn end(&self, start: i64) -> i64 {
        start.saturating_add(self.difference_ms)
    }
}

/// One window per key that begins at some time and never ends, so nothing is ever late. Its rows are never dropped.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct UnlimitedWindows {
    pub(crate) start_ms: i64,
}

impl UnlimitedWindows {
    /// The window that begins at 0.
    pub fn of() -> Self {
        Self::default()
    }

    /// The window that begins at `start_ms` (≥ 0); records before it are in no window.
    ///
    /// # Panics
    /// When the start is negative.
    pub fn start_on(self, start_ms: i64) -> Self {
        assert!(start_ms >= 0, "a window's start can't be negative");
        Self { start_ms }
    }
}

/// What [`KGroupedStream::windowed_by`](crate::KGroupedStream::windowed_by) takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Windows {
    /// Tumbling or hopping.
    Time(TimeWindows),
    /// Sliding.
    Sliding(SlidingWindows),
    /// One for ever.
    Unlimited(UnlimitedWindows),
}

impl From<TimeWindows> for Windows {
    fn from(windows: TimeWindows) -> Self {
        Self::Time(windows)
    }
}

impl From<SlidingWindows> for Windows {
    fn from(windows: SlidingWindows) -> Self {
        Self::Sliding(windows)
    }
}

impl From<UnlimitedWindows> for Windows {
    fn from(windows: UnlimitedWindows) -> Self {
        Self::Unlimited(windows)
    }
}

/// Windows that come to an end, so that there is a final result to emit.
pub trait Closes: Into<Windows> {}

impl Closes for TimeWindows {}
impl Closes for SlidingWindows {}

/// When the result of a window is emitted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum EmitStrategy {
    /// With every record, however late it is (within the grace).
    #[default]
    OnWindowUpdate,
    /// Once, when stream time has passed the window's end plus grace (KIP-825). A record of any key brings all closed
    /// windows out, in the order of their start (sessions: their end); results have its headers.
    ///
    /// No closed window is ever lost, whatever its store's retention. A late record may connect an open session with
    /// one that is closed but retained: their common result comes out later, beside the one of the closed session.
    OnWindowClose,
}
