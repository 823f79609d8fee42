//! Taking records from the log, running tasks, sending what they forward.
//!
//! Invariant: a record that was polled is either in the buffer of its task or
//! belongs to no task of ours; outputs leave in the order they were forwarded.

use std::sync::Arc;
use std::time::{Duration, Instant};

use log::error::LogError;
use log::record::{Header, NewRecord};
use log::traits::{Polled, TxnProducer};
use operators::{DEAD_LETTERS, FailedAt, InputRecord, Ran};
use state_stores::partition::partition_for_key;

use crate::commit::CommitStage;
use crate::error::WorkerError;
use crate::level;
use crate::topics::TopicPlan;
use crate::worker::{Clients, HeldFor, Phase, Progress, Slot, Then, Worker};

/// A task that has come so far looks at the clock only every so many records. What it did before says nothing about the
/// next ones, so not more seldom than that.
const LOOK_EVERY: usize = 8;

/// What running the tasks for a while came to.
#[derive(Default)]
struct Round {
    processed: usize,
    /// A task failed there, with this message.
    failure: Option<(usize, FailedAt, String)>,
}

impl Round {
    /// A refusal that is known to be this slot's is the slot's failure.
    fn failed(self, slot: usize, error: LogError, known: bool) -> Result<Self, LogError> {
        match error {
            LogError::Refused(reason) if known => {
                let at = FailedAt::Elsewhere(reason.clone());
                Ok(Self { failure: Some((slot, at, reason)), ..self })
            }
            error => Err(error),
        }
    }
}

impl Worker {
    pub(crate) fn run(&mut self, now: i64) -> Result<Progress, WorkerError> {
        if let Some(event) = self.pending.take() {
            return self.assignment_event(event, now);
        }
        self.poll(Duration::ZERO)?;
        if let Some(event) = self.pending.take() {
            return self.assignment_event(event, now);
        }
        if let Some((at, position)) = self.out_of_range.take() {
            return self.judge_position(at, position, now);
        }
        self.catch_up(now)?;
        if !self.in_transaction && now < self.settled_at {
            self.adjust_pauses()?;
            let behind = self.catching_up.as_ref().map(|catching_up| catching_up.next(now));
            let at = behind.map_or(self.settled_at, |behind| behind.min(self.settled_at));
            return Ok(if at <= now { Progress::Busy } else { Progress::IdleUntil(at) });
        }
        self.look_round(now)?;
        self.read_globals(Duration::ZERO)?;
        self.take_answers();
        self.start_calls(now)?;
        let round = match self.round(now) {
            Ok(round) => round,
            Err(error) => return self.transaction_failed(error, now),
        };
        if let Some((slot, at, message)) = round.failure {
            return self.task_failed(slot, at, &message, now);
        }
        if round.processed > 0 && self.dirty_since.is_none() {
            self.dirty_since = Some(now);
        }
        self.adjust_pauses()?;
        let more = self.follow(round.processed == 0, now)?;
        let drained = round.processed == 0;
        match self.commit_due(drained, now) {
            Ok(()) => {
                self.drained = drained;
                self.phase = Phase::Committing(CommitStage::Stage, Then::Run);
                Ok(Progress::Busy)
            }
            Err(_) if round.processed > 0 || more => Ok(Progress::Busy),
            Err(due) => self.idle(due, now),
        }
    }

    /// Nothing to process: say when to come back.
    fn idle(&mut self, commit_at: Option<i64>, now: i64) -> Result<Progress, WorkerError> {
        self.write_back(now)?;
        let longest = now + i64::try_from(Self::IDLE.as_millis()).unwrap_or(100);
        let waiting = self.slots.iter().any(|slot| slot.waits.timer());
        // A hole at the end of an input makes no sound.
        let waits = |slot: &Slot| slot.waits.join() && slot.stopped.is_none();
        let level = self.slots.iter().any(waits).then_some(now + 2);
        let running = || self.slots.iter().filter(|slot| slot.stopped.is_none());
        let call = running().filter_map(|slot| slot.task.next_call()).min();
        let timer = running()
            .filter(|slot| !slot.task.waits_for_calls())
            .filter_map(|slot| slot.task.next_timer())
            .min()
            .map(|due| if waiting { now + 2 } else { due.max(now + 1) });
        let behind = self.catching_up.as_ref().map(|catching_up| catching_up.next(now));
        let at = [commit_at, timer, call, level, behind]
            .into_iter()
            .flatten()
            .min()
            .unwrap_or(longest)
            .min(longest);
        Ok(if at <= now { Progress::Busy } else { Progress::IdleUntil(at) })
    }

