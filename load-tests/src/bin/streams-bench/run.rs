//! Runs one topology until every input record is processed and its offset is committed.

use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use load_tests::process::Snapshot;
use log::record::TopicPartition;
use log::traits::Admin;
use operators::{InternalTopicKind, Topology};
use serde_json::{Value, json};

use crate::memory::Watch;
use crate::options::Options;
use crate::progress::Progress;
use crate::stages::Stages;
use crate::{report, topics, topologies};

/// Between two looks at the counter, which costs nothing; the broker is asked only when it says that all have passed.
const PAUSE: Duration = Duration::from_millis(10);

pub(crate) fn run(options: &Options, began: &Snapshot) -> Result<Value> {
    let mut fields = report::describe(options);
    let progress = Progress::default();
    let plan = topologies::plan(options, &progress)?;
    let log = options.log();
    let admin = log.admin()?;
    let outputs: Vec<&str> = plan.outputs.iter().map(String::as_str).collect();
    topics::ensure_kept(admin.as_ref(), &outputs, options.partitions)?;
    topics::ensure_dead_letters(admin.as_ref())?;
    let inputs = topics::ends_of(admin.as_ref(), &plan.inputs)?;
    let records: i64 = inputs.iter().map(|(_, end)| *end).sum();

    let state = options.state(&admin.log_id()?)?;
    let watch = Watch::start(&state);
    let mut stages = Stages::none();
    for thread in 0..options.threads {
        stages.start(plan.topology.clone(), &log, state.clone(), options.settings(thread))?;
    }
    let run = Run { admin: admin.as_ref(), group: format!("{}-group", options.app_id()), inputs };
    let complete = run.until_committed(options, (&progress, plan.ticks), &plan.topology)?;
    let first = progress.first().context("no record came")?;
    report::add_cost(&mut fields, records.unsigned_abs(), began, &first);
    fields.insert("complete".to_owned(), json!(complete));
    fields.insert("memory".to_owned(), watch.end(options.memory_mib())?);
    stages.close()?;
    drop(state);
    if options.verify {
        let outputs = topics::count(log.as_ref(), admin.as_ref(), &plan.outputs)?;
        fields.insert("outputs".to_owned(), json!(outputs));
    }
    options.forget_state()?;
    if !options.keep {
        topics::forget(options)?;
    }
    Ok(Value::Object(fields))
}

struct Run<'r> {
    admin: &'r dyn Admin,
    group: String,
    inputs: Vec<(TopicPartition, i64)>,
}

impl Run<'_> {
    fn until_committed(
        &self,
        options: &Options,
        (progress, ticks): (&Progress, u64),
        topology: &Topology,
    ) -> Result<bool> {
        let begun = Instant::now();
        while begun.elapsed() < options.timeout() {
            if progress.seen() >= ticks && self.all_committed(topology)? {
                return Ok(true);
            }
            thread::sleep(PAUSE);
        }
        Ok(false)
    }

    /// A repartition topic ends in a commit marker, which the committed offset need not have passed.
    fn all_committed(&self, topology: &Topology) -> Result<bool> {
        let internal = topology.internal_topics();
        let repartition: Vec<String> = internal
            .iter()
            .filter(|topic| matches!(topic.kind, InternalTopicKind::Repartition))
            .map(|topic| topic.name.to_string())
            .collect();
        let internal = topics::ends_of(self.admin, &repartition)?;
        Ok(topics::committed(self.admin, &self.group, &self.inputs, 0)?
            && topics::committed(self.admin, &self.group, &internal, 1)?)
    }
}
