//! What the test driver lets a test read of the stores, over all tasks.

use std::ops::ControlFlow;

use state_stores::{
    Direction, KeyValueStore, Session, SessionStore, StoreIndex, StoreKind, TaskState,
    TimestampedKeyValueStore, VersionedKeyValueStore, WindowStore,
};

use super::{TopologyTestDriver, topics};
use crate::materialized::Materialized;
use crate::ops::StoreBuilder;
use crate::topic::IntoSerde;
use crate::windows::Window;

impl TopologyTestDriver {
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

    /// What `read` finds in a processor's store, of any kind; asked of each task that has it until there is something.
    pub fn state_store<B: StoreBuilder, R>(
        &self,
        builder: &B,
        mut read: impl FnMut(&mut B::Store, &TaskState) -> Option<R>,
    ) -> Option<R> {
        self.find(builder.name(), |state, store| read(&mut builder.build(store), state))
    }

    fn find<R>(
        &self,
        store: &str,
        mut read: impl FnMut(&TaskState, StoreIndex) -> Option<R>,
    ) -> Option<R> {
        self.core.borrow_mut().tasks_with(store).find_map(|(task, place)| read(task.state(), place))
    }
}
