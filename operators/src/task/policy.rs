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

/// A failure that a node's policy decides about.
struct Failed<'a> {
    node: NodeId,
    cause: BoxError,
    /// What a dead letter has of it: the record, where it came from, and the kind of failure.
    raw: RawRecord<'a>,
    place: (&'a str, i64),
    exception: &'a str,
}

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
        let (partition, offset) = (self.id.partition, record.offset);
        let (raw, place) = (record.raw(), (&*source.topic, offset));
        let failed = Failed { node, cause, raw, place, exception };
        let letters = (self.dead_letters, self.id);
        follow(&mut self.ctx, letters, topology.graph(), failed, |node, cause| {
            let topic = Arc::clone(&source.topic);
            TaskError::Record { node, topic, partition, offset, cause }
        })
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
        let (timestamp, headers) = (self.ctx.now_ms, &NO_HEADERS);
        let raw = RawRecord { key: Some(key), value: None, timestamp, headers };
        let failed = Failed { node, cause, raw, place: ("timer", due), exception: "timer" };
        let letters = (self.dead_letters, self.id);
        let partition = self.id.partition;
        follow(&mut self.ctx, letters, topology.graph(), failed, |node, cause| TaskError::Timer {
            node,
            partition,
            due,
            cause,
        })
    }

    /// As [`Self::give_up`], of the node that can't go on with the outcome of a call.
    pub(super) fn give_up_pending(
        &mut self,
        call: &PendingCall<'_>,
        node: NodeId,
        cause: BoxError,
    ) -> Result<(), TaskError> {
        let topology = self.topology.clone();
        let raw = RawRecord {
            key: Some(call.key),
            value: Some(call.request),
            timestamp: call.timestamp,
            headers: &call.headers,
        };
        let place = ("call", i64::from(call.attempt));
        let failed = Failed { node, cause, raw, place, exception: "call" };
        let letters = (self.dead_letters, self.id);
        let partition = self.id.partition;
        follow(&mut self.ctx, letters, topology.graph(), failed, |node, cause| TaskError::Call {
            node,
            partition,
            call: call.id.into(),
            cause,
        })
    }
}

/// Does what the node's policy says: the task's end with `error`, nothing, or a dead letter.
fn follow(
    ctx: &mut TaskContext,
    letters: (u32, TaskId),
    graph: &Graph,
    failed: Failed<'_>,
    error: impl FnOnce(Arc<str>, BoxError) -> TaskError,
) -> Result<(), TaskError> {
    let failing = &graph.nodes[failed.node.0];
    match failing.policy {
        ErrorPolicy::Fail => return Err(error(Arc::clone(&failing.name), failed.cause)),
        ErrorPolicy::Skip => ctx.dropped.skipped += 1,
        ErrorPolicy::DeadLetter => bury(ctx, letters, graph, &failed),
    }
    Ok(())
}

/// Emits a dead letter.
fn bury(ctx: &mut TaskContext, (topic, id): (u32, TaskId), graph: &Graph, failed: &Failed<'_>) {
    let Failed { raw, place: (source, offset), exception, .. } = *failed;
    let application = &graph.application_id;
    let node = &graph.nodes[failed.node.0].name;
    let cause = dead_letter::Cause {
        application,
        node,
        topic: source,
        partition: id.partition,
        offset,
        timestamp: raw.timestamp,
        exception,
        message: &dead_letter::Chain(failed.cause.as_ref()),
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
