//! Several threads of one process: one group, one folder of state.

use std::sync::Arc;
use std::time::Duration;

use operators::{I64Be, Materialized, StreamsBuilder, Topic, Topology, Utf8};
use operators_runtime::{Worker, WorkerSettings};
use state_stores::partition::partition_for_key;
use state_stores::{MemoryEngine, StateDir, StateOptions};

use crate::Scene;
use crate::clocked_log::read_all;

/// How often each word came.
fn topology() -> Topology {
    let builder = StreamsBuilder::new("threads");
    let words = builder.stream(&Topic::<str, str>::new("in", Utf8, Utf8));
    let counts = words.group_by_key().count(&Materialized::as_("counts", Utf8, I64Be));
    counts.to_stream().to(&Topic::new("out", Utf8, I64Be));
    builder.build().unwrap()
}

/// The counts that came out for a partition's word, in order.
fn counts(scene: &Scene, partition: u32) -> Vec<i64> {
    let mut counts = Vec::new();
    read_all(scene.0.reader("out", partition).as_mut(), |record| {
        let count = record.value.and_then(|value| value.try_into().ok()).map(i64::from_be_bytes);
        counts.push(count.unwrap_or_default());
    });
    counts
}

fn workers(scene: &Scene) -> [Worker; 2] {
    let state = StateOptions::new(scene.0.log_id());
    let state = StateDir::open(Arc::new(MemoryEngine::new()), state).unwrap();
    [0, 1].map(|thread| {
        let max_poll_interval = Duration::from_secs(8);
        let settings = WorkerSettings { thread, max_poll_interval, ..WorkerSettings::new("here") };
        Worker::new(topology(), scene.0.log.clone(), state.clone(), settings, 1)
    })
}

/// Appends one word to each partition, always the same.
fn append(scene: &Scene) {
    for partition in [0, 1] {
        let here = |word: &String| partition_for_key(word.as_bytes(), 2) == partition;
        let word = ('a'..='z').map(String::from).find(here);
        scene.append(("in", partition), 1_000, word.into_iter());
    }
}

/// Steps both until `done` is true of them.
fn in_turn(scene: &Scene, workers: [&mut Worker; 2], done: impl Fn([&Worker; 2]) -> bool) {
    let [first, second] = workers;
    for _ in 0..10_000 {
        if done([first, second]) {
            return;
        }
        scene.0.step_until(first, |_| true);
        scene.0.step_until(second, |_| true);
    }
    panic!("it never comes: {:?} {:?}", first.status(), second.status());
}

#[test]
fn they_share_the_tasks_and_hand_them_over() {
    let scene = Scene::new(&[("in", 2), ("out", 2)]);
    let [mut first, mut second] = workers(&scene);
    append(&scene);
    let all = |count| [0, 1].iter().all(|at| counts(&scene, *at).len() == count);
    scene.step(&mut first, |_| all(1));
    in_turn(&scene, [&mut first, &mut second], |workers| {
        workers.iter().all(|worker| worker.status().tasks.len() == 1)
    });
    append(&scene);
    in_turn(&scene, [&mut first, &mut second], |_| all(2));
    scene.close(first);
    append(&scene);
    scene.step(&mut second, |_| all(3));
    assert_eq!([0, 1].map(|partition| counts(&scene, partition)), [[1, 2, 3], [1, 2, 3]]);
}

#[test]
fn a_task_is_taken_over_when_its_former_thread_has_let_go_of_it() {
    let scene = Scene::new(&[("in", 2), ("out", 2)]);
    let [mut stuck, mut other] = workers(&scene);
    append(&scene);
    let all = |count| [0, 1].iter().all(|at| counts(&scene, *at).len() == count);
    scene.step(&mut stuck, |_| all(1));
    // Silent for longer than a member may be: the group gives its partitions to the other.
    scene.0.pass(10_000);
    scene.0.log.tick().unwrap();
    for _ in 0..200 {
        scene.0.step_until(&mut other, |_| true);
    }
    assert_eq!(other.status().tasks.len(), 0, "the state is still the other thread's");
    append(&scene);
    in_turn(&scene, [&mut stuck, &mut other], |_| all(2));
    assert_eq!([0, 1].map(|partition| counts(&scene, partition)), [[1, 2], [1, 2]]);
}
