//! Reader of chosen partitions.
//!
//! Both isolations see the same: a transaction isn't written before it commits.

use std::sync::Arc;
use std::time::Duration;

use super::cursor::Cursors;
use super::faults::Operation;
use super::shared::Shared;
use super::waiter::deadline;
use crate::{ConsumedRecord, LogError, Reader, TopicPartition, Visibility, Waker};

pub(super) struct AssignedReader {
    shared: Arc<Shared>,
    cursors: Cursors,
    visibility: Visibility,
}

impl AssignedReader {
    pub(super) fn new(shared: Arc<Shared>, visibility: Visibility) -> Self {
        Self { shared, cursors: Cursors::new(visibility), visibility }
    }
}

impl Reader for AssignedReader {
    fn assign(&mut self, positions: &[(TopicPartition, i64)]) -> Result<(), LogError> {
        self.shared.alive()?;
        let positions = positions
            .iter()
            .map(|(at, offset)| Ok((self.shared.topics.partition(at)?, *offset)))
            .collect::<Result<Vec<_>, LogError>>()?;
        self.cursors.assign(positions);
        if self.visibility == Visibility::Durable && self.shared.alarm.is_dirty() {
            self.shared.alarm.written(true);
        }
        Ok(())
    }

    fn poll(
        &mut self,
        timeout: Duration,
        max: usize,
        visit: &mut dyn FnMut(ConsumedRecord<'_>),
    ) -> Result<usize, LogError> {
        let fault = self.shared.begin(Operation::Poll)?;
        let until = deadline(timeout);
        loop {
            self.cursors.waiter().clear();
            self.shared.alive()?;
            let visited = self.cursors.visit(self.shared.engine.as_ref(), max, visit)?;
            if visited > 0 || !self.shared.options.background || !self.cursors.waiter().wait(until)
            {
                self.shared.finish(fault)?;
                return Ok(visited);
            }
        }
    }

    fn reached(&self, at: &TopicPartition, end: i64) -> bool {
        self.cursors.reached(at, end)
    }

    fn position(&self, at: &TopicPartition) -> Option<i64> {
        self.cursors.position(at)
    }

    fn waker(&self) -> Waker {
        let waiter = Arc::clone(self.cursors.waiter());
        Arc::new(move || waiter.wake())
    }
}
