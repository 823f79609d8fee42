//! Reader of chosen partitions.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::cursor::Cursors;
use super::faults::Operation;
use super::shared::Shared;
use crate::signal::deadline_after;
use crate::{ConsumedRecord, Isolation, LogError, Reader, TopicPartition, Visibility, Waker};

pub(super) struct AssignedReader {
    shared: Arc<Shared>,
    cursors: Cursors,
    visibility: Visibility,
}

impl AssignedReader {
    pub(super) fn new(shared: Arc<Shared>, visibility: Visibility, isolation: Isolation) -> Self {
        Self { shared, cursors: Cursors::new(visibility, isolation), visibility }
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
        let until = deadline_after(timeout);
        let signal = Arc::clone(self.cursors.signal());
        loop {
            let seen = signal.seen();
            self.shared.alive()?;
            let visited = self.cursors.visit(self.shared.engine.as_ref(), max, visit)?;
            let idle = visited == 0 && self.shared.options.background;
            if !idle || signal.take_wake() || Instant::now() >= until {
                self.shared.finish(fault)?;
                return Ok(visited);
            }
            signal.wait(seen, until);
        }
    }

    fn reached(&self, at: &TopicPartition, end: i64) -> bool {
        self.cursors.reached(at, end)
    }

    fn position(&self, at: &TopicPartition) -> Option<i64> {
        self.cursors.position(at)
    }

    fn waker(&self) -> Waker {
        self.cursors.signal().waker()
    }
}
