//! `filter`, `filter_not`: keep records by a predicate.

use std::sync::Arc;

use crate::context::TaskContext;
use crate::failure::Failure;
use crate::process::{Edge, Process};
use crate::record::Record;
use crate::stream::KStream;

/// A predicate over whole records.
pub(crate) type Predicate<K, V> = Arc<dyn for<'a> Fn(Record<'a, K, V>) -> bool + Send + Sync>;

/// A record without key or value satisfies no predicate over both.
pub(crate) fn over_both<K, V>(
    keep: impl Fn(&K, &V) -> bool + Send + Sync + 'static,
) -> Predicate<K, V>
where
    K: ?Sized + 'static,
    V: ?Sized + 'static,
{
    Arc::new(move |record: Record<'_, K, V>| {
        record.key.zip(record.value).is_some_and(|(key, value)| keep(key, value))
    })
}

struct Filter<K: ?Sized, V: ?Sized> {
    keep: Predicate<K, V>,
    wanted: bool,
    next: Edge<K, V>,
}

impl<K: ?Sized, V: ?Sized> Process<K, V> for Filter<K, V> {
    fn process(&mut self, record: Record<'_, K, V>, ctx: &mut TaskContext) -> Result<(), Failure> {
        if (self.keep)(record) == self.wanted { self.next.process(record, ctx) } else { Ok(()) }
    }
}

impl<K: ?Sized + 'static, V: ?Sized + 'static> KStream<K, V> {
    /// Keeps the records that satisfy `keep`. One without key or value doesn't.
    pub fn filter(&self, keep: impl Fn(&K, &V) -> bool + Send + Sync + 'static) -> Self {
        self.filtered("filter", over_both(keep), true)
    }

    /// Keeps the records that don't satisfy `drop`, those without key or value among them.
    pub fn filter_not(&self, drop: impl Fn(&K, &V) -> bool + Send + Sync + 'static) -> Self {
        self.filtered("filter-not", over_both(drop), false)
    }

    /// As [`Self::filter`], seeing all records, null keys and values too.
    pub fn filter_records(
        &self,
        keep: impl for<'a> Fn(Record<'a, K, V>) -> bool + Send + Sync + 'static,
    ) -> Self {
        self.filtered("filter", Arc::new(keep), true)
    }

    fn filtered(&self, kind: &'static str, keep: Predicate<K, V>, wanted: bool) -> Self {
        self.at(self.then(kind, None, move |_, next| Filter {
            keep: Arc::clone(&keep),
            wanted,
            next,
        }))
    }
}

#[cfg(test)]
mod tests {
    use crate::testing::{SAMPLE, pair, through};

    #[test]
    fn incomplete_records_satisfy_nothing() {
        let (kept, _) = through(|stream| stream.filter(|_, n| *n > 1), &SAMPLE);
        assert_eq!(kept, [pair("b", 2)]);
        let (kept, _) = through(|stream| stream.filter_not(|_, n| *n > 1), &SAMPLE);
        assert_eq!(kept, [pair("a", 1), (None, Some(3)), (Some("c".into()), None), (None, None)]);
    }

    #[test]
    fn whole_records_can_be_judged() {
        let (kept, _) = through(
            |stream| stream.filter_records(|r| r.key.is_none() && r.value.is_some()),
            &SAMPLE,
        );
        assert_eq!(kept, [(None, Some(3))]);
    }
}
