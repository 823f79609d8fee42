//! What becomes of a record or timer that a node can't process.
//!
//! Invariant: when these run, everything the record did is undone already.

use std::convert::Infallible;
use std::sync::Arc;

use super::{Task, TaskError, TaskId, dead_letter};
use crate::context::TaskContext;
use crate::failure::{BoxError, ErrorPolicy, FailureKind};
use crate::graph::{Graph, NodeId};
use crate::headers::NO_HEADERS;
use crate::ops::PendingCall;
use crate::source::RawRecord;

impl Task {
    /// Follows the policy of the node that can't process the head record of a source; `exception` is the kind of failure.
    pub(super) fn give_up(
        &mut self,
        node: NodeId,
        source: usize,
        exception: &str,
        cause: BoxError,
    ) -> Result<(), TaskError> {
        let topology = self.topology.clone();
        let source = &self.sources[source];
        let Some(record) = source.buffer.front() else { return Ok(()) };
        let failing = &topology.graph().nodes[node.0];
        match failing.policy {
            ErrorPolicy::Fail => {
                return Err(TaskError::Record {
                    node: Arc::clone(&failing.name),
                    topic: Arc::clone(&source.topic),
                    partition: self.id.partition,
                    offset: record.offset,
                    cause,
                });
            }
            ErrorPolicy::Skip => self.ctx.dropped.skipped += 1,
            ErrorPolicy::DeadLetter => {
                let place = (&*source.topic, record.offset);
                bury(
                    &mut self.ctx,
                    self.dead_letters,
                    self.id,
                    topology.graph(),
                    node,
                    record.raw(),
                    place,
                    exception,
                    &cause,
                );
            }
        }
        Ok(())
    }

    /// As [`Self::give_up`], of the node that can't handle its timer or punctuation.
    pub(super) fn give_up_timer(
        &mut self,
        due: i64,
        key: &[u8],
        failure: FailureKind,
    ) -> Result<(), TaskError> {
        let (node, cause) = failure.of_node()?;
        let topology = self.topology.clone();
        let failing = &topology.graph().nodes[node.0];
        match failing.policy {
            ErrorPolicy::Fail => {
                let (node, partition) = (Arc::clone(&failing.name), self.id.partition);
                return Err(TaskError::Timer { node, partition, due, cause });
            }
            ErrorPolicy::Skip => self.ctx.dropped.skipped += 1,
            ErrorPolicy::DeadLetter => {
                let headers = &NO_HEADERS;
                let raw =
                    RawRecord { key: Some(key), value: None, timestamp: self.ctx.now_ms, headers };
                bury(
                    &mut self.ctx,
                    self.dead_letters,
                    self.id,
                    topology.graph(),
                    node,
                    raw,
                    ("timer", due),
                    "timer",
                    &cause,
                );
            }
        }
        Ok(())
    }

    /// As [`Self::give_up`], of the node that can't go on with the outcome of a call.
    pub(super) fn give_up_pending(
        &mut self,
        call: &PendingCall<'_>,
        node: NodeId,
        cause: BoxError,
    ) -> Result<(), TaskError> {
        let topology = self.topology.clone();
        let failing = &topology.graph().nodes[node.0];
        match failing.policy {
            ErrorPolicy::Fail => {
                let (node, partition) = (Arc::clone(&failing.name), self.id.partition);
                return Err(TaskError::Call { node, partition, call: call.id.into(), cause });
            }
            ErrorPolicy::Skip => self.ctx.dropped.skipped += 1,
            ErrorPolicy::DeadLetter => {
                let raw = RawRecord {
                    key: Some(call.key),
                    value: Some(call.request),
                    timestamp: call.timestamp,
                    headers: &call.headers,
                };
                bury(
                    &mut self.ctx,
                    self.dead_letters,
                    self.id,
                    topology.graph(),
                    node,
                    raw,
                    ("call", i64::from(call.attempt)),
                    "call",
                    &cause,
                );
            }
        }
        Ok(())
    }
}

/// Emits a dead letter.
#[expect(clippy::too_many_arguments, reason = "the coordinates of a failure, passed once")]
fn bury(
    ctx: &mut TaskContext,
    topic: u32,
    id: TaskId,
    graph: &Graph,
    node: NodeId,
    raw: RawRecord<'_>,
    (source, offset): (&str, i64),
    exception: &str,
    cause: &BoxError,
) {
    let application = &graph.application_id;
    let node = &graph.nodes[node.0].name;
    let cause = dead_letter::Cause {
        application,
        node,
        topic: source,
        partition: id.partition,
        offset,
        timestamp: raw.timestamp,
        exception,
        message: cause,
    };
    let headers = dead_letter::headers(raw.headers, &cause);
    let write = |bytes: Option<&[u8]>, out: &mut Vec<u8>| -> Result<bool, Infallible> {
        out.extend_from_slice(bytes.unwrap_or_default());
        Ok(bytes.is_some())
    };
    let Ok(()) = ctx.outputs.add(
        topic,
        // Its burial, not its birth: retention must not take an old record's letter at once.
        ctx.now_ms,
        &headers,
        |out| write(raw.key, out),
        |out| write(raw.value, out),
    );
    ctx.dropped.dead_letters += 1;
}