    /// Takes what the log has within `timeout`; an assignment event is kept
    /// for the next step.
    pub(crate) fn poll(&mut self, timeout: Duration) -> Result<(), WorkerError> {
        let Some(clients) = &mut self.clients else { return Ok(()) };
        let (slots, routes) = (&mut self.slots, &self.routes);
        let polled =
            clients.consumer.poll(timeout, self.settings.poll_records_max, &mut |record| {
                let route = routes
                    .get(record.topic)
                    .and_then(|partitions| partitions.get(record.partition as usize));
                if let Some(Some((slot, source))) = route
                    && let Some(slot) = slots.get_mut(*slot)
                {
                    slot.task.push(
                        *source,
                        InputRecord {
                            offset: record.offset,
                            timestamp: record.timestamp,
                            key: record.key,
                            value: record.value,
                            headers: record.headers,
                        },
                    );
                }
            });
        match polled {
            Ok(Polled::Records(_)) => Ok(()),
            Ok(event) => {
                self.pending = Some(event);
                Ok(())
            }
            Err(LogError::Retriable(reason)) => {
                tracing::warn!(
                    application = self.topology.application_id(),
                    reason,
                    "poll failed; trying again"
                );
                Ok(())
            }
            Err(LogError::OffsetOutOfRange { at, position }) => {
                self.out_of_range = Some((at, position));
                Ok(())
            }
            Err(error) => Err(self.log_failed(error)),
        }
    }

    /// Runs every task in turn for up to its share of records and of time.
    fn round(&mut self, now: i64) -> Result<Round, LogError> {
        let mut round = Round::default();
        let share = self.settings.process_records_max;
        let patience = self.settings.open_transaction_wait_ms;
        for number in 0..self.slots.len() {
            let begun = Instant::now();
            for done in 1..=share {
                let Some(slot) = self.slots.get_mut(number) else { break };
                let Some(clients) = &mut self.clients else { break };
                if slot.stopped.is_some() {
                    break;
                }
                level::proceed(slot, clients, now, patience)?;
                release(slot, clients);
                match slot.task.run_once(now) {
                    Ok(Ran::Record | Ran::Timer) => {
                        round.processed += 1;
                        if let Err(error) = self.forward(number, now) {
                            return round.failed(number, error, self.one_by_one);
                        }
                        // Looking at the clock isn't for nothing, so seldom where records are quick.
                        let looks = done < LOOK_EVERY || done % LOOK_EVERY == 0;
                        let turn = self.settings.turn.filter(|_| looks);
                        if turn.is_some_and(|turn| begun.elapsed() >= turn) {
                            break;
                        }
                    }
                    Ok(Ran::NeedsEnds) => {
                        if !level::before_timer(slot, clients, now)? {
                            break;
                        }
                    }
                    Ok(Ran::NeedsLevel) => {
                        level::before_join(slot, clients, now, patience)?;
                    }
                    Ok(Ran::NeedsGlobals(tables)) => {
                        let ends = clients.globals.ends(clients.admin.as_ref(), &tables)?;
                        slot.held_for = Some(HeldFor { tables, ends });
                    }
                    Ok(Ran::NeedsTopic(name)) => find_topic(slot, clients, &name)?,
                    Ok(Ran::Held | Ran::WaitsForCalls | Ran::Idle) => break,
                    Err(error) => {
                        round.failure = Some((number, error.at(), error.to_string()));
                        return Ok(round);
                    }
                }
            }
        }
        Ok(round)
    }

    /// Sends what the task forwarded.
    fn forward(&mut self, number: usize, now: i64) -> Result<(), LogError> {
        let Some(slot) = self.slots.get_mut(number) else { return Ok(()) };
        if slot.task.outputs().is_empty() {
            return Ok(());
        }
        self.begin()?;
        let (Some(slot), Some(clients)) = (self.slots.get_mut(number), &mut self.clients) else {
            return Ok(());
        };
        let (producer, plan) = (clients.producer.as_mut(), &clients.plan);
        let mut result = Ok(());
        let own = slot.id.partition;
        let application = self.topology.application_id();
        slot.task.outputs().drain(|record| {
            if result.is_err() {
                return;
            }
            let count = plan.partitions.get(record.topic).copied().unwrap_or(1);
            let partition = match (record.partition, record.partition_key) {
                (Some(partition), _) => partition,
                (None, Some(key)) => partition_for_key(key, count),
                (None, None) => own % count.max(1),
            };
            let headers: Vec<Header<'_>> = record.headers.iter().collect();
            let new = NewRecord {
                key: record.key,
                value: record.value,
                timestamp: record.timestamp,
                headers: &headers,
            };
            if record.topic == DEAD_LETTERS {
                count_letter(application);
            }
            result = match producer.send(record.topic, partition, new) {
                Err(LogError::Refused(reason)) => {
                    let letter = NewRecord { timestamp: now, ..new };
                    bury(producer, plan, application, record.topic, letter, &reason)
                }
                sent => sent,
            };
        });
        if self.one_by_one { result.and_then(|()| producer.flush()) } else { result }
    }

