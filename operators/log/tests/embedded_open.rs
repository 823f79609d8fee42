//! Transactions that lie open in the log: their crashes, their timeout, and markers that come late.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use common::{Simulated, record, take};
use operators_log::embedded::{Fault, FaultPlan, Operation};
use operators_log::{Cleanup, Isolation, Log, LogError, TopicPartition, TxnProducer, Visibility};
use state_stores::Crash;

fn simulated(faults: Option<FaultPlan>) -> Simulated {
    let sim = Simulated::new(|options| {
        options.open_transactions = true;
        options.faults = faults.map(Arc::new);
    });
    sim.topic("t", 2, Cleanup::Keep);
    sim.topic("in", 1, Cleanup::Keep);
    sim
}

/// Leaves a transaction open over both partitions.
fn open(sim: &Simulated) -> Box<dyn TxnProducer> {
    let mut producer = sim.producer();
    producer.begin().unwrap();
    producer.send("t", 0, record("k", Some("open"))).unwrap();
    producer.send("t", 1, record("k", Some("open"))).unwrap();
    producer.flush().unwrap();
    producer
}

fn ends(sim: &Simulated, isolation: Isolation) -> Vec<i64> {
    let both = [TopicPartition::new("t", 0), TopicPartition::new("t", 1)];
    sim.log.admin().unwrap().end_offsets(&both, isolation).unwrap()
}

#[test]
fn what_is_open_outlives_a_crash_until_its_successor_or_its_timeout() {
    for crash in [Crash::Process, Crash::Machine] {
        for successor in [true, false] {
            let mut sim = simulated(None);
            drop(open(&sim));
            sim.log.sync().unwrap();
            sim.crash(crash);
            assert_eq!(ends(&sim, Isolation::ReadUncommitted), [1, 1]);
            assert_eq!(ends(&sim, Isolation::ReadCommitted), [0, 0]);
            assert!(sim.values("t", Visibility::Durable).is_empty());
            if successor {
                drop(sim.producer());
            } else {
                sim.advance(9_999);
                sim.settle();
                assert_eq!(ends(&sim, Isolation::ReadCommitted), [0, 0], "not yet");
                sim.advance(1);
                sim.settle();
            }
            assert_eq!(ends(&sim, Isolation::ReadCommitted), [2, 2]);
            assert!(sim.values("t", Visibility::Written).is_empty());
            sim.crash(Crash::Process);
            assert_eq!(ends(&sim, Isolation::ReadCommitted), [2, 2], "nothing is open any more");
        }
    }
}

#[test]
fn a_transaction_that_timed_out_is_fenced() {
    let sim = simulated(None);
    let mut producer = open(&sim);
    sim.advance(10_000);
    sim.settle();
    assert!(matches!(producer.commit(), Err(LogError::Fenced(_))));
    assert!(sim.values("t", Visibility::Written).is_empty());
}

#[test]
fn late_markers_come_one_by_one_and_after_a_crash() {
    for crash in [false, true] {
        let late = Arc::new(AtomicBool::new(true));
        let asked = late.clone();
        // The marker of partition 0 is on time, the others are late.
        let mut markers = 0;
        let mut sim = simulated(Some(FaultPlan::deciding(move |operation, _| {
            let marker = matches!(operation, Operation::Marker | Operation::OffsetMarker);
            markers += u64::from(marker);
            (marker && markers > 1 && asked.load(Ordering::SeqCst)).then_some(Fault::Late)
        })));
        let mut consumer = sim.consumer("00");
        consumer.subscribe(&["in"]).unwrap();
        let (owned, metadata) = take(consumer.as_mut());
        let mut producer = open(&sim);
        producer.send_offsets(&[(owned[0].clone(), 7)], &metadata).unwrap();
        producer.commit().unwrap();
        assert_eq!(ends(&sim, Isolation::ReadCommitted), [2, 0]);
        let committed =
            |sim: &Simulated| sim.log.admin().unwrap().committed_offsets("group", &owned);
        assert!(matches!(committed(&sim), Err(LogError::Retriable(_))));
        if crash {
            sim.log.sync().unwrap();
            sim.crash(Crash::Machine);
            assert_eq!(ends(&sim, Isolation::ReadCommitted), [2, 0]);
        }
        late.store(false, Ordering::SeqCst);
        sim.settle();
        assert_eq!(ends(&sim, Isolation::ReadCommitted), [2, 2]);
        assert_eq!(committed(&sim).unwrap(), [Some(7)]);
        assert_eq!(sim.read("t", 1, Visibility::Written).len(), 1);
    }
}

#[test]
fn a_durable_reader_waits_for_the_sync_of_the_end() {
    let sim = simulated(None);
    let mut producer = open(&sim);
    sim.log.sync().unwrap();
    producer.commit().unwrap();
    assert_eq!(sim.values("t", Visibility::Written), ["open"]);
    assert!(sim.values("t", Visibility::Durable).is_empty(), "the marker isn't synced");
    sim.log.sync().unwrap();
    assert_eq!(sim.values("t", Visibility::Durable), ["open"]);
}

#[test]
fn a_torn_delivery_leaves_some_of_it_in_the_log_until_the_abort() {
    let sim = simulated(Some(FaultPlan::at(Operation::Flush, 1, Fault::Torn)));
    let mut producer = sim.producer();
    producer.begin().unwrap();
    producer.send("t", 0, record("k", Some("torn"))).unwrap();
    producer.send("t", 1, record("k", Some("torn"))).unwrap();
    assert!(matches!(producer.flush(), Err(LogError::Abort(_))));
    assert_eq!(ends(&sim, Isolation::ReadUncommitted), [1, 0]);
    producer.abort().unwrap();
    assert_eq!(ends(&sim, Isolation::ReadCommitted), [2, 0]);
    assert!(sim.values("t", Visibility::Written).is_empty());
}
