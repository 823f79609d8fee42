//! `map`, `map_values`, `try_map_values`: one record in, one out.

use std::sync::Arc;

use crate::context::TaskContext;
use crate::failure::{BoxError, Failure};
use crate::graph::NodeId;
use crate::process::{Edge, Process};
use crate::record::Record;
use crate::stream::{KStream, Serdes};

type MapFn<K, V, KO, VO> = Arc<dyn Fn(&K, &V) -> (<KO as ToOwned>::Owned, VO) + Send + Sync>;

struct Map<K: ?Sized, V: ?Sized, KO: ?Sized + ToOwned, VO> {
    map: MapFn<K, V, KO, VO>,
    next: Edge<KO, VO>,
}

impl<K: ?Sized, V: ?Sized, KO: ?Sized + ToOwned, VO> Process<K, V> for Map<K, V, KO, VO> {
    fn process(&mut self, record: Record<'_, K, V>, ctx: &mut TaskContext) -> Result<(), Failure> {
        let Some((key, value)) = record.key.zip(record.value) else {
            ctx.drop_incomplete();
            return Ok(());
        };
        let (key, value) = (self.map)(key, value);
        let (timestamp, headers) = (record.timestamp, record.headers);
        let key = Some(std::borrow::Borrow::borrow(&key));
        self.next.process(Record { key, value: Some(&value), timestamp, headers }, ctx)
    }
}

type TryMapFn<V, VO> = Arc<dyn Fn(&V) -> Result<VO, BoxError> + Send + Sync>;

struct MapValues<V: ?Sized, VO, K: ?Sized> {
    id: NodeId,
    map: TryMapFn<V, VO>,
    next: Edge<K, VO>,
}

impl<K: ?Sized, V: ?Sized, VO> Process<K, V> for MapValues<V, VO, K> {
    fn process(&mut self, record: Record<'_, K, V>, ctx: &mut TaskContext) -> Result<(), Failure> {
        let value = record.value.map(|value| (self.map)(value)).transpose();
        let value = value.map_err(|cause| Failure::node(self.id, cause))?;
        self.next.process(record.with_value(value.as_ref()), ctx)
    }
}

type MapRecordFn<K, V, VO> = Arc<dyn Fn(Record<'_, K, V>) -> Option<VO> + Send + Sync>;

struct MapRecords<K: ?Sized, V: ?Sized, VO> {
    map: MapRecordFn<K, V, VO>,
    next: Edge<K, VO>,
}

impl<K: ?Sized, V: ?Sized, VO> Process<K, V> for MapRecords<K, V, VO> {
    fn process(&mut self, record: Record<'_, K, V>, ctx: &mut TaskContext) -> Result<(), Failure> {
        let value = (self.map)(record);
        self.next.process(record.with_value(value.as_ref()), ctx)
    }
}

impl<K: ?Sized + 'static, V: ?Sized + 'static> KStream<K, V> {
    /// Makes a new key and value of each record. The next operator that needs the key will
    /// repartition. Records without key or value are dropped and counted.
    pub fn map<KO, VO>(
        &self,
        map: impl Fn(&K, &V) -> (KO::Owned, VO) + Send + Sync + 'static,
    ) -> KStream<KO, VO>
    where
        KO: ?Sized + ToOwned + 'static,
        VO: 'static,
    {
        let map: MapFn<K, V, KO, VO> = Arc::new(map);
        let node = self
            .then("map", None, move |_, next: Edge<KO, VO>| Map { map: Arc::clone(&map), next });
        KStream::new(&self.flow, node, Serdes::none(), true)
    }

    /// Makes a new value of each record; the key stays, so nothing is repartitioned. A record
    /// without value passes as it is.
    pub fn map_values<VO: 'static>(
        &self,
        map: impl Fn(&V) -> VO + Send + Sync + 'static,
    ) -> KStream<K, VO> {
        self.mapped(Arc::new(move |value: &V| Ok(map(value))))
    }

    /// As [`Self::map_values`] by a function that may refuse the value; what then happens says
    /// [`Self::on_error`].
    pub fn try_map_values<VO, E>(
        &self,
        map: impl Fn(&V) -> Result<VO, E> + Send + Sync + 'static,
    ) -> KStream<K, VO>
    where
        VO: 'static,
        E: Into<BoxError>,
    {
        self.mapped(Arc::new(move |value: &V| map(value).map_err(Into::into)))
    }

    /// Makes a new value, or none, of each record, which it sees whole: key, time and headers too.
    /// Key, time and headers stay.
    pub fn map_records<VO: 'static>(
        &self,
        map: impl Fn(Record<'_, K, V>) -> Option<VO> + Send + Sync + 'static,
    ) -> KStream<K, VO> {
        let map: MapRecordFn<K, V, VO> = Arc::new(map);
        let make = move |_, next| MapRecords { map: Arc::clone(&map), next };
        let node = self.then("map-records", None, make);
        KStream::new(&self.flow, node, self.serdes.with_value(None), self.rekeyed)
    }

    fn mapped<VO: 'static>(&self, map: TryMapFn<V, VO>) -> KStream<K, VO> {
        let node = self.then("map-values", None, move |id, next| MapValues {
            id,
            map: Arc::clone(&map),
            next,
        });
        KStream::new(&self.flow, node, self.serdes.with_value(None), self.rekeyed)
    }
}

#[cfg(test)]
mod tests {
    use crate::ErrorPolicy;
    use crate::record::Record;
    use crate::testing::{SAMPLE, pair, through};

    #[test]
    fn map_drops_and_counts_incomplete_records() {
        let (out, dropped) =
            through(|stream| stream.map::<str, i64>(|k, n| (format!("{k}{k}"), n * 10)), &SAMPLE);
        assert_eq!(out, [pair("aa", 10), pair("bb", 20)]);
        assert_eq!(dropped.incomplete, 3);
    }

    #[test]
    fn map_values_keeps_nulls() {
        let (out, _) = through(|stream| stream.map_values(|n| n + 1), &SAMPLE);
        assert_eq!(
            out,
            [pair("a", 2), pair("b", 3), (None, Some(4)), (Some("c".into()), None), (None, None)]
        );
    }

    #[test]
    fn map_records_sees_the_record_and_keeps_its_key() {
        let name_len = |record: Record<'_, str, i64>| {
            Some(record.value? + record.key.map_or(100, str::len) as i64)
        };
        let (out, _) = through(|stream| stream.map_records(name_len), &SAMPLE);
        assert_eq!(
            out,
            [pair("a", 2), pair("b", 3), (None, Some(103)), (Some("c".into()), None), (None, None)]
        );
    }

    #[test]
    fn a_refused_value_follows_the_policy() {
        let (out, dropped) = through(
            |stream| {
                let checked = stream.try_map_values(|n| if *n == 2 { Err("two") } else { Ok(*n) });
                checked.on_error(ErrorPolicy::Skip)
            },
            &SAMPLE[..3],
        );
        assert_eq!(out, [pair("a", 1), (None, Some(3))]);
        assert_eq!(dropped.skipped, 1);
    }
}
