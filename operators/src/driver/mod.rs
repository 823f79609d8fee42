//! `TopologyTestDriver`: runs a topology in a test, with no broker and no real time.
//!
//! It builds the production [`crate::Task`] on in-memory topics and a clock moved by
//! hand, so a test that passes here says something about production. After
//! every record it commits, unless told otherwise; a test can then crash the
//! application between any two steps and look at what comes back.

mod core;
mod log;
mod topics;

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::rc::Rc;
use std::sync::Arc;

use state_stores::{
    Direction, KeyValueStore, Session, SessionStore, StoreIndex, StoreKind, TaskState,
    TimestampedKeyValueStore, VersionedKeyValueStore, WindowStore,
};

use self::core::Core;
use self::log::Stored;
pub use self::topics::{TestInputTopic, TestOutputTopic, TestRecord};
use crate::context::Dropped;
use crate::headers::Headers;
use crate::materialized::Materialized;
use crate::task::TaskError;
use crate::topic::{IntoSerde, Topic};
use crate::topology::Topology;
use crate::windows::Window;

/// How a driver begins.
#[derive(Clone, Debug)]
pub struct DriverOptions {
    /// Partitions of every topic (1).
    pub partitions: u32,
    /// Topics with another count.
    pub topic_partitions: BTreeMap<Arc<str>, u32>,
    /// The clock at the start, ms since 1970 (0).
    pub now_ms: i64,
    /// Records a task takes into its buffer per source at a time (all).
    pub fetch: usize,
}

impl Default for DriverOptions {
    fn default() -> Self {
        Self { partitions: 1, topic_partitions: BTreeMap::new(), now_ms: 0, fetch: usize::MAX }
    }
}

/// Runs all tasks of a topology on topics in memory.
pub struct TopologyTestDriver {
    core: Rc<RefCell<Core>>,
}

impl TopologyTestDriver {
    /// One partition per topic, the clock at 0.
    ///
    /// # Panics
    /// When the topology's topics can't be read together.
    pub fn new(topology: &Topology) -> Self {
        Self::with(topology, DriverOptions::default())
    }

    /// As [`Self::new`], with options.
    ///
    /// # Panics
    /// See [`Self::new`].
    pub fn with(topology: &Topology, options: DriverOptions) -> Self {
        Self { core: Rc::new(RefCell::new(Core::new(topology, options))) }
    }

    /// A typed way to write to a topic.
    pub fn input<K: ?Sized + 'static, V: ?Sized + 'static>(
        &self,
        topic: &Topic<K, V>,
    ) -> TestInputTopic<K, V> {
        TestInputTopic { core: Rc::clone(&self.core), topic: topic.clone() }
    }

    /// A typed way to read a topic from its beginning.
    pub fn output<K: ?Sized + 'static, V: ?Sized + 'static>(
        &self,
        topic: &Topic<K, V>,
    ) -> TestOutputTopic<K, V> {
        TestOutputTopic { core: Rc::clone(&self.core), topic: topic.clone(), seen: 0 }
    }

    /// Writes bytes to a topic and runs the flow to quiet.
    pub fn pipe_input(
        &self,
        topic: &str,
        key: Option<&[u8]>,
        value: Option<&[u8]>,
        timestamp: i64,
        headers: &Headers,
    ) -> Result<(), TaskError> {
        let (key, value) = (key.map(<[u8]>::to_vec), value.map(<[u8]>::to_vec));
        let record = Stored { key, value, timestamp, headers: headers.clone() };
        self.core.borrow_mut().log.append(&Arc::from(topic), None, record);
        self.run()
    }

    /// Runs the flow to quiet.
    pub fn run(&self) -> Result<(), TaskError> {
        self.core.borrow_mut().run()
    }

    /// Moves the clock by `ms` and fires the timers that are due.
    ///
    /// # Panics
    /// When the flow stops with an error.
    pub fn advance_wall_clock(&self, ms: i64) {
        self.core.borrow_mut().now_ms += ms;
        self.run().unwrap_or_else(|error| panic!("{error}"));
    }

    /// The clock, ms since 1970.
    pub fn now(&self) -> i64 {
        self.core.borrow().now_ms
    }

    /// The earliest durable timer of all tasks.
    pub fn next_timer(&self) -> Option<i64> {
        self.core.borrow().next_timer()
    }

    /// Whether every record and timer is a transaction of its own (yes at the start).
    pub fn auto_commit(&self, on: bool) {
        self.core.borrow_mut().auto_commit = on;
    }

    /// Commits what was processed since the last commit: outputs, changelogs and offsets at once.
    pub fn commit(&self) {
        self.core.borrow_mut().commit(true);
    }

    /// Commits to the log but not to the state in memory, as if the process died between the two:
    /// the next call must be [`Self::restart`].
    pub fn commit_and_die(&self) {
        self.core.borrow_mut().commit(false);
    }

    /// Aborts the open transaction: all tasks are built anew on their committed state and go on
    /// from the committed offsets.
    pub fn abort(&self) {
        self.core.borrow_mut().abort();
    }

