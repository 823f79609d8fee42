//! One step of a task: which record or timer is next, and how it is run.

use super::{Head, Held, Ran, Task, TaskError};
use crate::context::{Origin, Savepoint};
use crate::failure::{Failure, FailureKind};
use crate::source::SourceFailure;

impl Task {
    /// Chooses by timestamp; at equal timestamps records go before timers.
    pub(super) fn step(&mut self) -> Result<Ran, TaskError> {
        match &self.held {
            Some(Held { waiting: true, .. }) => return Ok(Ran::Held),
            Some(Held { head: Head::Source(source), .. }) => return self.run_record(*source),
            Some(Held { head: Head::Reply, .. }) => return self.run_reply(),
            None => {}
        }
        if self.calls.has_reply() {
            return self.run_reply();
        }
        if self.waits_for_calls() {
            return Ok(Ran::WaitsForCalls);
        }
        if let Some(punctuator) = self.punctuators.due(self.ctx.stream_time) {
            return self.punctuate(punctuator);
        }
        if self.stamps {
            self.stamp_heads()?;
        }
        let head = self.head();
        let timer = self.ctx.timers.earliest(&self.ctx.state)?;
        if let Some((due, queue)) = timer
            && due <= self.ctx.now_ms
            && head.is_none_or(|(timestamp, _)| due < timestamp)
        {
            match &self.ends {
                Some(ends) if ends.read_at_ms >= due => {
                    if self.has_reached(&ends.offsets) {
                        return self.fire(due, queue);
                    }
                }
                _ => return Ok(Ran::NeedsEnds),
            }
        }
        let Some((_, source)) = head else { return Ok(Ran::Idle) };
        let waits = self.in_time.as_ref();
        let waits = waits.and_then(|time| time.waits(&self.sources, &self.positions, source));
        waits.map_or_else(|| self.run_record(source), Ok)
    }

    /// Lets sources that make their own timestamps say those of their next records.
    fn stamp_heads(&mut self) -> Result<(), TaskError> {
        for source in self.sources.iter_mut().filter(|source| source.process.stamps()) {
            if let Some(record) = source.buffer.front_mut()
                && !record.stamped
            {
                record.timestamp = source.process.stamp(record.raw(), &self.ctx)?;
                record.stamped = true;
            }
        }
        Ok(())
    }

    /// Timestamp and source of the buffered record with the lowest timestamp.
    fn head(&self) -> Option<(i64, usize)> {
        let heads = self.sources.iter().enumerate();
        heads.filter_map(|(number, source)| Some((source.buffer.front()?.timestamp, number))).min()
    }

    fn has_reached(&self, ends: &[i64]) -> bool {
        self.positions.iter().zip(ends).all(|(position, end)| position.unwrap_or(0) >= *end)
    }

    /// Undoes what failed. `None`: a gate parks it, and the same is to be done again.
    pub(super) fn undo(&mut self, savepoint: Savepoint, failure: Failure) -> Option<FailureKind> {
        self.ctx.rollback(savepoint);
        match failure.into_kind() {
            FailureKind::Park { arrival, cause } => {
                self.ctx.to_park.push((arrival, cause.into()));
                None
            }
            kind => Some(kind),
        }
    }

    fn run_record(&mut self, number: usize) -> Result<Ran, TaskError> {
        self.ctx.to_park.clear();
        let front = self.sources[number].buffer.front();
        let Some((offset, timestamp)) = front.map(|record| (record.offset, record.timestamp))
        else {
            return Ok(Ran::Idle);
        };
        while let Err(failure) = self.try_record(number) {
            let (savepoint, failure) = *failure;
            let (node, exception, cause) = match failure {
                SourceFailure::Refused { exception, cause } => {
                    self.ctx.rollback(savepoint);
                    (self.sources[number].node, exception, cause)
                }
                SourceFailure::Downstream(failure) => match self.undo(savepoint, failure) {
                    None => continue,
                    Some(FailureKind::Hold { table }) => {
                        self.ctx.settled.push(table);
                        self.held = Some(Held { head: Head::Source(number), waiting: true });
                        return Ok(Ran::NeedsGlobals(self.ctx.settled.clone()));
                    }
                    Some(FailureKind::Topic { name }) => {
                        self.held = Some(Held { head: Head::Source(number), waiting: false });
                        return Ok(Ran::NeedsTopic(name));
                    }
                    Some(kind) => {
                        let (node, cause) = kind.of_node()?;
                        (node, "processing", cause)
                    }
                },
            };
            self.give_up(node, number, exception, cause)?;
            break;
        }
        self.sources[number].buffer.pop();
        self.ctx.pass(self.sources[number].node.0);
        self.figures.add(timestamp);
        self.positions[number] = Some(offset + 1);
        self.held = None;
        self.ctx.settled.clear();
        self.uncommitted = true;
        Ok(Ran::Record)
    }

    /// Runs the head record of a source; an error comes with the point to go back to.
    fn try_record(&mut self, number: usize) -> Result<(), Box<(Savepoint, SourceFailure)>> {
        let savepoint = self.ctx.savepoint();
        let source = &mut self.sources[number];
        let Some(record) = source.buffer.front() else { return Ok(()) };
        self.ctx.origin = Some(Origin { source: number, offset: record.offset });
        if source.process.moves_time() {
            self.punctuators.observe(record.timestamp, &mut self.ctx);
        }
        let processed = source.process.process(record.raw(), &mut self.ctx);
        processed.map_err(|failure| Box::new((savepoint, failure)))
    }

    fn fire(&mut self, due: i64, queue: usize) -> Result<Ran, TaskError> {
        let mut key = std::mem::take(&mut self.timer_key);
        self.ctx.to_park.clear();
        loop {
            let savepoint = self.ctx.savepoint();
            self.ctx.origin = None;
            self.ctx.timers.take(&mut self.ctx.state, queue, &mut key);
            let handled = self.handlers[queue].on_timer(&key, due, &mut self.ctx);
            let Err(failure) = handled else { break };
            let kind = match self.undo(savepoint, failure) {
                None => continue,
                // All is undone, so the timer is due again.
                Some(FailureKind::Topic { name }) => {
                    self.timer_key = key;
                    return Ok(Ran::NeedsTopic(name));
                }
                Some(kind) => kind,
            };
            self.give_up_timer(due, &key, kind)?;
            self.ctx.timers.cancel(&mut self.ctx.state, queue, due, &key);
            self.handlers[queue].on_lost_timer(&key, due, &mut self.ctx)?;
            break;
        }
        self.timer_key = key;
        self.uncommitted = true;
        Ok(Ran::Timer)
    }

    fn punctuate(&mut self, punctuator: usize) -> Result<Ran, TaskError> {
        self.ctx.to_park.clear();
        loop {
            let savepoint = self.ctx.savepoint();
            self.ctx.origin = None;
            let time = self.punctuators.advance(punctuator, &mut self.ctx);
            let called = self.punctuators.call(punctuator, time, &mut self.ctx);
            let Err(failure) = called else { break };
            let kind = match self.undo(savepoint, failure) {
                None => continue,
                Some(FailureKind::Topic { name }) => return Ok(Ran::NeedsTopic(name)),
                Some(kind) => kind,
            };
            self.give_up_timer(time, &[], kind)?;
            self.punctuators.advance(punctuator, &mut self.ctx);
            break;
        }
        self.uncommitted = true;
        Ok(Ran::Timer)
    }
}
