//! Which of one node's pending calls may start, in memory.
//!
//! Invariant: it knows exactly the committed rows, so nothing of an open transaction can start, and an abort needs no
//! undoing: the task is built anew and reads them again. Of an ordered key only the oldest call is ready or under way,
//! and the next one is ready when the row of that is deleted and committed.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use crate::calls::{CallInFlight, CallOptions};
use crate::ops::PendingCall;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// Behind an older call of its key.
    Behind,
    /// May start at its time.
    Ready,
    /// Given up at this time.
    InFlight { due: i64 },
    /// Its outcome is in the task; what follows shows when that is committed.
    Answered,
}

#[derive(Debug)]
struct Entry {
    id: Arc<str>,
    key: Arc<[u8]>,
    attempt: u32,
    not_before: i64,
    stage: Stage,
}

/// See the module page.
#[derive(Debug)]
pub(super) struct CallQueue {
    options: CallOptions,
    calls: BTreeMap<u64, Entry>,
    by_id: HashMap<Arc<str>, u64>,
    /// Numbers of the calls of each key; empty if the order doesn't matter.
    by_key: HashMap<Arc<[u8]>, BTreeSet<u64>>,
    ready: BTreeSet<(i64, u64)>,
    in_flight: BTreeSet<(i64, u64)>,
}

impl CallQueue {
    pub(super) fn new(options: CallOptions) -> Self {
        Self {
            options,
            calls: BTreeMap::new(),
            by_id: HashMap::new(),
            by_key: HashMap::new(),
            ready: BTreeSet::new(),
            in_flight: BTreeSet::new(),
        }
    }

    pub(super) fn len(&self) -> usize {
        self.calls.len()
    }

    /// A row was committed.
    pub(super) fn put(&mut self, number: u64, row: &PendingCall<'_>) {
        if self.calls.contains_key(&number) {
            self.leave(number, Stage::Behind);
            let Some(entry) = self.calls.get_mut(&number) else { return };
            (entry.attempt, entry.not_before) = (row.attempt, row.not_before);
        } else {
            let (id, key): (Arc<str>, Arc<[u8]>) = (row.id.into(), row.key.into());
            self.by_id.insert(Arc::clone(&id), number);
            if self.options.ordered {
                self.by_key.entry(Arc::clone(&key)).or_default().insert(number);
            }
            let (attempt, not_before) = (row.attempt, row.not_before);
            let entry = Entry { id, key, attempt, not_before, stage: Stage::Behind };
            self.calls.insert(number, entry);
        }
        self.make_ready(number);
    }

    /// A row was deleted and that is committed.
    pub(super) fn delete(&mut self, number: u64) {
        self.leave(number, Stage::Answered);
        let Some(entry) = self.calls.remove(&number) else { return };
        self.by_id.remove(&entry.id);
        let Some(same_key) = self.by_key.get_mut(&entry.key) else { return };
        same_key.remove(&number);
        match same_key.first().copied() {
            Some(next) => self.make_ready(next),
            None => {
                self.by_key.remove(&entry.key);
            }
        }
    }

    /// Takes it out of the order of its present stage.
    fn leave(&mut self, number: u64, stage: Stage) {
        let Some(entry) = self.calls.get_mut(&number) else { return };
        match std::mem::replace(&mut entry.stage, stage) {
            Stage::Ready => self.ready.remove(&(entry.not_before, number)),
            Stage::InFlight { due } => self.in_flight.remove(&(due, number)),
            Stage::Behind | Stage::Answered => false,
        };
    }

    /// If nothing older of its key is in the way.
    fn make_ready(&mut self, number: u64) {
        let Some(entry) = self.calls.get_mut(&number) else { return };
        let first = self.by_key.get(&entry.key).and_then(BTreeSet::first);
        if entry.stage == Stage::Behind && first.is_none_or(|first| *first == number) {
            entry.stage = Stage::Ready;
            self.ready.insert((entry.not_before, number));
        }
    }

    /// The next call that may start at `now`, as started: number and when it is given up.
    pub(super) fn start(&mut self, now: i64) -> Option<(u64, i64)> {
        if self.in_flight.len() >= self.options.in_flight {
            return None;
        }
        let (_, number) = self.ready.first().copied().filter(|(at, _)| *at <= now)?;
        let due = now.saturating_add(self.options.timeout_ms);
        self.fly(number, due);
        Some((number, due))
    }

    fn fly(&mut self, number: u64, due: i64) {
        self.leave(number, Stage::InFlight { due });
        self.in_flight.insert((due, number));
    }

    /// A call that was started by the task before this one goes on.
    pub(super) fn resume(&mut self, call: &CallInFlight) {
        let Some(number) = self.by_id.get(&call.id).copied() else { return };
        let same = |entry: &Entry| entry.stage == Stage::Ready && entry.attempt == call.attempt;
        if self.calls.get(&number).is_some_and(same) {
            self.fly(number, call.due_ms);
        }
    }

