//! What the state of a process takes, as metrics (`docs/metrics.md`): on disk by store, in memory by part.

use std::collections::BTreeMap;

use super::{Queries, QueryDoor};

impl QueryDoor {
    /// Sets the gauges. Asks the engines, so for somebody with time: every few seconds, never a worker.
    pub fn report_sizes(&self) {
        for queries in self.applications.iter() {
            queries.report_stores();
        }
        self.report_memory();
    }

    fn report_memory(&self) {
        let mut parts: BTreeMap<&str, usize> = BTreeMap::new();
        for memory in self.applications.iter().map(|queries| queries.state_dir.memory()) {
            let own = [
                ("live", memory.live),
                ("settled", memory.settled),
                ("tables", memory.engine.tables),
            ];
            own.into_iter().for_each(|(part, bytes)| *parts.entry(part).or_default() += bytes);
            // The applications of a process share these, and each tells the whole.
            let shared = [
                ("clean", memory.clean),
                ("write_buffers", memory.engine.write_buffers),
                ("block_cache", memory.engine.cache),
            ];
            for (part, bytes) in shared {
                let most = parts.entry(part).or_default();
                *most = bytes.max(*most);
            }
        }
        for (part, bytes) in parts {
            metrics::gauge!("state_cache_bytes", "part" => part).set(bytes as f64);
        }
    }
}

impl Queries {
    /// Over the tasks that are here; 0 of a store that has none.
    fn report_stores(&self) {
        let mut bytes: BTreeMap<&str, u64> = self.stores.keys().map(|name| (&**name, 0)).collect();
        let extents = self.extents();
        for extent in &extents {
            *bytes.entry(&extent.store).or_default() += extent.bytes;
        }
        for (store, bytes) in bytes {
            let labels =
                [("application", self.application().to_owned()), ("store", store.to_owned())];
            metrics::gauge!("state_store_bytes", &labels).set(bytes as f64);
        }
    }
}
