//! Latency: produce → exactly-once stages → read_committed reader, at a fixed rate.
//!
//! Open loop: a record's time runs from when it was due, so a late sender hides nothing.

use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use hdrhistogram::Histogram;
use load_tests::figures::{histogram, micros, quantiles};
use load_tests::process::load_average;
use log::record::NewRecord;
use log::traits::{Appended, Isolation, Log, Visibility};
use operators::{RawBytes, StreamsBuilder, Topic, Topology, Utf8};
use runtime::WorkerSettings;
use serde_json::{Value, json};
use state_stores::{MemoryEngine, StateDir, StateOptions};

use crate::options::Broker;
use crate::stages::Stages;
use crate::timed::TimedLog;
use crate::topics;

/// After the last record.
const PATIENCE: Duration = Duration::from_secs(20);

#[derive(clap::Args, Clone, Debug)]
pub(crate) struct Options {
    #[command(flatten)]
    broker: Broker,
    /// Stages that a record passes, an application each.
    #[arg(long, default_value_t = 1)]
    hops: u32,
    /// Records per second.
    #[arg(long, default_value_t = 200)]
    rate: u32,
    #[arg(long, default_value_t = 30)]
    seconds: u32,
    /// Not measured: groups join, clients learn where everything is.
    #[arg(long, default_value_t = 10)]
    warm_up_seconds: u32,
    #[arg(long, default_value_t = 3)]
    partitions: u32,
    /// Topics of somebody else's stage, measured instead of ours.
    #[arg(long, num_args = 2, value_names = ["IN", "OUT"])]
    through: Vec<String>,
}

impl Options {
    /// The topic before each stage, and the last one.
    fn topics(&self) -> Vec<String> {
        let own = |hop| format!("ours-latency-{}-{hop}", std::process::id());
        if self.through.is_empty() {
            (0..=self.hops).map(own).collect()
        } else {
            self.through.clone()
        }
    }

    fn count(&self, seconds: u32) -> usize {
        (self.rate * seconds) as usize
    }
}

pub(crate) fn run(options: &Options) -> Result<Value> {
    let before = load_average();
    let commits = Arc::new(Mutex::new(histogram()?));
    let log: Arc<dyn Log> =
        Arc::new(TimedLog { log: options.broker.log(), commits: Arc::clone(&commits) });
    let admin = log.admin()?;
    let topics = options.topics();
    let names: Vec<&str> = topics.iter().map(String::as_str).collect();
    topics::ensure_kept(admin.as_ref(), &names, options.partitions)?;
    topics::ensure_dead_letters(admin.as_ref())?;
    let mut stages = Stages::none();
    if options.through.is_empty() {
        for pair in topics.windows(2) {
            let [from, to] = pair else { continue };
            let state = StateOptions::new(admin.log_id()?);
            let state = StateDir::open(Arc::new(MemoryEngine::new()), state)?;
            stages.start(stage(from, to)?, &log, state, WorkerSettings::new("bench"))?;
        }
        while !stages.ready((topics.len() - 1) * options.partitions as usize)? {
            thread::sleep(Duration::from_millis(10));
        }
    }
    let (Some(from), Some(to)) = (topics.first(), topics.last()) else { return Ok(Value::Null) };
    let start = Instant::now() + Duration::from_millis(100);
    let times = thread::scope(|scope| {
        let reading = scope.spawn(|| read(options, log.as_ref(), to, start));
        send(options, log.as_ref(), from, start)?;
        reading.join().map_err(|_| anyhow::anyhow!("the reader has failed"))?
    })?;
    stages.close()?;
    let commits = commits.lock().unwrap_or_else(PoisonError::into_inner);
    Ok(json!({
        "engine": if options.through.is_empty() { "orders" } else { "other" },
        "hops": topics.len() - 1,
        "rate": options.rate,
        "records": times.len(),
        "latency_ms": quantiles(&times),
        "commits": commits.len(),
        "commit_ms": quantiles(&commits),
        "load_before": before,
        "load_after": load_average(),
    }))
}

fn stage(from: &str, to: &str) -> Result<Topology> {
    let builder = StreamsBuilder::new(format!("{from}-stage"));
    let topic = |name: &str| Topic::<str, [u8]>::new(name, Utf8, RawBytes);
    builder.stream(&topic(from)).map_values(<[u8]>::to_vec).to(&Topic::new(to, Utf8, RawBytes));
    Ok(builder.build()?)
}

/// When a record is due.
fn due(options: &Options, start: Instant, number: usize) -> Instant {
    start + Duration::from_secs_f64(number as f64 / f64::from(options.rate))
}

/// The record's number is the beginning of its 100 bytes.
fn send(options: &Options, log: &dyn Log, topic: &str, start: Instant) -> Result<()> {
    let appender = log.appender("sender")?;
    let (told, outcomes) = mpsc::channel();
    let mut value = [b'v'; 100];
    for number in 0..options.count(options.warm_up_seconds + options.seconds) {
        thread::sleep(due(options, start, number).saturating_duration_since(Instant::now()));
        value[..8].copy_from_slice(&number.to_be_bytes());
        let key = format!("k{:07}", number % 1_000);
        let record = NewRecord {
            key: Some(key.as_bytes()),
            value: Some(&value),
            timestamp: 1_700_000_000_000,
            headers: &[],
        };
        let told = told.clone();
        // Nobody listens any more once one has failed.
        let done = move |written: Appended| drop(told.send(written));
        appender.append(topic, None, record, Box::new(done));
    }
    // A dropped appender gives up what isn't acknowledged.
    drop(told);
    for written in outcomes {
        written?;
    }
    Ok(())
}

fn read(options: &Options, log: &dyn Log, topic: &str, start: Instant) -> Result<Histogram<u64>> {
    let admin = log.admin()?;
    let from = topics::ends_of(admin.as_ref(), &[topic.to_owned()])?;
    let mut reader = log.reader("measuring", Isolation::ReadCommitted, Visibility::Durable)?;
    reader.assign(&from)?;
    let (warm, all) = (
        options.count(options.warm_up_seconds),
        options.count(options.warm_up_seconds + options.seconds),
    );
    let (mut seen, mut times) = (0, histogram()?);
    let deadline = due(options, start, all) + PATIENCE;
    while seen < all {
        reader.poll(Duration::from_millis(100), 1_000, &mut |record| {
            let at = Instant::now();
            let number = record.value.and_then(|value| value.first_chunk()).copied();
            let number = usize::from_be_bytes(number.unwrap_or_default());
            seen += 1;
            if number >= warm {
                let late = at.saturating_duration_since(due(options, start, number));
                times.saturating_record(micros(late));
            }
        })?;
        ensure!(Instant::now() < deadline, "{seen} of {all} records came through");
    }
    Ok(times)
}
