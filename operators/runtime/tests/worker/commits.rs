//! When a worker commits.

use operators::{StreamsBuilder, Topic, Topology, Utf8};
use operators_runtime::{Worker, WorkerSettings};

use crate::Scene;

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
