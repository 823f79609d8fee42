//! `flat_map`, `flat_map_values`: one record in, any number out.
//!
//! Results are handed to `emit` by reference, so that a word of a line is
//! emitted as `&str` without a copy.

use std::sync::Arc;

use crate::context::TaskContext;
use crate::failure::Failure;
use crate::process::{Edge, Process};
use crate::record::Record;
use crate::stream::{KStream, Serdes};

/// What `flat_map_records` emits with.
pub type EmitRecord<'a, KO, VO> = dyn FnMut(Option<&KO>, Option<&VO>) + 'a;

type FlatMapFn<K, V, KO, VO> =
    Arc<dyn for<'a, 'e> Fn(Record<'a, K, V>, &mut EmitRecord<'e, KO, VO>) + Send + Sync>;

struct FlatMap<K: ?Sized, V: ?Sized, KO: ?Sized, VO: ?Sized> {
    map: FlatMapFn<K, V, KO, VO>,
    next: Edge<KO, VO>,
}

impl<K: ?Sized, V: ?Sized, KO: ?Sized, VO: ?Sized> Process<K, V> for FlatMap<K, V, KO, VO> {
    fn process(&mut self, record: Record<'_, K, V>, ctx: &mut TaskContext) -> Result<(), Failure> {
        let mut result = Ok(());
        (self.map)(record, &mut |key, value| {
            if result.is_ok() {
                let (timestamp, headers) = (record.timestamp, record.headers);
                result = self.next.process(Record { key, value, timestamp, headers }, ctx);
            }
        });
        result
    }
}

type FlatMapValuesFn<V, VO> = Arc<dyn for<'e> Fn(&V, &mut (dyn FnMut(&VO) + 'e)) + Send + Sync>;

struct FlatMapValues<V: ?Sized, VO: ?Sized, K: ?Sized> {
    map: FlatMapValuesFn<V, VO>,
    next: Edge<K, VO>,
}

impl<K: ?Sized, V: ?Sized, VO: ?Sized> Process<K, V> for FlatMapValues<V, VO, K> {
    fn process(&mut self, record: Record<'_, K, V>, ctx: &mut TaskContext) -> Result<(), Failure> {
        let Some(value) = record.value else { return Ok(()) };
        let mut result = Ok(());
        (self.map)(value, &mut |value| {
            if result.is_ok() {
                result = self.next.process(record.with_value(Some(value)), ctx);
            }
        });
        result
    }
}

impl<K: ?Sized + 'static, V: ?Sized + 'static> KStream<K, V> {
    /// Makes any number of records, with new keys, of each. The next operator that needs the key
    /// will repartition. Records without key or value give nothing.
    pub fn flat_map<KO, VO>(
        &self,
        map: impl for<'e> Fn(&K, &V, &mut (dyn FnMut(&KO, &VO) + 'e)) + Send + Sync + 'static,
    ) -> KStream<KO, VO>
    where
        KO: ?Sized + 'static,
        VO: ?Sized + 'static,
    {
        self.flat_map_records(move |record, emit| {
            if let Some((key, value)) = record.key.zip(record.value) {
                map(key, value, &mut |key, value| emit(Some(key), Some(value)));
            }
        })
    }

    /// As [`Self::flat_map`], seeing and making all records, null keys and values too.
    pub fn flat_map_records<KO, VO>(
        &self,
        map: impl for<'a, 'e> Fn(Record<'a, K, V>, &mut EmitRecord<'e, KO, VO>) + Send + Sync + 'static,
    ) -> KStream<KO, VO>
    where
        KO: ?Sized + 'static,
        VO: ?Sized + 'static,
    {
        let map: FlatMapFn<K, V, KO, VO> = Arc::new(map);
        let node =
            self.then("flat-map", None, move |_, next| FlatMap { map: Arc::clone(&map), next });
        KStream::new(&self.flow, node, Serdes::none(), true)
    }

    /// Makes any number of values of each; the key stays. A record without value gives nothing.
    pub fn flat_map_values<VO: ?Sized + 'static>(
        &self,
        map: impl for<'e> Fn(&V, &mut (dyn FnMut(&VO) + 'e)) + Send + Sync + 'static,
    ) -> KStream<K, VO> {
        let map: FlatMapValuesFn<V, VO> = Arc::new(map);
        let node = self.then("flat-map-values", None, move |_, next| FlatMapValues {
            map: Arc::clone(&map),
            next,
        });
        KStream::new(&self.flow, node, self.serdes.with_value(None), self.rekeyed)
    }
}

#[cfg(test)]
mod tests {
    use crate::testing::{SAMPLE, pair, through};

    #[test]
    fn each_value_becomes_as_many_as_it_says() {
        let many = |n: &i64, emit: &mut dyn FnMut(&i64)| (0..*n).for_each(|i| emit(&i));
        let (out, _) =
            through(|stream| stream.flat_map_values::<i64>(move |n, emit| many(n, emit)), &SAMPLE);
        assert_eq!(
            out,
            [
                pair("a", 0),
                pair("b", 0),
                pair("b", 1),
                (None, Some(0)),
                (None, Some(1)),
                (None, Some(2))
            ]
        );
    }

    #[test]
    fn new_keys_come_from_complete_records() {
        let flow = |stream: crate::KStream<str, i64>| {
            stream.flat_map::<str, i64>(|k, n, emit| {
                emit(k, n);
                emit("other", n);
            })
        };
        let (out, _) = through(flow, &SAMPLE);
        assert_eq!(out, [pair("a", 1), pair("other", 1), pair("b", 2), pair("other", 2)]);
    }

    #[test]
    fn what_comes_after_a_failure_is_not_emitted() {
        let flow = |stream: crate::KStream<str, i64>| {
            let twice = stream.flat_map_values::<i64>(|n, emit| {
                emit(n);
                emit(&-n);
                emit(n);
            });
            let positive = twice.try_map_values(|n| if *n < 0 { Err("negative") } else { Ok(*n) });
            positive.on_error(crate::ErrorPolicy::Skip)
        };
        let (out, dropped) = through(flow, &SAMPLE[..2]);
        assert!(out.is_empty(), "the first emit is undone with the rest: {out:?}");
        assert_eq!(dropped.skipped, 2);
    }
}
