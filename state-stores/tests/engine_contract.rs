//! What every engine must do, checked on each of them.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::ops::ControlFlow;

use state_stores::{Direction, Durability, Engine, MemoryEngine, WriteBatch};

fn batch(fill: impl FnOnce(&mut WriteBatch)) -> WriteBatch {
    let mut batch = WriteBatch::new();
    fill(&mut batch);
    batch
}

fn put(engine: &dyn Engine, rows: &[(&[u8], &[u8])]) {
    let rows = batch(|batch| rows.iter().for_each(|(key, value)| batch.put(key, value)));
    engine.write(&rows, Durability::None).unwrap();
}

fn keys(engine: &dyn Engine, from: &[u8], to: Option<&[u8]>, direction: Direction) -> Vec<Vec<u8>> {
    let mut keys = Vec::new();
    let visit = &mut |key: &[u8], _: &[u8]| {
        keys.push(key.to_vec());
        ControlFlow::Continue(())
    };
    engine.scan(from, to, direction, visit).unwrap();
    keys
}

fn reads_what_was_written(engine: &dyn Engine) {
    assert_eq!(engine.get(b"missing").unwrap(), None);
    put(engine, &[(b"a", b"1"), (b"empty", b""), (b"", b"empty key")]);
    assert_eq!(engine.get(b"a").unwrap().as_deref(), Some(&b"1"[..]));
    assert_eq!(engine.get(b"empty").unwrap().as_deref(), Some(&b""[..]));
    assert_eq!(engine.get(b"").unwrap().as_deref(), Some(&b"empty key"[..]));
    assert!(!engine.get_with(b"missing", &mut |_| panic!("there is no value")).unwrap());
    put(engine, &[(b"a", b"2")]);
    assert_eq!(engine.get(b"a").unwrap().as_deref(), Some(&b"2"[..]));
}

fn scans_in_order_and_stops(engine: &dyn Engine) {
    put(
        engine,
        &[
            (b"\xff\xff", b""),
            (b"b", b""),
            (b"a\0", b""),
            (b"a", b""),
            (b"\x7f", b""),
            (b"\x80", b""),
        ],
    );
    let all: Vec<Vec<u8>> =
        [&b"a"[..], b"a\0", b"b", b"\x7f", b"\x80", b"\xff\xff"].map(<[u8]>::to_vec).into();
    assert_eq!(keys(engine, b"", None, Direction::Forward), all);
    let reversed: Vec<_> = all.iter().rev().cloned().collect();
    assert_eq!(keys(engine, b"", None, Direction::Reverse), reversed);
    assert_eq!(keys(engine, b"a\0", Some(b"\x80"), Direction::Forward), all[1..4]);
    assert_eq!(keys(engine, b"a\0", Some(b"\x80"), Direction::Reverse), reversed[2..5]);
    assert_eq!(keys(engine, b"b", Some(b"b"), Direction::Forward), [[]; 0]);
    assert_eq!(keys(engine, b"c", Some(b"b"), Direction::Reverse), [[]; 0]);
    let mut seen = 0;
    let visit = &mut |_: &[u8], _: &[u8]| {
        seen += 1;
        if seen == 2 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    };
    engine.scan(b"", None, Direction::Forward, visit).unwrap();
    assert_eq!(seen, 2);
}

fn a_visitor_may_read(engine: &dyn Engine) {
    put(engine, &[(b"a", b"1"), (b"b", b"2")]);
    let visit = &mut |key: &[u8], value: &[u8]| {
        assert_eq!(engine.get(key).unwrap().as_deref(), Some(value));
        ControlFlow::Continue(())
    };
    engine.scan(b"", None, Direction::Forward, visit).unwrap();
}

fn applies_a_batch_in_its_order(engine: &dyn Engine) {
    let ops = batch(|batch| {
        batch.put(b"a", b"1");
        batch.put(b"b", b"1");
        batch.put(b"c", b"1");
        batch.delete_range(b"a", b"c");
        batch.put(b"b", b"2");
        batch.delete(b"c");
        batch.delete(b"never was");
        batch.put(b"c", b"3");
        batch.put_parts(&[b"pre", b"fix"], b"4");
        batch.delete_range(b"z", b"a");
    });
    assert_eq!(ops.len(), 10);
    engine.write(&ops, Durability::None).unwrap();
    assert_eq!(keys(engine, b"", None, Direction::Forward), [&b"b"[..], b"c", b"prefix"]);
    assert_eq!(engine.get(b"b").unwrap().as_deref(), Some(&b"2"[..]));
    engine.write(&WriteBatch::new(), Durability::None).unwrap();
}

fn is_shared_between_threads(engine: &dyn Engine) {
    std::thread::scope(|scope| {
        for thread in 0..4u8 {
            scope.spawn(move || {
                for row in 0..100u8 {
                    put(engine, &[(&[thread, row], &[row])]);
                }
            });
        }
    });
    assert_eq!(keys(engine, b"", None, Direction::Forward).len(), 400);
}

