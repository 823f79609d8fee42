//! Taking the records of several sources in the order of their times.
//!
//! A source whose buffer is empty may still have an earlier record in the log
//! than the head of another one. Where that matters (table joins), the head
//! waits until the empty sources were read to their ends, and the ends must be
//! read after the head came (KIP-695). One reading counts for all records that
//! are buffered by then. A task with one source, or without a table join, has
//! none of this.

use super::{Ran, SourceSlot};

/// What is known of the sources' ends.
pub(crate) struct InTime {
    /// Per source: the offset of the last record buffered when `ends` were read.
    covered: Vec<i64>,
    /// Per source: the end, as last read.
    ends: Vec<i64>,
}

impl InTime {
    pub(crate) fn new(sources: usize) -> Self {
        Self { covered: vec![-1; sources], ends: vec![0; sources] }
    }

    pub(crate) fn observe(&mut self, sources: &[SourceSlot], ends: &[i64]) {
        self.ends.copy_from_slice(ends);
        for (covered, source) in self.covered.iter_mut().zip(sources) {
            *covered = source.buffer.back().map_or(*covered, |record| record.offset);
        }
    }

    /// What the head of `source` waits for; none: nothing.
    pub(crate) fn waits(
        &self,
        sources: &[SourceSlot],
        positions: &[Option<i64>],
        source: usize,
    ) -> Option<Ran> {
        let head = sources[source].buffer.front()?.offset;
        let mut empty =
            (0..sources.len()).filter(|other| sources[*other].buffer.len() == 0).peekable();
        empty.peek()?;
        if self.covered[source] < head {
            return Some(Ran::NeedsLevel);
        }
        let behind = |other: usize| positions[other].unwrap_or(0) < self.ends[other];
        empty.any(behind).then_some(Ran::Idle)
    }
}
