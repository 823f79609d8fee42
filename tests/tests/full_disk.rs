//! RocksDB on a disk that is full, as state and as embedded log: what it says, what it keeps, and that it goes on once there
//! is room.
//!
//! The disk is a small tmpfs, mounted by `unshare` where only this test's child sees it. Not run where that isn't allowed.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use log::embedded::{EmbeddedLog, EmbeddedOptions};
use log::{Cleanup, Log, LogError, NewRecord, TopicPartition, TopicSpec};
use state_stores::{
    Engine, RocksEngine, RocksOptions, StateDir, StateOptions, StoreError, StoreIndex, StoreKind,
    StoreSpec, TaskState,
};

/// Set in the child: where the small disk is.
const DISK: &str = "FULL_DISK";
const STORE: StoreIndex = StoreIndex(0);

#[test]
fn a_full_disk_is_named_and_costs_nothing_once_there_is_room() {
    let folder = tempfile::tempdir().unwrap();
    let script = "mount -t tmpfs -o size=48m none \"$FULL_DISK\" || exit 42; exec \"$0\" \"$@\"";
    let run = Command::new("unshare")
        .args(["--map-root-user", "--mount", "sh", "-c", script])
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", "the_child", "--nocapture"])
        .env(DISK, folder.path())
        .output();
    let Ok(child) = run else {
        eprintln!("not run: there is no `unshare`");
        return;
    };
    let said = String::from_utf8_lossy(&child.stderr);
    if child.status.code() == Some(42) || said.contains("unshare failed") {
        eprintln!("not run: nothing may be mounted here: {said}");
        return;
    }
    assert!(child.status.success(), "{said}{}", String::from_utf8_lossy(&child.stdout));
}

/// The body of the child process; nothing when run as an ordinary test.
#[test]
fn the_child() {
    let Some(disk) = std::env::var_os(DISK).map(PathBuf::from) else { return };
    state_on(&disk);
    log_on(&disk);
}

/// Bytes that don't compress to nothing.
fn noise(number: u32) -> u8 {
    number.wrapping_mul(0x9E37_79B9).to_be_bytes()[1]
}

/// Takes all the room there is.
fn fill(disk: &Path) -> PathBuf {
    let path = disk.join("filler");
    let mut file = std::fs::File::create(&path).unwrap();
    let mut piece = vec![7; 1 << 20];
    // Down to the last page: smaller pieces once the large ones don't fit.
    while !piece.is_empty() {
        while file.write_all(&piece).is_ok() {}
        piece.truncate(piece.len() / 2);
    }
    path
}

fn rocks(path: &Path, wal: bool) -> Result<Arc<dyn Engine>, StoreError> {
    let options = RocksOptions { wal, write_buffer_bytes: 4 << 20, ..RocksOptions::default() };
    Ok(Arc::new(RocksEngine::open(path, options)?))
}

fn state(path: &Path) -> (Arc<StateDir>, TaskState) {
    let dir = StateDir::open(rocks(path, false).unwrap(), StateOptions::new("log")).unwrap();
    let kind = StoreKind::KeyValue;
    let spec = StoreSpec { name: "a".into(), changelog_topic: "a-changelog".into(), kind };
    let state = dir.task_state(0, &[spec]).unwrap();
    (dir, state)
}

/// Commits many rows of this generation up to this offset of the changelog.
fn put(state: &mut TaskState, generation: u8, next_offset: i64) {
    for row in 0..2_000_u32 {
        let value: Vec<u8> = (0..500).map(|at| noise(row * 500 + at) ^ generation).collect();
        state.put(STORE, &row.to_be_bytes(), Some(&value));
    }
    state.put(STORE, b"generation", Some(&[generation]));
    state.apply(&[(STORE, next_offset)]);
}

fn generation(state: &TaskState) -> Option<Vec<u8>> {
    state.get(STORE, b"generation").unwrap()
}

fn state_on(disk: &Path) {
    let path = disk.join("state");
    let (dir, mut own) = state(&path);
    put(&mut own, 1, 100);
    dir.write_back(0).unwrap();
    let filler = fill(disk);
    put(&mut own, 2, 200);
    let full = dir.write_back(1).unwrap_err();
    assert!(matches!(full, StoreError::Full { .. }), "{full:?}");
    let text = full.to_string();
    assert!(text.contains(path.to_str().unwrap()) && text.contains("make room"), "{text}");
    assert_eq!(generation(&own), Some(vec![2]), "what is committed is in memory");
    drop((own, dir));

    std::fs::remove_file(filler).unwrap();
    let (dir, mut own) = state(&path);
    assert_eq!(own.changelog_position(STORE), Some(100), "the changelog brings the rest");
    assert_eq!(generation(&own), Some(vec![1]));
    put(&mut own, 2, 200);
    dir.write_back(2).unwrap();
    drop((own, dir));
    let (_dir, own) = state(&path);
    assert_eq!(own.changelog_position(STORE), Some(200));
    assert_eq!((generation(&own), own.count(STORE).unwrap()), (Some(vec![2]), 2_001));
}

fn log_at(path: &Path) -> EmbeddedLog {
    EmbeddedLog::open(rocks(path, true).unwrap(), EmbeddedOptions::default()).unwrap()
}

/// Commits a large record and makes it durable.
fn commit(log: &EmbeddedLog) -> Result<(), LogError> {
    let mut producer = log.txn_producer("p", "txn")?;
    producer.init()?;
    producer.begin()?;
    let value: Vec<u8> = (0..100_000_u32).map(noise).collect();
    let record = NewRecord { key: None, value: Some(&value), timestamp: 1, headers: &[] };
    producer.send("t", 0, record)?;
    producer.commit()?;
    log.sync()
}

fn log_on(disk: &Path) {
    let path = disk.join("log");
    let log = log_at(&path);
    let (name, cleanup) = ("t".to_owned(), Cleanup::Keep);
    let spec = TopicSpec { name, partitions: 1, replication: 1, cleanup };
    log.admin().unwrap().ensure_topics(&[spec]).unwrap();
    for _ in 0..3 {
        commit(&log).unwrap();
    }
    let filler = fill(disk);
    let mut kept = 3;
    // RocksDB has taken room ahead for what comes first.
    let full = loop {
        match commit(&log) {
            Ok(()) => kept += 1,
            Err(full) => break full,
        }
    };
    let text = full.to_string();
    assert!(matches!(full, LogError::Fatal(_)), "{text}");
    assert!(text.contains(path.to_str().unwrap()) && text.contains("make room"), "{text}");
    assert_eq!(commit(&log).unwrap_err().to_string(), text, "it has stopped");
    drop(log);

    std::fs::remove_file(filler).unwrap();
    let log = log_at(&path);
    let admin = log.admin().unwrap();
    let ends = |admin: &dyn log::Admin| {
        let at = [TopicPartition::new("t", 0)];
        admin.end_offsets(&at, log::Isolation::ReadCommitted).unwrap()[0]
    };
    // A record and a marker each. The one that failed was never visible; it may have been written before the sync failed.
    let end = ends(admin.as_ref());
    assert!(end == 2 * kept || end == 2 * (kept + 1), "{end} after {kept} commits");
    commit(&log).unwrap();
    assert_eq!(ends(admin.as_ref()), end + 2);
}
