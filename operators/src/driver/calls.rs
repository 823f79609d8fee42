//! The part of the services in a test: calls that were started, and the answers the test gives.
//!
//! Invariant: like the runtime, the driver starts what a task says may start, and remembers what is under way when
//! tasks are built anew; a restart forgets it.

use std::sync::Arc;

use super::TopologyTestDriver;
use super::core::Core;
use super::topics;
use crate::calls::{AsyncCall, Call, CallError};
use crate::task::TaskError;
use crate::topology::TaskId;

/// A call that waits for its answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TestCall<Q> {
    /// [`Call::id`]
    pub id: Arc<str>,
    /// [`Call::attempt`]
    pub attempt: u32,
    /// What was asked.
    pub request: Q,
}

impl Core {
    /// Starts what may start.
    pub(super) fn start_calls(&mut self) -> Result<(), TaskError> {
        let now_ms = self.now_ms;
        self.in_flight.retain(|(_, call)| call.due_ms > now_ms);
        for (id, running) in &mut self.tasks {
            for call in running.task.start_calls(self.now_ms)? {
                // A new attempt: the one before was given up.
                self.in_flight
                    .retain(|(_, other)| (&other.node, &other.id) != (&call.node, &call.id));
                self.in_flight.push((*id, call));
            }
        }
        Ok(())
    }

    /// Calls of a task that go on while it is built anew.
    pub(super) fn calls_of(&self, id: TaskId) -> impl Iterator<Item = &Call> {
        self.in_flight.iter().filter(move |(task, _)| *task == id).map(|(_, call)| call)
    }

    fn answer(&mut self, node: &str, id: &str, result: Result<Vec<u8>, CallError>) {
        let found =
            self.in_flight.iter().position(|(_, call)| (&*call.node, &*call.id) == (node, id));
        let attempt = found.map_or(0, |place| self.in_flight.remove(place).1.attempt);
        for running in self.tasks.values_mut() {
            running.task.answer(node, id, attempt, result.clone());
        }
    }
}

impl TopologyTestDriver {
    /// The calls that were started and neither answered nor given up yet, oldest first.
    ///
    /// # Panics
    /// When a request can't be decoded.
    pub fn calls<Q, R>(&self, call: &AsyncCall<Q, R>) -> Vec<TestCall<Q::Owned>>
    where
        Q: ?Sized + ToOwned + 'static,
        R: ?Sized + 'static,
    {
        let core = self.core.borrow();
        let own = core.in_flight.iter().filter(|(_, started)| started.node == *call.name());
        let shown = own.map(|(_, started)| TestCall {
            id: Arc::clone(&started.id),
            attempt: started.attempt,
            request: topics::decode(call.request().decoder(), &started.request),
        });
        shown.collect()
    }

    /// Answers a call in the service's place, and runs the flow to quiet. A reply may come late or twice, as from a real
    /// service.
    ///
    /// # Panics
    /// When the reply can't be encoded.
    pub fn answer<Q, R>(
        &self,
        call: &AsyncCall<Q, R>,
        id: &str,
        reply: Result<&R, CallError>,
    ) -> Result<(), TaskError>
    where
        Q: ?Sized + 'static,
        R: ?Sized + 'static,
    {
        let reply = reply.map(|reply| topics::encode(call.reply().encoder(), reply));
        self.core.borrow_mut().answer(call.name(), id, reply);
        self.run()
    }
}
