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
pub(crate) const FIRST_ROW_WAIT: Duration = Duration::from_millis(50);

/// Memory that is used again, of all partitions together: a poll may bring the rows of any one of them, so each would come
/// to have room for a whole poll.
const KEPT_BYTES: usize = 4 << 20;

/// The rows of one poll.
#[derive(Default)]
pub(crate) struct RestoreRows {
    /// One for each changelog partition that is read.
    batches: Vec<Batch>,
    /// Place in `batches` by topic, then partition.
    places: HashMap<Arc<str>, Vec<Option<usize>>>,
    /// Nobody's.
    skipped: usize,
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

    /// Takes up to `max` records, after those before were handed over, and waits as long for the first; how many.
    pub(crate) fn read(
        &mut self,
        reader: &mut dyn Reader,
        (max, wait): (usize, Duration),
    ) -> Result<usize, LogError> {
        let Self { batches, places, skipped } = self;
        let mut taken = 0;
        reader.poll(wait, max, &mut |record| {
            let place = places
                .get(record.topic)
                .and_then(|partitions| partitions.get(record.partition as usize).copied());
            let Some(batch) = place.flatten().and_then(|place| batches.get_mut(place)) else {
                *skipped += 1;
                return;
            };
            if let Some(key) = record.key {
                batch.bytes.extend_from_slice(key);
                batch.bytes.extend_from_slice(record.value.unwrap_or_default());
                batch.lengths.push((key.len(), record.value.map(<[u8]>::len)));
            }
            batch.next = Some(record.offset + 1);
            taken += 1;
        })?;
        Ok(taken)
    }

    /// True once more than so many were nobody's.
    pub(crate) fn take_skipped(&mut self, max: usize) -> bool {
        let many = self.skipped > max;
        if many {
            self.skipped = 0;
        }
        many
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
        let kept = KEPT_BYTES / self.batches.len().max(1);
        self.batches.iter_mut().for_each(|batch| batch.clear(kept));
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

    /// Keeps about so many bytes of memory.
    fn clear(&mut self, kept: usize) {
        self.bytes.clear();
        self.bytes.shrink_to(kept / 2);
        self.lengths.clear();
        self.lengths.shrink_to(kept / 2 / size_of::<(usize, Option<usize>)>());
        self.next = None;
    }
}

#[cfg(test)]
mod tests {
    use log::ConsumedRecord;
    use log::traits::Waker;
    use state_stores::{MemoryEngine, StateDir, StateOptions, StoreKind, StoreSpec};

    use super::*;

    const PARTITIONS: u32 = 200;
    const ROWS: i64 = 2_000;

    struct One(TaskState);

    impl AsMut<TaskState> for One {
        fn as_mut(&mut self) -> &mut TaskState {
            &mut self.0
        }
    }

    fn spec() -> StoreSpec {
        let (name, changelog_topic) = ("s".into(), "c".into());
        StoreSpec { name, changelog_topic, kind: StoreKind::KeyValue }
    }

    /// Shows a row: partition, offset, key and value.
    type Show<'s> = dyn FnMut(u32, i64, &[u8], &[u8]) + 's;

    /// A poll brings what the closure shows.
    struct Fake<F>(F);

    impl<F: FnMut(&mut Show<'_>) + Send> Reader for Fake<F> {
        fn assign(&mut self, _: &[(TopicPartition, i64)]) -> Result<(), LogError> {
            Ok(())
        }

        fn poll(
            &mut self,
            _: Duration,
            _: usize,
            visit: &mut dyn FnMut(ConsumedRecord<'_>),
        ) -> Result<usize, LogError> {
            let mut visited = 0;
            self.0(&mut |partition, offset, key, value| {
                let (key, value, headers) = (Some(key), Some(value), &[]);
                let (topic, timestamp) = ("c", 0);
                visit(ConsumedRecord { topic, partition, offset, timestamp, key, value, headers });
                visited += 1;
            });
            Ok(visited)
        }

        fn reached(&self, _: &TopicPartition, _: i64) -> bool {
            false
        }

        fn position(&self, _: &TopicPartition) -> Option<i64> {
            None
        }

        fn waker(&self) -> Waker {
            unreachable!()
        }
    }

    #[test]
    fn memory_that_is_kept_does_not_grow_with_the_partitions() {
        let dir = StateDir::open(Arc::new(MemoryEngine::new()), StateOptions::new("log")).unwrap();
        let places: Vec<_> = (0..PARTITIONS)
            .map(|partition| (TopicPartition::new("c", partition), (0, StoreIndex(0))))
            .collect();
        let mut tasks = [One(dir.task_state(0, &[spec()]).unwrap())];
        let mut rows = RestoreRows::new(places.iter().map(|(at, target)| (at, target)));
        for partition in 0..PARTITIONS {
            let show = |show: &mut Show<'_>| {
                (0..ROWS).for_each(|row| show(partition, row, &row.to_be_bytes(), &[7; 100]));
            };
            rows.read(&mut Fake(show), (ROWS as usize, FIRST_ROW_WAIT)).unwrap();
            rows.hand_over(&mut tasks, None);
        }
        let kept = |batch: &Batch| batch.bytes.capacity() + batch.lengths.capacity() * 24;
        let kept: usize = rows.batches.iter().map(kept).sum();
        assert!(kept <= KEPT_BYTES, "{kept} bytes");
        assert_eq!(tasks[0].0.count(StoreIndex(0)).unwrap(), ROWS as usize);
    }

    #[test]
    fn the_last_row_of_a_key_counts_on_any_number_of_threads() {
        for threads in [1, 2, 4] {
            let options = StateOptions::new("log");
            let dir = StateDir::open(Arc::new(MemoryEngine::new()), options).unwrap();
            let task = |partition| One(dir.task_state(partition, &[spec()]).unwrap());
            let mut tasks: Vec<One> = (0..4).map(task).collect();
            let place =
                |task: usize| (TopicPartition::new("c", task as u32), (task, StoreIndex(0)));
            let places: Vec<_> = (0..4).map(place).collect();
            let mut rows = RestoreRows::new(places.iter().map(|(at, target)| (at, target)));
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            // Of each partition the same keys again and again.
            let show = |show: &mut Show<'_>| {
                (0..4_000_u32).for_each(|number| {
                    let (key, value) = ((number / 4 % 10).to_be_bytes(), number.to_be_bytes());
                    show(number % 4, i64::from(number), &key, &value);
                });
            };
            assert_eq!(rows.read(&mut Fake(show), (4_000, FIRST_ROW_WAIT)).unwrap(), 4_000);
            rows.hand_over(&mut tasks, (threads > 1).then_some(&pool));
            for (partition, task) in tasks.iter().enumerate() {
                assert_eq!(
                    task.0.changelog_position(StoreIndex(0)),
                    Some(3_997 + partition as i64)
                );
                for key in 0..10_u32 {
                    let value = task.0.get(StoreIndex(0), &key.to_be_bytes()).unwrap().unwrap();
                    let last = 4 * (990 + key) + partition as u32;
                    assert_eq!(value, last.to_be_bytes(), "{threads} threads");
                }
            }
        }
    }
}
