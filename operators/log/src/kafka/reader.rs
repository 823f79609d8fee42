//! Reader of chosen partitions, and what it shares with a group's member:
//! connecting, waiting, seeking.

use std::sync::Arc;
use std::time::{Duration, Instant};

use rdkafka::ClientConfig;
use rdkafka::config::FromClientConfigAndContext;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};

use crate::error::LogError;
use crate::record::{ConsumedRecord, TopicPartition};
use crate::signal::{Signal, deadline_after};
use crate::traits::{Isolation, Reader, Waker};

use super::context::Context;
use super::doubt::Doubt;
use super::fetch_ahead::FetchAhead;
use super::lanes::Lanes;
use super::metadata::{first_missing, with_offsets};
use super::settings::KafkaOptions;
use super::told::{Told, sort_told};
use super::triage::{is_unknown, sort};

/// librdkafka signals a queue that stops being empty. Should it ever miss one,
/// a wait looks again after this long.
const SLICE: Duration = Duration::from_millis(50);

/// Seeking while librdkafka hasn't begun to fetch, right after an assignment, or
/// is still stopping an earlier fetch.
const SEEK_AGAIN: Duration = Duration::from_millis(2);

/// Connects a consumer whose common queue raises the signal.
pub(super) fn connect(
    config: &ClientConfig,
    signal: &Arc<Signal>,
    client_id: &str,
) -> Result<Arc<BaseConsumer<Context>>, LogError> {
    let mut consumer = BaseConsumer::from_config_and_context(config, Context::default())
        .map_err(|error| sort(&error, format_args!("making consumer {client_id}")))?;
    let signal = Arc::clone(signal);
    consumer.set_nonempty_callback(move || signal.raise());
    Ok(Arc::new(consumer))
}

/// Waits for the signal, at most one slice.
pub(super) fn wait_a_slice(signal: &Signal, seen: u64, deadline: Instant) {
    signal.wait(seen, deadline.min(Instant::now() + SLICE));
}

/// A seek may succeed later. Unknown: librdkafka has lost sight of the partition while a broker doesn't know it.
fn passes(code: Code) -> bool {
    matches!(code, Code::State | Code::PreviousInProgress) || is_unknown(code)
}

/// Tells librdkafka where to go on, once. Where it doesn't read, there is nothing to tell.
///
/// # Errors
/// Those that keep it from hearing; `Retriable` while it has lost sight of a partition.
pub(super) fn tell(
    consumer: &BaseConsumer<Context>,
    offsets: &[(TopicPartition, i64)],
    timeout: Duration,
) -> Result<(), LogError> {
    let told = consumer.seek_partitions(with_offsets(offsets)?, timeout);
    let told = told.map_err(|error| sort(&error, format_args!("seeking {offsets:?}")))?;
    for element in told.elements() {
        let Err(error) = element.error() else { continue };
        match error.rdkafka_error_code() {
            Some(Code::State | Code::PreviousInProgress) => {}
            Some(code) if is_unknown(code) => {
                return Err(LogError::Retriable(format!("seeking {offsets:?}: {error}")));
            }
            _ => return Err(sort(&error, format_args!("seeking {offsets:?}"))),
        }
    }
    Ok(())
}

/// Moves lanes to other offsets. `Retriable` when librdkafka doesn't read there within `timeout`: it never will again
/// after an "offset out of range", until the partition is assigned anew.
pub(super) fn seek(
    consumer: &BaseConsumer<Context>,
    lanes: &mut Lanes,
    offsets: &[(TopicPartition, i64)],
    timeout: Duration,
) -> Result<(), LogError> {
    if offsets.is_empty() {
        return Ok(());
    }
    let deadline = Instant::now() + timeout;
    let refused = |error: &KafkaError| sort(error, format_args!("seeking {offsets:?}"));
    loop {
        let result = consumer.seek_partitions(with_offsets(offsets)?, timeout);
        let moved = result.map_err(|error| refused(&error))?;
        let failure = moved.elements().iter().find_map(|element| element.error().err());
        match failure {
            None => break,
            Some(error) => match error.rdkafka_error_code() {
                Some(code) if passes(code) => {
                    if Instant::now() >= deadline {
                        return Err(LogError::Retriable(format!("seeking {offsets:?}: {error}")));
                    }
                    std::thread::sleep(SEEK_AGAIN);
                }
                _ => return Err(refused(&error)),
            },
        }
    }
    for (at, offset) in offsets {
        lanes.moved(at, *offset);
    }
    Ok(())
}

