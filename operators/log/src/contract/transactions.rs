//! Atomicity, visibility and fencing of transactions.

use super::LogFixture;
use super::scene::{Scene, record, texts};
use crate::{Isolation, LogError, TopicPartition};

/// Records on two topics and an input offset appear together.
pub fn commit_is_atomic_over_topics_and_offsets(fixture: &dyn LogFixture) {
    let scene = Scene::new(fixture, "atomic-commit");
    let (input, left, right) =
        (scene.topic("in", 1), scene.topic("left", 2), scene.topic("right", 2));
    scene.append(&input, 0, &["a", "b"]);
    let mut member = scene.member("group", "00-client", &[&input]);
    scene.settle(&mut member);
    let at = TopicPartition::new(input.as_str(), 0);
    let mut producer = scene.producer("txn");
    producer.begin().unwrap();
    producer.send(&left, 0, record("k", "left 0")).unwrap();
    producer.send(&left, 1, record("k", "left 1")).unwrap();
    producer.send(&right, 1, record("k", "right 1")).unwrap();
    producer.send_offsets(&[(at.clone(), 2)], member.membership()).unwrap();
    producer.flush().unwrap();
    assert!(scene.read_now(&left, 2).is_empty(), "nothing is visible before the commit");
    producer.commit().unwrap();
    assert_eq!(texts(&scene.read(&left, 2)), ["left 0", "left 1"]);
    assert_eq!(texts(&scene.read(&right, 2)), ["right 1"]);
    assert_eq!(member.committed(&scene, &at), Some(2));
    member.leave(&scene);
}

/// Neither records nor offsets of an aborted transaction are ever seen.
pub fn abort_leaves_nothing(fixture: &dyn LogFixture) {
    let scene = Scene::new(fixture, "abort");
    let (input, left, right) =
        (scene.topic("in", 1), scene.topic("left", 1), scene.topic("right", 2));
    scene.append(&input, 0, &["a"]);
    let mut member = scene.member("group", "00-client", &[&input]);
    scene.settle(&mut member);
    let at = TopicPartition::new(input.as_str(), 0);
    let mut producer = scene.producer("txn");
    producer.begin().unwrap();
    producer.send(&left, 0, record("k", "aborted")).unwrap();
    producer.send(&right, 1, record("k", "aborted")).unwrap();
    producer.send_offsets(&[(at.clone(), 1)], member.membership()).unwrap();
    producer.flush().unwrap();
    producer.abort().unwrap();
    assert!(scene.read(&left, 1).is_empty());
    assert_eq!(member.committed(&scene, &at), None);
    producer.begin().unwrap();
    producer.send(&left, 0, record("k", "kept")).unwrap();
    producer.commit().unwrap();
    assert_eq!(
        texts(&scene.read(&left, 1)),
        ["kept"],
        "the next transaction has nothing of the aborted one"
    );
    assert!(scene.read(&right, 2).is_empty());
    assert_eq!(member.committed(&scene, &at), None);
    member.leave(&scene);
}

/// Read committed shows nothing of an open transaction; the true end is never
/// below the last stable offset.
pub fn an_open_transaction_is_invisible(fixture: &dyn LogFixture) {
    let scene = Scene::new(fixture, "open");
    let topic = scene.topic("out", 1);
    scene.append(&topic, 0, &["before"]);
    let at = scene.partitions(&topic, 1);
    let mut producer = scene.producer("txn");
    producer.begin().unwrap();
    producer.send(&topic, 0, record("k", "open")).unwrap();
    producer.flush().unwrap();
    assert_eq!(texts(&scene.read_now(&topic, 1)), ["before"]);
    let stable = scene.admin.end_offsets(&at, Isolation::ReadCommitted).unwrap()[0];
    let end = scene.admin.end_offsets(&at, Isolation::ReadUncommitted).unwrap()[0];
    assert_eq!(stable, 1);
    assert!(end >= stable);
    producer.commit().unwrap();
    assert_eq!(texts(&scene.read(&topic, 1)), ["before", "open"]);
}

