//! What is told of a worker's tasks: values of metrics, and the same in its status.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use log::NewRecord;
use log::embedded::{Fault, FaultPlan, Operation};
use metrics::with_local_recorder;
use operators::{
    BoxError, ErrorPolicy, FixedKeyContext, FixedKeyProcessor, FixedKeyRecord, Materialized,
    StreamsBuilder, Topic, Topology, Utf8,
};
use operators_runtime::{
    Answer, LagWatch, Member, PeerError, Peers, QueryDoor, StoreQuery, render_plain,
};
use state_stores::MemoryEngine;

use crate::Scene;
use crate::clocked_log::ClockedLog;
use crate::recorder::Metrics;

/// Keeps the last value of each key; what is bad is skipped, what is worse buried.
fn topology() -> Topology {
    let builder = StreamsBuilder::new("drops");
    let text = |name: &str| Topic::<str, str>::new(name, Utf8, Utf8);
    let fails = |word: &'static str| {
        move |value: &str| if value == word { Err(word) } else { Ok(value.to_owned()) }
    };
    builder
        .stream(&text("in"))
        .try_map_values(fails("bad"))
        .on_error(ErrorPolicy::Skip)
        .with_value_serde(Utf8)
        .try_map_values(move |value: &String| fails("worse")(value))
        .on_error(ErrorPolicy::DeadLetter)
        .with_value_serde(Utf8)
        .deduplicate_by_key("seen", 1_000_000)
        .to_table(&Materialized::as_("last", Utf8, Utf8));
    builder.build().unwrap()
}

/// A log where the first flush of outputs after `armed` was set takes the transaction with it.
fn scene(armed: &Arc<AtomicBool>) -> Scene {
    let armed = Arc::clone(armed);
    let faults = FaultPlan::deciding(move |operation, _| {
        let fails = operation == Operation::Flush && armed.swap(false, Ordering::SeqCst);
        fails.then_some(Fault::Abort)
    });
    let engine = Arc::new(MemoryEngine::new());
    let log = ClockedLog::open(engine, 1_700_000_000_000, Some(faults));
    log.make_topics([("in", 1), ("dead_letters", 1)]);
    Scene(log)
}

#[test]
fn dropped_records_are_counted_by_reason_once_they_are_committed() {
    let armed = Arc::<AtomicBool>::default();
    let (scene, metrics) = (scene(&armed), Metrics::default());
    let dropped = |reason: &str| {
        metrics.counter(&format!("stream_dropped_records_total application=drops reason={reason}"))
    };
    with_local_recorder(&metrics, || {
        let mut worker = scene.worker(topology());
        scene.step_until_ready(&mut worker);
        assert_eq!(dropped("skipped"), 0, "it is there before anything is dropped");
        let value = |value: &'static [u8]| NewRecord {
            key: Some(value),
            value: Some(value),
            timestamp: scene.0.now(),
            headers: &[],
        };
        let keyless = NewRecord { key: None, ..value(b"no key") };
        let all =
            [value(b"bad"), value(b"bad"), value(b"worse"), value(b"a"), value(b"a"), keyless];
        armed.store(true, Ordering::SeqCst);
        all.into_iter().for_each(|record| scene.0.append("in", Some(0), record));
        scene.step(&mut worker, |_| dropped("skipped") > 0);
        assert!(!armed.load(Ordering::SeqCst), "what was dropped first was aborted");
        scene.0.settle(&mut worker).unwrap();
        worker.refresh(scene.0.now());
        let shown = worker.status().tasks[0].pace.dropped;
        assert_eq!(
            (shown.skipped, shown.dead_letter, shown.duplicate, shown.incomplete),
            (2, 1, 1, 1)
        );
        for (reason, records) in
            [("skipped", 2), ("dead_letter", 1), ("duplicate", 1), ("incomplete", 1), ("late", 0)]
        {
            assert_eq!(dropped(reason), records, "{reason}");
        }
        let latencies = metrics.samples("stream_commit_latency_seconds application=drops task=0_0");
        assert!(latencies.iter().any(|seconds| (0.001..10.0).contains(seconds)), "{latencies:?}");
    });
}

const KEYS: usize = 500;

#[test]
fn a_restore_tells_how_far_it_is_while_it_runs() {
    let (scene, metrics) = (scene(&Arc::default()), Metrics::default());
    scene.append(("in", 0), scene.0.now(), (0..KEYS).map(|number| format!("key-{number}")));
    let mut first = scene.worker(topology());
    scene.step_until_ready(&mut first);
    scene.0.settle(&mut first).unwrap();
    scene.close(first);

    let restored = "stream_restored_records_total application=drops";
    let remaining = |what: &str| {
        metrics.gauge(&format!("stream_restore_remaining_{what} application=drops thread=0"))
    };
    with_local_recorder(&metrics, || {
        let (mut second, mut half_way) = (scene.worker(topology()), 0);
        assert_eq!(metrics.counter(restored), 0);
        while !second.status().ready {
            second.step(scene.0.now()).unwrap();
            scene.0.pass(1);
            let status = second.status();
            second.report_restoring(&status);
            let Some(task) = status.restoring.first().filter(|task| task.read > 0) else {
                continue;
            };
            half_way += 1;
            assert!(task.id == "0_0" && task.total >= 2 * KEYS as i64, "{task:?}");
            assert_eq!(remaining("records"), (task.total - task.read) as f64);
            assert_eq!(remaining("seconds"), task.remaining_ms.unwrap() as f64 / 1_000.0);
            assert!(metrics.counter(restored) > 0, "rows are counted as they are read");
        }
        assert!(half_way > 3, "it was seen {half_way} times on its way");
        let status = second.status();
        assert_eq!((remaining("records"), remaining("seconds")), (0.0, 0.0));
        assert_eq!(metrics.counter(restored), status.restored_rows);
        assert!(status.restored_rows >= 2 * KEYS as u64, "{status:?}");
        let took = metrics.samples("stream_restore_seconds application=drops");
        assert!(took.len() == 1 && (0.004..5.0).contains(&took[0]), "{took:?}");
    });
}

