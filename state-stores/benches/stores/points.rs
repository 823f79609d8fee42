//! A get and a put of one key, as every counting record does them.
//!
//! *hot*: so few keys that their rows stay in the processor's caches; *warm*: the rows stay in the layers; *cold*: the
//! rows are several times the layers' memory (64 MiB), so most reads go to the base and each put goes there later.

use std::hint::black_box;

use criterion::Criterion;

use crate::{Layered, measure, memory, mixed};

const SETS: [(&str, u64); 3] = [("hot", 1_000), ("warm", 100_000), ("cold", 2_000_000)];

pub(crate) fn all(criterion: &mut Criterion) {
    for (name, keys) in SETS {
        let mut group = criterion.benchmark_group(format!("get and put of a {name} key"));
        let with_base = |engine| Layered::with_base(engine, 0..keys);
        let both = |layered: &mut Layered| {
            let row = mixed(layered.operation, keys);
            black_box(layered.get(row));
            layered.put(row);
        };
        measure(&mut group, "layers on memory", || with_base(memory()), both);
        #[cfg(feature = "rocksdb")]
        {
            let folder = tempfile::tempdir().expect("a temporary folder");
            measure(&mut group, "layers on rocksdb", || with_base(crate::rocks(&folder)), both);
            bare::measure_bare(&mut group, keys);
        }
        group.finish();
    }
}

/// The crate `rocksdb` with our engine's options, one write per put, no write-ahead log.
#[cfg(feature = "rocksdb")]
mod bare {
    use std::hint::black_box;

    use criterion::BenchmarkGroup;
    use criterion::measurement::WallTime;

    use crate::{VALUE, key, measure, mixed};

    pub(super) fn measure_bare(group: &mut BenchmarkGroup<'_, WallTime>, keys: u64) {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let mut options = rocksdb::WriteOptions::default();
        options.disable_wal(true);
        let open = || {
            let db = crate::scans::open_bare(folder.path());
            for row in 0..keys {
                db.put_opt(key(row), VALUE, &options).expect("writable");
            }
            db.flush().expect("writable");
            (db, 0)
        };
        measure(group, "bare rocksdb", open, |(db, operation)| {
            let key = key(mixed(*operation, keys));
            *operation += 1;
            black_box(db.get_pinned(key).expect("readable").map_or(0, |value| value.len()));
            db.put_opt(key, VALUE, &options).expect("writable");
        });
    }
}
