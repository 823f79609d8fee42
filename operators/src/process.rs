//! What a node of a running task is: something that takes records.
//!
//! Invariant: `process` does no I/O and reads no clock. What it does depends
//! only on the record, the task's stores and the task's times.

use std::sync::{Arc, Mutex, PoisonError};

use state_stores::StoreError;

use crate::calls::CallError;
use crate::context::TaskContext;
use crate::failure::Failure;
use crate::record::Record;

/// One step of the flow: takes a record, hands on zero or more.
pub(crate) trait Process<K: ?Sized, V: ?Sized>: Send {
    fn process(&mut self, record: Record<'_, K, V>, ctx: &mut TaskContext) -> Result<(), Failure>;
}

/// The way to what comes next: one virtual call.
pub(crate) type Edge<K, V> = Box<dyn Process<K, V>>;

/// What a timer wakes.
pub(crate) trait TimerHandler: Send {
    /// `key` is what the timer was set with.
    fn on_timer(&mut self, key: &[u8], due: i64, ctx: &mut TaskContext) -> Result<(), Failure>;

    /// [`Self::on_timer`] failed and was undone; the timer goes all the same. Whoever keeps due
    /// times of its own forgets this one.
    fn on_lost_timer(
        &mut self,
        _key: &[u8],
        _due: i64,
        _ctx: &mut TaskContext,
    ) -> Result<(), StoreError> {
        Ok(())
    }
}

/// What the outcome of a call wakes.
pub(crate) trait ReplyHandler: Send {
    /// `number` is the pending call's. Nothing happens if it is pending no more.
    fn on_reply(
        &mut self,
        number: u64,
        result: &Result<Vec<u8>, CallError>,
        ctx: &mut TaskContext,
    ) -> Result<(), Failure>;
}

/// The end of a branch that nothing listens to.
pub(crate) struct Nowhere;

impl<K: ?Sized, V: ?Sized> Process<K, V> for Nowhere {
    fn process(&mut self, _: Record<'_, K, V>, _: &mut TaskContext) -> Result<(), Failure> {
        Ok(())
    }
}

/// Several children, served in the order they were declared.
pub(crate) struct FanOut<K: ?Sized, V: ?Sized>(pub(crate) Vec<Edge<K, V>>);

impl<K: ?Sized, V: ?Sized> Process<K, V> for FanOut<K, V> {
    fn process(&mut self, record: Record<'_, K, V>, ctx: &mut TaskContext) -> Result<(), Failure> {
        self.0.iter_mut().try_for_each(|child| child.process(record, ctx))
    }
}

/// Counts what comes to a node (`TaskContext::passed`): a plain addition, no call more.
pub(crate) struct Counted<N> {
    pub(crate) place: usize,
    pub(crate) node: N,
}

impl<K: ?Sized, V: ?Sized, N: Process<K, V>> Process<K, V> for Counted<N> {
    fn process(&mut self, record: Record<'_, K, V>, ctx: &mut TaskContext) -> Result<(), Failure> {
        ctx.pass(self.place);
        self.node.process(record, ctx)
    }
}

/// A node that more than one place reaches: two parents (merge), or a timer.
///
/// The lock is never contended (a task is run by one thread) and never
/// re-entered (the graph of one sub-topology has no cycles).
pub(crate) struct Shared<N: ?Sized>(pub(crate) Arc<Mutex<N>>);

impl<N> Shared<N> {
    pub(crate) fn new(node: N) -> Self {
        Self(Arc::new(Mutex::new(node)))
    }
}

impl<N: ?Sized> Clone for Shared<N> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<K: ?Sized, V: ?Sized, N: Process<K, V> + ?Sized> Process<K, V> for Shared<N> {
    fn process(&mut self, record: Record<'_, K, V>, ctx: &mut TaskContext) -> Result<(), Failure> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).process(record, ctx)
    }
}

impl<K: ?Sized, V: ?Sized> Process<K, V> for Edge<K, V> {
    fn process(&mut self, record: Record<'_, K, V>, ctx: &mut TaskContext) -> Result<(), Failure> {
        (**self).process(record, ctx)
    }
}

impl<N: ReplyHandler> ReplyHandler for Shared<N> {
    fn on_reply(
        &mut self,
        number: u64,
        result: &Result<Vec<u8>, CallError>,
        ctx: &mut TaskContext,
    ) -> Result<(), Failure> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).on_reply(number, result, ctx)
    }
}

impl<N: TimerHandler> TimerHandler for Shared<N> {
    fn on_timer(&mut self, key: &[u8], due: i64, ctx: &mut TaskContext) -> Result<(), Failure> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).on_timer(key, due, ctx)
    }

    fn on_lost_timer(
        &mut self,
        key: &[u8],
        due: i64,
        ctx: &mut TaskContext,
    ) -> Result<(), StoreError> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).on_lost_timer(key, due, ctx)
    }
}
