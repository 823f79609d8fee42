//! Producers without transactions: what stays, what is given up, and who may commit offsets.

use super::LogFixture;
use super::groups::{outdated, refuses};
use super::scene::{Scene, record, texts};
use crate::{Isolation, TopicPartition};

/// What was flushed is visible before any commit, and an abort takes only what wasn't.
pub fn what_is_flushed_is_there_and_stays(fixture: &dyn LogFixture) {
    let scene = Scene::new(fixture, "plain-stays");
    let topic = scene.topic("out", 1);
    let mut producer = scene.plain_producer();
    producer.begin().unwrap();
    producer.send(&topic, 0, record("k", "flushed")).unwrap();
    producer.flush().unwrap();
    assert_eq!(texts(&scene.read_now(&topic, 1)), ["flushed"]);
    producer.send(&topic, 0, record("k", "given up")).unwrap();
    producer.abort().unwrap();
    producer.begin().unwrap();
    producer.send(&topic, 0, record("k", "after")).unwrap();
    producer.commit().unwrap();
    assert_eq!(texts(&scene.read(&topic, 1)), ["flushed", "after"]);
    let end =
        scene.admin.end_offsets(&scene.partitions(&topic, 1), Isolation::ReadCommitted).unwrap();
    assert_eq!(end, [2], "there are no markers");
    assert_eq!(producer.acknowledged(&scene.partitions(&topic, 1)[0]), Some(2));
}

/// Offsets wait for the commit; an abort forgets them. Offsets alone, and no offsets, commit too.
pub fn offsets_are_committed_behind_the_records(fixture: &dyn LogFixture) {
    let scene = Scene::new(fixture, "plain-offsets");
    let (input, output) = (scene.topic("in", 1), scene.topic("out", 1));
    scene.append(&input, 0, &["a", "b"]);
    let mut member = scene.member("group", "00-client", &[&input]);
    scene.settle(&mut member);
    let at = TopicPartition::new(input.as_str(), 0);
    let mut producer = scene.plain_producer();
    producer.begin().unwrap();
    producer.send_offsets(&[(at.clone(), 2)], member.membership()).unwrap();
    producer.abort().unwrap();
    producer.begin().unwrap();
    producer.send(&output, 0, record("k", "a")).unwrap();
    producer.send_offsets(&[(at.clone(), 1)], member.membership()).unwrap();
    producer.flush().unwrap();
    assert_eq!(member.committed(&scene, &at), None);
    producer.commit().unwrap();
    assert_eq!(member.committed(&scene, &at), Some(1));
    for (offsets, committed) in [(vec![(at.clone(), 2)], 2), (vec![], 2)] {
        producer.begin().unwrap();
        producer.send_offsets(&offsets, member.membership()).unwrap();
        producer.commit().unwrap();
        assert_eq!(member.committed(&scene, &at), Some(committed));
    }
    assert_eq!(texts(&scene.read(&output, 1)), ["a"]);
    member.leave(&scene);
}

/// A member of a former generation commits nothing; what it has flushed stays.
pub fn a_stale_generation_commits_no_offsets(fixture: &dyn LogFixture) {
    let scene = Scene::new(fixture, "plain-stale");
    let (input, output) = (scene.topic("in", 2), scene.topic("out", 1));
    let (old, new, stale) = outdated(&scene, &input);
    let at = TopicPartition::new(input.as_str(), 0);
    let mut producer = scene.plain_producer();
    producer.begin().unwrap();
    producer.send(&output, 0, record("k", "stale")).unwrap();
    refuses(&mut *producer, &at, &stale);
    producer.abort().unwrap();
    assert_eq!(old.committed(&scene, &at), None);
    producer.begin().unwrap();
    producer.send_offsets(&[(at.clone(), 1)], old.membership()).unwrap();
    producer.commit().unwrap();
    assert_eq!(old.committed(&scene, &at), Some(1), "the present generation is accepted");
    for member in [old, new] {
        member.leave(&scene);
    }
}
