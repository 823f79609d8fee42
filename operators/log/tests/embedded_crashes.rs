//! What survives what: process and machine crashes at every point, injected
//! faults, and what a durable reader may see meanwhile.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::ops::ControlFlow;
use std::sync::{Arc, Mutex};

use common::{Simulated, is_fatal, record};
use operators_log::embedded::{Fault, FaultPlan, Operation};
use operators_log::{Appended, Cleanup, Isolation, Log, LogError, TopicPartition, Visibility};
use state_stores::{Crash, Direction, Engine};

#[test]
fn an_unsynced_transaction_survives_the_process_but_not_the_machine() {
    let mut sim = Simulated::new(|_| {});
    sim.topic("t", 1, Cleanup::Keep);
    sim.commit("t", &[(0, "k", Some("synced"))]);
    sim.log.sync().unwrap();
    sim.commit("t", &[(0, "k", Some("written"))]);
    sim.crash(Crash::Process);
    assert_eq!(sim.values("t", Visibility::Written), ["synced", "written"]);
    sim.commit("t", &[(0, "k", Some("lost"))]);
    sim.crash(Crash::Machine);
    assert_eq!(
        sim.values("t", Visibility::Written),
        ["synced", "written"],
        "opening synced what was there"
    );
}

#[test]
fn a_durable_reader_and_acknowledgements_wait_for_the_sync() {
    let sim = Simulated::new(|_| {});
    sim.topic("t", 1, Cleanup::Keep);
    let acknowledged: Arc<Mutex<Vec<Appended>>> = Arc::default();
    let sink = Arc::clone(&acknowledged);
    let done = Box::new(move |appended| sink.lock().unwrap().push(appended));
    sim.log.appender("a").unwrap().append("t", None, record("k", Some("a")), done);
    sim.commit("t", &[(0, "k", Some("b"))]);
    assert_eq!(sim.values("t", Visibility::Written), ["a", "b"]);
    assert!(sim.values("t", Visibility::Durable).is_empty());
    assert!(acknowledged.lock().unwrap().is_empty());
    sim.log.tick().unwrap();
    assert_eq!(sim.values("t", Visibility::Durable), ["a", "b"]);
    assert!(matches!(acknowledged.lock().unwrap()[..], [Ok((0, 0))]));
}

#[test]
fn a_commit_happens_wholly_or_not_at_all_whatever_the_fault() {
    let cases = [
        (Fault::Retriable, false),
        (Fault::Abort, false),
        (Fault::Fenced, false),
        (Fault::UnknownNotDone, false),
        (Fault::CrashBefore, false),
        (Fault::UnknownDone, true),
        (Fault::CrashAfter, true),
    ];
    for (fault, happened) in cases {
        let mut sim = Simulated::new(|options| {
            options.faults = Some(Arc::new(FaultPlan::at(Operation::Commit, 1, fault)))
        });
        sim.topic("t", 2, Cleanup::Keep);
        let mut producer = sim.producer();
        producer.begin().unwrap();
        producer.send("t", 0, record("k", Some("v"))).unwrap();
        producer.send("t", 1, record("k", Some("v"))).unwrap();
        producer.commit().expect_err("a fault was injected");
        sim.crash(Crash::Process);
        for partition in 0..2 {
            let found = sim.read("t", partition, Visibility::Written).len();
            assert_eq!(found == 1, happened, "{fault:?}, partition {partition}");
        }
    }
}

#[test]
fn a_retriable_commit_can_be_repeated() {
    let plan = FaultPlan::at(Operation::Commit, 1, Fault::Retriable);
    let sim = Simulated::new(|options| options.faults = Some(Arc::new(plan)));
    sim.topic("t", 1, Cleanup::Keep);
    let mut producer = sim.producer();
    producer.begin().unwrap();
    producer.send("t", 0, record("k", Some("v"))).unwrap();
    assert!(matches!(producer.commit(), Err(LogError::Retriable(_))));
    producer.commit().unwrap();
    assert_eq!(sim.values("t", Visibility::Written), ["v"]);
}

