//! `select_key`: another key from key and value.

use std::borrow::Borrow;
use std::sync::Arc;

use crate::context::TaskContext;
use crate::failure::Failure;
use crate::process::{Edge, Process};
use crate::record::Record;
use crate::stream::{KStream, Serdes};

/// Makes a key; `None` where it can't.
type KeyFn<K, V, KO> =
    Arc<dyn for<'a> Fn(Record<'a, K, V>) -> Option<<KO as ToOwned>::Owned> + Send + Sync>;

struct SelectKey<K: ?Sized, V: ?Sized, KO: ?Sized + ToOwned> {
    select: KeyFn<K, V, KO>,
    next: Edge<KO, V>,
}

impl<K: ?Sized, V: ?Sized, KO: ?Sized + ToOwned> Process<K, V> for SelectKey<K, V, KO> {
    fn process(&mut self, record: Record<'_, K, V>, ctx: &mut TaskContext) -> Result<(), Failure> {
        let key = (self.select)(record);
        self.next.process(record.with_key(key.as_ref().map(Borrow::borrow)), ctx)
    }
}

impl<K: ?Sized + 'static, V: ?Sized + 'static> KStream<K, V> {
    /// Gives each record a key made of its old one (if it has one) and its value. The next operator
    /// that needs the key will repartition. A record without value is left without key.
    pub fn select_key<KO: ?Sized + ToOwned + 'static>(
        &self,
        select: impl Fn(Option<&K>, &V) -> KO::Owned + Send + Sync + 'static,
    ) -> KStream<KO, V> {
        let select: KeyFn<K, V, KO> = Arc::new(move |record: Record<'_, K, V>| {
            record.value.map(|value| select(record.key, value))
        });
        let node = self.then("select-key", None, move |_, next: Edge<KO, V>| SelectKey {
            select: Arc::clone(&select),
            next,
        });
        let serdes = Serdes { key: None, value: self.serdes.value.clone() };
        KStream::new(&self.flow, node, serdes, true)
    }
}

#[cfg(test)]
mod tests {
    use crate::testing::{SAMPLE, pair, through};

    #[test]
    fn the_value_names_the_key() {
        let flow = |stream: crate::KStream<str, i64>| {
            stream.select_key::<str>(|old, n| format!("{}{n}", old.unwrap_or("-")))
        };
        let (out, _) = through(flow, &SAMPLE);
        assert_eq!(out, [pair("a1", 1), pair("b2", 2), pair("-3", 3), (None, None), (None, None)]);
    }
}
