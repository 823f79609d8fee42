//! The task's side of calls to services: what may start, and what their outcomes do.
//!
//! Invariant: an outcome enters the task as a record of its own: what it does is undone as a whole if it fails, and
//! becomes visible with the transaction that deletes the pending row.

use std::collections::VecDeque;
use std::ops::ControlFlow;
use std::sync::Arc;

use state_stores::{Direction, StoreError, TaskState};

use super::call_queue::CallQueue;
use super::{Head, Held, Ran, Task, TaskError, WaitingCalls};
use crate::assembly::CallNode;
use crate::calls::{Call, CallError, CallInFlight};
use crate::context::TaskContext;
use crate::failure::{BoxError, FailureKind};
use crate::ops::{PendingCall, PendingCalls, damaged_call, number_of_call};
use crate::process::ReplyHandler;

struct CallSlot {
    name: Arc<str>,
    pending: PendingCalls,
    queue: CallQueue,
    handler: Box<dyn ReplyHandler>,
}

/// An outcome that the task hasn't taken yet.
pub(super) struct Reply {
    slot: usize,
    number: u64,
    result: Result<Vec<u8>, CallError>,
}

/// An outcome as the service gave it.
struct Outcome {
    node: Arc<str>,
    id: Arc<str>,
    attempt: u32,
    result: Result<Vec<u8>, CallError>,
}

/// The calls of one task.
#[derive(Default)]
pub(super) struct Calls {
    slots: Vec<CallSlot>,
    replies: VecDeque<Reply>,
    /// Under way since before the task was built.
    resumed: Vec<CallInFlight>,
    /// Outcomes that came before the pending rows were read.
    early: Vec<Outcome>,
    loaded: bool,
}

impl Calls {
    pub(super) fn new(nodes: Vec<CallNode>, names: impl Fn(&CallNode) -> Arc<str>) -> Self {
        let slot = |(place, node): (usize, CallNode)| CallSlot {
            name: names(&node),
            pending: PendingCalls { store: node.store, place },
            queue: CallQueue::new(node.options),
            handler: node.handler,
        };
        Self { slots: nodes.into_iter().enumerate().map(slot).collect(), ..Self::default() }
    }

    /// The first time: reads the pending rows, all of which are committed then.
    pub(super) fn load(&mut self, ctx: &mut TaskContext) -> Result<(), StoreError> {
        if std::mem::replace(&mut self.loaded, true) {
            return Ok(());
        }
        for slot in &mut self.slots {
            let (queue, mut broken) = (&mut slot.queue, false);
            let mut visit = |key: &[u8], row: &[u8]| {
                if let Some(number) = number_of_call(key) {
                    match PendingCall::read(row) {
                        Some(row) => queue.put(number, &row),
                        None => broken = true,
                    }
                }
                ControlFlow::Continue(())
            };
            ctx.state.scan(slot.pending.store, &[], None, Direction::Forward, &mut visit)?;
            if broken {
                return Err(damaged_call(&slot.name));
            }
            ctx.pending[slot.pending.place].set(slot.queue.len());
        }
        for call in std::mem::take(&mut self.resumed) {
            if let Some(slot) = self.slots.iter_mut().find(|slot| slot.name == call.node) {
                slot.queue.resume(&call);
            }
        }
        std::mem::take(&mut self.early).into_iter().for_each(|outcome| self.answer(outcome));
        Ok(())
    }

    fn answer(&mut self, outcome: Outcome) {
        if !self.loaded {
            self.early.push(outcome);
            return;
        }
        let Outcome { node, id, attempt, result } = outcome;
        let slots = self.slots.iter_mut().enumerate();
        let Some((place, slot)) = slots.into_iter().find(|(_, slot)| slot.name == node) else {
            return;
        };
        if let Some(number) = slot.queue.answer(&id, attempt, result.is_ok()) {
            self.replies.push_back(Reply { slot: place, number, result });
        }
    }

    /// What the open transaction did to the pending rows is committed. Before the state is applied.
    pub(super) fn committed(&mut self, state: &TaskState) {
        for slot in &mut self.slots {
            let queue = &mut slot.queue;
            state.dirty_of(slot.pending.store, |key, row| {
                let Some(number) = number_of_call(key) else { return };
                match row.map(PendingCall::read) {
                    Some(Some(row)) => queue.put(number, &row),
                    Some(None) => {}
                    None => queue.delete(number),
                }
            });
        }
    }

    /// Attempts that took too long have failed.
    pub(super) fn expire(&mut self, now_ms: i64) {
        for (place, slot) in self.slots.iter_mut().enumerate() {
            while let Some(number) = slot.queue.overdue(now_ms) {
                let timeout_ms = slot.queue.timeout_ms();
                let result = Err(CallError::Failed(format!("no answer within {timeout_ms} ms")));
                self.replies.push_back(Reply { slot: place, number, result });
            }
        }
    }