    /// Pauses partitions whose buffer is full, resumes those half empty.
    fn adjust_pauses(&mut self) -> Result<(), WorkerError> {
        let high = self.settings.buffered_records_max;
        let sources: usize = self.slots.iter().map(|slot| slot.inputs.len()).sum();
        let high_bytes = self.settings.buffered_bytes_max / sources.max(1);
        let (mut pause, mut resume) = (Vec::new(), Vec::new());
        for slot in &mut self.slots {
            slot.task.keep_spare(high_bytes / 2);
            for (source, paused) in slot.paused.iter_mut().enumerate() {
                let (buffered, bytes) =
                    (slot.task.buffered(source), slot.task.buffered_bytes(source));
                let full = buffered > 0 && (buffered >= high || bytes >= high_bytes);
                let half_empty = buffered == 0 || (buffered < high / 2 && bytes < high_bytes / 2);
                let Some(at) = slot.inputs.get(source) else { continue };
                if !*paused && (full || slot.stopped.is_some()) {
                    *paused = true;
                    pause.push(at.clone());
                } else if *paused && half_empty && slot.stopped.is_none() {
                    *paused = false;
                    resume.push(at.clone());
                }
            }
        }
        let Some(clients) = &mut self.clients else { return Ok(()) };
        let mut done = Ok(());
        if !pause.is_empty() {
            done = clients.consumer.pause(&pause);
        }
        if !resume.is_empty() {
            done = done.and(clients.consumer.resume(&resume));
        }
        done.map_err(|e| self.log_failed(e))
    }
}

/// Looks for a topic that a record names. Asking doesn't create it.
fn find_topic(slot: &mut Slot, clients: &mut Clients, name: &Arc<str>) -> Result<(), LogError> {
    let found = clients.admin.describe(&[name])?.pop().flatten();
    let partitions = found.map(|topic| topic.partitions);
    if let Some(partitions) = partitions {
        clients.plan.partitions.insert(Arc::clone(name), partitions);
    }
    slot.task.topic_described(name, partitions);
    Ok(())
}

/// Lets a held record go on once its global tables are level.
fn release(slot: &mut Slot, clients: &Clients) {
    if slot.held_for.as_ref().is_some_and(|held| clients.globals.reached(&held.ends))
        && let Some(held) = slot.held_for.take()
    {
        slot.task.globals_reached(&held.tables);
    }
}

fn count_letter(application: &str) {
    metrics::counter!("dead_letters_total", "application" => application.to_owned()).increment(1);
}

/// An output that no topic takes (too large) becomes a dead letter without its
/// value, and if that is still too large without key and headers, so that
/// neither the partition nor the transaction stops.
fn bury(
    producer: &mut dyn TxnProducer,
    plan: &TopicPlan,
    application: &str,
    topic: &str,
    record: NewRecord<'_>,
    reason: &str,
) -> Result<(), LogError> {
    tracing::error!(application, topic, reason, "output refused; it goes to {DEAD_LETTERS}");
    count_letter(application);
    let cause: [Header<'_>; 4] = [
        ("__streams.errors.exception", b"production"),
        ("__streams.errors.message", reason.as_bytes()),
        ("__streams.errors.topic", topic.as_bytes()),
        ("orders.application", application.as_bytes()),
    ];
    let count = plan.partitions.get(DEAD_LETTERS).copied().unwrap_or(1);
    let partition = record.key.map_or(0, |key| partition_for_key(key, count));
    let headers = [record.headers, &cause].concat();
    let letter = NewRecord { headers: &headers, value: None, ..record };
    match producer.send(DEAD_LETTERS, partition, letter) {
        Err(LogError::Refused(_)) => {
            let bare = NewRecord { key: None, headers: &cause, ..letter };
            producer.send(DEAD_LETTERS, partition, bare)
        }
        sent => sent,
    }
}