/// A row of a window store, as the state lays it out: engines may know that rows of one key lie together.
fn row(key: u8, time: u8) -> Vec<u8> {
    let prefix = [1, 0, 0, 0, 7, 0, 0, 0, 3];
    [&prefix[..], &[key, 0, 1], &[0x80, 0, 0, 0, 0, 0, 0, time]].concat()
}

/// What scans of one key, and of all, find.
fn found(engine: &dyn Engine, key: u8) -> [Vec<Vec<u8>>; 4] {
    use Direction::{Forward, Reverse};
    let (from, to) = (row(key, 0), row(key, 255));
    [
        keys(engine, &from, Some(&to), Forward),
        keys(engine, &from, Some(&to), Reverse),
        keys(engine, b"", None, Forward),
        keys(engine, b"", None, Reverse),
    ]
}

fn a_scan_sees_all_that_was_written_before_it(engine: &dyn Engine) {
    let mut expected: Vec<Vec<u8>> = Vec::new();
    let mut check = |change: &dyn Fn(&mut Vec<Vec<u8>>)| {
        change(&mut expected);
        let reversed: Vec<_> = expected.iter().rev().cloned().collect();
        // Twice: what the first scan leaves behind serves the second one.
        for _ in 0..2 {
            assert_eq!(
                found(engine, b'k'),
                [&expected, &reversed, &expected, &reversed].map(Vec::clone)
            );
            assert_eq!(found(engine, b'j')[..2], [const { Vec::<Vec<u8>>::new() }; 2]);
        }
    };
    check(&|_| ());
    for time in 0..5 {
        put(engine, &[(&row(b'k', time), b"")]);
        check(&|rows| rows.push(row(b'k', time)));
    }
    engine.flush().unwrap();
    check(&|_| ());
    engine.write(&batch(|batch| batch.delete(&row(b'k', 2))), Durability::None).unwrap();
    check(&|rows| drop(rows.remove(2)));
    let range = batch(|batch| batch.delete_range(&row(b'k', 0), &row(b'k', 4)));
    engine.write(&range, Durability::None).unwrap();
    check(&|rows| drop(rows.drain(..3)));
}

fn deleted_rows_are_passed_over(engine: &dyn Engine) {
    let rows = batch(|batch| (0..250).for_each(|time| batch.put(&row(b'k', time), &[time])));
    engine.write(&rows, Durability::None).unwrap();
    let left = [1u8, 2, 120, 248];
    let deleted = (0..250).filter(|time| !left.contains(time));
    let deleted = batch(|batch| deleted.for_each(|time| batch.delete(&row(b'k', time))));
    engine.write(&deleted, Durability::None).unwrap();
    for flushed in [false, true] {
        if flushed {
            engine.flush().unwrap();
        }
        let forward = left.map(|time| row(b'k', time)).to_vec();
        let reverse: Vec<_> = forward.iter().rev().cloned().collect();
        assert_eq!(found(engine, b'k'), [&forward, &reverse, &forward, &reverse].map(Vec::clone));
        for direction in [Direction::Forward, Direction::Reverse] {
            let (from, to) = (row(b'k', 3), row(b'k', 120));
            assert_eq!(keys(engine, &from, Some(&to), direction), [[]; 0]);
            assert_eq!(keys(engine, &from, Some(&row(b'l', 0)), direction).len(), 2);
        }
    }
}

fn a_visitor_may_scan(engine: &dyn Engine) {
    let rows = batch(|batch| (0..20).for_each(|time| batch.put(&row(b'k', time), b"")));
    engine.write(&rows, Durability::None).unwrap();
    let (from, to) = (row(b'k', 0), row(b'k', 255));
    let mut outer = 0;
    let visit = &mut |_: &[u8], _: &[u8]| {
        assert_eq!(keys(engine, &from, Some(&to), Direction::Forward).len(), 20);
        outer += 1;
        ControlFlow::Continue(())
    };
    engine.scan(&from, Some(&to), Direction::Forward, visit).unwrap();
    assert_eq!(outer, 20);
}

/// Checks the whole contract; `make` gives an empty engine each time.
fn contract<E: Engine>(make: impl Fn() -> E) {
    let parts: [fn(&dyn Engine); 8] = [
        reads_what_was_written,
        scans_in_order_and_stops,
        a_scan_sees_all_that_was_written_before_it,
        deleted_rows_are_passed_over,
        a_visitor_may_read,
        a_visitor_may_scan,
        applies_a_batch_in_its_order,
        is_shared_between_threads,
    ];
    for part in parts {
        part(&make());
    }
}

/// What survives: `crash` ends the engine as a killed process would, and opens it again.
fn durability<E: Engine>(engine: E, crash: impl Fn(E) -> E) {
    let write = |engine: &E, key: &[u8], durability| {
        engine.write(&batch(|batch| batch.put(key, b"")), durability).unwrap();
    };
    write(&engine, b"wal", Durability::Wal);
    engine.sync().unwrap();
    write(&engine, b"synced", Durability::Synced);
    let engine = crash(engine);
    assert_eq!(keys(&engine, b"", None, Direction::Forward), [&b"synced"[..], b"wal"]);
    write(&engine, b"flushed", Durability::None);
    engine.flush().unwrap();
    let engine = crash(engine);
    assert_eq!(keys(&engine, b"", None, Direction::Forward), [&b"flushed"[..], b"synced", b"wal"]);
}

