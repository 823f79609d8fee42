//! At least once: whatever fails, every word that arrived is counted, a count stands in the changelog only if it came out, and
//! what a worker has in memory is what the changelog gives. Without zombies: those may write (`guarantee.rs`).

use std::collections::{BTreeMap, BTreeSet};

use log::TopicSpec;
use log::embedded::{Fault, Operation};
use operators_runtime::simulation::flows::{self, Words};
use operators_runtime::simulation::{
    Application, Cluster, Faults, Flow, Scenario, Schedule, Step, Verdict, World, run,
};
use operators_runtime::{ProcessingGuarantee, Worker};

use crate::STAGES;

const CHANGELOG: &str = "word-count-words-changelog";

/// Half of the words arrive once: one that is counted twice can't stand in for one that is lost.
#[derive(Default)]
struct Every(Words);

impl Scenario for Every {
    fn applications(&self) -> Vec<Application> {
        self.0.applications()
    }

    fn topics(&self) -> Vec<TopicSpec> {
        self.0.topics()
    }

    fn guarantee(&self) -> ProcessingGuarantee {
        ProcessingGuarantee::AtLeastOnce
    }

    fn arrive(&mut self, world: &World, number: u64) {
        self.0.arrive(world, number);
        self.0.append(world, &[&format!("once-{}", self.0.appended.len())]);
    }

    fn check(&mut self, world: &World) -> Verdict {
        let (counted, expected) = (Words::counted(world), self.0.expected());
        for (word, counts) in &counted {
            let seen: BTreeSet<i64> = counts.iter().copied().collect();
            let most = seen.len() as i64;
            if !expected.contains_key(word) || !seen.iter().copied().eq(1..=most) {
                return Verdict::Violated(format!("`{word}` was counted {counts:?}"));
            }
        }
        let most = |word: &str| counted.get(word).and_then(|counts| counts.iter().max().copied());
        let waiting = expected.iter().find(|(word, due)| most(word) < due.last().copied());
        match waiting {
            None => Verdict::Settled,
            Some((word, due)) => Verdict::Waiting(format!("`{word}`: {:?} of {due:?}", most(word))),
        }
    }
}

/// What was processed twice may come after all is there once.
const AFTERMATH_MS: i64 = 15_000;

struct Stage {
    cluster: Cluster,
    every: Every,
}

impl Stage {
    fn new(members: usize, faults: Faults) -> Self {
        let every = Every::default();
        let mut cluster = Cluster::new(0, members, faults, &every.topics(), every.applications());
        cluster.guarantee = every.guarantee();
        Self { cluster, every }
    }

    fn append(&mut self, words: &[&str]) {
        self.every.0.append(&self.cluster.world, words);
    }

    fn settle(&mut self) {
        let every = &mut self.every;
        let mut settled_at = None;
        let settled = self.cluster.settle_until(|it| {
            let now = it.world.now();
            every.check(&it.world).is_settled()
                && now - *settled_at.get_or_insert(now) >= AFTERMATH_MS
        });
        assert!(settled, "{:?}, {:?}", every.check(&self.cluster.world), self.cluster.doing());
    }

    /// The last count of each word, as a restore would find it.
    fn changelog(&self) -> BTreeMap<String, i64> {
        let rows = self.cluster.world.committed(CHANGELOG).into_iter();
        // The time stands before the count.
        let count = |row: Vec<u8>| i64::from_be_bytes(*row.last_chunk().unwrap());
        rows.map(|(word, row)| (String::from_utf8(word).unwrap(), count(row))).collect()
    }

    /// One more of each word gives one more than the changelog has: by those who have it in memory, and by a machine that
    /// has nothing else.
    fn compare_state(&mut self) {
        for is_lost in [false, true] {
            if is_lost {
                (0..self.cluster.members()).for_each(|member| self.cluster.lose(member));
            }
            let before = self.changelog();
            let words: Vec<String> = before.keys().cloned().collect();
            self.append(&words.iter().map(String::as_str).collect::<Vec<_>>());
            let more = before.into_iter().map(|(word, count)| (word, count + 1)).collect();
            let settled = self.cluster.settle_until(|cluster| last_counts(cluster) == more);
            assert!(settled, "{:?} instead of {more:?}", last_counts(&self.cluster));
            assert_eq!(self.changelog(), more);
        }
    }
}

fn last_counts(cluster: &Cluster) -> BTreeMap<String, i64> {
    let counted = Words::counted(&cluster.world).into_iter();
    counted.map(|(word, counts)| (word, *counts.last().unwrap())).collect()
}

#[test]
fn a_crash_between_any_two_phases_of_a_commit_loses_nothing() {
    let early = |operation| (operation == Operation::Send).then_some(Fault::Early);
    for stage in STAGES {
        for (machine, is_early) in [(false, false), (false, true), (true, false)] {
            let faults = if is_early { Faults::deciding(early) } else { Faults::default() };
            let mut it = Stage::new(1, faults);
            it.append(&["a", "b", "a", "c", "a", "d"]);
            for round in 0..3 {
                it.cluster.run_until(0, |worker| worker.commit_stage() == Some(stage));
                it.append(&["b", "a", &format!("once-{round}")]);
                if machine {
                    it.cluster.crash_machine();
                } else {
                    it.cluster.crash(0);
                }
            }
            it.settle();
            it.compare_state();
        }
    }
}

