//! The global tables of one application instance: whole in memory, read by all tasks.
//!
//! Invariant: a row is what the table's topic said last as far as the reader
//! has come; nothing synchronises it with the streams (see `lookup`).

use std::sync::{PoisonError, RwLock};

use hashbrown::HashMap;

use crate::topology::Topology;

type Rows = HashMap<Box<[u8]>, Box<[u8]>, foldhash::fast::RandomState>;

/// Rows of all global tables, as bytes.
pub struct Globals {
    tables: Vec<RwLock<Rows>>,
}

impl Globals {
    /// Empty tables, numbered as [`Topology::global_tables`].
    pub fn new(topology: &Topology) -> Self {
        Self { tables: topology.global_tables().iter().map(|_| RwLock::default()).collect() }
    }

    /// Takes one record of the table's topic; no value deletes.
    pub fn apply(&self, table: usize, key: &[u8], value: Option<&[u8]>) {
        let mut rows = self.tables[table].write().unwrap_or_else(PoisonError::into_inner);
        match value {
            Some(value) => rows.insert(key.into(), value.into()),
            None => rows.remove(key),
        };
    }

    /// Shows the row of a key. Don't apply from within `read`.
    pub fn with<R>(&self, table: usize, key: &[u8], read: impl FnOnce(Option<&[u8]>) -> R) -> R {
        let rows = self.tables[table].read().unwrap_or_else(PoisonError::into_inner);
        read(rows.get(key).map(|value| &**value))
    }

    /// Rows in the table.
    pub fn len(&self, table: usize) -> usize {
        self.tables[table].read().unwrap_or_else(PoisonError::into_inner).len()
    }

    /// True when the table has no rows.
    pub fn is_empty(&self, table: usize) -> bool {
        self.len(table) == 0
    }
}

impl std::fmt::Debug for Globals {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries((0..self.tables.len()).map(|table| self.len(table))).finish()
    }
}
