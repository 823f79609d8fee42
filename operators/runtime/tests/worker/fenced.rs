//! A member whose place in its group is another's hears of it once, whatever it is doing then.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use log::LogError;
use log::embedded::{Fault, FaultPlan, Operation};
use operators::{I64Be, Materialized, StreamsBuilder, Topic, Topology, Utf8};
use operators_runtime::{Worker, WorkerError, WorkerStatus};
use state_stores::MemoryEngine;

use crate::Scene;
use crate::clocked_log::ClockedLog;

fn topology() -> Topology {
    let builder = StreamsBuilder::new("fenced");
    let words = builder.stream(&Topic::<str, str>::new("words", Utf8, Utf8));
    words.group_by_key().count(&Materialized::as_("counts", Utf8, I64Be));
    builder.build().unwrap()
}

/// What the next operations of a kind come to: polls of the group and of readers alike, and commits.
#[derive(Clone, Default)]
struct Next(Arc<Mutex<VecDeque<(Operation, Fault)>>>);

impl Next {
    fn arm<const N: usize>(&self, faults: [(Operation, Fault); N]) {
        self.0.lock().unwrap().extend(faults);
    }

    fn plan(&self) -> FaultPlan {
        let next = self.clone();
        FaultPlan::deciding(move |operation, _| {
            let mut next = next.0.lock().unwrap();
            let fault = next.front().filter(|(kind, _)| *kind == operation)?.1;
            next.pop_front();
            Some(fault)
        })
    }
}

/// A log whose next operations can be made to fail, with counts that a worker restores.
fn scene(next: &Next) -> Scene {
    let engine = Arc::new(MemoryEngine::new());
    let log = ClockedLog::open(engine, 1_700_000_000_000, Some(next.plan()));
    log.make_topics([("words", 1), ("dead_letters", 1)]);
    let scene = Scene(log);
    append(&scene);
    let mut worker = scene.worker(topology());
    scene.0.settle(&mut worker).unwrap();
    scene.close(worker);
    scene
}

fn append(scene: &Scene) {
    scene.append(("words", 0), 1_000, ["a", "b", "c"].map(str::to_owned).into_iter());
}

fn step_until(scene: &Scene, worker: &mut Worker, is_there: impl Fn(&WorkerStatus) -> bool) {
    for _ in 0..10_000 {
        if is_there(&worker.status()) {
            return;
        }
        scene.0.step_until(worker, |_| true);
    }
    panic!("the worker doesn't come there: {:?}", worker.status());
}

/// The worker has nothing more to say to anybody.
fn assert_stops(scene: &Scene, worker: &mut Worker) {
    for _ in 0..1_000 {
        let stepped = worker.step(scene.0.now());
        let status = worker.status();
        assert!(!status.ready && status.tasks.is_empty(), "it serves: {status:?}");
        match stepped {
            Err(WorkerError::Log { source: LogError::Fenced(_), .. }) => return,
            Err(other) => panic!("{other}"),
            Ok(_) => scene.0.pass(1),
        }
    }
    panic!("it goes on: {:?}", worker.status());
}

#[test]
fn a_member_fenced_while_it_restores_stops_and_serves_nothing() {
    let next = Next::default();
    let scene = scene(&next);
    let mut worker = scene.worker(topology());
    step_until(&scene, &mut worker, |status| !status.restoring.is_empty());
    next.arm([(Operation::Poll, Fault::Fenced)]);
    assert_stops(&scene, &mut worker);
}

#[test]
fn the_group_is_heard_while_a_restore_fails() {
    let next = Next::default();
    let scene = scene(&next);
    let mut worker = scene.worker(topology());
    step_until(&scene, &mut worker, |status| status.restoring.iter().any(|task| task.total > 0));
    // The reader's, then the group's.
    next.arm([(Operation::Poll, Fault::Retriable), (Operation::Poll, Fault::Fenced)]);
    assert_stops(&scene, &mut worker);
}

#[test]
fn a_member_fenced_after_its_producer_was_lost_stops() {
    let next = Next::default();
    let scene = scene(&next);
    let mut worker = scene.worker(topology());
    scene.0.settle(&mut worker).unwrap();
    next.arm([(Operation::Commit, Fault::UnknownNotDone)]);
    append(&scene);
    step_until(&scene, &mut worker, |status| !status.restoring.is_empty());
    next.arm([(Operation::Poll, Fault::Fenced)]);
    assert_stops(&scene, &mut worker);
}