/// The second holder of a transactional id ends the first one's transaction
/// and shuts it out.
pub fn init_fences_and_aborts_the_predecessor(fixture: &dyn LogFixture) {
    let scene = Scene::new(fixture, "fencing");
    let topic = scene.topic("out", 1);
    let mut first = scene.producer("txn");
    first.begin().unwrap();
    first.send(&topic, 0, record("k", "first")).unwrap();
    first.flush().unwrap();
    let mut second = scene.producer("txn");
    assert!(scene.read(&topic, 1).is_empty(), "init aborted what was open");
    let refused = first.commit().expect_err("the first holder is fenced");
    assert!(matches!(refused, LogError::Fenced(_)), "{refused:?}");
    second.begin().unwrap();
    second.send(&topic, 0, record("k", "second")).unwrap();
    second.commit().unwrap();
    assert_eq!(texts(&scene.read(&topic, 1)), ["second"]);
    drop(first);
}

/// After a commit the producer knows how far each partition reaches.
pub fn acknowledged_names_the_end_of_what_was_sent(fixture: &dyn LogFixture) {
    let scene = Scene::new(fixture, "acknowledged");
    let topic = scene.topic("out", 2);
    let (sent, untouched) =
        (TopicPartition::new(topic.as_str(), 0), TopicPartition::new(topic.as_str(), 1));
    let mut producer = scene.producer("txn");
    for round in ["one", "two"] {
        producer.begin().unwrap();
        producer.send(&topic, 0, record("k", round)).unwrap();
        producer.send(&topic, 0, record("k", round)).unwrap();
        producer.flush().unwrap();
        producer.commit().unwrap();
        let last = scene.read(&topic, 2).last().unwrap().offset;
        assert_eq!(producer.acknowledged(&sent), Some(last + 1));
        assert_eq!(producer.acknowledged(&untouched), None);
    }
}

/// Offsets are not contiguous; `reached` copes.
pub fn markers_leave_holes_that_readers_pass(fixture: &dyn LogFixture) {
    let scene = Scene::new(fixture, "holes");
    let topic = scene.topic("out", 1);
    let mut producer = scene.producer("txn");
    for (value, commit) in [("a", true), ("b", false), ("c", true)] {
        producer.begin().unwrap();
        producer.send(&topic, 0, record("k", value)).unwrap();
        producer.flush().unwrap();
        if commit { producer.commit().unwrap() } else { producer.abort().unwrap() }
    }
    let records = scene.read(&topic, 1);
    assert_eq!(texts(&records), ["a", "c"]);
    assert!(
        records[1].offset > records[0].offset + 1,
        "an abort and markers lie between: {records:?}"
    );
    let end =
        scene.admin.end_offsets(&scene.partitions(&topic, 1), Isolation::ReadCommitted).unwrap()[0];
    assert!(end > records[1].offset + 1, "the last marker lies behind the last record");
}

/// No waiting between transactions of one producer; all arrive in order.
pub fn transactions_follow_each_other_at_once(fixture: &dyn LogFixture) {
    let scene = Scene::new(fixture, "successive");
    let topic = scene.topic("out", 1);
    let mut producer = scene.producer("txn");
    let values: Vec<String> = (0..20).map(|round| round.to_string()).collect();
    for value in &values {
        producer.begin().unwrap();
        producer.send(&topic, 0, record("k", value)).unwrap();
        producer.flush().unwrap();
        producer.commit().unwrap();
    }
    assert_eq!(texts(&scene.read(&topic, 1)), values);
}

/// A transaction without records moves the group's offset.
pub fn a_transaction_of_offsets_alone_commits(fixture: &dyn LogFixture) {
    let scene = Scene::new(fixture, "offsets-alone");
    let input = scene.topic("in", 1);
    scene.append(&input, 0, &["a", "b", "c"]);
    let mut member = scene.member("group", "00-client", &[&input]);
    scene.settle(&mut member);
    let at = TopicPartition::new(input.as_str(), 0);
    let mut producer = scene.producer("txn");
    for next in [1, 1, 3] {
        producer.begin().unwrap();
        producer.send_offsets(&[(at.clone(), next)], member.membership()).unwrap();
        producer.commit().unwrap();
        assert_eq!(member.committed(&scene, &at), Some(next));
    }
    member.leave(&scene);
}
