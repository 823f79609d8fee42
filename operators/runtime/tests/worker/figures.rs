//! What is told of a worker's tasks: values of metrics, and the same in its status.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use log::NewRecord;
use log::embedded::{Fault, FaultPlan, Operation};
use metrics::with_local_recorder;
use operators::{ErrorPolicy, Materialized, StreamsBuilder, Topic, Topology, Utf8};
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
        .try_map_values(|value: &String| fails("worse")(value))
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
        metrics.counter(&format!(
            "stream_dropped_records_total application=drops reason={reason}"
        ))
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
        let all = [value(b"bad"), value(b"bad"), value(b"worse"), value(b"a"), value(b"a"), keyless];
        armed.store(true, Ordering::SeqCst);
        all.into_iter().for_each(|record| scene.0.append("in", Some(0), record));
        scene.step(&mut worker, |_| dropped("skipped") > 0);
        assert!(!armed.load(Ordering::SeqCst), "what was dropped first was aborted");
        scene.0.settle(&mut worker).unwrap();
        worker.refresh(scene.0.now());
        let shown = worker.status().tasks[0].pace.dropped;
        assert_eq!((shown.skipped, shown.dead_letter, shown.duplicate, shown.incomplete), (2, 1, 1, 1));
        for (reason, records) in
            [("skipped", 2), ("dead_letter", 1), ("duplicate", 1), ("incomplete", 1), ("late", 0)]
        {
            assert_eq!(dropped(reason), records, "{reason}");
        }
    });
}