mod memory {
    use state_stores::Crash;

    use super::*;

    #[test]
    fn keeps_the_contract() {
        contract(MemoryEngine::new);
        contract(MemoryEngine::with_crashes);
    }

    #[test]
    fn keeps_what_is_durable() {
        for how in [Crash::Process, Crash::Machine, Crash::AfterPrefix(0)] {
            durability(MemoryEngine::with_crashes(), |engine| {
                engine.crash(how);
                engine
            });
        }
    }

    #[test]
    fn loses_what_is_not() {
        let write = |engine: &MemoryEngine| {
            for (key, durability) in
                [(b"1", Durability::None), (b"2", Durability::None), (b"3", Durability::Wal)]
            {
                engine.write(&batch(|batch| batch.put(key, b"")), durability).unwrap();
            }
        };
        let cases: [(Crash, &[&[u8]]); 4] = [
            (Crash::Process, &[b"3"]),
            (Crash::Machine, &[]),
            (Crash::AfterPrefix(1), &[b"1", b"3"]),
            (Crash::AfterPrefix(9), &[b"1", b"2", b"3"]),
        ];
        for (how, left) in cases {
            let engine = MemoryEngine::with_crashes();
            write(&engine);
            assert_eq!(engine.volatile_batches(), 3);
            engine.crash(how);
            assert_eq!(keys(&engine, b"", None, Direction::Forward), left, "{how:?}");
        }
    }
}

#[cfg(feature = "rocksdb")]
mod rocks {
    use std::cell::Cell;

    use state_stores::{RocksEngine, RocksOptions, StoreError};

    use super::*;

    const WAL: RocksOptions =
        RocksOptions { cache_bytes: 1 << 20, write_buffer_bytes: 4 << 20, wal: true };

    #[test]
    fn keeps_the_contract() {
        let folder = tempfile::tempdir().unwrap();
        let next = Cell::new(0);
        for options in [WAL, RocksOptions { wal: false, ..WAL }] {
            contract(|| {
                next.set(next.get() + 1);
                RocksEngine::open(folder.path().join(next.get().to_string()), options).unwrap()
            });
        }
    }

    #[test]
    fn keeps_what_is_durable() {
        let folder = tempfile::tempdir().unwrap();
        durability(RocksEngine::open(folder.path(), WAL).unwrap(), |engine| {
            drop(engine);
            RocksEngine::open(folder.path(), WAL).unwrap()
        });
    }

    /// What a killed process leaves is what the folder holds while the engine is still open.
    #[test]
    fn the_log_survives_a_killed_process() {
        let (folder, copy) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let engine = RocksEngine::open(folder.path(), WAL).unwrap();
        engine.write(&batch(|batch| batch.put(b"wal", b"")), Durability::Wal).unwrap();
        for file in std::fs::read_dir(folder.path()).unwrap() {
            let file = file.unwrap();
            std::fs::copy(file.path(), copy.path().join(file.file_name())).unwrap();
        }
        let left = RocksEngine::open(copy.path(), WAL).unwrap();
        assert_eq!(keys(&left, b"", None, Direction::Forward), [b"wal"]);
    }

    #[test]
    fn a_locked_folder_is_named_with_the_remedy() {
        let folder = tempfile::tempdir().unwrap();
        let _open = RocksEngine::open(folder.path(), WAL).unwrap();
        let error = RocksEngine::open(folder.path(), WAL).unwrap_err();
        assert!(
            matches!(&error, StoreError::Locked { path } if path == folder.path()),
            "{error:?}"
        );
        let text = error.to_string();
        assert!(
            text.contains(folder.path().to_str().unwrap()) && text.contains("stop that process"),
            "{text}"
        );
    }

    #[test]
    fn other_failures_name_the_folder() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("file");
        std::fs::write(&file, b"").unwrap();
        let error = RocksEngine::open(&file, WAL).unwrap_err();
        assert!(matches!(&error, StoreError::Engine { operation: "open", .. }), "{error:?}");
        assert!(error.to_string().contains(file.to_str().unwrap()));
    }

    #[test]
    fn durable_writes_need_a_log() {
        let folder = tempfile::tempdir().unwrap();
        let engine = RocksEngine::open(folder.path(), RocksOptions::default()).unwrap();
        let row = batch(|batch| batch.put(b"a", b""));
        assert!(matches!(engine.write(&row, Durability::Wal), Err(StoreError::NoWal { .. })));
        assert!(matches!(engine.write(&row, Durability::Synced), Err(StoreError::NoWal { .. })));
        assert!(matches!(engine.sync(), Err(StoreError::NoWal { .. })));
        engine.write(&row, Durability::None).unwrap();
    }
}
