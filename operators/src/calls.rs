//! Calls to services outside: what a flow, a test and the service's handler agree on.
//!
//! The call itself is not part of the graph. [`KStream::map_async`](crate::KStream::map_async) writes the request into
//! a store; whoever runs the [`Task`](crate::Task) starts what [`Task::start_calls`](crate::Task::start_calls) gives
//! and hands the outcome to [`Task::answer`](crate::Task::answer).

use std::sync::Arc;

use state_stores::Serde;

use crate::topic::IntoSerde;

/// A kind of call: its name, the types of request and reply, its bounds and its retries.
///
/// The name is mandatory: the store of pending calls is named after it. One value of this serves the flow, the test and
/// the handler.
pub struct AsyncCall<Q: ?Sized, R: ?Sized> {
    pub(crate) name: Arc<str>,
    pub(crate) request: Serde<Q>,
    pub(crate) reply: Serde<R>,
    pub(crate) options: CallOptions,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct CallOptions {
    pub(crate) in_flight: usize,
    pub(crate) pending: usize,
    pub(crate) timeout_ms: i64,
    pub(crate) attempts: u32,
    pub(crate) first_delay_ms: i64,
    pub(crate) longest_delay_ms: i64,
    pub(crate) ordered: bool,
}

impl CallOptions {
    /// How long to wait after this attempt (from 1) has failed.
    pub(crate) fn delay_ms(&self, attempt: u32) -> i64 {
        let doubled = 1i64.checked_shl(attempt.saturating_sub(1)).filter(|factor| *factor > 0);
        let delay = self.first_delay_ms.saturating_mul(doubled.unwrap_or(i64::MAX));
        delay.min(self.longest_delay_ms)
    }
}

impl<Q: ?Sized + 'static, R: ?Sized + 'static> AsyncCall<Q, R> {
    /// Per task: 16 calls in flight, 1,000 pending; 30 s for an answer; 5 attempts, 1 s apart, doubling up to 60 s; results
    /// of a key in the order of its records.
    pub fn new(
        name: impl Into<Arc<str>>,
        request: impl IntoSerde<Q>,
        reply: impl IntoSerde<R>,
    ) -> Self {
        let options = CallOptions {
            in_flight: 16,
            pending: 1_000,
            timeout_ms: 30_000,
            attempts: 5,
            first_delay_ms: 1_000,
            longest_delay_ms: 60_000,
            ordered: true,
        };
        Self {
            name: name.into(),
            request: request.into_serde(),
            reply: reply.into_serde(),
            options,
        }
    }

    /// How many calls a task has under way at a time (> 0).
    ///
    /// # Panics
    /// When it is 0.
    pub fn max_in_flight(mut self, calls: usize) -> Self {
        assert!(calls > 0, "a call needs at least one in flight");
        self.options.in_flight = calls;
        self
    }

    /// How many calls a task keeps that are not answered (> 0). With as many the task takes no more records, timers or
    /// punctuations until an answer is committed. It is looked at before a record is taken, so one record that becomes
    /// several calls may go beyond it.
    ///
    /// # Panics
    /// When it is 0.
    pub fn max_pending(mut self, calls: usize) -> Self {
        assert!(calls > 0, "a call needs room for at least one that is pending");
        self.options.pending = calls;
        self
    }

    /// An attempt without an answer has failed after this long (ms, > 0).
    pub fn timeout_ms(mut self, timeout_ms: i64) -> Self {
        self.options.timeout_ms = timeout_ms;
        self
    }

    /// How often a call is tried (≥ 1), and how long after a failure (ms): the first pause, doubled each time, and the
    /// longest. Attempts and times are durable.
    pub fn retry(mut self, attempts: u32, first_delay_ms: i64, longest_delay_ms: i64) -> Self {
        self.options.attempts = attempts.max(1);
        self.options.first_delay_ms = first_delay_ms;
        self.options.longest_delay_ms = longest_delay_ms;
        self
    }

    /// Calls of one key don't wait for each other, and results come in the order of the answers.
    pub fn unordered(mut self) -> Self {
        self.options.ordered = false;
        self
    }

    /// The name in the topology.
    pub fn name(&self) -> &Arc<str> {
        &self.name
    }

    /// The codec of the requests.
    pub fn request(&self) -> &Serde<Q> {
        &self.request
    }

    /// The codec of the replies.
    pub fn reply(&self) -> &Serde<R> {
        &self.reply
    }
}

impl<Q: ?Sized, R: ?Sized> Clone for AsyncCall<Q, R> {
    fn clone(&self) -> Self {
        Self {
            name: Arc::clone(&self.name),
            request: Arc::clone(&self.request),
            reply: Arc::clone(&self.reply),
            options: self.options,
        }
    }
}

impl<Q: ?Sized, R: ?Sized> std::fmt::Debug for AsyncCall<Q, R> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("AsyncCall")
            .field("name", &self.name)
            .field("options", &self.options)
            .finish_non_exhaustive()
    }
}

/// A call that is to be made now. Its pending row is committed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Call {
    /// The [`AsyncCall`]'s name.
    pub node: Arc<str>,
    /// The same for every attempt, also after a crash or on another machine: the idempotency key for the service. Printable
    /// ASCII if the names of application, node and topic are; names where the record was read.
    pub id: Arc<str>,
    /// Counts from 1. A repetition after a crash is no new attempt.
    pub attempt: u32,
    /// The record's key.
    pub key: Vec<u8>,
    /// The request.
    pub request: Vec<u8>,
    /// When the task gives this attempt up (ms since 1970, task clock).
    pub due_ms: i64,
    /// How long the service has (ms).
    pub timeout_ms: i64,
}

/// What is remembered of a call under way, so that a task that is built anew doesn't start it a second time.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct CallInFlight {
    /// [`Call::node`]
    pub node: Arc<str>,
    /// [`Call::id`]
    pub id: Arc<str>,
    /// [`Call::attempt`]
    pub attempt: u32,
    /// [`Call::due_ms`]
    pub due_ms: i64,
}

impl From<&Call> for CallInFlight {
    fn from(call: &Call) -> Self {
        let (node, id) = (Arc::clone(&call.node), Arc::clone(&call.id));
        Self { node, id, attempt: call.attempt, due_ms: call.due_ms }
    }
}

/// Why there is no reply.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CallError {
    /// It may work the next time: tried again while attempts are left.
    #[error("{0}")]
    Failed(String),
    /// It will never work: what the node's [`ErrorPolicy`](crate::ErrorPolicy) says happens at once.
    #[error("{0}")]
    Rejected(String),
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec::{I64Be, Utf8};

    #[test]
    fn pauses_double_up_to_the_longest_and_never_overflow() {
        let call = AsyncCall::<str, i64>::new("c", Utf8, I64Be).retry(9, 100, 1_000);
        let pauses = [1, 2, 3, 4, 5, 60, 63, 64, 65, u32::MAX].map(|n| call.options.delay_ms(n));
        assert_eq!(pauses[..5], [100, 200, 400, 800, 1_000]);
        assert!(pauses[5..].iter().all(|pause| *pause == 1_000), "{pauses:?}");
    }
}
