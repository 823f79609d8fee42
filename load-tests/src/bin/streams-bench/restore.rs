//! Times a cold start of the count topology: empty state folder, empty input, a changelog of N records.

use std::thread;
use std::time::{Duration, Instant};

use anyhow::Result;
use load_tests::process::Snapshot;
use operators::DEAD_LETTERS;
use serde_json::{Value, json};

use crate::count_changelog::CHANGELOG;
use crate::options::Options;
use crate::progress::Progress;
use crate::stages::Stages;
use crate::{report, topics, topologies};

/// Leaves the topics as they are, so that it may be repeated.
pub(crate) fn run(options: &Options, began: &Snapshot) -> Result<Value> {
    let mut fields = report::describe(options);
    let plan = topologies::plan(options, &Progress::default())?;
    let log = options.broker.log();
    let admin = log.admin()?;
    let (input, output) = (options.topic("in"), options.out_topic("out"));
    topics::ensure_kept(admin.as_ref(), &[&input, &output, DEAD_LETTERS], options.partitions)?;
    let changelog = topics::ends_of(admin.as_ref(), &[options.out_topic(CHANGELOG)])?;
    let state = options.state(&admin.log_id()?)?;

    let begin = Snapshot::now();
    let mut stages = Stages::none();
    stages.start(plan.topology, &log, state.clone(), options.settings(0))?;
    let mut ready = false;
    while !ready && begin.at.elapsed() < options.timeout() {
        thread::sleep(Duration::from_millis(1));
        ready = stages.ready(changelog.len())?;
    }
    let readied = Instant::now();
    report::add_cost(&mut fields, options.records, began, &begin);
    let restored: i64 = changelog.iter().map(|(_, end)| *end).sum();
    let enough = restored.unsigned_abs() >= options.records;
    fields.insert("complete".to_owned(), json!(ready && enough));
    fields.insert("cpu_from_start_call_s".to_owned(), fields["cpu_from_first_record_s"].clone());
    stages.close()?;
    fields.insert("close_s".to_owned(), json!(readied.elapsed().as_secs_f64()));
    drop(state);
    options.forget_state()?;
    Ok(Value::Object(fields))
}
