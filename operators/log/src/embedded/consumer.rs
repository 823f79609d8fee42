//! A member of a group: events from the coordinator, records from the cursors.
//!
//! Invariant: cursors exist only between `ack_assign` and the next event, so no
//! record arrives between an event and its answer.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use super::cursor::Cursors;
use super::doubled::Doubled;
use super::faults::{Fault, Operation};
use super::group::Pulse;
use super::shared::Shared;
use crate::signal::deadline_after;
use crate::{
    ConsumedRecord, GroupConsumer, GroupMetadata, GroupOptions, Isolation, LogError, Polled,
    TopicPartition, Visibility, Waker,
};

pub(super) struct Consumer {
    shared: Arc<Shared>,
    options: GroupOptions,
    member: Option<String>,
    pulse: Arc<Pulse>,
    cursors: Cursors,
    doubled: Doubled,
    /// Unsubscribed without being a member: its empty revoke, not answered yet.
    empty_revoke: EmptyRevoke,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum EmptyRevoke {
    No,
    Due,
    Asked,
}

impl Consumer {
    pub(super) fn new(shared: Arc<Shared>, options: GroupOptions) -> Self {
        Self {
            shared,
            options,
            member: None,
            pulse: Arc::default(),
            cursors: Cursors::new(Visibility::Written, Isolation::ReadCommitted),
            doubled: Doubled::default(),
            empty_revoke: EmptyRevoke::No,
        }
    }

    fn seen(&self) {
        self.pulse.seen.store(self.shared.now(), Ordering::Release);
    }

    fn count(&self) -> impl Fn(&str) -> u32 + use<> {
        count_of(&self.shared)
    }

    fn event(&mut self) -> Option<Polled> {
        if self.empty_revoke == EmptyRevoke::Due {
            self.empty_revoke = EmptyRevoke::Asked;
            return Some(Polled::Revoke { lost: false, partitions: Vec::new() });
        }
        if !self.pulse.attention.load(Ordering::Acquire) {
            return None;
        }
        let member = self.member.as_deref()?;
        let event = self.shared.core.lock().groups.take_event(&self.options.group, member)?;
        self.cursors.clear();
        self.doubled.forget();
        Some(event)
    }

    fn poll_inner(
        &mut self,
        timeout: Duration,
        max: usize,
        visit: &mut dyn FnMut(ConsumedRecord<'_>),
        fault: Option<Fault>,
    ) -> Result<Polled, LogError> {
        let until = deadline_after(timeout);
        let signal = Arc::clone(self.cursors.signal());
        loop {
            let seen = signal.seen();
            self.shared.alive()?;
            if fault != Some(Fault::Unaware)
                && let Some(event) = self.event()
            {
                return Ok(event);
            }
            self.doubled.deliver(&self.cursors, visit);
            let engine = self.shared.engine.as_ref();
            let visited = match fault {
                Some(Fault::Twice) => self.cursors.visit(engine, max, &mut |record| {
                    self.doubled.keep(record);
                    visit(record);
                })?,
                _ => self.cursors.visit(engine, max, visit)?,
            };
            let idle = visited == 0 && self.shared.options.background;
            if !idle || signal.take_wake() || Instant::now() >= until {
                return Ok(Polled::Records(visited));
            }
            signal.wait(seen, until);
        }
    }
}

/// Partition counts for the assignor; a topic that isn't there has none.
pub(super) fn count_of(shared: &Arc<Shared>) -> impl Fn(&str) -> u32 + use<> {
    let shared = Arc::clone(shared);
    move |topic| {
        let count = shared.topics.find(topic).map_or(0, |topic| topic.partitions.len());
        u32::try_from(count).unwrap_or(u32::MAX)
    }
}

impl GroupConsumer for Consumer {
    fn subscribe(&mut self, topics: &[&str]) -> Result<(), LogError> {
        self.shared.alive()?;
        let topics: Vec<Arc<str>> = topics
            .iter()
            .map(|topic| self.shared.topics.get(topic).map(|topic| Arc::clone(&topic.name)))
            .collect::<Result<_, _>>()?;
        self.seen();
        let count = self.count();
        let groups = &mut self.shared.core.lock().groups;
        match &self.member {
            Some(member) => groups.resubscribe(&self.options.group, member, topics, &count),
            None => {
                let member =
                    groups.join(&self.options, topics, &self.pulse, self.cursors.signal(), &count);
                self.member = Some(member);
            }
        }
        Ok(())
    }

    fn poll(
        &mut self,
        timeout: Duration,
        max: usize,
        visit: &mut dyn FnMut(ConsumedRecord<'_>),
    ) -> Result<Polled, LogError> {
        let fault = self.shared.begin(Operation::Poll)?;
        self.seen();
        self.pulse.polling.store(true, Ordering::Release);
        let polled = self.poll_inner(timeout, max, visit, fault);
        self.seen();
        self.pulse.polling.store(false, Ordering::Release);
        self.shared.finish(fault)?;
        polled
    }

    fn ack_assign(&mut self, offsets: &[(TopicPartition, i64)]) -> Result<GroupMetadata, LogError> {
        self.shared.alive()?;
        self.seen();
        let member = self.member.as_deref().unwrap_or_default();
        let positions = offsets
            .iter()
            .map(|(at, offset)| Ok((self.shared.topics.partition(at)?, *offset)))
            .collect::<Result<Vec<_>, LogError>>()?;
        let (metadata, owned) =
            self.shared.core.lock().groups.ack_assign(&self.options.group, member)?;
        if let Some((at, _)) = offsets.iter().find(|(at, _)| !owned.contains(at)) {
            return Err(LogError::Fatal(format!("{at} was not assigned to member `{member}`")));
        }
        self.cursors.assign(positions);
        Ok(metadata)
    }

    fn ack_revoke(&mut self) -> Result<(), LogError> {
        self.shared.alive()?;
        self.seen();
        if std::mem::replace(&mut self.empty_revoke, EmptyRevoke::No) == EmptyRevoke::Asked {
            return Ok(());
        }
        let member = self.member.as_deref().unwrap_or_default();
        let left = self.shared.core.lock().groups.ack_revoke(
            &self.options.group,
            member,
            &self.count(),
        )?;
        if left {
            self.member = None;
        }
        Ok(())
    }

    fn pause(&mut self, partitions: &[TopicPartition]) -> Result<(), LogError> {
        partitions.iter().try_for_each(|at| self.cursors.pause(at, true))
    }

    fn resume(&mut self, partitions: &[TopicPartition]) -> Result<(), LogError> {
        partitions.iter().try_for_each(|at| self.cursors.pause(at, false))
    }

    fn seek(&mut self, offsets: &[(TopicPartition, i64)]) -> Result<(), LogError> {
        self.doubled.forget();
        offsets.iter().try_for_each(|(at, offset)| self.cursors.seek(at, *offset))
    }

    fn reached(&self, at: &TopicPartition, end: i64) -> bool {
        self.cursors.reached(at, end)
    }

    fn unsubscribe(&mut self) -> Result<(), LogError> {
        self.shared.alive()?;
        match &self.member {
            Some(member) => {
                self.shared.core.lock().groups.leave(&self.options.group, member, &self.count())
            }
            None => self.empty_revoke = EmptyRevoke::Due,
        }
        Ok(())
    }

    fn waker(&self) -> Waker {
        self.cursors.signal().waker()
    }
}

impl Drop for Consumer {
    fn drop(&mut self) {
        if let Some(member) = &self.member {
            let now = self.shared.now();
            self.shared.core.lock().groups.dropped(&self.options.group, member, now, &self.count());
        }
    }
}