/// See [`Reader`].
pub(super) struct KafkaReader {
    lanes: Lanes,
    consumer: Arc<BaseConsumer<Context>>,
    signal: Arc<Signal>,
    options: KafkaOptions,
    client_id: String,
    isolation: Isolation,
    ahead: FetchAhead,
    /// Was assigned something.
    has_read: bool,
    doubt: Doubt,
}

impl KafkaReader {
    pub(super) fn connect(
        options: &KafkaOptions,
        client_id: &str,
        isolation: Isolation,
    ) -> Result<Self, LogError> {
        let signal = Arc::new(Signal::default());
        let ahead = options.fetch_ahead(1);
        let consumer = consumer(options, client_id, isolation, (ahead, &signal))?;
        let (lanes, client_id) = (Lanes::default(), client_id.to_owned());
        let options = options.clone();
        let doubt = Doubt::default();
        let has_read = false;
        Ok(Self { lanes, consumer, signal, options, client_id, isolation, ahead, has_read, doubt })
    }

    /// Another client where so many partitions must have less fetched ahead each, or may have more; and where this one has
    /// read before, because what it has fetched would come to the common queue.
    fn fit(&mut self, partitions: usize) -> Result<(), LogError> {
        let ahead = self.options.fetch_ahead(partitions);
        if ahead != self.ahead || std::mem::replace(&mut self.has_read, true) {
            self.consumer.context().close();
            let (options, client_id) = (&self.options, &self.client_id);
            self.consumer = consumer(options, client_id, self.isolation, (ahead, &self.signal))?;
            self.ahead = ahead;
        }
        Ok(())
    }

    fn serve(&mut self) -> Result<(), LogError> {
        let client = &self.client_id;
        while let Some(found) = self.consumer.poll(Duration::ZERO) {
            let Err(error) = found else {
                return Err(LogError::Fatal(format!("reader {client}: a record unasked")));
            };
            tracing::debug!(client, %error, "reading");
            match sort_told(&error, self.consumer.client(), format_args!("reader {client}")) {
                Told::Passes => {}
                Told::UnknownTopic => self.doubt.raise(Instant::now()),
                Told::Failed(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Whether what is read is still there, where somebody said that it isn't.
    fn settle(&mut self) -> Result<(), LogError> {
        let Self { doubt, lanes, consumer, .. } = self;
        if lanes.take_unknown() {
            doubt.raise(Instant::now());
        }
        doubt.settle(Instant::now(), || first_missing(consumer.client(), lanes.partitions()))
    }

    fn failed(&self, error: &KafkaError) -> LogError {
        sort(error, format_args!("reader {}", self.client_id))
    }
}

fn consumer(
    options: &KafkaOptions,
    client_id: &str,
    isolation: Isolation,
    (ahead, signal): (FetchAhead, &Arc<Signal>),
) -> Result<Arc<BaseConsumer<Context>>, LogError> {
    // librdkafka assigns only with a group's name; nothing is ever committed.
    let config = options.reader(client_id, &format!("{client_id}-unused"), isolation, ahead);
    connect(&config, signal, client_id)
}

impl Reader for KafkaReader {
    fn assign(&mut self, positions: &[(TopicPartition, i64)]) -> Result<(), LogError> {
        let list = with_offsets(positions)?;
        self.lanes.clear();
        self.fit(positions.len())?;
        self.lanes.open(&self.consumer, positions, &self.signal)?;
        self.consumer.assign(&list).map_err(|error| self.failed(&error))
    }

    fn poll(
        &mut self,
        timeout: Duration,
        max: usize,
        visit: &mut dyn FnMut(ConsumedRecord<'_>),
    ) -> Result<usize, LogError> {
        let deadline = deadline_after(timeout);
        loop {
            let seen = self.signal.seen();
            self.serve()?;
            let visited = self.lanes.drain(max, visit)?;
            self.settle()?;
            let news = visited > 0 || self.lanes.take_levelled();
            if news || self.signal.take_wake() || Instant::now() >= deadline {
                return Ok(visited);
            }
            wait_a_slice(&self.signal, seen, deadline);
        }
    }

    fn reached(&self, at: &TopicPartition, end: i64) -> bool {
        self.lanes.reached(at, end)
    }

    fn position(&self, at: &TopicPartition) -> Option<i64> {
        self.lanes.position(at)
    }

    fn waker(&self) -> Waker {
        self.signal.waker()
    }
}

impl Drop for KafkaReader {
    fn drop(&mut self) {
        self.consumer.context().close();
        self.lanes.clear();
    }
}
