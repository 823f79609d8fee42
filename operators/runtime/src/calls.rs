//! Making the calls of a topology: handlers, what is under way, answers on their way back.
//!
//! Invariants:
//! * a call starts only when the transaction with its pending row is committed and synced, so there is none for a
//!   transaction that was aborted or that a loss of power took back;
//! * a call under way is known by the worker, not by the task: tasks are built anew, the service doesn't notice. What the
//!   process knows dies with it; the next owner repeats what is pending, under the same ids.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, mpsc};

use log::traits::Waker;
use operators::{AsyncCall, Call, CallError, CallInFlight, Serde, TaskId};

use crate::error::WorkerError;
use crate::waiting::{count_end, count_start};
use crate::worker::{Slot, Worker};

/// A call's outcome on its way back to the worker.
struct Done {
    task: TaskId,
    call: CallInFlight,
    result: Result<Vec<u8>, CallError>,
}

/// The way back of one call.
struct WayBack {
    task: TaskId,
    /// Taken by the outcome.
    call: Option<CallInFlight>,
    sender: mpsc::Sender<Done>,
    waker: Waker,
}

impl WayBack {
    fn send(&mut self, result: Result<Vec<u8>, CallError>) {
        if let Some(call) = self.call.take() {
            // A worker that is gone needs no answer: its successor asks again.
            drop(self.sender.send(Done { task: self.task, call, result }));
            (self.waker)();
        }
    }
}

impl Drop for WayBack {
    fn drop(&mut self) {
        self.send(Err(CallError::Failed("the handler gave no answer".to_owned())));
    }
}

/// Where a handler puts the outcome of one call, from any thread, now or later. Dropped without one, the attempt has
/// failed.
pub struct Completion<R: ?Sized> {
    way_back: WayBack,
    reply: Serde<R>,
}

impl<R: ?Sized + 'static> Completion<R> {
    /// Hands in the outcome and wakes the worker. A reply that can't be encoded rejects the call.
    pub fn complete(mut self, outcome: Result<&R, CallError>) {
        let result = outcome.and_then(|reply| {
            let mut bytes = Vec::new();
            let encoded = self.reply.encoder().encode(reply, &mut bytes);
            encoded.map(|()| bytes).map_err(|error| CallError::Rejected(error.to_string()))
        });
        self.way_back.send(result);
    }
}

impl<R: ?Sized> std::fmt::Debug for Completion<R> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Completion").field("call", &self.way_back.call).finish_non_exhaustive()
    }
}

type Handler = Box<dyn Fn(&Call, WayBack) + Send>;

/// All of a worker's calls.
pub(crate) struct Calls {
    handlers: BTreeMap<Arc<str>, Handler>,
    sender: mpsc::Sender<Done>,
    receiver: mpsc::Receiver<Done>,
    in_flight: BTreeSet<(TaskId, CallInFlight)>,
}

impl Calls {
    pub(crate) fn new() -> Self {
        let (sender, receiver) = mpsc::channel();
        Self { handlers: BTreeMap::new(), sender, receiver, in_flight: BTreeSet::new() }
    }

    /// What is under way for a task, whoever started it in this process.
    pub(crate) fn of(&self, task: TaskId) -> impl Iterator<Item = CallInFlight> {
        let own = self.in_flight.iter().filter(move |(owner, _)| *owner == task);
        own.map(|(_, call)| call.clone())
    }

    fn start(&mut self, application: &str, task: TaskId, call: &Call, waker: &Waker) {
        let Some(handler) = self.handlers.get(&call.node) else { return };
        let in_flight = CallInFlight::from(call);
        if self.in_flight.insert((task, in_flight.clone())) {
            let (sender, waker) = (self.sender.clone(), waker.clone());
            count_start(application, &call.node, call.attempt);
            handler(call, WayBack { task, call: Some(in_flight), sender, waker });
        }
    }
}

