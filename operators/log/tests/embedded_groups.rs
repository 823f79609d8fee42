//! Sessions, lost members and stale commits, on a clock moved by hand.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use common::{Simulated, event, record, take};
use operators_log::{Cleanup, LogError, Polled};

#[test]
fn a_crashed_member_is_replaced_after_its_session_timeout() {
    let sim = Simulated::new(|_| {});
    sim.topic("in", 2, Cleanup::Keep);
    let (mut first, mut second) = (sim.consumer("00"), sim.consumer("01"));
    first.subscribe(&["in"]).unwrap();
    second.subscribe(&["in"]).unwrap();
    assert_eq!(take(first.as_mut()).0.len(), 1);
    assert_eq!(take(second.as_mut()).0.len(), 1);
    drop(first);
    sim.advance(5_999);
    sim.log.tick().unwrap();
    assert_eq!(event(second.as_mut()), Polled::Records(0));
    sim.advance(1);
    sim.log.tick().unwrap();
    assert!(matches!(event(second.as_mut()), Polled::Revoke { lost: false, .. }));
    second.ack_revoke().unwrap();
    assert_eq!(take(second.as_mut()).0.len(), 2);
}

#[test]
fn a_member_that_does_not_poll_is_lost_and_fenced() {
    let sim = Simulated::new(|_| {});
    sim.topic("in", 1, Cleanup::Keep);
    sim.topic("out", 1, Cleanup::Keep);
    let mut slow = sim.consumer("00");
    slow.subscribe(&["in"]).unwrap();
    let (owned, stale) = take(slow.as_mut());
    let mut zombie = sim.producer();
    zombie.begin().unwrap();
    zombie.send("out", 0, record("k", Some("zombie"))).unwrap();
    zombie.send_offsets(&[(owned[0].clone(), 1)], &stale).unwrap();
    sim.advance(60_001);
    let mut quick = sim.consumer("01");
    quick.subscribe(&["in"]).unwrap();
    sim.log.tick().unwrap();
    assert_eq!(take(quick.as_mut()).0, owned, "the quick one doesn't wait for the slow one");
    let refused =
        zombie.commit().expect_err("its generation is over, though the offsets were sent before");
    assert!(matches!(refused, LogError::Abort(_)), "{refused:?}");
    zombie.abort().unwrap();
    assert!(sim.values("out", operators_log::Visibility::Written).is_empty());
    assert_eq!(event(slow.as_mut()), Polled::Revoke { lost: true, partitions: owned.clone() });
    slow.ack_revoke().unwrap();
    assert!(
        matches!(event(quick.as_mut()), Polled::Revoke { lost: false, .. }),
        "the slow one joins again"
    );
    quick.ack_revoke().unwrap();
    assert_eq!(take(slow.as_mut()).0, owned);
    assert!(take(quick.as_mut()).0.is_empty());
}

#[test]
fn a_long_restore_is_no_reason_to_lose_an_assignment_that_is_polled() {
    let sim = Simulated::new(|_| {});
    sim.topic("in", 1, Cleanup::Keep);
    let mut member = sim.consumer("00");
    member.subscribe(&["in"]).unwrap();
    let Polled::Assign(owned) = event(member.as_mut()) else { panic!("an assignment is due") };
    for _ in 0..5 {
        sim.advance(50_000);
        sim.log.tick().unwrap();
        assert_eq!(event(member.as_mut()), Polled::Records(0));
    }
    member.ack_assign(&[(owned[0].clone(), 0)]).unwrap();
    assert_eq!(event(member.as_mut()), Polled::Records(0));
}

#[test]
fn a_rebalance_during_a_restore_comes_after_its_answer() {
    let sim = Simulated::new(|_| {});
    sim.topic("in", 2, Cleanup::Keep);
    let (mut first, mut second) = (sim.consumer("00"), sim.consumer("01"));
    first.subscribe(&["in"]).unwrap();
    let Polled::Assign(owned) = event(first.as_mut()) else { panic!("an assignment is due") };
    second.subscribe(&["in"]).unwrap();
    assert_eq!(event(second.as_mut()), Polled::Records(0));
    assert_eq!(event(first.as_mut()), Polled::Records(0), "one event at a time");
    let offsets: Vec<_> = owned.iter().map(|at| (at.clone(), 0)).collect();
    first.ack_assign(&offsets).unwrap();
    assert!(
        matches!(event(first.as_mut()), Polled::Revoke { lost: false, partitions } if partitions == owned)
    );
    first.ack_revoke().unwrap();
    assert_eq!(take(first.as_mut()).0.len(), 1);
    assert_eq!(take(second.as_mut()).0.len(), 1);
}

#[test]
fn leaving_during_a_restore_needs_no_answer_to_the_assignment() {
    let sim = Simulated::new(|_| {});
    sim.topic("in", 1, Cleanup::Keep);
    let (mut first, mut second) = (sim.consumer("00"), sim.consumer("01"));
    first.subscribe(&["in"]).unwrap();
    let Polled::Assign(owned) = event(first.as_mut()) else { panic!("an assignment is due") };
    first.unsubscribe().unwrap();
    second.subscribe(&["in"]).unwrap();
    assert_eq!(event(first.as_mut()), Polled::Revoke { lost: false, partitions: owned.clone() });
    first.ack_revoke().unwrap();
    assert_eq!(take(second.as_mut()).0, owned);
}

#[test]
fn offsets_of_foreign_partitions_are_refused() {
    let sim = Simulated::new(|_| {});
    sim.topic("in", 2, Cleanup::Keep);
    let (mut first, mut second) = (sim.consumer("00"), sim.consumer("01"));
    first.subscribe(&["in"]).unwrap();
    second.subscribe(&["in"]).unwrap();
    let (_, mine) = take(first.as_mut());
    let (theirs, _) = take(second.as_mut());
    let mut producer = sim.producer();
    producer.begin().unwrap();
    let refused = producer.send_offsets(&[(theirs[0].clone(), 1)], &mine).expect_err("not its own");
    assert!(matches!(refused, LogError::Abort(_)));
}

#[test]
fn leaving_in_the_middle_of_a_revoke_brings_one_more() {
    let sim = Simulated::new(|_| {});
    sim.topic("in", 2, Cleanup::Keep);
    let (mut first, mut second) = (sim.consumer("00"), sim.consumer("01"));
    first.subscribe(&["in"]).unwrap();
    take(first.as_mut());
    second.subscribe(&["in"]).unwrap();
    assert!(matches!(event(first.as_mut()), Polled::Revoke { .. }));
    first.unsubscribe().unwrap();
    first.ack_revoke().unwrap();
    assert_eq!(event(first.as_mut()), Polled::Revoke { lost: false, partitions: Vec::new() });
    first.ack_revoke().unwrap();
    assert_eq!(event(first.as_mut()), Polled::Records(0));
    assert_eq!(take(second.as_mut()).0.len(), 2);
    let mut nobody = sim.consumer("02");
    nobody.unsubscribe().unwrap();
    assert_eq!(event(nobody.as_mut()), Polled::Revoke { lost: false, partitions: Vec::new() });
    nobody.ack_revoke().unwrap();
}
