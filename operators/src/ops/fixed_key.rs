//! `process_values`: a processor that can't change the key, so what follows needs no repartitioning (KIP-820).

use crate::failure::BoxError;
use crate::headers::Headers;
use crate::ops::processor::{Processor, ProcessorContext, RecordMetadata};
use crate::ops::processor_stores::{ProcessorStores, StoreDef};
use crate::record::Record;
use crate::stream::KStream;

/// A record whose key stays as it is.
pub struct FixedKeyRecord<'a, K: ?Sized, V: ?Sized>(Record<'a, K, V>);

impl<K: ?Sized, V: ?Sized> Clone for FixedKeyRecord<'_, K, V> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<K: ?Sized, V: ?Sized> Copy for FixedKeyRecord<'_, K, V> {}

impl<K: ?Sized, V: ?Sized> std::fmt::Debug for FixedKeyRecord<'_, K, V> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("FixedKeyRecord").field(&self.0).finish()
    }
}

impl<'a, K: ?Sized, V: ?Sized> FixedKeyRecord<'a, K, V> {
    /// The key.
    pub fn key(&self) -> Option<&'a K> {
        self.0.key
    }

    /// None is a tombstone.
    pub fn value(&self) -> Option<&'a V> {
        self.0.value
    }

    /// Milliseconds since 1970.
    pub fn timestamp(&self) -> i64 {
        self.0.timestamp
    }

    /// In order.
    pub fn headers(&self) -> &'a Headers {
        self.0.headers
    }

    /// The same with another value.
    pub fn with_value<'b, VO: ?Sized>(self, value: Option<&'b VO>) -> FixedKeyRecord<'b, K, VO>
    where
        'a: 'b,
    {
        FixedKeyRecord(self.0.with_value(value))
    }

    /// The same at another time (milliseconds since 1970).
    pub fn with_timestamp(self, timestamp: i64) -> Self {
        Self(self.0.with_timestamp(timestamp))
    }

    /// The same with other headers.
    pub fn with_headers<'b>(self, headers: &'b Headers) -> FixedKeyRecord<'b, K, V>
    where
        'a: 'b,
    {
        let Record { key, value, timestamp, .. } = self.0;
        FixedKeyRecord(Record { key, value, timestamp, headers })
    }
}

/// A user's own operator that leaves keys as they are.
pub trait FixedKeyProcessor<K: ?Sized, V: ?Sized, VO: ?Sized>: Send {
    /// Takes one record, forwards any number made of it. An error follows the node's [`crate::ErrorPolicy`].
    fn process(
        &mut self,
        record: FixedKeyRecord<'_, K, V>,
        ctx: &mut FixedKeyContext<'_, '_, K, VO>,
    ) -> Result<(), BoxError>;
}

/// What such a processor can do beside computing.
#[derive(Debug)]
pub struct FixedKeyContext<'a, 'b, K: ?Sized, VO: ?Sized>(&'a mut ProcessorContext<'b, K, VO>);

impl<K: ?Sized, VO: ?Sized> FixedKeyContext<'_, '_, K, VO> {
    /// Hands a record on, at once.
    pub fn forward(&mut self, record: FixedKeyRecord<'_, K, VO>) {
        self.0.forward(record.0);
    }

    /// See [`ProcessorContext::now`].
    pub fn now(&self) -> i64 {
        self.0.now()
    }

    /// See [`ProcessorContext::stream_time`].
    pub fn stream_time(&self) -> Option<i64> {
        self.0.stream_time()
    }

    /// See [`ProcessorContext::record_metadata`].
    pub fn record_metadata(&self) -> Option<RecordMetadata<'_>> {
        self.0.record_metadata()
    }

    /// See [`ProcessorContext::observe`].
    pub fn observe(
        &mut self,
        metric: &'static str,
        label: Option<(&'static str, &'static str)>,
        value: f64,
    ) {
        self.0.observe(metric, label, value);
    }

    /// See [`ProcessorContext::state`].
    pub fn state(&mut self) -> &mut state_stores::TaskState {
        self.0.state()
    }
}

struct Adapter<K: ?Sized, V: ?Sized, VO: ?Sized>(Box<dyn FixedKeyProcessor<K, V, VO>>);

impl<K: ?Sized, V: ?Sized, VO: ?Sized> Processor<K, V, K, VO> for Adapter<K, V, VO> {
    fn process(
        &mut self,
        record: Record<'_, K, V>,
        ctx: &mut ProcessorContext<'_, K, VO>,
    ) -> Result<(), BoxError> {
        self.0.process(FixedKeyRecord(record), &mut FixedKeyContext(ctx))
    }
}

impl<K: ?Sized + 'static, V: ?Sized + 'static> KStream<K, V> {
    /// As [`Self::process`], of a processor that can only change values, times and headers: the stream stays
    /// partitioned as it was, and keeps its key codec.
    pub fn process_values<VO: ?Sized + 'static>(
        &self,
        name: &str,
        stores: &[StoreDef],
        make: impl Fn(&ProcessorStores) -> Box<dyn FixedKeyProcessor<K, V, VO>> + Send + Sync + 'static,
    ) -> KStream<K, VO> {
        let (input, node) = self.processor_node(name, "process-values", stores, move |stores| {
            Box::new(Adapter(make(stores))) as Box<dyn Processor<K, V, K, VO>>
        });
        KStream::new(&input.flow, node, input.serdes.with_value(None), input.rekeyed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec::{I64Be, Utf8};
    use crate::testing::{numbers, pair};
    use crate::{KeyValueDef, KeyValueStore, Materialized, StreamsBuilder, TopologyTestDriver};

    /// Differences between neighbours of a key.
    struct Differences(KeyValueStore<str, i64>);

    impl FixedKeyProcessor<str, i64, i64> for Differences {
        fn process(
            &mut self,
            record: FixedKeyRecord<'_, str, i64>,
            ctx: &mut FixedKeyContext<'_, '_, str, i64>,
        ) -> Result<(), BoxError> {
            let (Some(key), Some(value)) = (record.key(), record.value()) else { return Ok(()) };
            let last = self.0.get(ctx.state(), key)?;
            self.0.put(ctx.state(), key, Some(value))?;
            let place = ctx.record_metadata().ok_or("no place")?;
            assert_eq!((place.topic, place.partition), ("in", 0));
            if let Some(last) = last {
                ctx.forward(record.with_value(Some(&(value - last))));
            }
            Ok(())
        }
    }

    #[test]
    fn keys_stay_so_nothing_is_repartitioned() {
        let last = KeyValueDef::<str, i64>::new("last", Utf8, I64Be);
        let builder = StreamsBuilder::new("test");
        let differences = builder
            .stream(&numbers("in"))
            .process_values("diff", &[last.def()], move |stores| {
                Box::new(Differences(stores.key_value(&last)))
            })
            .with_value_serde(I64Be);
        let sums =
            differences.group_by_key().reduce(&Materialized::as_("sum", Utf8, I64Be), |a, b| a + b);
        sums.to_stream().to(&numbers("out"));
        let topology = builder.build().unwrap();
        assert_eq!(topology.subtopologies().len(), 1);
        let driver = TopologyTestDriver::new(&topology);
        for n in [3, 10, 4] {
            driver.input(&numbers("in")).pipe("k", &n);
            driver.restart();
        }
        let sums = driver.output(&numbers("out")).read_key_values();
        assert_eq!(sums, [pair("k", 7), pair("k", 1)]);
    }
}
