//! Rows read from the base stay in memory, and none there is ever older than the base. The model test meets most of what
//! may happen to them by chance; here is what it can't meet, or wouldn't notice.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use parking_lot::Mutex;
use state_stores::{
    Direction, Durability, Engine, Horizons, MemoryEngine, StateDir, StateOptions, StoreError,
    StoreIndex, StoreKind, StoreSpec, TaskState, Visit, WriteBatch,
};

const STORE: StoreIndex = StoreIndex(0);

/// Counts point reads. Between the next one and its answer it does what it is told.
#[derive(Default)]
struct Watched {
    behind: MemoryEngine,
    reads: AtomicUsize,
    meanwhile: Mutex<Option<Box<dyn FnOnce() + Send>>>,
}

impl std::fmt::Debug for Watched {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Watched")
    }
}

impl Engine for Watched {
    fn get_with(&self, key: &[u8], read: &mut dyn FnMut(&[u8])) -> Result<bool, StoreError> {
        self.reads.fetch_add(1, Ordering::Relaxed);
        let value = self.behind.get(key)?;
        let meanwhile = self.meanwhile.lock().take();
        if let Some(meanwhile) = meanwhile {
            meanwhile();
        }
        value.iter().for_each(|value| read(value));
        Ok(value.is_some())
    }

    fn scan(
        &self,
        from: &[u8],
        to: Option<&[u8]>,
        direction: Direction,
        visit: &mut Visit<'_>,
    ) -> Result<(), StoreError> {
        self.behind.scan(from, to, direction, visit)
    }

    fn write(&self, batch: &WriteBatch, durability: Durability) -> Result<(), StoreError> {
        self.behind.write(batch, durability)
    }

    fn sync(&self) -> Result<(), StoreError> {
        self.behind.sync()
    }

    fn flush(&self) -> Result<(), StoreError> {
        self.behind.flush()
    }

    fn expire_by(&self, horizons: &Arc<Horizons>) {
        self.behind.expire_by(horizons);
    }

    fn drop_expired(&self) {
        self.behind.drop_expired();
    }
}

struct Opened {
    engine: Arc<Watched>,
    dir: Arc<StateDir>,
    state: Arc<Mutex<TaskState>>,
}

fn spec() -> StoreSpec {
    let (name, changelog_topic) = ("a".into(), "a-changelog".into());
    StoreSpec { name, changelog_topic, kind: StoreKind::KeyValue }
}

fn open() -> Opened {
    let engine = Arc::new(Watched::default());
    let dir = StateDir::open(Arc::clone(&engine) as _, StateOptions::new("log")).unwrap();
    let state = Arc::new(Mutex::new(dir.task_state(0, &[spec()]).unwrap()));
    Opened { engine, dir, state }
}

/// Commits a row and takes it out of the layers.
fn settle(dir: &StateDir, state: &mut TaskState, value: Option<&[u8]>, next_offset: i64) {
    state.put(STORE, b"k", value);
    state.apply(&[(STORE, next_offset)]);
    dir.write_back(0).unwrap();
    dir.write_back(0).unwrap();
}

impl Opened {
    fn settle(&self, value: Option<&[u8]>, next_offset: i64) {
        settle(&self.dir, &mut self.state.lock(), value, next_offset);
    }

    fn get(&self, key: &[u8]) -> Option<Vec<u8>> {
        self.state.lock().get(STORE, key).unwrap()
    }

    fn reads(&self) -> usize {
        self.engine.reads.load(Ordering::Relaxed)
    }
}

#[test]
fn the_base_is_asked_once_for_a_key_with_or_without_a_row() {
    let opened = open();
    opened.settle(Some(b"1"), 1);
    let before = opened.reads();
    for _ in 0..3 {
        assert_eq!(opened.get(b"k").as_deref(), Some(&b"1"[..]));
        assert_eq!(opened.get(b"missing"), None);
    }
    assert_eq!(opened.reads() - before, 2);
    opened.settle(Some(b"2"), 2);
    assert_eq!(opened.get(b"k").as_deref(), Some(&b"2"[..]));
    opened.settle(None, 3);
    assert_eq!((opened.get(b"k"), opened.get(b"k")), (None, None));
    assert_eq!(opened.reads() - before, 4, "once after each write-back of the row");
}

#[test]
fn a_row_that_a_query_read_before_a_write_back_is_not_kept_after_it() {
    for later in [Some(&b"2"[..]), None] {
        let opened = open();
        opened.settle(Some(b"1"), 1);
        let (dir, state) = (Arc::clone(&opened.dir), Arc::clone(&opened.state));
        *opened.engine.meanwhile.lock() =
            Some(Box::new(move || settle(&dir, &mut state.lock(), later, 2)));
        let query = opened.dir.committed("a", 0).unwrap();
        let read = query.get_with(b"k", |value| value.map(<[u8]>::to_vec)).unwrap();
        assert_eq!(read.as_deref(), Some(&b"1"[..]), "its moment was before the write-back");
        assert_eq!(opened.get(b"k").as_deref(), later);
    }
}

#[test]
fn a_rebuilt_store_forgets_them() {
    let opened = open();
    opened.settle(Some(b"1"), 1);
    assert!(opened.get(b"k").is_some());
    opened.state.lock().rebuild(STORE).unwrap();
    assert_eq!(opened.get(b"k"), None);
    opened.settle(Some(b"2"), 2);
    assert_eq!(opened.get(b"k").as_deref(), Some(&b"2"[..]));
}

#[test]
fn a_read_inside_a_read_finds_its_row_too() {
    let opened = open();
    opened.settle(Some(b"1"), 1);
    let state = opened.state.lock();
    for _ in 0..2 {
        let both = state.get_with(STORE, b"k", |outer| {
            let inner = state.get(STORE, b"k").unwrap();
            (outer.map(<[u8]>::to_vec), inner)
        });
        assert_eq!(both.unwrap(), (Some(b"1".to_vec()), Some(b"1".to_vec())));
    }
}

#[test]
fn a_closed_store_gives_all_its_memory_back() {
    let Opened { engine: _, dir, state } = open();
    let mut state = Arc::into_inner(state).unwrap().into_inner();
    settle(&dir, &mut state, Some(b"1"), 1);
    assert_eq!(state.get(STORE, b"k").unwrap().as_deref(), Some(&b"1"[..]));
    state.put(STORE, b"l", Some(b"2"));
    state.apply(&[(STORE, 2)]);
    dir.write_back(0).unwrap();
    state.put(STORE, b"m", Some(b"3"));
    state.apply(&[(STORE, 3)]);
    assert!(dir.layer_bytes() > 0);
    drop(state);
    dir.write_back(0).unwrap();
    assert_eq!(dir.layer_bytes(), 0);
    let state = dir.task_state(0, &[spec()]).unwrap();
    let rows = [&b"k"[..], b"l", b"m"].map(|key| state.get(STORE, key).unwrap());
    assert_eq!(rows, [b"1", b"2", b"3"].map(|row| Some(row.to_vec())));
}