#[test]
fn what_fails_in_a_commit_goes_through_the_log() {
    let faults = [
        (Operation::Flush, Fault::Abort),
        (Operation::Flush, Fault::Torn),
        (Operation::Flush, Fault::Refused),
        (Operation::SendOffsets, Fault::Abort),
        (Operation::Commit, Fault::Abort),
        (Operation::Commit, Fault::UnknownDone),
        (Operation::Commit, Fault::UnknownNotDone),
        (Operation::Commit, Fault::Retriable),
        (Operation::Send, Fault::Abort),
    ];
    for (operation, fault) in faults {
        let mut it = Stage::new(1, Faults::default());
        it.append(&["a", "b", "a"]);
        it.settle();
        it.cluster.world.faults().begin();
        // What is refused again and again stops its task.
        let times = if fault == Fault::Refused { 1 } else { 3 };
        it.cluster.world.faults().arm(operation, fault, times);
        it.append(&["c", "a", "b", "d", "a"]);
        for _ in 0..2_000 {
            it.cluster.step(0, 0);
            it.cluster.world.pass(1);
            it.cluster.world.tick();
        }
        assert!(it.cluster.world.faults().count() > 0, "{operation:?} {fault:?}");
        it.settle();
        it.compare_state();
    }
}

/// Only what makes a zombie is left out: of two members, one that stands still until the other has its tasks.
fn without_zombies(mut schedule: Schedule) -> Schedule {
    let alone = schedule.members == 1;
    schedule.steps.retain(|step| match step {
        Step::Freeze(_) | Step::Zombie(_) => false,
        Step::Pass(ms) => alone || *ms < 1_000,
        Step::Fault { fault, .. } => alone || *fault != Fault::Unaware,
        _ => true,
    });
    schedule
}

#[test]
fn every_word_is_counted_whatever_happens() {
    let flow = Flow::new("every", "counts words at least once", Every::default);
    for seed in 0..100 {
        let schedule = without_zombies(Schedule::random(seed, 1_000, 1));
        if let Err(violation) = run(&flow, &schedule) {
            panic!("seed {seed}: {}", violation.what);
        }
    }
}

#[test]
fn a_task_that_stops_stays_stopped_while_others_go_through_the_log() {
    let refusing = |operation| (operation == Operation::Flush).then_some(Fault::Refused);
    let mut it = Stage::new(1, Faults::deciding(refusing));
    it.append(&["a"]);
    it.settle();
    it.cluster.world.faults().begin();
    it.append(&["b"]);
    let stopped = |worker: &Worker| {
        worker.status().tasks.into_iter().filter_map(|task| task.stopped).collect::<Vec<_>>()
    };
    it.cluster.run_until(0, |worker| stopped(worker).len() == 1);
    it.cluster.world.faults().end();

    // Another commit fails: all tasks go through the log.
    it.cluster.world.faults().begin();
    it.cluster.world.faults().arm(Operation::Commit, Fault::Abort, 1);
    it.append(&["c", "d", "e", "f"]);
    it.cluster.run_until(0, |worker| worker.status().phase == "restoring");
    it.cluster.world.faults().end();
    it.cluster.run_until(0, |worker| {
        let tasks = worker.status().tasks;
        let read =
            |id: &str| tasks.iter().find(|task| task.id == id).map_or(0, |it| it.inputs[0].1);
        ["0_0", "0_1", "0_2"].into_iter().map(read).sum::<i64>() >= 5
    });
    assert_eq!(stopped(it.cluster.worker(0, 0).unwrap()).len(), 1);
}

/// A flow of the simulation at least once: where nothing fails that is once. Timers, calls and state are all in them.
#[test]
fn where_nothing_fails_every_flow_does_what_it_does_exactly_once() {
    for flow in flows::all() {
        let mut scenario = flow.scenario();
        let (topics, applications) = (scenario.topics(), scenario.applications());
        let mut cluster = Cluster::new(4, 2, Faults::default(), &topics, applications);
        cluster.guarantee = ProcessingGuarantee::AtLeastOnce;
        scenario.begin(&cluster.world);
        for number in 0..40 {
            scenario.arrive(&cluster.world, number);
            scenario.outside(&cluster.world, number);
            for _ in 0..20 {
                cluster.step(number as usize % 2, 0);
            }
            cluster.world.pass(2);
            cluster.world.tick();
        }
        let settled = cluster.settle_until(|cluster| {
            scenario.settle(&cluster.world);
            scenario.check(&cluster.world).is_settled()
        });
        assert!(settled, "{}: {:?}", flow.name, scenario.check(&cluster.world));
    }
}
