//! One failure at a chosen moment: refused records, and failures while
//! partitions are paused.

use std::sync::{Arc, Mutex};

use log::embedded::{Fault, Operation};
use operators_runtime::simulation::Faults;

use crate::counting::Counting;

#[test]
fn a_record_refused_once_is_tried_again() {
    let mut cluster = Counting::new(4, 1);
    // The worker's manifest is in the log.
    cluster.append(&["a"]);
    cluster.settle();
    cluster.world.faults().arm(Operation::Flush, Fault::Refused, 1);
    cluster.world.faults().begin();
    cluster.append(&["b", "a"]);
    let faults = cluster.world.faults().clone();
    cluster.run_until(0, |_| faults.count() > 0);
    cluster.settle();
}

#[test]
fn a_record_refused_again_and_again_stops_its_task_and_nothing_else() {
    let refusing = |operation| (operation == Operation::Flush).then_some(Fault::Refused);
    let mut cluster = Counting::with_faults(4, 1, Faults::deciding(refusing));
    cluster.append(&["a"]);
    cluster.settle();
    cluster.world.faults().begin();
    cluster.append(&["b"]);
    cluster.run_until(0, |worker| worker.status().tasks.iter().any(|task| task.stopped.is_some()));

    let status = cluster.status(0).unwrap();
    let stopped: Vec<_> = status.tasks.iter().filter_map(|task| task.stopped.as_deref()).collect();
    assert_eq!(stopped.len(), 1, "{status:#?}");
    assert!(stopped[0].contains("injected fault at Flush"), "{stopped:?}");

    cluster.world.faults().end();
    cluster.append(&["c", "d", "e", "f"]);
    cluster.run_until(0, |worker| {
        let tasks = worker.status().tasks;
        let read = |id: &str| tasks.iter().find(|task| task.id == id).unwrap().inputs[0].1;
        // Every line but the refused one is counted or waits behind it.
        ["0_0", "0_1", "0_2"].into_iter().map(read).sum::<i64>() >= 5
    });
}

#[test]
fn partitions_that_were_paused_are_read_again_after_a_failure() {
    for fault in [Fault::Fenced, Fault::Abort, Fault::UnknownNotDone, Fault::UnknownDone] {
        // The first is that of the manifest.
        for nth in 1..=5 {
            let mut left = nth;
            let faults = Faults::deciding(move |operation| {
                left -= i32::from(operation == Operation::Commit);
                (operation == Operation::Commit && left == 0).then_some(fault)
            });
            // Odd: a buffer of two records.
            let mut cluster = Counting::with_faults(1, 1, faults);
            cluster.append(&["a", "b", "c", "d", "e", "f"].repeat(100));
            cluster.world.faults().begin();
            let faults = cluster.world.faults().clone();
            cluster.run_until(0, |_| faults.count() > 0);
            cluster.settle();
        }
    }
}

#[test]
fn a_member_that_has_not_heard_of_its_loss_survives_the_purge_of_its_successor() {
    let unaware = |operation| (operation == Operation::Poll).then_some(Fault::Unaware);
    let mut cluster = Counting::with_faults(2, 2, Faults::deciding(unaware));
    let words = ["a", "b", "c", "d", "e", "f"].repeat(10);
    cluster.append(&words);
    cluster.settle();
    // Member 0 stands still; the other owns and purges what was its.
    cluster.world.pass(10_000);
    cluster.world.tick();
    for words in [words.as_slice(), &["a"]] {
        cluster.append(words);
        while !cluster.is_counted() {
            cluster.step(1, 0);
            cluster.world.pass(1);
            cluster.world.tick();
        }
        cluster.world.pass(1_000);
    }
    let kept = cluster.world.kept("word-count-words-repartition");
    assert!(kept < 10, "{kept} records of the repartition topic are still there");

    cluster.world.faults().begin();
    for _ in 0..50 {
        cluster.step(0, 0);
        cluster.world.pass(100);
    }
    assert!(cluster.world.faults().count() > 0, "it heard of its loss at once");
    cluster.append(&words);
    cluster.settle();
}

#[test]
fn a_producer_that_never_answers_is_not_spoken_to_again() {
    for fault in [Fault::UnknownNotDone, Fault::UnknownDone] {
        let asked = Arc::new(Mutex::new(Vec::new()));
        let told = Arc::clone(&asked);
        // Once.
        let deciding = Faults::deciding(move |operation| {
            let asked = &mut *told.lock().unwrap();
            let first = operation == Operation::SendOffsets && asked.is_empty();
            if first || !asked.is_empty() {
                asked.push(operation);
            }
            first.then_some(fault)
        });
        let mut cluster = Counting::with_faults(6, 1, deciding);
        cluster.append(&["a", "b"]);
        cluster.settle();
        cluster.append(&["b", "c", "a"]);
        cluster.world.faults().begin();
        let faults = cluster.world.faults().clone();
        cluster.run_until(0, |worker| faults.count() > 0 && worker.status().ready);
        let others = [Operation::Poll, Operation::Sync, Operation::Append];
        let mut asked = asked.lock().unwrap().clone();
        asked.retain(|operation| !others.contains(operation));
        assert_eq!(asked[..2], [Operation::SendOffsets, Operation::Init], "{fault:?}");
        cluster.settle();
    }
}

#[test]
fn what_fails_again_and_again_is_tried_ever_more_seldom() {
    for (operation, fault) in [
        (Operation::Commit, Fault::Abort),
        (Operation::SendOffsets, Fault::UnknownNotDone),
        (Operation::Flush, Fault::Retriable),
        (Operation::Init, Fault::Retriable),
    ] {
        let tries = Arc::new(Mutex::new(Vec::new()));
        let counted = Arc::clone(&tries);
        // A producer that is fenced is what it takes for another one.
        let fencing = operation == Operation::Init;
        let mut is_fenced = false;
        let faults = Faults::deciding(move |asked| {
            if fencing && !is_fenced && asked == Operation::Commit {
                is_fenced = true;
                return Some(Fault::Fenced);
            }
            (asked == operation).then(|| {
                counted.lock().unwrap().push(());
                fault
            })
        });
        let mut cluster = Counting::with_faults(6, 1, faults);
        cluster.append(&["a", "b"]);
        cluster.settle();
        cluster.append(&["c"]);
        cluster.world.faults().begin();
        let until = cluster.world.now() + 5_000;
        while cluster.world.now() < until {
            cluster.step(0, 0);
            cluster.world.pass(1);
            cluster.world.tick();
        }
        let tries = tries.lock().unwrap().len();
        assert!((5..=25).contains(&tries), "{operation:?} {fault:?}: {tries} times in 5 s");
        cluster.settle();
    }
}
