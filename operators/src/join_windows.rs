//! Join windows: how far apart in time two records may be to be joined.

/// A record at t joins records of the other stream in `t - before ..= t + after`, as seen from the left one. All times
/// in milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct JoinWindows {
    pub(crate) before_ms: i64,
    pub(crate) after_ms: i64,
    pub(crate) grace_ms: i64,
    pub(crate) emit_interval_ms: i64,
}

impl JoinWindows {
    /// Records at most `ms` (≥ 0) apart, whichever is first. No grace.
    ///
    /// # Panics
    /// When the difference is negative.
    pub fn of_time_difference(ms: i64) -> Self {
        assert!(ms >= 0, "a join window's time difference can't be negative");
        Self { before_ms: ms, after_ms: ms, grace_ms: 0, emit_interval_ms: 0 }
    }

    /// A right record may be up to `ms` earlier than the left one; negative: it must be later by that much.
    ///
    /// # Panics
    /// When the window ends before it begins.
    pub fn before(self, ms: i64) -> Self {
        Self { before_ms: ms, ..self }.checked()
    }

    /// A right record may be up to `ms` later than the left one; negative: it must be earlier by that much.
    ///
    /// # Panics
    /// When the window ends before it begins.
    pub fn after(self, ms: i64) -> Self {
        Self { after_ms: ms, ..self }.checked()
    }

    /// Records that come late are waited for `ms` (≥ 0) of stream time more: so much longer rows are kept, and so much
    /// later left and outer joins give up on a match.
    ///
    /// # Panics
    /// When the grace is negative.
    pub fn grace(self, ms: i64) -> Self {
        assert!(ms >= 0, "a join window's grace can't be negative");
        Self { grace_ms: ms, ..self }
    }

    /// Left and outer joins look for records without a match at most every `ms` (≥ 0) of the task's clock; 0, unless
    /// set: whenever stream time moves. Kafka Streams has 1000 as an internal setting.
    ///
    /// # Panics
    /// When the interval is negative.
    pub fn emit_interval(self, ms: i64) -> Self {
        assert!(ms >= 0, "a join window's emit interval can't be negative");
        Self { emit_interval_ms: ms, ..self }
    }

    fn checked(self) -> Self {
        assert!(
            self.before_ms.saturating_add(self.after_ms) >= 0,
            "a join window can't end before it begins"
        );
        self
    }

    /// How long rows are kept, in the store's time.
    pub(crate) fn retention_ms(&self) -> i64 {
        self.before_ms.saturating_add(self.after_ms).saturating_add(self.grace_ms).max(1)
    }
}

/// Which stream of a join.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    Left,
    Right,
}

impl Side {
    pub(crate) fn other(self) -> Self {
        match self {
            Self::Left => Self::Right,
            Self::Right => Self::Left,
        }
    }

    /// How far ahead of a record of this side its matches may be.
    pub(crate) fn lookahead(self, windows: &JoinWindows) -> i64 {
        match self {
            Self::Left => windows.after_ms,
            Self::Right => windows.before_ms,
        }
    }

    /// The times of the other side's records that match one of this side.
    pub(crate) fn matches(
        self,
        windows: &JoinWindows,
        timestamp: i64,
    ) -> std::ops::RangeInclusive<i64> {
        let back = self.other().lookahead(windows);
        let first = timestamp.saturating_sub(back).max(0);
        first..=timestamp.saturating_add(self.lookahead(windows)).max(0)
    }
}