    /// The number of a call whose outcome counts: a reply unless there was an outcome already, a failure only of the
    /// present attempt.
    pub(super) fn answer(&mut self, id: &str, attempt: u32, replied: bool) -> Option<u64> {
        let number = self.by_id.get(id).copied()?;
        let entry = self.calls.get(&number)?;
        if entry.stage == Stage::Answered || (!replied && entry.attempt != attempt) {
            return None;
        }
        self.leave(number, Stage::Answered);
        Some(number)
    }

    /// A call that is overdue; it counts as answered then.
    pub(super) fn overdue(&mut self, now: i64) -> Option<u64> {
        let (_, number) = self.in_flight.first().copied().filter(|(due, _)| *due <= now)?;
        self.leave(number, Stage::Answered);
        Some(number)
    }

    /// When there is something to start or to give up.
    pub(super) fn next(&self) -> Option<i64> {
        let room = self.in_flight.len() < self.options.in_flight;
        let ready = self.ready.first().filter(|_| room).map(|(at, _)| *at);
        let due = self.in_flight.first().map(|(due, _)| *due);
        [ready, due].into_iter().flatten().min()
    }

    pub(super) fn timeout_ms(&self) -> i64 {
        self.options.timeout_ms
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec::{I64Be, Utf8};
    use crate::{AsyncCall, Headers};

    fn call() -> AsyncCall<str, i64> {
        AsyncCall::new("c", Utf8, I64Be).timeout_ms(100).max_in_flight(2)
    }

    fn row<'a>(id: &'a str, key: &'a str, attempt: u32, not_before: i64) -> PendingCall<'a> {
        let (key, headers, request) = (key.as_bytes(), Headers::new(), &[][..]);
        PendingCall { attempt, not_before, timestamp: 0, id, key, headers, request }
    }

    fn queue(call: &AsyncCall<str, i64>, rows: &[(&str, &str)]) -> CallQueue {
        let mut queue = CallQueue::new(call.options);
        for (number, (id, key)) in (0..).zip(rows) {
            queue.put(number, &row(id, key, 1, i64::MIN));
        }
        queue
    }

    fn started(queue: &mut CallQueue, now: i64) -> Vec<u64> {
        std::iter::from_fn(|| queue.start(now).map(|(number, _)| number)).collect()
    }

    #[test]
    fn the_oldest_of_each_key_starts_and_never_more_than_the_bound() {
        let mut queue = queue(&call(), &[("a", "k"), ("b", "k"), ("c", "l"), ("d", "m")]);
        assert_eq!(started(&mut queue, 0), [0, 2]);
        assert_eq!(queue.answer("c", 1, true), Some(2));
        assert_eq!(started(&mut queue, 0), [3], "one answer, one more");
        assert_eq!(queue.answer("a", 1, true), Some(0));
        assert!(started(&mut queue, 0).is_empty(), "the deletion isn't committed");
        queue.delete(0);
        assert_eq!(started(&mut queue, 0), [1]);
        assert_eq!(queue.answer("a", 1, true), None);
    }

    #[test]
    fn calls_of_one_key_fly_together_if_their_order_does_not_matter() {
        let mut queue = queue(&call().unordered(), &[("a", "k"), ("b", "k"), ("c", "k")]);
        assert_eq!(started(&mut queue, 0), [0, 1]);
        queue.delete(0);
        assert_eq!(started(&mut queue, 0), [2]);
    }

    #[test]
    fn a_failure_counts_for_its_own_attempt_and_a_reply_for_any() {
        let mut queue = queue(&call(), &[("a", "k")]);
        assert_eq!(started(&mut queue, 0), [0]);
        assert_eq!((queue.overdue(99), queue.overdue(100)), (None, Some(0)));
        assert_eq!(queue.answer("a", 1, false), None, "its failure is known");
        queue.put(0, &row("a", "k", 2, 150));
        assert_eq!((queue.next(), started(&mut queue, 149)), (Some(150), vec![]));
        assert_eq!(started(&mut queue, 150), [0]);
        assert_eq!(queue.next(), Some(250), "when it is given up");
        assert_eq!(queue.answer("a", 1, false), None);
        assert_eq!(queue.answer("a", 1, true), Some(0), "late, but an answer");
        assert_eq!(queue.answer("a", 2, true), None);
    }

    #[test]
    fn a_call_under_way_is_not_started_again() {
        let flying =
            |attempt| CallInFlight { node: "c".into(), id: "a".into(), attempt, due_ms: 70 };
        let mut first = queue(&call(), &[("a", "k"), ("b", "l")]);
        first.resume(&flying(1));
        assert_eq!(started(&mut first, 0), [1]);
        assert_eq!(first.overdue(70), Some(0));
        let mut other = queue(&call(), &[("a", "k")]);
        other.resume(&flying(2));
        assert_eq!(started(&mut other, 0), [0], "another attempt");
    }
}
