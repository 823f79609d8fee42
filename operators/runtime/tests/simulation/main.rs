//! Ring 3: seeded schedules of two workers over the in-memory log, with crashes
//! between any two steps, zombies, failing clients and power loss.
//!
//! The topology counts words over a repartition topic. Exactly-once shows in its
//! output: for each word the committed records are 1, 2, …, n without hole or
//! repeat, n being how often the word was appended.
//!
//! `SIMULATION_SEED=<n>` repeats one seed and prints its schedule;
//! `SIMULATION_SEEDS=<count>` runs more than the default.

#![expect(clippy::unwrap_used, reason = "a test fails where something fails")]

mod calls;
mod cluster;
mod deadlines;
mod dice;
mod failures;
mod faults;
mod flow;
mod schedule;
mod words;

use cluster::Cluster;
use operators_runtime::CommitStage;
use schedule::Schedule;

fn seeds() -> Vec<u64> {
    let read = |name: &str| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    match read("SIMULATION_SEED") {
        Some(seed) => vec![seed],
        None => (0..read("SIMULATION_SEEDS").unwrap_or(150)).collect(),
    }
}

#[test]
fn every_word_is_counted_exactly_once_whatever_crashes() {
    let seeds = seeds();
    let verbose = seeds.len() == 1;
    let mut events = schedule::Events::default();
    for seed in seeds {
        events += Schedule::new(seed, verbose).run();
    }
    println!("{events:?}");
    if !verbose {
        assert!(
            events.all_happened(),
            "the schedules never did some of what they are for: {events:?}"
        );
    }
}

#[test]
fn a_crash_between_any_two_phases_of_a_commit_changes_nothing() {
    let stages = [
        CommitStage::Stage,
        CommitStage::Offsets,
        CommitStage::Flush,
        CommitStage::End,
        CommitStage::Apply,
    ];
    for stage in stages {
        for machine in [false, true] {
            let mut cluster = Cluster::new(7, 1);
            cluster.append_words(&["a", "b", "a", "c", "a"]);
            cluster.run_until(0, |worker| worker.commit_stage() == Some(stage));
            cluster.append_words(&["b", "a"]);
            if machine {
                cluster.crash_machine();
            } else {
                cluster.crash(0);
            }
            cluster.settle();
            assert_eq!(
                cluster.counted(),
                words::expected(cluster.appended()),
                "crash before {stage:?}, whole machine: {machine}"
            );
        }
    }
}

#[test]
fn a_closed_worker_leaves_nothing_behind_and_nothing_to_do() {
    let mut cluster = Cluster::new(3, 2);
    cluster.append_words(&["a", "b", "c", "a", "b", "a"]);
    cluster.settle();
    cluster.close(0);
    cluster.append_words(&["c", "a"]);
    cluster.settle();
    assert_eq!(cluster.counted(), words::expected(cluster.appended()));
}

#[test]
fn a_worker_that_closes_leaves_its_backlog_to_the_next() {
    let mut cluster = Cluster::new(2, 1);
    cluster.run_until(0, |worker| worker.status().ready);
    cluster.append_words(&["a", "b", "c", "d", "e", "f"].repeat(100));
    for _ in 0..20 {
        cluster.step(0);
    }
    cluster.close(0);
    let counted: usize = cluster.counted().values().map(Vec::len).sum();
    assert!(counted < 300, "{counted} of 600 were counted before it closed");
    cluster.settle();
    assert_eq!(cluster.counted(), words::expected(cluster.appended()));
}

#[test]
fn repartition_topics_keep_only_what_is_not_committed() {
    let mut cluster = Cluster::new(2, 1);
    cluster.append_words(&["a", "b", "c", "d", "e", "f"].repeat(30));
    cluster.settle();
    cluster.pass(1_000);
    cluster.append_words(&["a"]);
    cluster.settle();
    let kept = cluster.kept("word-count-words-repartition");
    assert!(kept < 10, "{kept} of 181 records are still there");
    assert_eq!(cluster.counted(), words::expected(cluster.appended()));
}

#[test]
fn a_restore_holds_no_more_in_memory_than_a_running_task() {
    let mut cluster = Cluster::new(2, 1);
    let words: Vec<String> = (0..1_000).map(|n| format!("word-number-{n}")).collect();
    cluster.append_words(&words.iter().map(String::as_str).collect::<Vec<_>>());
    cluster.settle();
    cluster.lose(0);

    let mut most = 0;
    cluster.run_until(0, |worker| worker.status().phase == "restoring");
    while cluster.status(0).is_some_and(|status| !status.ready) {
        cluster.step(0);
        cluster.pass(1);
        cluster.tick();
        most = most.max(cluster.layer_bytes(0));
    }
    assert!(most > 0, "nothing was restored");
    // Two layers, each over its half by at most one batch of thirty rows; all rows are 40 times a layer.
    assert!(most <= 4 * cluster::LAYER_BYTES, "{most} bytes");
    cluster.append_words(&["word-number-0"]);
    cluster.settle();
    assert_eq!(cluster.counted(), words::expected(cluster.appended()));
}
