//! Which of one node's pending calls may start, in memory.
//!
//! Invariant: it knows exactly the committed rows, so nothing of an open transaction can start, and an abort needs no
//! undoing: the task is built anew and reads them again. Of an ordered key only the oldest call is ready or under way,
//! and the next one is ready when the row of that is deleted and committed. An attempt is under way until it ends or is
//! given up, also if a late reply of an earlier one has settled its call: it counts until then.

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
    /// Started; what comes of it isn't known.
    InFlight,
    /// Its outcome is in the task; what follows shows when that is committed.
    Answered,
}

#[derive(Debug)]
struct Entry {
    id: Arc<str>,
    key: Arc<[u8]>,
    attempt: u32,
    not_before: i64,
    accepted: i64,
    stage: Stage,
    /// The present attempt is under way and is given up at this time.
    due: Option<i64>,
    /// Its row is deleted; it is kept for the attempt under way.
    deleted: bool,
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
    /// Under way since an earlier copy of the task and not pending here: another owner got their answers meanwhile. Until
    /// they end nothing starts, or a key or the bound could be exceeded.
    strangers: Vec<CallInFlight>,
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
            strangers: Vec::new(),
        }
    }

    pub(super) fn len(&self) -> usize {
        self.calls.len()
    }

    /// How many rows there are: what is kept for an attempt alone is under way.
    pub(super) fn pending(&self) -> usize {
        let deleted =
            |(_, number): &&(i64, u64)| self.calls.get(number).is_some_and(|it| it.deleted);
        self.calls.len() - self.in_flight.iter().filter(deleted).count()
    }

    /// Attempts that have neither ended nor been given up.
    pub(super) fn in_flight(&self) -> usize {
        self.in_flight.len() + self.strangers.len()
    }

    /// When the oldest pending call was accepted.
    pub(super) fn oldest(&self) -> Option<i64> {
        self.calls.values().find(|it| !it.deleted).map(|it| it.accepted)
    }

    pub(super) fn has(&self, id: &str) -> bool {
        self.by_id.contains_key(id)
    }

    /// A row was committed.
    pub(super) fn put(&mut self, number: u64, row: &PendingCall<'_>) {
        if self.calls.contains_key(&number) {
            self.leave(number, Stage::Behind);
            self.land(number);
            let Some(entry) = self.calls.get_mut(&number) else { return };
            (entry.attempt, entry.not_before) = (row.attempt, row.not_before);
        } else {
            let (id, key): (Arc<str>, Arc<[u8]>) = (row.id.into(), row.key.into());
            self.by_id.insert(Arc::clone(&id), number);
            if self.options.ordered {
                self.by_key.entry(Arc::clone(&key)).or_default().insert(number);
            }
            let entry = Entry {
                id,
                key,
                attempt: row.attempt,
                not_before: row.not_before,
                accepted: row.accepted,
                stage: Stage::Behind,
                due: None,
                deleted: false,
            };
            self.calls.insert(number, entry);
        }
        self.make_ready(number);
    }

    /// A row was deleted and that is committed.
    pub(super) fn delete(&mut self, number: u64) {
        self.leave(number, Stage::Answered);
        if let Some(entry) = self.calls.get_mut(&number) {
            entry.deleted = true;
            self.forget(number);
        }
    }

    /// Its attempt has ended or is given up.
    fn land(&mut self, number: u64) {
        let Some(entry) = self.calls.get_mut(&number) else { return };
        if let Some(due) = entry.due.take() {
            self.in_flight.remove(&(due, number));
        }
        self.forget(number);
    }

    /// Drops a call of which nothing is left, neither row nor attempt.
    fn forget(&mut self, number: u64) {
        let over = |entry: &Entry| entry.deleted && entry.due.is_none();
        if !self.calls.get(&number).is_some_and(over) {
            return;
        }
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
        if std::mem::replace(&mut entry.stage, stage) == Stage::Ready {
            self.ready.remove(&(entry.not_before, number));
        }
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
        self.strangers.retain(|call| call.due_ms > now);
        if !self.strangers.is_empty() || self.in_flight.len() >= self.options.in_flight {
            return None;
        }
        let (_, number) = self.ready.first().copied().filter(|(at, _)| *at <= now)?;
        let due = now.saturating_add(self.options.timeout_ms);
        self.fly(number, due);
        Some((number, due))
    }

    fn fly(&mut self, number: u64, due: i64) {
        self.leave(number, Stage::InFlight);
        if let Some(entry) = self.calls.get_mut(&number) {
            entry.due = Some(due);
            self.in_flight.insert((due, number));
        }
    }

    /// A call that was started by the task before this one goes on.
    pub(super) fn resume(&mut self, call: &CallInFlight) {
        let same = |number: &u64| {
            let entry = self.calls.get(number);
            entry.is_some_and(|it| it.stage == Stage::Ready && it.attempt == call.attempt)
        };
        match self.by_id.get(&call.id).copied().filter(same) {
            Some(number) => self.fly(number, call.due_ms),
            None => self.strangers.push(call.clone()),
        }
    }

    /// The number of a call whose outcome counts: a reply unless there was an outcome already, a failure only of the
    /// present attempt.
    pub(super) fn answer(&mut self, id: &str, attempt: u32, replied: bool) -> Option<u64> {
        self.strangers.retain(|call| (&*call.id, call.attempt) != (id, attempt));
        let number = self.by_id.get(id).copied()?;
        let entry = self.calls.get(&number)?;
        let (present, settled) = (entry.attempt == attempt, entry.stage == Stage::Answered);
        if present {
            self.land(number);
        }
        if settled || !(present || replied) {
            return None;
        }
        self.leave(number, Stage::Answered);
        Some(number)
    }

    /// A call that is overdue; it counts as answered then.
    pub(super) fn overdue(&mut self, now: i64) -> Option<u64> {
        loop {
            let (_, number) = self.in_flight.first().copied().filter(|(due, _)| *due <= now)?;
            let unsettled = self.calls.get(&number).is_some_and(|it| it.stage == Stage::InFlight);
            self.leave(number, Stage::Answered);
            self.land(number);
            if unsettled {
                return Some(number);
            }
        }
    }

    /// When there is something to start or to give up.
    pub(super) fn next(&self) -> Option<i64> {
        let room = self.in_flight.len() < self.options.in_flight;
        let alone = self.strangers.iter().map(|call| call.due_ms).max().unwrap_or(i64::MIN);
        let ready = self.ready.first().filter(|_| room).map(|(at, _)| (*at).max(alone));
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
        let (accepted, timestamp) = (not_before, 0);
        PendingCall { attempt, not_before, accepted, timestamp, id, key, headers, request }
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
        assert_eq!(queue.answer("a", 1, true), Some(0));
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
    fn an_attempt_counts_until_it_ends_though_a_late_reply_has_settled_its_call() {
        for ended in [true, false] {
            let mut queue = queue(&call().max_in_flight(1), &[("a", "k"), ("b", "k")]);
            assert_eq!((started(&mut queue, 0), queue.overdue(100)), (vec![0], Some(0)));
            queue.put(0, &row("a", "k", 2, 100));
            assert_eq!(started(&mut queue, 100), [0]);
            assert_eq!(queue.answer("a", 1, true), Some(0));
            queue.delete(0);
            assert!(started(&mut queue, 199).is_empty(), "the second attempt is under way");
            assert_eq!((queue.len(), queue.pending(), queue.in_flight()), (2, 1, 1));
            if ended {
                assert_eq!(queue.answer("a", 2, true), None);
                assert_eq!(started(&mut queue, 199), [1]);
            } else {
                assert_eq!((queue.next(), queue.overdue(200)), (Some(200), None));
                assert_eq!(started(&mut queue, 200), [1]);
            }
            assert_eq!(queue.len(), 1);
        }
    }

    #[test]
    fn a_call_under_way_is_not_started_again() {
        let flying =
            |attempt| CallInFlight { node: "c".into(), id: "a".into(), attempt, due_ms: 70 };
        let mut first = queue(&call(), &[("a", "k"), ("b", "l")]);
        first.resume(&flying(1));
        assert_eq!(started(&mut first, 0), [1]);
        assert_eq!(first.overdue(70), Some(0));
    }

    #[test]
    fn nothing_starts_beside_a_call_that_another_owner_has_settled() {
        let flying =
            |id: &str| CallInFlight { node: "c".into(), id: id.into(), attempt: 2, due_ms: 70 };
        let rows = [("a", "k"), ("b", "l")];
        for id in ["gone", "a"] {
            let mut waiting = queue(&call(), &rows);
            waiting.resume(&flying(id));
            assert_eq!((waiting.next(), started(&mut waiting, 69)), (Some(70), vec![]), "{id}");
            assert_eq!(started(&mut waiting, 70), [0, 1], "{id} is given up");
            let mut answered = queue(&call(), &rows);
            answered.resume(&flying(id));
            answered.answer(id, 2, false);
            assert_eq!(started(&mut answered, 0), [0, 1], "{id} has ended");
        }
    }
}
