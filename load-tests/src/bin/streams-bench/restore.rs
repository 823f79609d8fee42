//! Times a start of the count topology: from an empty state folder and a changelog of N records, or, with state kept by a
//! run that was killed, from what that one left.

use std::io::Read;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, bail, ensure};
use load_tests::process::Snapshot;
use log::record::NewRecord;
use log::traits::{Admin, Log};
use serde_json::{Value, json};

use crate::count_changelog::CHANGELOG;
use crate::memory::Watch;
use crate::options::Options;
use crate::progress::Progress;
use crate::stages::Stages;
use crate::{report, topics, topologies};

/// Between two questions to the broker.
const PAUSE: Duration = Duration::from_millis(20);

/// Leaves the topics as they are, so that it may be repeated.
pub(crate) fn run(options: &Options, began: &Snapshot) -> Result<Value> {
    let mut fields = report::describe(options);
    let plan = topologies::plan(options, &Progress::default())?;
    let log = options.log();
    let admin = log.admin()?;
    let (input, output) = (options.topic("in"), options.out_topic("out"));
    topics::ensure_kept(admin.as_ref(), &[&input, &output], options.partitions)?;
    topics::ensure_dead_letters(admin.as_ref())?;
    let changelog = topics::ends_of(admin.as_ref(), &[options.out_topic(CHANGELOG)])?;
    let state = options.state(&admin.log_id()?)?;
    let watch = Watch::start(&state);

    let begin = Snapshot::now();
    let mut stages = Stages::none();
    for thread in 0..options.threads {
        stages.start(plan.topology.clone(), &log, state.clone(), options.settings(thread))?;
    }
    let mut ready = false;
    while !ready && begin.at.elapsed() < options.timeout() {
        thread::sleep(Duration::from_millis(1));
        ready = stages.ready(changelog.len())?;
    }
    let readied = Instant::now();
    report::add_cost(&mut fields, options.records, began, &begin);
    let held: i64 = changelog.iter().map(|(_, end)| *end).sum();
    let enough = held.unsigned_abs() >= options.records;
    fields.insert("complete".to_owned(), json!(ready && enough));
    fields.insert("restored".to_owned(), json!(stages.restored_rows()));
    fields.insert("cpu_from_start_call_s".to_owned(), fields["cpu_from_first_record_s"].clone());
    fields.insert("memory".to_owned(), watch.end(options.memory_mib())?);
    if options.tail > 0 {
        send_tail(options, log.as_ref(), &input)?;
        wait_for_commit(options, admin.as_ref(), &input)?;
    }
    if options.hold {
        println!("{}", Value::Object(fields));
        std::io::stdin().read_to_end(&mut Vec::new())?;
        bail!("nobody killed this run");
    }
    stages.close()?;
    fields.insert("close_s".to_owned(), json!(readied.elapsed().as_secs_f64()));
    drop(state);
    options.forget_state()?;
    Ok(Value::Object(fields))
}

/// Records of keys that the changelog has.
fn send_tail(options: &Options, log: &dyn Log, topic: &str) -> Result<()> {
    let appender = log.appender("tail")?;
    let (sent, failed) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
    for number in 0..options.tail {
        let key = format!("k{:07}", number % options.keys);
        let record = NewRecord {
            key: Some(key.as_bytes()),
            value: Some(&[b'v'; 100]),
            timestamp: 1_700_000_000_000,
            headers: &[],
        };
        let (sent, failed) = (Arc::clone(&sent), Arc::clone(&failed));
        let done = move |written: Result<_, _>| {
            if written.is_err() {
                failed.fetch_add(1, Ordering::Relaxed);
            }
            sent.fetch_add(1, Ordering::Release);
        };
        appender.append(topic, None, record, Box::new(done));
    }
    while sent.load(Ordering::Acquire) < options.tail {
        thread::sleep(PAUSE);
    }
    ensure!(failed.load(Ordering::Relaxed) == 0, "the tail wasn't written");
    Ok(())
}

fn wait_for_commit(options: &Options, admin: &dyn Admin, topic: &str) -> Result<()> {
    let group = format!("{}-group", options.app_id());
    let ends = topics::ends_of(admin, &[topic.to_owned()])?;
    let begun = Instant::now();
    while !topics::committed(admin, &group, &ends, 0)? {
        ensure!(begun.elapsed() < options.timeout(), "the tail isn't committed");
        thread::sleep(PAUSE);
    }
    Ok(())
}
