//! Retention and compaction: what goes, what stays, in bounded steps, over
//! crashes.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::collections::BTreeMap;
use std::time::Duration;

use common::Simulated;
use operators_log::{Cleanup, Isolation, Log, LogError, TopicPartition, Visibility};
use proptest::prelude::*;
use state_stores::Crash;

#[test]
fn retention_moves_the_start_and_spares_the_young() {
    let mut sim = Simulated::new(|options| options.maintenance_interval = Duration::from_secs(1));
    sim.topic("t", 1, Cleanup::Delete(Duration::from_secs(60)));
    for value in ["old 0", "old 1"] {
        sim.commit("t", &[(0, "k", Some(value))]);
    }
    sim.advance(50_000);
    sim.commit("t", &[(0, "k", Some("young"))]);
    sim.advance(20_000);
    sim.settle();
    assert_eq!(sim.values("t", Visibility::Written), ["young"]);
    let at = [TopicPartition::new("t", 0)];
    let admin = sim.log.admin().unwrap();
    assert_eq!(admin.start_offsets(&at).unwrap(), [3]);
    assert_eq!(admin.end_offsets(&at, Isolation::ReadCommitted).unwrap(), [6]);
    let mut reader = sim.log.reader("r", Isolation::ReadCommitted, Visibility::Written).unwrap();
    reader.assign(&[(at[0].clone(), 0)]).unwrap();
    let told = reader.poll(Duration::ZERO, 1, &mut |_| {}).expect_err("below the start");
    assert!(matches!(told, LogError::OffsetOutOfRange { position: 0, .. }), "{told}");
    sim.advance(100_000);
    sim.settle();
    sim.log.sync().unwrap();
    sim.crash(Crash::Machine);
    assert!(sim.values("t", Visibility::Written).is_empty());
    assert_eq!(
        sim.log.admin().unwrap().end_offsets(&at, Isolation::ReadCommitted).unwrap(),
        [6],
        "ends never go back"
    );
}

#[test]
fn deleted_records_stay_deleted_over_a_crash() {
    for tail_bytes in [0, 1 << 20] {
        let mut sim = Simulated::new(|options| options.tail_bytes = tail_bytes);
        sim.topic("t", 1, Cleanup::Keep);
        // One batch of three, whose middle becomes the start, and what follows.
        sim.commit("t", &[(0, "k", Some("a")), (0, "k", Some("b")), (0, "k", Some("c"))]);
        sim.commit("t", &[(0, "k", Some("d"))]);
        let at = TopicPartition::new("t", 0);
        let delete = |sim: &Simulated, before| {
            sim.log.admin().unwrap().delete_records(&[(at.clone(), before)]).unwrap();
            sim.log.admin().unwrap().start_offsets(std::slice::from_ref(&at)).unwrap()[0]
        };
        assert_eq!(delete(&sim, 1), 0, "what isn't synced stays");
        sim.settle();
        assert_eq!(delete(&sim, 1), 1);
        assert_eq!(sim.values("t", Visibility::Written), ["b", "c", "d"]);
        sim.log.sync().unwrap();
        sim.crash(Crash::Machine);
        assert_eq!(sim.values("t", Visibility::Durable), ["b", "c", "d"]);
        assert_eq!(delete(&sim, 4), 4, "up to the last record");
        sim.crash(Crash::Process);
        assert_eq!(sim.values("t", Visibility::Written), ["d"]);
        assert_eq!(delete(&sim, 6), 6);
        assert!(sim.values("t", Visibility::Written).is_empty());
        sim.commit("t", &[(0, "k", Some("e"))]);
        assert_eq!(sim.values("t", Visibility::Written), ["e"]);
        let rows = sim.engine.len();
        sim.settle();
        assert_eq!(delete(&sim, 7), 7);
        assert_eq!(sim.engine.len(), rows - 1, "nothing is left behind");
    }
}

#[test]
fn what_is_kept_is_kept() {
    let sim = Simulated::new(|options| options.maintenance_interval = Duration::from_secs(1));
    sim.topic("t", 1, Cleanup::Keep);
    sim.commit("t", &[(0, "k", Some("a"))]);
    sim.advance(i64::from(u32::MAX));
    sim.settle();
    assert_eq!(sim.values("t", Visibility::Written), ["a"]);
}

