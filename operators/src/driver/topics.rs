//! Typed ends of the test driver's topics.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use state_stores::{Decoder, Encoder};

use super::core::Core;
use super::log::Stored;
use crate::headers::Headers;
use crate::task::TaskError;
use crate::topic::Topic;

/// Writes typed records to a topic of the driver.
pub struct TestInputTopic<K: ?Sized, V: ?Sized> {
    pub(super) core: Rc<RefCell<Core>>,
    pub(super) topic: Topic<K, V>,
}

impl<K: ?Sized + 'static, V: ?Sized + 'static> TestInputTopic<K, V> {
    /// Writes a record at the driver's clock and runs the flow to quiet.
    ///
    /// # Panics
    /// When the flow stops with an error; [`Self::try_pipe`] returns it.
    pub fn pipe(&self, key: &K, value: &V) {
        let now_ms = self.core.borrow().now_ms;
        self.pipe_at(key, value, now_ms);
    }

    /// As [`Self::pipe`], at a time of its own (ms since 1970).
    ///
    /// # Panics
    /// See [`Self::pipe`].
    pub fn pipe_at(&self, key: &K, value: &V, timestamp: i64) {
        let piped = self.try_pipe(Some(key), Some(value), timestamp, &Headers::new());
        piped.unwrap_or_else(|error| panic!("{error}"));
    }

    /// Writes a record without a value and runs the flow to quiet.
    ///
    /// # Panics
    /// See [`Self::pipe`].
    pub fn pipe_tombstone(&self, key: &K) {
        let now_ms = self.core.borrow().now_ms;
        let piped = self.try_pipe(Some(key), None, now_ms, &Headers::new());
        piped.unwrap_or_else(|error| panic!("{error}"));
    }

    /// Writes any record and runs the flow to quiet.
    pub fn try_pipe(
        &self,
        key: Option<&K>,
        value: Option<&V>,
        timestamp: i64,
        headers: &Headers,
    ) -> Result<(), TaskError> {
        self.enqueue(key, value, timestamp, headers);
        self.core.borrow_mut().run()
    }

    /// Writes any record to a partition of the test's choice and runs the flow to quiet.
    ///
    /// # Panics
    /// When the topic has no such partition, or the flow stops with an error.
    pub fn pipe_to_partition(
        &self,
        partition: u32,
        key: Option<&K>,
        value: Option<&V>,
        timestamp: i64,
    ) {
        self.append(Some(partition), key, value, (timestamp, &Headers::new()));
        self.core.borrow_mut().run().unwrap_or_else(|error| panic!("{error}"));
    }

    /// Writes any record; the flow doesn't see it before the next run.
    ///
    /// # Panics
    /// When a codec refuses key or value.
    pub fn enqueue(&self, key: Option<&K>, value: Option<&V>, timestamp: i64, headers: &Headers) {
        self.append(None, key, value, (timestamp, headers));
    }

    fn append(
        &self,
        partition: Option<u32>,
        key: Option<&K>,
        value: Option<&V>,
        (timestamp, headers): (i64, &Headers),
    ) {
        let key = key.map(|key| encode(self.topic.key().encoder(), key));
        let value = value.map(|value| encode(self.topic.value().encoder(), value));
        let record = Stored { key, value, timestamp, headers: headers.clone() };
        self.core.borrow_mut().log.append(self.topic.name(), partition, record);
    }
}

pub(super) fn encode<T: ?Sized>(mut encoder: Box<dyn Encoder<T>>, value: &T) -> Vec<u8> {
    let mut bytes = Vec::new();
    encoder.encode(value, &mut bytes).unwrap_or_else(|error| panic!("{error}"));
    bytes
}

/// Key and value of a record, either possibly null.
type Pair<K, V> = (Option<<K as ToOwned>::Owned>, Option<<V as ToOwned>::Owned>);

/// A record read from a topic of the driver.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TestRecord<K, V> {
    /// As written.
    pub key: Option<K>,
    /// None is a tombstone.
    pub value: Option<V>,
    /// Milliseconds since 1970.
    pub timestamp: i64,
    /// In order.
    pub headers: Headers,
    /// Where it was written.
    pub partition: u32,
}

