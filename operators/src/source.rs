//! Where bytes become typed records: their time, whether they are where they belong, key and value.
//!
//! A record's time is asked for when it is next in its partition, so that a task can choose between its sources by
//! time. Partition time moves when the record is taken, and is kept as state where timestamps depend on it.

use state_stores::partition::partition_for_key;
use state_stores::{Decoder, StoreError};

use crate::assembly::Assembly;
use crate::consumed::{Consumed, TimestampExtractor};
use crate::context::TaskContext;
use crate::failure::{BoxError, Failure};
use crate::graph::NodeId;
use crate::headers::Headers;
use crate::process::{Edge, Process};
use crate::record::Record;
use crate::stream_time::StreamTime;
use crate::topic::Topic;

/// A record as it lies in the task's buffer.
#[derive(Clone, Copy)]
pub(crate) struct RawRecord<'a> {
    pub(crate) key: Option<&'a [u8]>,
    pub(crate) value: Option<&'a [u8]>,
    pub(crate) timestamp: i64,
    pub(crate) headers: &'a Headers,
}

/// Why a source could not hand a record on.
pub(crate) enum SourceFailure {
    /// It isn't what the topic is said to hold: what a dead letter calls it, and why.
    Refused { exception: &'static str, cause: BoxError },
    /// A node further down failed.
    Downstream(Failure),
}

impl SourceFailure {
    fn refused(exception: &'static str, cause: String) -> Self {
        Self::Refused { exception, cause: cause.into() }
    }
}

pub(crate) trait SourceProcess: Send {
    fn process(&mut self, raw: RawRecord<'_>, ctx: &mut TaskContext) -> Result<(), SourceFailure>;

    /// Whether the time of a record is another than the log's.
    fn stamps(&self) -> bool;

    /// The time of the next record of the partition.
    fn stamp(&mut self, raw: RawRecord<'_>, ctx: &TaskContext) -> Result<i64, StoreError>;

    /// Whether its records' times count as the task's stream time.
    fn moves_time(&self) -> bool {
        true
    }
}

struct Decoders<K: ?Sized, V: ?Sized> {
    key: Box<dyn Decoder<K>>,
    value: Box<dyn Decoder<V>>,
}

impl<K: ?Sized, V: ?Sized> Decoders<K, V> {
    fn decode<'a>(&'a mut self, raw: RawRecord<'a>) -> Result<Record<'a, K, V>, SourceFailure> {
        let undecodable =
            |part: &str, error| SourceFailure::refused("decode", format!("{part}: {error}"));
        let key = raw.key.map(|bytes| self.key.decode(bytes)).transpose();
        let key = key.map_err(|error| undecodable("key", error))?;
        let value = raw.value.map(|bytes| self.value.decode(bytes)).transpose();
        let value = value.map_err(|error| undecodable("value", error))?;
        Ok(Record { key, value, timestamp: raw.timestamp, headers: raw.headers })
    }
}

pub(crate) struct Source<K: ?Sized, V: ?Sized> {
    decoders: Decoders<K, V>,
    consumed: Consumed<K, V>,
    /// Of the partition.
    time: Option<StreamTime>,
    /// [`state_stores::Codec::unpartitioned_bytes`] of the key.
    unpartitioned: usize,
    next: Edge<K, V>,
}

/// Whose time the partition time of a topic is.
pub(crate) fn time_owner(topic: &str) -> String {
    format!("source-{topic}")
}

impl<K: ?Sized + 'static, V: ?Sized + 'static> Source<K, V> {
    pub(crate) fn new(
        assembly: &mut Assembly<'_>,
        id: NodeId,
        topic: &Topic<K, V>,
        consumed: &Consumed<K, V>,
    ) -> Self {
        let store = StreamTime::store_name(&time_owner(topic.name()));
        let keeps_time = consumed.timestamps.needs_time();
        Self {
            decoders: Decoders { key: topic.key().decoder(), value: topic.value().decoder() },
            consumed: consumed.clone(),
            time: keeps_time.then(|| StreamTime(assembly.store(&store))),
            unpartitioned: topic.key().unpartitioned_bytes(),
            next: assembly.downstream::<K, V>(id),
        }
    }
}

impl<K: ?Sized, V: ?Sized> Source<K, V> {
    fn check_partition(&self, key: &[u8], ctx: &TaskContext) -> Result<(), SourceFailure> {
        let Some(count) = ctx.partitions else { return Ok(()) };
        let hashed = &key[..key.len().saturating_sub(self.unpartitioned)];
        let (expected, partition) = (partition_for_key(hashed, count), ctx.id.partition);
        if expected == partition {
            return Ok(());
        }
        let topic = ctx.origin.and_then(|origin| ctx.topics.get(origin.source));
        let topic = topic.map_or("", |topic| topic);
        let cause = format!(
            "a key of topic `{topic}` belongs in partition {expected} of {count} by its murmur2 hash, but lies in partition {partition}; let its producer hash keys as Kafka's own do (librdkafka: `partitioner=murmur2_random`), or read the topic without the check and put `.repartition(…)` behind it"
        );
        Err(SourceFailure::refused("partition", cause))
    }
}

impl<K: ?Sized, V: ?Sized> SourceProcess for Source<K, V> {
    fn process(&mut self, raw: RawRecord<'_>, ctx: &mut TaskContext) -> Result<(), SourceFailure> {
        if raw.timestamp < 0 {
            let negative = raw.timestamp;
            let cause = format!(
                "the timestamp {negative} is negative; give the source another `TimestampExtractor`"
            );
            return Err(SourceFailure::refused("timestamp", cause));
        }
        if let (true, Some(key)) = (self.consumed.checks_partitions, raw.key) {
            self.check_partition(key, ctx)?;
        }
        if let Some(time) = &self.time {
            let moved = time.advance(&mut ctx.state, raw.timestamp);
            moved.map_err(|error| SourceFailure::Downstream(error.into()))?;
        }
        let record = self.decoders.decode(raw)?;
        self.next.process(record, ctx).map_err(SourceFailure::Downstream)
    }

    fn stamps(&self) -> bool {
        !matches!(self.consumed.timestamps, TimestampExtractor::Embedded)
    }

    fn stamp(&mut self, raw: RawRecord<'_>, ctx: &TaskContext) -> Result<i64, StoreError> {
        let time = match &self.time {
            Some(time) => time.known(&ctx.state)?,
            None => None,
        };
        Ok(match &self.consumed.timestamps {
            TimestampExtractor::UsePartitionTime if raw.timestamp < 0 => {
                time.unwrap_or(raw.timestamp)
            }
            TimestampExtractor::Embedded | TimestampExtractor::UsePartitionTime => raw.timestamp,
            TimestampExtractor::WallClock => ctx.now_ms,
            // What can't be decoded fails as soon as it is taken.
            TimestampExtractor::Custom(extract) => {
                self.decoders.decode(raw).map_or(raw.timestamp, |record| extract(record, time))
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use crate::codec::{I64Be, Utf8};
    use crate::testing::{numbers, pair};
    use crate::{
        Consumed, DriverOptions, ErrorPolicy, Headers, StreamsBuilder, TimestampExtractor, Topic,
        Topology, TopologyError, TopologyTestDriver,
    };

    fn read(consumed: Consumed<str, i64>, policy: ErrorPolicy) -> Topology {
        let builder = StreamsBuilder::new("test");
        let stream = builder.stream_with(&numbers("in"), consumed).on_error(policy);
        stream.to(&numbers("out"));
        builder.build().unwrap()
    }

    fn times(driver: &TopologyTestDriver) -> Vec<i64> {
        let out = driver.output(&numbers("out")).read_records();
        out.into_iter().map(|record| record.timestamp).collect()
    }

    fn pipe(driver: &TopologyTestDriver, value: i64, time: i64) {
        driver.input(&numbers("in")).pipe_at("k", &value, time);
    }

    #[test]
    fn a_negative_timestamp_follows_the_sources_policy() {
        let driver = TopologyTestDriver::new(&read(Consumed::default(), ErrorPolicy::DeadLetter));
        pipe(&driver, 1, 5);
        pipe(&driver, 2, -1);
        let letters = Topic::<str, i64>::new("dead_letters", Utf8, I64Be);
        let letter = driver.output(&letters).read_record().unwrap();
        let header = |name: &str| {
            String::from_utf8_lossy(letter.headers.get(name).unwrap_or_default()).into_owned()
        };
        assert_eq!(header("__streams.errors.exception"), "timestamp");
        assert!(header("__streams.errors.message").contains("TimestampExtractor"));
        assert_eq!(times(&driver), [5]);
        let driver = TopologyTestDriver::new(&read(Consumed::default(), ErrorPolicy::Fail));
        let failed =
            driver.input(&numbers("in")).try_pipe(Some("k"), Some(&1), -1, &Headers::new());
        assert!(failed.unwrap_err().to_string().contains("-1 is negative"));
    }

    #[test]
    fn partition_time_stands_in_for_negative_timestamps_and_survives_a_restart() {
        let by_time = Consumed::with_timestamps(TimestampExtractor::UsePartitionTime);
        let driver = TopologyTestDriver::new(&read(by_time, ErrorPolicy::Skip));
        pipe(&driver, 1, -1);
        pipe(&driver, 2, 70);
        pipe(&driver, 3, 50);
        driver.restart();
        pipe(&driver, 4, -1);
        assert_eq!(times(&driver), [70, 50, 70]);
        assert_eq!(driver.rows("source-in-time").len(), 1);
    }

    #[test]
    fn a_custom_extractor_sees_the_record_and_the_partition_time() {
        let extract = TimestampExtractor::custom(|record, time| match record.value {
            Some(n) if *n > 0 => *n,
            Some(_) => time.unwrap_or(7) + record.timestamp,
            None => -1,
        });
        let consumed = Consumed::with_timestamps(extract);
        let driver = TopologyTestDriver::new(&read(consumed, ErrorPolicy::Skip));
        pipe(&driver, 0, 1);
        pipe(&driver, 100, 1);
        driver.input(&numbers("in")).pipe_tombstone("k");
        driver.restart();
        pipe(&driver, 0, 1);
        pipe(&driver, 20, 1);
        pipe(&driver, 0, 2);
        assert_eq!(times(&driver), [8, 100, 101, 20, 103]);
    }

    #[test]
    fn sources_are_taken_by_the_extracted_times() {
        let builder = StreamsBuilder::new("test");
        let by_value = TimestampExtractor::custom(|record, _| *record.value.unwrap_or(&-1));
        let other = Consumed::with_timestamps(TimestampExtractor::WallClock);
        let left = builder.stream_with(&numbers("in"), Consumed::with_timestamps(by_value));
        left.merge(&builder.stream_with(&numbers("clock"), other)).to(&numbers("out"));
        let options = DriverOptions { now_ms: 25, ..Default::default() };
        let driver = TopologyTestDriver::with(&builder.build().unwrap(), options);
        for n in [20, 10, 30] {
            driver.input(&numbers("in")).enqueue(Some("k"), Some(&n), 0, &Headers::new());
            driver.input(&numbers("clock")).enqueue(Some("c"), Some(&-n), 0, &Headers::new());
        }
        driver.run().unwrap();
        let out = driver.output(&numbers("out")).read_records();
        let seen: Vec<_> = out.iter().map(|r| (r.value.unwrap(), r.timestamp)).collect();
        assert_eq!(seen, [(20, 20), (10, 10), (-20, 25), (-10, 25), (-30, 25), (30, 30)]);
    }

    #[test]
    fn a_key_in_a_partition_it_doesnt_hash_to_is_refused_with_the_remedy() {
        let topology = read(Consumed::default().check_partitions(), ErrorPolicy::DeadLetter);
        let options = DriverOptions { partitions: 4, ..Default::default() };
        let driver = TopologyTestDriver::with(&topology, options);
        driver.input(&numbers("in")).pipe("21", &1);
        let right = state_stores::partition::partition_for_key(b"21", 4);
        driver.input(&numbers("in")).pipe_to_partition((right + 1) % 4, Some("21"), Some(&2), 0);
        driver.input(&numbers("in")).pipe_to_partition(right, Some("21"), Some(&3), 0);
        driver.input(&numbers("in")).pipe_to_partition((right + 1) % 4, None, Some(&4), 0);
        assert_eq!(driver.output(&numbers("out")).read_values(), [1, 3, 4]);
        let letters = Topic::<str, i64>::new("dead_letters", Utf8, I64Be);
        let letter = driver.output(&letters).read_record().unwrap();
        let message = letter.headers.get("__streams.errors.message").unwrap();
        let message = String::from_utf8_lossy(message);
        for part in ["`in`", &format!("partition {right} of 4"), "murmur2_random"] {
            assert!(message.contains(part), "{message}");
        }
    }

    #[test]
    fn windowed_keys_are_checked_without_their_window() {
        let keys = crate::windowed::time_serde(&(std::sync::Arc::new(Utf8) as _), 10);
        let topic = Topic::<crate::Windowed<str>, i64>::new("in", keys, I64Be);
        let builder = StreamsBuilder::new("test");
        let consumed = Consumed::default().check_partitions();
        builder.stream_with(&topic, consumed).on_error(ErrorPolicy::Fail).to(&topic_of_out(&topic));
        let options = DriverOptions { partitions: 5, ..Default::default() };
        let driver = TopologyTestDriver::with(&builder.build().unwrap(), options);
        let partition = state_stores::partition::partition_for_key(b"k", 5);
        for start in 0..9 {
            let key = crate::Windowed::new("k", crate::Window { start, end: start + 10 });
            driver.input(&topic).pipe_to_partition(partition, Some(&key), Some(&1), 0);
        }
        assert_eq!(driver.output(&topic_of_out(&topic)).read_values().len(), 9);
    }

    fn topic_of_out(topic: &Topic<crate::Windowed<str>, i64>) -> Topic<crate::Windowed<str>, i64> {
        Topic::new("out", topic.key(), topic.value())
    }

    #[test]
    fn a_topic_has_one_way_to_be_read() {
        let builder = StreamsBuilder::new("test");
        builder.stream(&numbers("in")).to(&numbers("out"));
        let clock = Consumed::with_timestamps(TimestampExtractor::WallClock);
        builder.stream_with(&numbers("in"), clock);
        let error = builder.build().unwrap_err();
        assert_eq!(error, TopologyError::ConsumedTwice { topic: "in".into() });
        assert!(error.to_string().contains("`in`"));
    }

    #[test]
    fn several_topics_are_one_stream_and_may_be_read_by_others_too() {
        let builder = StreamsBuilder::new("test");
        let (a, b, c) = (numbers("a"), numbers("b"), numbers("c"));
        builder.stream_of([&a, &b, &a]).to(&numbers("ab"));
        builder.stream_of([&b, &c]).to(&numbers("bc"));
        let topology = builder.build().unwrap();
        assert_eq!(topology.subtopologies().len(), 1);
        let driver = TopologyTestDriver::new(&topology);
        for (n, topic) in [(1, &a), (2, &b), (3, &c)] {
            driver.input(topic).pipe("k", &n);
        }
        assert_eq!(driver.output(&numbers("ab")).read_key_values(), [pair("k", 1), pair("k", 2)]);
        assert_eq!(driver.output(&numbers("bc")).read_key_values(), [pair("k", 2), pair("k", 3)]);
    }
}
