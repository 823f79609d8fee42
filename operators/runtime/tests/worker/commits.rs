//! When a worker commits.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use log::embedded::{FaultPlan, Operation};
use operators::{StreamsBuilder, Topic, Topology, Utf8};
use operators_runtime::{Worker, WorkerSettings};

use state_stores::MemoryEngine;

use crate::Scene;
use crate::clocked_log::ClockedLog;

/// Passes on what begins with a `y`.
fn topology() -> Topology {
    let text = |name: &str| Topic::<str, str>::new(name, Utf8, Utf8);
    let builder = StreamsBuilder::new("commits");
    builder.stream(&text("in")).filter(|_, value| value.starts_with('y')).to(&text("out"));
    builder.build().unwrap()
}

fn committed(worker: &Worker) -> i64 {
    worker.status().tasks.iter().flat_map(|task| &task.inputs).map(|(_, next)| *next).sum()
}

#[test]
fn what_nobody_waits_for_is_committed_at_the_end_of_the_interval() {
    let settings = WorkerSettings::new("here");
    let scene = Scene::new(&[("in", 1), ("out", 1)]);
    let append = |value: &str| scene.append(("in", 0), 1_000, [value.to_owned()].into_iter());
    append("yes 1");
    let mut worker = scene.run(topology(), |scene| scene.values("out", 0).len() == 1);
    scene.0.settle(&mut worker).unwrap();
    let (before, sent_at) = (committed(&worker), scene.0.now());

    append("no 1");
    scene.0.step_until(&mut worker, |_| scene.0.now() - sent_at >= settings.commit_interval_ms / 2);
    assert_eq!(committed(&worker), before, "a commit that shows nobody anything");
    while committed(&worker) == before {
        assert!(scene.0.now() - sent_at <= settings.commit_interval_ms + 50);
        scene.0.step_until(&mut worker, |_| true);
    }

    let (before, sent_at) = (committed(&worker), scene.0.now());
    append("no 2");
    append("yes 2");
    scene.step(&mut worker, |scene| scene.values("out", 0).len() == 2);
    assert!(scene.0.now() - sent_at < settings.commit_interval_ms / 2, "somebody waits for it");
    scene.0.settle(&mut worker).unwrap();
    assert!(committed(&worker) >= before + 2);
}

#[test]
fn commits_begin_an_interval_apart_and_a_transaction_begins_when_the_last_one_is_over_everywhere() {
    let begun = Arc::<AtomicUsize>::default();
    let count = Arc::clone(&begun);
    let counting = FaultPlan::deciding(move |operation, _| {
        count.fetch_add(usize::from(operation == Operation::Begin), Ordering::SeqCst);
        None
    });
    let log = ClockedLog::open(Arc::new(MemoryEngine::new()), 1_000_000, Some(counting));
    log.make_topics([("in", 1), ("out", 1), ("dead_letters", 1)]);
    let scene = Scene(log);
    let mut worker = scene.worker(topology());
    scene.step_until_ready(&mut worker);
    // A step takes half a millisecond, so a commit two and a half.
    let (mut commits, mut ended, mut waits) = (Vec::new(), None, Vec::new());
    let mut transactions = 0;
    for step in 0..600 {
        if step % 3 == 0 {
            scene.append(("in", 0), scene.0.now(), ["yes".to_owned()].into_iter());
        }
        let (before, now) = (worker.commit_stage(), scene.0.now());
        worker.step(now).unwrap();
        match (before, worker.commit_stage()) {
            (None, Some(_)) => commits.push(now),
            (Some(_), None) => ended = Some(now),
            _ => {}
        }
        if begun.load(Ordering::SeqCst) > transactions {
            transactions += 1;
            waits.extend(ended.map(|ended| now - ended));
        }
        scene.0.pass(i64::from(step % 2 == 1));
        scene.0.log.tick().unwrap();
    }
    let interval = WorkerSettings::new("here").commit_min_interval_ms;
    let apart: Vec<_> = commits.windows(2).map(|pair| pair[1] - pair[0]).collect();
    // Nor is a whole interval between the end of a commit and the next.
    assert!(
        apart.len() > 40 && apart.iter().all(|ms| (interval..interval + 3).contains(ms)),
        "{apart:?}"
    );
    assert!(waits.len() > 40 && waits.iter().all(|ms| *ms >= 2), "{waits:?}");
}