#[test]
fn what_lies_before_a_task_is_its_lag() {
    let (scene, metrics) = (scene(&Arc::default()), Metrics::default());
    let lag = || metrics.gauge("stream_lag_records group=drops-group topic=in partition=0");
    let mut worker = scene.worker(topology());
    scene.step_until_ready(&mut worker);
    with_local_recorder(&metrics, || {
        let mut watch = LagWatch::new(scene.0.log.clone());
        scene.append(("in", 0), 1, ["a", "b", "c"].map(str::to_owned).into_iter());
        let lags = watch.look(&[worker.status()]).unwrap();
        assert_eq!((lags[0].records, lag()), (3, 3.0));
        scene.0.settle(&mut worker).unwrap();
        scene.0.pass(200);
        scene.0.settle(&mut worker).unwrap();
        watch.look(&[worker.status()]).unwrap();
        assert_eq!(lag(), 0.0);
        scene.append(("in", 0), 1, ["d".to_owned()].into_iter());
        watch.look(&[worker.status()]).unwrap();
        assert_eq!(lag(), 1.0);
        watch.look(&[]).unwrap();
        assert_eq!(lag(), 0.0, "the task is elsewhere");
    });
}

struct Nobody;

impl Peers for Nobody {
    fn ask(&self, _: &Member, _: &str, _: &StoreQuery) -> Result<Answer, PeerError> {
        Err(PeerError::Silent("nobody is there".to_owned()))
    }
}

#[test]
fn the_sizes_of_stores_and_of_what_is_in_memory_are_told() {
    let (scene, metrics) = (scene(&Arc::default()), Metrics::default());
    let keys = |name: &'static str| (0..KEYS).map(move |number| format!("{name}-{number}"));
    let mut worker = scene.worker(topology());
    scene.append(("in", 0), scene.0.now(), keys("first"));
    scene.step_until_ready(&mut worker);
    scene.0.settle(&mut worker).unwrap();
    let queries = worker.queries(Arc::new(Nobody), Arc::new(render_plain));
    let door = QueryDoor::new(vec![queries], None);
    let stored = || metrics.gauge("state_store_bytes application=drops store=last");
    let cached = |part: &str| metrics.gauge(&format!("state_cache_bytes part={part}"));
    with_local_recorder(&metrics, || {
        door.report_sizes();
        assert_eq!(stored(), 0.0, "nothing is in files yet");
        assert!(cached("live") >= (KEYS * 2 * "first-1".len()) as f64, "{}", cached("live"));
        // The next commit finds the rows old enough to be written.
        scene.0.pass(120_000);
        scene.append(("in", 0), scene.0.now(), keys("second").take(1));
        scene.step(&mut worker, |_| {
            door.report_sizes();
            stored() >= (KEYS * "first-1".len()) as f64
        });
    });
}

/// Observes how long each value is.
struct Lengths;

impl FixedKeyProcessor<str, str, str> for Lengths {
    fn process(
        &mut self,
        record: FixedKeyRecord<'_, str, str>,
        ctx: &mut FixedKeyContext<'_, '_, str, str>,
    ) -> Result<(), BoxError> {
        ctx.observe("length", Some(("of", "value")), record.value().map_or(0, str::len) as f64);
        ctx.forward(record);
        Ok(())
    }
}

#[test]
fn what_a_processor_observes_is_told_once_it_is_committed() {
    let text = |name: &str| Topic::<str, str>::new(name, Utf8, Utf8);
    let builder = StreamsBuilder::new("lengths");
    let lengths = builder.stream(&text("in")).process_values("lengths", &[], |_| Box::new(Lengths));
    lengths.with_value_serde(Utf8).to_table(&Materialized::as_("last", Utf8, Utf8));
    let armed = Arc::<AtomicBool>::default();
    let (scene, metrics) = (scene(&armed), Metrics::default());
    with_local_recorder(&metrics, || {
        let mut worker = scene.worker(builder.build().unwrap());
        scene.step_until_ready(&mut worker);
        armed.store(true, Ordering::SeqCst);
        scene.append(("in", 0), scene.0.now(), ["a", "bc", "def"].map(str::to_owned).into_iter());
        let done = "stream_task_records_total application=lengths task=0_0";
        scene.step(&mut worker, |_| metrics.counter(done) == 3);
        assert!(!armed.load(Ordering::SeqCst), "what was observed first was aborted");
        scene.0.settle(&mut worker).unwrap();
        let told = metrics.samples("length application=lengths of=value");
        assert_eq!(told, [1.0, 2.0, 3.0]);
    });
}