#[test]
fn a_tombstone_is_read_for_its_time_and_then_goes_with_its_key() {
    let sim = Simulated::new(|options| {
        options.maintenance_interval = Duration::from_secs(1);
        options.compaction_min_offsets = 1;
        options.tombstone_retention = Duration::from_secs(100);
        options.tail_bytes = 0;
    });
    sim.topic("t", 1, Cleanup::Compact);
    sim.commit("t", &[(0, "a", Some("1")), (0, "b", Some("1"))]);
    sim.commit("t", &[(0, "a", None)]);
    // Keeps the tail, which is never compacted in memory, off the rows above.
    sim.commit("t", &[(0, "c", Some("1"))]);
    sim.settle();
    sim.advance(2_000);
    sim.settle();
    let keys = |sim: &Simulated| -> Vec<String> {
        sim.read("t", 0, Visibility::Written)
            .into_iter()
            .map(|(_, key, value)| format!("{key}={}", value.unwrap_or_default()))
            .collect()
    };
    assert_eq!(keys(&sim), ["b=1", "a=", "c=1"]);
    sim.advance(100_000);
    sim.settle();
    assert_eq!(keys(&sim), ["b=1", "c=1"]);
}

#[derive(Debug, Clone)]
enum Step {
    Commit(Vec<(u8, Option<u8>)>),
    Abort(u8),
    Tick,
    Later,
    Crash,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        5 => prop::collection::vec((0u8..6, prop::option::of(0u8..200)), 1..6).prop_map(Step::Commit),
        1 => (0u8..6).prop_map(Step::Abort),
        4 => Just(Step::Tick),
        2 => Just(Step::Later),
        1 => Just(Step::Crash),
    ]
}

/// What compaction may leave of the full history: for each key the last record
/// always, and nothing that never was.
fn check(sim: &Simulated, history: &[(i64, u8, Option<u8>)]) -> Result<(), TestCaseError> {
    let found = sim.read("t", 0, Visibility::Written);
    prop_assert!(found.windows(2).all(|pair| pair[0].0 < pair[1].0), "offsets rise: {found:?}");
    let written: BTreeMap<i64, (u8, Option<u8>)> =
        history.iter().map(|(offset, key, value)| (*offset, (*key, *value))).collect();
    for (offset, key, value) in &found {
        let due = written
            .get(offset)
            .map(|(key, value)| (key.to_string(), value.map(|value| value.to_string())));
        prop_assert_eq!(due, Some((key.clone(), value.clone())));
    }
    let mut last: BTreeMap<u8, (i64, Option<u8>)> = BTreeMap::new();
    for (offset, key, value) in history {
        last.insert(*key, (*offset, *value));
    }
    for (offset, value) in last.into_values() {
        prop_assert!(
            value.is_none() || found.iter().any(|found| found.0 == offset),
            "offset {offset} is missing"
        );
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn compaction_keeps_the_last_of_each_key(steps in prop::collection::vec(step(), 1..60)) {
        let mut sim = Simulated::new(|options| {
            options.maintenance_interval = Duration::from_secs(1);
            options.maintenance_step_bytes = 200;
            options.compaction_min_offsets = 3;
            options.tombstone_retention = Duration::from_secs(5);
            options.tail_bytes = 300;
        });
        sim.topic("t", 1, Cleanup::Compact);
        let (mut history, mut next) = (Vec::new(), 0);
        for step in steps {
            match step {
                Step::Commit(records) => {
                    let texts: Vec<_> = records
                        .iter()
                        .map(|(key, value)| (key.to_string(), value.map(|value| value.to_string())))
                        .collect();
                    let sent: Vec<_> = texts.iter().map(|(key, value)| (0, key.as_str(), value.as_deref())).collect();
                    sim.commit("t", &sent);
                    history.extend((next..).zip(&records).map(|(offset, (key, value))| (offset, *key, *value)));
                    next += records.len() as i64 + 1;
                }
                Step::Abort(key) => {
                    let mut producer = sim.producer();
                    producer.begin().unwrap();
                    producer.send("t", 0, common::record(&key.to_string(), Some("aborted"))).unwrap();
                    producer.abort().unwrap();
                    next += 2;
                }
                Step::Tick => drop(sim.log.tick().unwrap()),
                Step::Later => sim.advance(1_500),
                Step::Crash => sim.crash(Crash::Process),
            }
            check(&sim, &history)?;
        }
        sim.advance(20_000);
        sim.settle();
        sim.advance(20_000);
        sim.settle();
        check(&sim, &history)?;
    }
}