#[test]
fn after_a_crash_every_old_client_is_dead_and_the_offsets_stand() {
    let mut sim = Simulated::new(|_| {});
    sim.topic("in", 1, Cleanup::Keep);
    let mut consumer = sim.consumer("00");
    consumer.subscribe(&["in"]).unwrap();
    let (owned, metadata) = common::take(consumer.as_mut());
    let mut producer = sim.producer();
    producer.begin().unwrap();
    producer.send_offsets(&[(owned[0].clone(), 4)], &metadata).unwrap();
    producer.commit().unwrap();
    producer.begin().unwrap();
    producer.send_offsets(&[(owned[0].clone(), 9)], &metadata).unwrap();
    let before = sim.log.admin().unwrap().log_id().unwrap();
    sim.crash(Crash::Process);
    assert!(is_fatal(&producer.commit().unwrap_err()));
    assert!(is_fatal(&consumer.subscribe(&["in"]).unwrap_err()));
    let admin = sim.log.admin().unwrap();
    assert_eq!(admin.committed_offsets("group", &owned).unwrap(), [Some(4)]);
    assert_eq!(admin.log_id().unwrap(), before);
    let mut successor = sim.consumer("00");
    successor.subscribe(&["in"]).unwrap();
    assert_eq!(common::take(successor.as_mut()).0, owned, "the group starts empty");
}

#[test]
fn a_failed_append_is_told_so() {
    let plan = FaultPlan::at(Operation::Append, 2, Fault::Retriable);
    let sim = Simulated::new(|options| options.faults = Some(Arc::new(plan)));
    sim.topic("t", 1, Cleanup::Compact);
    let answers: Arc<Mutex<Vec<Appended>>> = Arc::default();
    let appender = sim.log.appender("a").unwrap();
    let no_key = operators_log::NewRecord { key: None, ..record("", Some("v")) };
    for shape in [no_key, record("k", Some("v")), record("k", Some("v"))] {
        let sink = Arc::clone(&answers);
        appender.append(
            "t",
            Some(0),
            shape,
            Box::new(move |answer| sink.lock().unwrap().push(answer)),
        );
    }
    sim.log.tick().unwrap();
    let answers = answers.lock().unwrap();
    assert!(
        matches!(answers[..], [Err(LogError::Refused(_)), Err(LogError::Retriable(_)), Ok((0, 0))]),
        "{answers:?}"
    );
}

#[test]
fn aborted_offsets_stay_used_after_reopening() {
    let mut sim = Simulated::new(|_| {});
    sim.topic("t", 1, Cleanup::Keep);
    let mut producer = sim.producer();
    producer.begin().unwrap();
    producer.send("t", 0, record("k", Some("aborted"))).unwrap();
    producer.abort().unwrap();
    sim.crash(Crash::Process);
    let at = [TopicPartition::new("t", 0)];
    let admin = sim.log.admin().unwrap();
    assert_eq!(admin.end_offsets(&at, Isolation::ReadCommitted).unwrap(), [2]);
    sim.commit("t", &[(0, "k", Some("kept"))]);
    assert_eq!(sim.read("t", 0, Visibility::Written)[0].0, 2);
}

#[test]
fn the_same_schedule_writes_the_same_bytes() {
    let run = || {
        let sim = Simulated::new(|_| {});
        sim.topic("a", 3, Cleanup::Keep);
        sim.topic("b", 3, Cleanup::Compact);
        for round in 0..20u32 {
            let value = round.to_string();
            let mut producer = sim.producer();
            producer.begin().unwrap();
            for topic in ["b", "a"] {
                producer.send(topic, round % 3, record("k", Some(&value))).unwrap();
                producer.send(topic, (round + 1) % 3, record("k", Some(&value))).unwrap();
            }
            if round % 4 == 0 {
                producer.abort().unwrap()
            } else {
                producer.commit().unwrap()
            }
            sim.advance(10_000);
            sim.settle();
        }
        let mut rows = Vec::new();
        let visit = &mut |key: &[u8], value: &[u8]| {
            rows.push((key.to_vec(), value.to_vec()));
            ControlFlow::Continue(())
        };
        sim.engine.scan(&[], None, Direction::Forward, visit).unwrap();
        rows
    };
    assert_eq!(run(), run());
}