    /// Kills the application and starts it again with nothing but the log: state is restored from
    /// the changelogs, input goes on at the committed offsets with the next run.
    pub fn restart(&self) {
        self.core.borrow_mut().restart();
    }

    /// Whether global tables stand still, as if their reader lagged behind.
    pub fn pause_globals(&self, paused: bool) {
        self.core.borrow_mut().globals_paused = paused;
    }

    /// A table's row.
    pub fn table_row<K, V>(&self, table: &Materialized<K, V>, key: &K) -> Option<V::Owned>
    where
        K: ?Sized + 'static,
        V: ?Sized + ToOwned + 'static,
    {
        self.find(&table.name, |state, store| {
            let row = if matches!(state.spec(store).kind, StoreKind::Versioned { .. }) {
                VersionedKeyValueStore::new(store, &table.key, &table.value).get(state, key)
            } else {
                TimestampedKeyValueStore::new(store, &table.key, &table.value).get(state, key)
            };
            row.unwrap_or_else(|error| panic!("{error}")).map(|(row, _)| row)
        })
    }

    /// A versioned table's row at a time (ms).
    pub fn table_row_as_of<K, V>(
        &self,
        table: &Materialized<K, V>,
        key: &K,
        as_of: i64,
    ) -> Option<V::Owned>
    where
        K: ?Sized + 'static,
        V: ?Sized + ToOwned + 'static,
    {
        self.find(&table.name, |state, store| {
            let mut rows = VersionedKeyValueStore::new(store, &table.key, &table.value);
            let row = rows.get_as_of(state, key, as_of).unwrap_or_else(|error| panic!("{error}"));
            row.map(|(row, _)| row)
        })
    }

    /// The row of a window or session.
    pub fn window_row<K, V>(
        &self,
        table: &Materialized<K, V>,
        key: &K,
        window: Window,
    ) -> Option<V::Owned>
    where
        K: ?Sized + 'static,
        V: ?Sized + ToOwned + 'static,
    {
        self.find(&table.name, |state, store| {
            let row = if matches!(state.spec(store).kind, StoreKind::Session { .. }) {
                let session = Session { start: window.start, end: window.end };
                SessionStore::new(store, &table.key, &table.value).get(state, key, session)
            } else {
                let mut row = WindowStore::new(store, &table.key, &table.value);
                row.get(state, key, window.start).map(|row| row.map(|(row, _)| row))
            };
            row.unwrap_or_else(|error| panic!("{error}"))
        })
    }

    /// A value of a processor's key-value store.
    pub fn key_value<K, V>(
        &self,
        store: &str,
        key_serde: impl IntoSerde<K>,
        value_serde: impl IntoSerde<V>,
        key: &K,
    ) -> Option<V::Owned>
    where
        K: ?Sized + 'static,
        V: ?Sized + ToOwned + 'static,
    {
        let (keys, values) = (key_serde.into_serde(), value_serde.into_serde());
        self.find(store, |state, store| {
            KeyValueStore::new(store, &keys, &values)
                .get(state, key)
                .unwrap_or_else(|error| panic!("{error}"))
        })
    }

    /// The state a `state_machine` of this name keeps for a key.
    pub fn machine_state<K, S>(
        &self,
        machine: &str,
        key_serde: impl IntoSerde<K>,
        state_serde: impl IntoSerde<S>,
        key: &K,
    ) -> Option<S>
    where
        K: ?Sized + 'static,
        S: Clone + 'static,
    {
        let key = topics::encode(key_serde.into_serde().encoder(), key);
        let states = state_serde.into_serde();
        self.find(machine, |state, store| {
            let row = state.get(store, &key).unwrap_or_else(|error| panic!("{error}"))?;
            let (_, bytes) = crate::ops::split_machine_row(&row)?;
            bytes.map(|bytes| topics::decode(states.decoder(), bytes))
        })
    }

    /// All rows of a store over all partitions, as bytes.
    pub fn rows(&self, store: &str) -> Vec<(Vec<u8>, Vec<u8>)> {
        let mut rows = Vec::new();
        for (task, place) in self.core.borrow_mut().tasks_with(store) {
            let visited =
                task.state().scan(place, &[], None, Direction::Forward, &mut |key, value| {
                    rows.push((key.to_vec(), value.to_vec()));
                    ControlFlow::Continue(())
                });
            visited.unwrap_or_else(|error| panic!("{error}"));
        }
        rows
    }

    /// What all tasks dropped since they were built, by reason.
    pub fn dropped(&self) -> Dropped {
        self.core.borrow().dropped()
    }

    /// Names of all topics that have records, changelogs among them.
    pub fn topics(&self) -> Vec<Arc<str>> {
        self.core.borrow().log.names().cloned().collect()
    }

    fn find<R>(
        &self,
        store: &str,
        mut read: impl FnMut(&TaskState, StoreIndex) -> Option<R>,
    ) -> Option<R> {
        self.core.borrow_mut().tasks_with(store).find_map(|(task, place)| read(task.state(), place))
    }
}

impl std::fmt::Debug for TopologyTestDriver {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TopologyTestDriver").field("now_ms", &self.now()).finish_non_exhaustive()
    }
}
