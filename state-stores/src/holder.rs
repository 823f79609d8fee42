//! Who has a store of one partition: a task, a standby, or nobody.
//!
//! Invariant: a number is given once, so one that was taken away is never mistaken for the present one.

/// Who has a shelf. A task's may not be taken away, a standby's may, by a task.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Holder(pub(crate) u64);

impl Holder {
    pub(crate) const NOBODY: u64 = 0;

    /// `number` counts from 1 and is used once.
    pub(crate) fn task(number: u64) -> Self {
        Self(number << 1)
    }

    /// As [`Self::task`].
    pub(crate) fn standby(number: u64) -> Self {
        Self(number << 1 | 1)
    }

    pub(crate) fn is_standby(self) -> bool {
        self.0 & 1 == 1
    }
}
