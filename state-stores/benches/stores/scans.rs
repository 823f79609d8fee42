//! Scans of ten rows (one key's windows) and of a thousand, by where the rows are.

use std::hint::black_box;

use criterion::{Criterion, Throughput};

use crate::{Layered, measure, memory, mixed};

const KEYS: u64 = 100_000;

/// All rows in the base, and every so many of them again in the committed layer; 0: none.
fn with_layer(engine: std::sync::Arc<dyn state_stores::Engine>, every: usize) -> Layered {
    let mut layered = Layered::with_base(engine, 0..KEYS);
    if every > 0 {
        (0..KEYS).step_by(every).for_each(|row| layered.put(row));
        layered.commit();
    }
    layered
}

pub(crate) fn all(criterion: &mut Criterion) {
    for rows in [10, 1_000] {
        let mut group = criterion.benchmark_group(format!("scan of {rows} rows"));
        group.throughput(Throughput::Elements(rows));
        let scan = |layered: &mut Layered| {
            layered.operation += 1;
            black_box(layered.scan(mixed(layered.operation, KEYS - rows), rows));
        };
        for (name, every) in [("none", 0), ("a tenth", 10), ("all", 1)] {
            let name = format!("layers on memory, {name} in the layer");
            measure(&mut group, &name, || with_layer(memory(), every), scan);
        }
        #[cfg(feature = "rocksdb")]
        for (name, every) in [("none", 0), ("a tenth", 10), ("all", 1)] {
            let name = format!("layers on rocksdb, {name} in the layer");
            let folder = tempfile::tempdir().expect("a temporary folder");
            measure(&mut group, &name, || with_layer(crate::rocks(&folder), every), scan);
        }
        #[cfg(feature = "rocksdb")]
        bare::measure_bare(&mut group, rows);
        group.finish();
    }
}

#[cfg(feature = "rocksdb")]
pub(crate) use bare::open as open_bare;

#[cfg(feature = "rocksdb")]
mod bare {
    use std::hint::black_box;
    use std::path::Path;

    use criterion::BenchmarkGroup;
    use criterion::measurement::WallTime;
    use rocksdb::{BlockBasedOptions, Cache, DB, DBCompactionStyle, DBCompressionType, Options};

    use super::KEYS;
    use crate::{VALUE, key, measure, mixed};

    /// With the options of `RocksEngine`.
    pub(crate) fn open(path: &Path) -> DB {
        let mut table = BlockBasedOptions::default();
        table.set_block_cache(&Cache::new_lru_cache(64 << 20));
        table.set_bloom_filter(10.0, false);
        let mut options = Options::default();
        options.create_if_missing(true);
        options.set_block_based_table_factory(&table);
        options.set_compaction_style(DBCompactionStyle::Universal);
        options.set_compression_type(DBCompressionType::Lz4);
        options.set_write_buffer_size(16 << 20);
        options.set_max_write_buffer_number(3);
        options.set_db_write_buffer_size(48 << 20);
        DB::open(&options, path).expect("a new database opens")
    }

    pub(super) fn measure_bare(group: &mut BenchmarkGroup<'_, WallTime>, rows: u64) {
        bare(group, ("bare rocksdb", rows), |_| {});
        // As under the layers, whose second write-back has no rows, but says as of when the rows are known.
        bare(group, ("bare rocksdb, two files", rows), |db| {
            db.put(b"mark", VALUE).expect("writable");
            db.flush().expect("writable");
        });
    }

    fn bare(
        group: &mut BenchmarkGroup<'_, WallTime>,
        (name, rows): (&str, u64),
        finish: impl FnOnce(&DB),
    ) {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let filled = || {
            let db = open(folder.path());
            for row in 0..KEYS {
                db.put(key(row), VALUE).expect("writable");
            }
            db.flush().expect("writable");
            finish(&db);
            (db, 0)
        };
        measure(group, name, filled, |(db, operation)| {
            *operation += 1;
            let first = mixed(*operation, KEYS - rows);
            let mut bounds = rocksdb::ReadOptions::default();
            bounds.set_iterate_lower_bound(key(first));
            bounds.set_iterate_upper_bound(key(first + rows));
            let mut iterator = db.raw_iterator_opt(bounds);
            iterator.seek_to_first();
            let mut bytes = 0;
            while let Some((_, value)) = iterator.item() {
                bytes += value.len();
                iterator.next();
            }
            black_box(bytes);
        });
    }
}
