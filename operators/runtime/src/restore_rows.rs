//! Rows of changelogs on their way from the log to the stores: copied once, into memory that is used again.
//!
//! Invariant: rows of one changelog partition reach their store in the order of the log, whatever the number of threads;
//! only stores of different tasks are filled at the same time.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use log::error::LogError;
use log::record::TopicPartition;
use log::traits::Reader;
use rayon::ThreadPool;
use rayon::iter::{IndexedParallelIterator, IntoParallelRefMutIterator, ParallelIterator};
use state_stores::{StoreIndex, TaskState};

/// Below this it is done sooner than another thread is awake.
const WORTH_SHARING: usize = 1_000;

/// How long to wait for the first row.
const WAIT: Duration = Duration::from_millis(50);

/// The rows of one poll.
#[derive(Default)]
pub(crate) struct RestoreRows {
    /// One for each changelog partition that is read.
    batches: Vec<Batch>,
    /// Place in `batches` by topic, then partition.
    places: HashMap<Arc<str>, Vec<Option<usize>>>,
}

#[derive(Debug)]
struct Batch {
    /// Whose rows these are.
    task: usize,
    store: StoreIndex,
    /// Keys and values, one after the other.
    bytes: Vec<u8>,
    /// Length of each key, and of its value; none: deleted.
    lengths: Vec<(usize, Option<usize>)>,
    /// Offset after the last record, if there was one.
    next: Option<i64>,
}

impl RestoreRows {
    /// For rows of these partitions, each with number and store of its task.
    pub(crate) fn new<'t>(
        targets: impl IntoIterator<Item = (&'t TopicPartition, &'t (usize, StoreIndex))>,
    ) -> Self {
        let mut rows = Self::default();
        for (at, (task, store)) in targets {
            let places = rows.places.entry(Arc::clone(&at.topic)).or_default();
            let partition = at.partition as usize;
            if places.len() <= partition {
                places.resize(partition + 1, None);
            }
            places[partition] = Some(rows.batches.len());
            let (bytes, lengths) = (Vec::new(), Vec::new());
            rows.batches.push(Batch { task: *task, store: *store, bytes, lengths, next: None });
        }
        rows
    }

    /// Takes up to `max` records, after those before were handed over; how many.
    pub(crate) fn read(&mut self, reader: &mut dyn Reader, max: usize) -> Result<usize, LogError> {
        let Self { batches, places } = self;
        reader.poll(WAIT, max, &mut |record| {
            let place = places
                .get(record.topic)
                .and_then(|partitions| partitions.get(record.partition as usize).copied());
            let Some(batch) = place.flatten().and_then(|place| batches.get_mut(place)) else {
                return;
            };
            if let Some(key) = record.key {
                batch.bytes.extend_from_slice(key);
                batch.bytes.extend_from_slice(record.value.unwrap_or_default());
                batch.lengths.push((key.len(), record.value.map(<[u8]>::len)));
            }
            batch.next = Some(record.offset + 1);
        })
    }

    /// Hands the rows over to the stores, on the threads of `pool` if there is one and enough for them to do.
    pub(crate) fn hand_over<T: AsMut<TaskState> + Send>(
        &mut self,
        tasks: &mut [T],
        pool: Option<&ThreadPool>,
    ) {
        let batches = &self.batches;
        let fill = |(number, task): (usize, &mut T)| {
            let own = batches.iter().filter(|batch| batch.task == number);
            own.for_each(|batch| batch.fill(task.as_mut()));
        };
        let rows: usize = batches.iter().map(|batch| batch.lengths.len()).sum();
        match pool.filter(|_| rows >= WORTH_SHARING) {
            Some(pool) => pool.install(|| tasks.par_iter_mut().enumerate().for_each(fill)),
            None => tasks.iter_mut().enumerate().for_each(fill),
        }
        self.batches.iter_mut().for_each(Batch::clear);
    }
}

impl Batch {
    fn fill(&self, state: &mut TaskState) {
        let Some(next) = self.next else { return };
        let mut rest = &*self.bytes;
        let rows = self.lengths.iter().map(|(key, value)| {
            let (row, after) = rest.split_at(key + value.unwrap_or(0));
            rest = after;
            let (key, bytes) = row.split_at(*key);
            (key, value.map(|_| bytes))
        });
        state.restore(self.store, rows, next);
    }

    fn clear(&mut self) {
        self.bytes.clear();
        self.lengths.clear();
        self.next = None;
    }
}