/// Reads typed records from a topic of the driver, in the order they were written.
pub struct TestOutputTopic<K: ?Sized, V: ?Sized> {
    pub(super) core: Rc<RefCell<Core>>,
    pub(super) topic: Topic<K, V>,
    pub(super) seen: usize,
}

impl<K, V> TestOutputTopic<K, V>
where
    K: ?Sized + ToOwned + 'static,
    V: ?Sized + ToOwned + 'static,
{
    /// The next record, if there is one.
    ///
    /// # Panics
    /// When it can't be decoded.
    pub fn read_record(&mut self) -> Option<TestRecord<K::Owned, V::Owned>> {
        let core = self.core.borrow();
        let (partition, record) = core.log.after(self.topic.name(), self.seen).next()?;
        self.seen += 1;
        Some(TestRecord {
            key: record.key.as_deref().map(|bytes| decode(self.topic.key().decoder(), bytes)),
            value: record.value.as_deref().map(|bytes| decode(self.topic.value().decoder(), bytes)),
            timestamp: record.timestamp,
            headers: record.headers.clone(),
            partition,
        })
    }

    /// The value of the next record, if there is one that has a value.
    ///
    /// # Panics
    /// See [`Self::read_record`].
    pub fn read_value(&mut self) -> Option<V::Owned> {
        self.read_record()?.value
    }

    /// All records that weren't read yet.
    ///
    /// # Panics
    /// See [`Self::read_record`].
    pub fn read_records(&mut self) -> Vec<TestRecord<K::Owned, V::Owned>> {
        std::iter::from_fn(|| self.read_record()).collect()
    }

    /// Keys and values of all records that weren't read yet.
    ///
    /// # Panics
    /// See [`Self::read_record`].
    pub fn read_key_values(&mut self) -> Vec<Pair<K, V>> {
        self.read_records().into_iter().map(|record| (record.key, record.value)).collect()
    }

    /// Values of all records that weren't read yet; tombstones are left out.
    ///
    /// # Panics
    /// See [`Self::read_record`].
    pub fn read_values(&mut self) -> Vec<V::Owned> {
        self.read_records().into_iter().filter_map(|record| record.value).collect()
    }

    /// Values of all records that weren't read yet, by key: what each key's reader sees.
    ///
    /// # Panics
    /// See [`Self::read_record`].
    pub fn read_by_key(&mut self) -> BTreeMap<Option<K::Owned>, Vec<Option<V::Owned>>>
    where
        K::Owned: Ord,
    {
        let mut values: BTreeMap<_, Vec<_>> = BTreeMap::new();
        for (key, value) in self.read_key_values() {
            values.entry(key).or_default().push(value);
        }
        values
    }

    /// The table that the records make that weren't read yet: the last value of each key, without what was deleted.
    ///
    /// # Panics
    /// When a record has no key, and see [`Self::read_record`].
    pub fn read_table(&mut self) -> BTreeMap<K::Owned, V::Owned>
    where
        K::Owned: Ord,
    {
        let mut rows = BTreeMap::new();
        for (key, value) in self.read_key_values() {
            let key = key.expect("a row of a table has a key");
            match value {
                Some(value) => rows.insert(key, value),
                None => rows.remove::<K::Owned>(&key),
            };
        }
        rows
    }

    /// True when everything was read.
    pub fn is_empty(&self) -> bool {
        self.core.borrow().log.after(self.topic.name(), self.seen).next().is_none()
    }
}

pub(super) fn decode<T: ?Sized + ToOwned>(
    mut decoder: Box<dyn Decoder<T>>,
    bytes: &[u8],
) -> T::Owned {
    decoder.decode(bytes).unwrap_or_else(|error| panic!("{error}")).to_owned()
}

impl<K: ?Sized, V: ?Sized> std::fmt::Debug for TestInputTopic<K, V> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TestInputTopic").field("topic", &self.topic).finish_non_exhaustive()
    }
}

impl<K: ?Sized, V: ?Sized> std::fmt::Debug for TestOutputTopic<K, V> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TestOutputTopic")
            .field("topic", &self.topic)
            .field("seen", &self.seen)
            .finish_non_exhaustive()
    }
}
