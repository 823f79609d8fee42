//! A table join: whatever a poll brings first, a record waits for the earlier rows of the other input that are in the
//! log (KIP-695), also for those that another partition's marker still hides.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use log::embedded::{Fault, FaultPlan, Operation};
use log::{Log, NewRecord, TxnProducer};
use operators::{StreamsBuilder, Topic, Topology, Utf8};
use operators_runtime::Worker;
use state_stores::MemoryEngine;

use crate::Scene;
use crate::clocked_log::ClockedLog;

const ROWS: usize = 100;

fn topology() -> Topology {
    let builder = StreamsBuilder::new("enrich");
    let names = builder.table("names", &Topic::new("names", Utf8, Utf8));
    builder
        .stream::<str, str>(&Topic::new("clicks", Utf8, Utf8))
        .join("named", &names, |click: &str, name: &str| format!("{click} by {name}"))
        .with_value_serde(Utf8)
        .to(&Topic::new("out", Utf8, Utf8));
    builder.build().unwrap()
}

#[test]
fn a_backlog_is_joined_in_the_order_of_its_times() {
    let scene = Scene::new(&[("clicks", 1), ("names", 1), ("out", 1)]);
    let user = |number| format!("user-{number}");
    scene.append(("clicks", 0), 2_000, (0..ROWS).map(user));
    // The other way round, so that taking turns doesn't help.
    scene.append(("names", 0), 1_000, (0..ROWS).rev().map(user));
    scene.run(topology(), |scene| scene.values("out", 0).len() == ROWS);
}

const TOPICS: [(&str, u32); 4] = [("clicks", 1), ("dead_letters", 1), ("names", 1), ("out", 1)];

/// A scene whose transactions lie open in the log. While it is told so, their markers come late, but for that of the
/// first partition, that of `clicks`.
fn scene_with_late_markers(late: &Arc<AtomicBool>) -> Scene {
    let (late, mut markers) = (Arc::clone(late), 0);
    let faults = FaultPlan::deciding(move |operation, _| {
        let is_late = late.load(Ordering::SeqCst) && operation == Operation::Marker;
        markers += u32::from(is_late);
        (is_late && markers > 1).then_some(Fault::Late)
    });
    let engine = Arc::new(MemoryEngine::new());
    let log = ClockedLog::with(engine, 1_700_000_000_000, Some(faults), true);
    log.make_topics(TOPICS);
    Scene(log)
}

/// A transaction of somebody else with a name and, if asked for, a click of it.
fn begin(scene: &Scene, with_click: bool) -> Box<dyn TxnProducer> {
    let mut producer = scene.0.log.txn_producer("other", "other").unwrap();
    producer.init().unwrap();
    producer.begin().unwrap();
    let record =
        |timestamp| NewRecord { key: Some(b"ada"), value: Some(b"ada"), timestamp, headers: &[] };
    producer.send("names", 0, record(1_000)).unwrap();
    if with_click {
        producer.send("clicks", 0, record(2_000)).unwrap();
    }
    producer.flush().unwrap();
    producer
}

fn pass(scene: &Scene, worker: &mut Worker, ms: i64) {
    let end = scene.0.now() + ms;
    scene.step(worker, |scene| scene.0.now() >= end);
}

#[test]
fn a_row_of_the_same_transaction_is_met_though_its_marker_comes_late() {
    let late = Arc::new(AtomicBool::new(false));
    let scene = scene_with_late_markers(&late);
    let mut worker = scene.worker(topology());
    scene.step_until_ready(&mut worker);

    late.store(true, Ordering::SeqCst);
    let mut producer = begin(&scene, true);
    producer.commit().unwrap();
    assert_eq!(scene.values("clicks", 0), ["ada"], "the click is there");
    assert!(scene.values("names", 0).is_empty(), "its name isn't");
    pass(&scene, &mut worker, 500);
    assert!(scene.values("out", 0).is_empty());

    late.store(false, Ordering::SeqCst);
    scene.step(&mut worker, |scene| scene.values("out", 0) == ["ada by ada"]);
}

#[test]
fn a_transaction_that_stays_open_holds_up_a_join_once() {
    let scene = scene_with_late_markers(&Arc::default());
    scene.append(("names", 0), 500, ["bob".to_owned()].into_iter());
    let mut worker = scene.worker(topology());
    scene.step_until_ready(&mut worker);
    let mut producer = begin(&scene, false);
    let clicks = |count| vec!["bob by bob"; count];

    scene.append(("clicks", 0), 2_000, ["bob".to_owned()].into_iter());
    pass(&scene, &mut worker, 900);
    assert!(scene.values("out", 0).is_empty(), "the click may be of that transaction");
    pass(&scene, &mut worker, 300);
    assert_eq!(scene.values("out", 0), clicks(1));

    scene.append(("clicks", 0), 2_001, ["bob".to_owned()].into_iter());
    pass(&scene, &mut worker, 100);
    assert_eq!(scene.values("out", 0), clicks(2), "nobody waits for it again");

    producer.commit().unwrap();
    let mut producer = begin(&scene, false);
    scene.append(("clicks", 0), 2_002, ["bob".to_owned()].into_iter());
    pass(&scene, &mut worker, 500);
    assert_eq!(scene.values("out", 0), clicks(2), "but for the next one");
    producer.commit().unwrap();
    pass(&scene, &mut worker, 100);
    assert_eq!(scene.values("out", 0), clicks(3));
}
