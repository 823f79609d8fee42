//! Ring 3: seeded schedules of several workers over the in-memory log, with crashes between any two steps, zombies,
//! failing clients and power loss. The simulator is `operators_runtime::simulation`; here are its seeds, and tests that
//! decide themselves what happens when.
//!
//! `SIMULATION_SEED=<n>` repeats one seed; `SIMULATION_FROM=<n>` says where they begin (without it they move on with CI's
//! run number or the day); `SIMULATION_SEEDS=<count>` runs more per flow than the default.

#![expect(clippy::unwrap_used, reason = "a test fails where something fails")]

mod at_least_once;
mod calls;
mod counting;
mod failures;
mod seeds;
mod shrinking;

use counting::Counting;
use log::embedded::{Fault, Operation};
use operators_runtime::CommitStage;
use operators_runtime::simulation::Faults;
use operators_runtime::simulation::cluster::LAYER_BYTES;

pub(crate) const STAGES: [CommitStage; 5] = [
    CommitStage::Stage,
    CommitStage::Offsets,
    CommitStage::Flush,
    CommitStage::End,
    CommitStage::Apply,
];

#[test]
fn a_crash_between_any_two_phases_of_a_commit_changes_nothing() {
    for stage in STAGES {
        for machine in [false, true] {
            let mut cluster = Counting::new(7, 1);
            cluster.append(&["a", "b", "a", "c", "a"]);
            cluster.run_until(0, |worker| worker.commit_stage() == Some(stage));
            cluster.append(&["b", "a"]);
            if machine {
                cluster.crash_machine();
            } else {
                cluster.crash(0);
            }
            cluster.settle();
        }
    }
}

#[test]
fn a_closed_worker_leaves_nothing_behind_and_nothing_to_do() {
    let mut cluster = Counting::new(3, 2);
    cluster.append(&["a", "b", "c", "a", "b", "a"]);
    cluster.settle();
    cluster.close(0);
    cluster.append(&["c", "a"]);
    cluster.settle();
}

#[test]
fn a_worker_that_closes_leaves_its_backlog_to_the_next() {
    let mut cluster = Counting::new(2, 1);
    cluster.run_until(0, |worker| worker.status().ready);
    cluster.append(&["a", "b", "c", "d", "e", "f"].repeat(100));
    for _ in 0..20 {
        cluster.step(0, 0);
    }
    cluster.close(0);
    let counted = cluster.counted();
    assert!(counted < 300, "{counted} of 600 were counted before it closed");
    cluster.settle();
}

#[test]
fn repartition_topics_keep_only_what_is_not_committed() {
    let mut cluster = Counting::new(2, 1);
    cluster.append(&["a", "b", "c", "d", "e", "f"].repeat(30));
    cluster.settle();
    cluster.world.pass(1_000);
    cluster.append(&["a"]);
    cluster.settle();
    let kept = cluster.world.kept("word-count-words-repartition");
    assert!(kept < 10, "{kept} of 181 records are still there");
}

#[test]
fn a_restore_holds_no_more_in_memory_than_a_running_task() {
    let mut cluster = Counting::new(2, 1);
    let words: Vec<String> = (0..1_000).map(|n| format!("word-number-{n}")).collect();
    cluster.append(&words.iter().map(String::as_str).collect::<Vec<_>>());
    cluster.settle();
    cluster.lose(0);

    let mut most = 0;
    cluster.run_until(0, |worker| worker.status().phase == "restoring");
    while cluster.status(0).is_some_and(|status| !status.ready) {
        cluster.step(0, 0);
        cluster.world.pass(1);
        cluster.world.tick();
        most = most.max(cluster.layer_bytes(0));
    }
    assert!(most > 0, "nothing was restored");
    // Two layers, each over its half by at most one batch of thirty rows; all rows are 40 times a layer.
    assert!(most <= 4 * LAYER_BYTES, "{most} bytes");
    cluster.append(&["word-number-0"]);
    cluster.settle();
}

#[test]
fn a_restore_waits_for_a_commit_whose_markers_come_late() {
    let late = |operation| (operation == Operation::Marker).then_some(Fault::Late);
    let mut cluster = Counting::with_faults(2, 2, Faults::deciding(late));
    cluster.append(&["a", "b", "c", "d", "e"]);
    cluster.settle();
    cluster.append(&["a", "b", "c", "d", "e"]);
    let rows = |cluster: &Counting| cluster.world.kept("word-count-words-changelog");
    let before = rows(&cluster);
    while rows(&cluster) == before {
        cluster.step(0, 0);
        cluster.run_until(0, |worker| worker.commit_stage() == Some(CommitStage::End));
    }
    // This commit moves the group's offsets at once; the markers of the changelog come later. Until then nothing that comes
    // in may be counted: on a state without those rows, the counts of this commit would be given again.
    cluster.world.faults().begin();
    cluster.close(0);
    cluster.run_until(1, |worker| worker.status().phase == "restoring");
    for _ in 0..5 {
        // The markers of a producer's transaction are there, at the latest, before its next one: so words reach the count.
        cluster.append(&["a", "b", "c", "d", "e"]);
        for _ in 0..100 {
            cluster.step(1, 0);
            cluster.world.pass(1);
            cluster.world.tick();
        }
    }
    cluster.settle();
}
