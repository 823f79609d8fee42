//! A worker that takes over somebody's tasks goes on with its own while it restores them.

use std::collections::BTreeMap;
use std::sync::Arc;

use operators::{I64Be, Materialized, StreamsBuilder, Topic, Topology, Utf8};
use operators_runtime::{Worker, WorkerSettings};
use state_stores::{MemoryEngine, StateDir, StateOptions};

use crate::Scene;
use crate::clocked_log::read_all;

const KEYS: usize = 600;
/// So many of them come again later.
const AGAIN: usize = 20;

/// How often each key came.
fn counts() -> Topology {
    let builder = StreamsBuilder::new("counts");
    let counted = builder
        .stream(&Topic::<str, str>::new("in", Utf8, Utf8))
        .group_by_key()
        .count(&Materialized::as_("counts", Utf8, I64Be));
    counted.to_stream().to(&Topic::new("out", Utf8, I64Be));
    builder.build().unwrap()
}

/// Two members, each with a task and a state folder of its own.
struct Pair {
    scene: Scene,
    /// By partition of its task.
    workers: BTreeMap<u32, Worker>,
}

fn worker(scene: &Scene, instance: &str) -> Worker {
    let options = StateOptions::new(scene.0.log_id());
    let state = StateDir::open(Arc::new(MemoryEngine::new()), options).unwrap();
    // A batch of seven in each step, not as many as come in a while.
    let settings =
        WorkerSettings { poll_records_max: 7, turn: None, ..WorkerSettings::new(instance) };
    Worker::new(counts(), scene.0.log.clone(), state, settings, 1)
}

/// Steps all in turn, a millisecond each, until `done`.
fn step_all(
    scene: &Scene,
    workers: &mut [&mut Worker],
    mut done: impl FnMut(&[&mut Worker]) -> bool,
) {
    for _ in 0..5_000 {
        if done(workers) {
            return;
        }
        for worker in &mut *workers {
            worker.step(scene.0.now()).unwrap();
            scene.0.pass(1);
            scene.0.log.tick().unwrap();
        }
    }
    let shown: Vec<_> = workers.iter().map(|worker| worker.status()).collect();
    panic!("no end: {shown:#?}");
}

/// What came out.
struct Reads<'s>(&'s Scene);

impl Reads<'_> {
    /// What was said of each key of an input's partition, in order.
    fn counts(&self, partition: u32) -> BTreeMap<String, Vec<i64>> {
        let mut counts = BTreeMap::<String, Vec<i64>>::new();
        read_all(self.0.0.reader("out", 0).as_mut(), |record| {
            let key = String::from_utf8_lossy(record.key.unwrap()).into_owned();
            let count = i64::from_be_bytes(record.value.unwrap().try_into().unwrap());
            if key.starts_with(&format!("{partition}-")) {
                counts.entry(key).or_default().push(count);
            }
        });
        counts
    }

    /// How many of them were counted twice.
    fn twice(&self, partition: u32) -> usize {
        self.counts(partition).values().filter(|said| said.len() == 2).count()
    }
}

impl Pair {
    /// Everything was counted once.
    fn new() -> Self {
        let scene = Scene::new(&[("in", 2), ("out", 1)]);
        let mut both = [worker(&scene, "one"), worker(&scene, "two")];
        let has_one = |worker: &Worker| worker.status().ready && worker.status().tasks.len() == 1;
        let [one, two] = &mut both;
        step_all(&scene, &mut [one, two], |both| both.iter().all(|worker| has_one(worker)));
        let partition = |worker: &Worker| u32::from(worker.status().tasks[0].id == "0_1");
        let workers = both.into_iter().map(|worker| (partition(&worker), worker)).collect();
        let mut pair = Self { scene, workers };
        for partition in 0..2 {
            pair.send(partition, 0..KEYS);
        }
        pair.step_until(|reads, _| reads.counts(0).len() == KEYS && reads.counts(1).len() == KEYS);
        pair
    }

    /// Steps the workers until `done`.
    fn step_until(&mut self, mut done: impl FnMut(&Reads<'_>, &[&mut Worker]) -> bool) {
        let mut workers: Vec<_> = self.workers.values_mut().collect();
        let reads = Reads(&self.scene);
        step_all(&self.scene, &mut workers, |workers| done(&reads, workers));
    }

    fn send(&self, partition: u32, keys: std::ops::Range<usize>) {
        let keys = keys.map(|number| format!("{partition}-{number}"));
        self.scene.append(("in", partition), self.scene.0.now(), keys);
    }

    /// The worker of partition 1 has left in order, the other one restores what it had, and records come for both.
    fn half_way() -> Self {
        let mut pair = Self::new();
        let gone = pair.workers.remove(&1).unwrap();
        pair.scene.close(gone);
        pair.step_until(|_, all| all[0].status().restoring.iter().any(|task| task.read > 0));
        for partition in 0..2 {
            pair.send(partition, 0..AGAIN);
        }
        pair
    }

    fn reads(&self) -> Reads<'_> {
        Reads(&self.scene)
    }
}

/// That the first keys were counted twice and the others once, never twice for one record.
fn assert_counted(pair: &Pair) {
    for partition in 0..2 {
        let counts = pair.reads().counts(partition);
        assert_eq!(counts.len(), KEYS);
        for (key, said) in counts {
            let (_, number) = key.split_once('-').unwrap();
            let times = if number.parse::<usize>().unwrap() < AGAIN { 2 } else { 1 };
            assert_eq!(said, (1..=times).collect::<Vec<_>>(), "{key}");
        }
    }
}

#[test]
fn own_tasks_run_while_others_are_restored() {
    let mut pair = Pair::half_way();
    let mut meanwhile = 0;
    pair.step_until(|reads, all| {
        let status = all[0].status();
        if !status.restoring.is_empty() {
            assert_eq!(status.phase, "restoring");
            meanwhile = reads.twice(0);
            assert_eq!(reads.twice(1), 0, "not before it is level");
        }
        status.ready
    });
    assert_eq!(meanwhile, AGAIN, "records of its own while it restored");
    pair.step_until(|reads, all| {
        assert_eq!(all[0].status().tasks.len(), 2);
        reads.twice(1) == AGAIN
    });
    assert_counted(&pair);
}

#[test]
fn a_member_that_comes_in_the_middle_has_the_task_and_nothing_is_counted_twice() {
    let mut pair = Pair::half_way();
    let back = worker(&pair.scene, "two");
    pair.workers.insert(1, back);
    pair.step_until(|reads, all| {
        let has_one = |worker: &&mut Worker| worker.status().tasks.len() == 1;
        all.iter().all(has_one) && (0..2).all(|partition| reads.twice(partition) == AGAIN)
    });
    assert_counted(&pair);
}
