//! Deletion of records on demand.

use std::time::Duration;

use super::LogFixture;
use super::scene::{Scene, record, texts};
use crate::{Cleanup, ConsumedRecord, Isolation, LogError, TopicPartition, Visibility};

/// What lies below is gone, what lies above isn't touched, and a second time
/// changes nothing.
pub fn deleted_records_are_gone(fixture: &dyn LogFixture) {
    let scene = Scene::new(fixture, "delete");
    let topic = scene.topic("in", 2);
    let (at, other) =
        (TopicPartition::new(topic.as_str(), 0), TopicPartition::new(topic.as_str(), 1));
    let mut producer = scene.producer("txn");
    producer.begin().unwrap();
    for value in ["a", "b", "c", "d"] {
        producer.send(&topic, 0, record("k", value)).unwrap();
        producer.send(&topic, 1, record("k", value)).unwrap();
    }
    producer.commit().unwrap();
    let mut member = scene.member("group", "00-client", &[&topic]);
    scene.until("everything is read", || {
        member.turn(&scene);
        member.records.len() == 8
    });
    member.records.clear();
    scene.log.sync().unwrap();
    for before in [2, 2, 1, 0] {
        scene.admin.delete_records(&[(at.clone(), before), (other.clone(), 0)]).unwrap();
        assert_eq!(scene.admin.start_offsets(&[at.clone(), other.clone()]).unwrap(), [2, 0]);
    }
    assert_eq!(texts(&scene.read(&topic, 2)), ["c", "d", "a", "b", "c", "d"]);
    let here = std::slice::from_ref(&at);
    let end = scene.admin.end_offsets(here, Isolation::ReadUncommitted).unwrap()[0];
    scene.append(&topic, 0, &["e"]);
    scene.until("a member above goes on", || {
        member.turn(&scene);
        !member.records.is_empty()
    });
    assert_eq!((texts(&member.records), member.records[0].offset), (vec!["e".to_owned()], end));
    scene.log.sync().unwrap();
    scene.admin.delete_records(&[(at.clone(), end + 1)]).unwrap();
    assert_eq!(scene.admin.start_offsets(here).unwrap(), [end + 1], "all of it");
    scene.append(&topic, 0, &["f"]);
    assert_eq!(texts(&scene.read(&topic, 2)), ["f", "a", "b", "c", "d"]);
    member.leave(&scene);
}

/// Who reads what was deleted is told so; nothing is skipped in silence.
pub fn reading_below_the_start_is_an_error(fixture: &dyn LogFixture) {
    let scene = Scene::new(fixture, "below");
    let topic = scene.topic("in", 1);
    let at = TopicPartition::new(topic.as_str(), 0);
    scene.append(&topic, 0, &["a", "b", "c"]);
    scene.admin.delete_records(&[(at.clone(), 2)]).unwrap();
    let mut reader =
        scene.log.reader("reader", Isolation::ReadCommitted, Visibility::Written).unwrap();
    reader.assign(&[(at.clone(), 1)]).unwrap();
    let mut refused = None;
    scene.until("the reader is told", || {
        let visit = &mut |found: ConsumedRecord<'_>| panic!("{found:?} was below");
        refused = reader.poll(Duration::from_millis(20), 10, visit).err();
        refused.is_some()
    });
    let refused = refused.unwrap();
    let told =
        matches!(&refused, LogError::OffsetOutOfRange { at: there, position: 1 } if *there == at);
    assert!(told, "{refused:?}");
    assert!(refused.to_string().contains(&at.to_string()), "{refused}");
}

/// Nothing is deleted that isn't there yet, nor from a topic whose records are
/// its state.
pub fn deleting_asks_for_what_can_be_deleted(fixture: &dyn LogFixture) {
    let scene = Scene::new(fixture, "undeletable");
    let topic = scene.topic("in", 1);
    let state = scene.topic_with("state", 1, Cleanup::Compact);
    for topic in [&topic, &state] {
        scene.append(topic, 0, &["a", "b"]);
        let at = TopicPartition::new(topic.as_str(), 0);
        let before = if *topic == state { 1 } else { 3 };
        for before in [before, -1] {
            let refused = scene.admin.delete_records(&[(at.clone(), before)]).expect_err("refused");
            assert!(matches!(refused, LogError::Fatal(_)), "{refused:?}");
            assert!(refused.to_string().contains(&at.to_string()), "{refused}");
        }
        assert_eq!(scene.admin.start_offsets(&[at]).unwrap(), [0]);
    }
    let missing = TopicPartition::new(scene.name("missing"), 0);
    let refused = scene.admin.delete_records(&[(missing.clone(), 0)]).expect_err("no such topic");
    assert!(refused.to_string().contains(&*missing.topic), "{refused}");
    scene.admin.delete_records(&[]).unwrap();
}
