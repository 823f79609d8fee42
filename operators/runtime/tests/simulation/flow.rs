//! What a cluster runs: a topology from one topic to another, and what its workers need beside it.

use std::sync::Arc;
use std::sync::atomic::AtomicI64;

use log::embedded::EmbeddedLog;
use operators::Topology;
use operators_runtime::Worker;

use crate::words;

/// Called with every worker before it starts, the log and the clock.
type Prepare = Box<dyn Fn(&mut Worker, Arc<EmbeddedLog>, Arc<AtomicI64>)>;

pub(crate) struct Flow {
    pub(crate) input: &'static str,
    pub(crate) output: &'static str,
    pub(crate) topology: fn() -> Topology,
    pub(crate) prepare: Prepare,
}

impl Flow {
    pub(crate) fn words() -> Self {
        let prepare = Box::new(|_: &mut Worker, _, _| {});
        Self { input: words::INPUT, output: words::OUTPUT, topology: words::topology, prepare }
    }
}