impl Worker {
    /// Says who makes the calls of a `map_async`. `handler` is called on the worker's thread and must not block: it hands
    /// the request on (to a task of tokio's, say) and completes the call from there, within [`Call::timeout_ms`]. The
    /// same call may come again: [`Call::id`] tells the service so.
    ///
    /// ```
    /// use operators::{AsyncCall, CallError, I64Be, Utf8};
    /// use operators_runtime::Worker;
    ///
    /// async fn ask(id: &str, order: &str) -> Result<i64, CallError> {
    ///     // An HTTP request with `id` as its Idempotency-Key.
    /// #   Ok(0)
    /// }
    ///
    /// fn make_calls(worker: &mut Worker, tokio: tokio::runtime::Handle) {
    ///     let score = AsyncCall::<str, i64>::new("fraud-score", Utf8, I64Be);
    ///     worker.on_call(&score, move |call, order, completion| {
    ///         let (id, order) = (call.id.clone(), order.to_owned());
    ///         tokio.spawn(async move {
    ///             let score = ask(&id, &order).await;
    ///             completion.complete(score.as_ref().map_err(Clone::clone));
    ///         });
    ///     });
    /// }
    /// ```
    pub fn on_call<Q, R>(
        &mut self,
        call: &AsyncCall<Q, R>,
        handler: impl Fn(&Call, &Q, Completion<R>) + Send + 'static,
    ) where
        Q: ?Sized + 'static,
        R: ?Sized + 'static,
    {
        let (requests, reply) = (call.request().clone(), call.reply().clone());
        let handle = move |call: &Call, mut way_back: WayBack| {
            let mut decoder = requests.decoder();
            match decoder.decode(&call.request) {
                Ok(request) => {
                    handler(call, request, Completion { way_back, reply: reply.clone() })
                }
                Err(error) => way_back.send(Err(CallError::Rejected(error.to_string()))),
            }
        };
        self.calls.handlers.insert(call.name().clone(), Box::new(handle));
    }

    /// Refuses a topology with calls that nobody makes.
    pub(crate) fn check_handlers(&self) -> Result<(), WorkerError> {
        let missing = |node: &&Arc<str>| !self.calls.handlers.contains_key(&***node);
        match self.topology.calls().iter().find(missing) {
            None => Ok(()),
            Some(node) => Err(WorkerError::NoHandler {
                application: self.topology.application_id().to_owned(),
                node: node.to_string(),
            }),
        }
    }

    /// Hands answers to their tasks; those of tasks that went elsewhere are dropped, for their new owner asks again.
    pub(crate) fn take_answers(&mut self) {
        while let Ok(Done { task, call, result }) = self.calls.receiver.try_recv() {
            let (node, id, attempt) = (call.node.clone(), call.id.clone(), call.attempt);
            count_end(self.topology.application_id(), &node, &result);
            self.calls.in_flight.remove(&(task, call));
            if let Some(slot) = self.slots.iter_mut().find(|slot| slot.id == task) {
                slot.task.answer(&node, &id, attempt, result);
            }
        }
    }

    /// Starts what may start.
    pub(crate) fn start_calls(&mut self, now: i64) -> Result<(), WorkerError> {
        let due = |slot: &Slot| {
            slot.stopped.is_none() && slot.task.next_call().is_some_and(|at| at <= now)
        };
        if !self.slots.iter().any(due) {
            return Ok(());
        }
        self.log.sync().map_err(|e| self.log_failed(e))?;
        let Some(waker) = self.waker() else { return Ok(()) };
        for number in 0..self.slots.len() {
            let Some(slot) = self.slots.get_mut(number).filter(|slot| due(slot)) else { continue };
            let (task, started) = (slot.id, slot.task.start_calls(now));
            for call in started.map_err(|e| self.state_failed(e))? {
                self.calls.start(self.topology.application_id(), task, &call, &waker);
            }
        }
        Ok(())
    }
}
