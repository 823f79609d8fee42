//! Decoding many records at once: what costs a rebuild of the projections most, beside the database's own work.
//!
//! Invariant: what comes out is in the order of what went in, whatever the number of threads.

use rayon::iter::{IntoParallelIterator, ParallelIterator};
use rayon::{ThreadPool, ThreadPoolBuilder};

/// Below this it is done sooner than another thread is awake. The usual batch of a sink that is level with the log is
/// smaller.
const WORTH_SHARING: usize = 128;

/// The threads that decode. Without a pool it is the caller's.
pub(super) struct Decoding(Option<ThreadPool>);

impl Decoding {
    /// On so many threads. A system without a thread to spare decodes all the same.
    pub(super) fn on(threads: usize) -> Self {
        let name = |number| format!("sink-decoding-{number}");
        let pool = || ThreadPoolBuilder::new().num_threads(threads).thread_name(name).build();
        Self((threads > 1).then(pool).and_then(Result::ok))
    }

    pub(super) fn map<T: Send, R: Send>(
        &self,
        records: Vec<T>,
        decode: impl Fn(T) -> R + Send + Sync,
    ) -> Vec<R> {
        match self.0.as_ref().filter(|_| records.len() >= WORTH_SHARING) {
            Some(pool) => pool.install(|| records.into_par_iter().map(decode).collect()),
            None => records.into_iter().map(decode).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;
    use std::sync::Mutex;
    use std::thread;

    use super::*;

    #[test]
    fn order_is_kept_and_only_many_records_are_shared() {
        let names = Mutex::new(HashSet::new());
        let double = |number: usize| {
            names.lock().unwrap().insert(thread::current().name().unwrap_or_default().to_owned());
            2 * number
        };
        for threads in [1, 2] {
            for records in [WORTH_SHARING - 1, 10 * WORTH_SHARING] {
                names.lock().unwrap().clear();
                let doubled = Decoding::on(threads).map((0..records).collect(), double);
                assert!(doubled.into_iter().eq((0..records).map(|number| 2 * number)));
                let shared = threads > 1 && records > WORTH_SHARING;
                let on_pool = |name: &String| name.starts_with("sink-decoding-");
                assert_eq!(
                    names.lock().unwrap().iter().all(on_pool),
                    shared,
                    "{threads} {records}"
                );
            }
        }
    }
}