    /// Pending calls by node, as committed.
    pub(super) fn waiting(&self) -> impl Iterator<Item = WaitingCalls> {
        self.slots.iter().map(|slot| WaitingCalls {
            node: Arc::clone(&slot.name),
            pending: slot.queue.pending(),
            in_flight: slot.queue.in_flight(),
            oldest_ms: slot.queue.oldest(),
        })
    }

    pub(super) fn has_reply(&self) -> bool {
        !self.replies.is_empty()
    }
}

impl Task {
    /// The calls that may start now: their rows are committed, nothing older of their key is pending, and the bound isn't
    /// reached. They count as started; each must be made, and its outcome handed to [`Self::answer`]. Empty before the
    /// first [`Self::run_once`].
    pub fn start_calls(&mut self, now_ms: i64) -> Result<Vec<Call>, StoreError> {
        let (mut started, mut row) = (Vec::new(), Vec::new());
        for slot in &mut self.calls.slots {
            while let Some((number, due_ms)) = slot.queue.start(now_ms) {
                if !slot.pending.read(number, &self.ctx, &mut row)? {
                    continue;
                }
                let call = PendingCall::read(&row).ok_or_else(|| damaged_call(&slot.name))?;
                started.push(Call {
                    node: Arc::clone(&slot.name),
                    id: call.id.into(),
                    attempt: call.attempt,
                    key: call.key.to_vec(),
                    request: call.request.to_vec(),
                    due_ms,
                    timeout_ms: slot.queue.timeout_ms(),
                });
            }
        }
        Ok(started)
    }

    /// The outcome of a call, taken by the next [`Self::run_once`]. One that is known already, that belongs to an older
    /// attempt and is a failure, or whose call isn't pending here, is dropped.
    pub fn answer(
        &mut self,
        node: &str,
        id: &str,
        attempt: u32,
        result: Result<Vec<u8>, CallError>,
    ) {
        let (node, id) = (node.into(), id.into());
        self.calls.answer(Outcome { node, id, attempt, result });
    }

    /// Calls that an earlier copy of this task started and that are still under way: they aren't started again, and
    /// their answers are taken. Before the first [`Self::run_once`].
    pub fn resume_calls(&mut self, calls: impl IntoIterator<Item = CallInFlight>) {
        self.calls.resumed.extend(calls);
    }

    /// When [`Self::start_calls`] or, for an attempt that is overdue, [`Self::run_once`] has something to do (ms since
    /// 1970); a time that is past: now.
    pub fn next_call(&self) -> Option<i64> {
        self.calls.slots.iter().filter_map(|slot| slot.queue.next()).min()
    }

    /// Whether this call of a node is pending, as committed.
    pub fn has_call(&self, node: &str, id: &str) -> bool {
        self.calls.slots.iter().any(|slot| &*slot.name == node && slot.queue.has(id))
    }

    /// True while a node has as many pending calls as it may: nothing but answers is taken.
    pub fn waits_for_calls(&self) -> bool {
        self.ctx.pending.iter().any(|pending| pending.full())
    }

    /// Takes the oldest outcome.
    pub(super) fn run_reply(&mut self) -> Result<Ran, TaskError> {
        let Some(reply) = self.calls.replies.pop_front() else { return Ok(Ran::Idle) };
        self.ctx.to_park.clear();
        loop {
            let savepoint = self.ctx.savepoint();
            self.ctx.origin = None;
            let handler = &mut self.calls.slots[reply.slot].handler;
            let taken = handler.on_reply(reply.number, &reply.result, &mut self.ctx);
            let Err(failure) = taken else { break };
            match self.undo(savepoint, failure) {
                None => {}
                Some(FailureKind::Hold { table }) => {
                    self.calls.replies.push_front(reply);
                    self.ctx.settled.push(table);
                    self.held = Some(Held { head: Head::Reply, waiting: true });
                    return Ok(Ran::NeedsGlobals(self.ctx.settled.clone()));
                }
                Some(FailureKind::Topic { name }) => {
                    self.calls.replies.push_front(reply);
                    self.held = Some(Held { head: Head::Reply, waiting: false });
                    return Ok(Ran::NeedsTopic(name));
                }
                Some(kind) => {
                    let (node, cause) = kind.of_node()?;
                    self.give_up_call(&reply, node, cause)?;
                    break;
                }
            }
        }
        self.held = None;
        self.ctx.settled.clear();
        self.uncommitted = true;
        Ok(Ran::Record)
    }

    /// Follows the policy of the node that can't go on with a call's outcome; the call is over then.
    fn give_up_call(
        &mut self,
        reply: &Reply,
        node: crate::graph::NodeId,
        cause: BoxError,
    ) -> Result<(), TaskError> {
        let slot = &self.calls.slots[reply.slot];
        let (pending, name) = (slot.pending, Arc::clone(&slot.name));
        let mut row = Vec::new();
        if !pending.read(reply.number, &self.ctx, &mut row)? {
            return Ok(());
        }
        let call = PendingCall::read(&row).ok_or_else(|| damaged_call(&name))?;
        self.give_up_pending(&call, node, cause)?;
        pending.remove(reply.number, &mut self.ctx);
        Ok(())
    }
}
