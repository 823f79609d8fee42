//! Global tables: every instance reads all partitions of their topics.
//!
//! Invariant: a held record goes on only after the table has reached the end
//! offsets that were read after its lookup missed (`ARCHITECTURE.md`:
//! reference data lags, verdicts don't).

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use log::error::LogError;
use log::record::TopicPartition;
use log::traits::{Admin, Isolation, Log, Reader, Visibility};
use operators::{Globals, Topology};

/// Reads the global tables of one topology into [`Globals`].
pub(crate) struct GlobalReader {
    globals: Arc<Globals>,
    reader: Option<Box<dyn Reader>>,
    /// Table number by topic.
    tables: BTreeMap<String, usize>,
    partitions: Vec<Vec<TopicPartition>>,
    /// Ends that must be reached before processing may start.
    bootstrap: Vec<(TopicPartition, i64)>,
}

impl std::fmt::Debug for GlobalReader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("GlobalReader").field("tables", &self.tables).finish_non_exhaustive()
    }
}

impl GlobalReader {
    pub(crate) fn open(
        topology: &Topology,
        log: &dyn Log,
        admin: &dyn Admin,
        counts: &BTreeMap<Arc<str>, u32>,
    ) -> Result<Self, LogError> {
        let globals = Arc::new(Globals::new(topology));
        let mut tables = BTreeMap::new();
        let mut partitions = Vec::new();
        for (number, table) in topology.global_tables().iter().enumerate() {
            tables.insert(table.topic.to_string(), number);
            let count = counts.get(&table.topic).copied().unwrap_or(0);
            partitions.push(
                (0..count).map(|p| TopicPartition::new(table.topic.clone(), p)).collect::<Vec<_>>(),
            );
        }
        let all: Vec<TopicPartition> = partitions.iter().flatten().cloned().collect();
        if all.is_empty() {
            return Ok(Self { globals, reader: None, tables, partitions, bootstrap: Vec::new() });
        }
        let starts = admin.start_offsets(&all)?;
        let ends = admin.end_offsets(&all, Isolation::ReadCommitted)?;
        let mut reader =
            log.reader("global-tables", Isolation::ReadCommitted, Visibility::Written)?;
        reader.assign(&all.iter().cloned().zip(starts).collect::<Vec<_>>())?;
        let bootstrap = all.into_iter().zip(ends).collect();
        Ok(Self { globals, reader: Some(reader), tables, partitions, bootstrap })
    }

    pub(crate) fn globals(&self) -> &Arc<Globals> {
        &self.globals
    }

    /// Takes what is there; true once the ends found at the start are reached.
    pub(crate) fn step(&mut self, wait: Duration, max: usize) -> Result<bool, LogError> {
        let Some(reader) = &mut self.reader else { return Ok(true) };
        let (globals, tables) = (&self.globals, &self.tables);
        reader.poll(wait, max, &mut |record| {
            if let (Some(table), Some(key)) = (tables.get(record.topic), record.key) {
                globals.apply(*table, key, record.value);
            }
        })?;
        self.bootstrap.retain(|(at, end)| !reader.reached(at, *end));
        Ok(self.bootstrap.is_empty())
    }

    /// Ends of these tables as they are now.
    pub(crate) fn ends(
        &self,
        admin: &dyn Admin,
        tables: &[usize],
    ) -> Result<Vec<(TopicPartition, i64)>, LogError> {
        let of: Vec<TopicPartition> = tables
            .iter()
            .filter_map(|table| self.partitions.get(*table))
            .flatten()
            .cloned()
            .collect();
        // Without isolation: what was acknowledged may lie above somebody's open transaction.
        let ends = admin.end_offsets(&of, Isolation::ReadUncommitted)?;
        Ok(of.into_iter().zip(ends).collect())
    }

    /// True once all of these are reached.
    pub(crate) fn reached(&self, ends: &[(TopicPartition, i64)]) -> bool {
        self.reader
            .as_ref()
            .is_none_or(|reader| ends.iter().all(|(at, end)| reader.reached(at, *end)))
    }
}
