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
