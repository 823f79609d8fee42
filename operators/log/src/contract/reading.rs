//! Readers, ends and the admin's answers.

use std::time::{Duration, Instant};

use super::LogFixture;
use super::records::append;
use super::scene::{Owned, Scene, record, texts};
use crate::{Cleanup, Isolation, TopicPartition, TopicSpec, Visibility};

/// Nothing to read, and known to be so at once.
pub fn an_empty_topic_is_at_its_end(fixture: &dyn LogFixture) {
    let scene = Scene::new(fixture, "empty");
    let topic = scene.topic("out", 2);
    let partitions = scene.partitions(&topic, 2);
    assert_eq!(scene.admin.start_offsets(&partitions).unwrap(), [0, 0]);
    assert_eq!(scene.admin.end_offsets(&partitions, Isolation::ReadCommitted).unwrap(), [0, 0]);
    assert_eq!(scene.admin.end_offsets(&partitions, Isolation::ReadUncommitted).unwrap(), [0, 0]);
    let mut reader =
        scene.log.reader("reader", Isolation::ReadCommitted, Visibility::Written).unwrap();
    reader.assign(&[(partitions[0].clone(), 0), (partitions[1].clone(), 0)]).unwrap();
    scene.until("the reader is at the end", || {
        let visited = reader.poll(Duration::from_millis(20), 10, &mut |_| {}).unwrap();
        assert_eq!(visited, 0);
        partitions.iter().all(|at| reader.reached(at, 0))
    });
    assert_eq!(scene.admin.start_offsets(&[]).unwrap(), [0; 0], "nothing asked, nothing answered");
    assert_eq!(scene.admin.end_offsets(&[], Isolation::ReadCommitted).unwrap(), [0; 0]);
    assert_eq!(scene.admin.committed_offsets("nobody", &[]).unwrap(), []);
    assert!(!reader.reached(&partitions[0], 1));
    assert_eq!(reader.position(&partitions[0]), Some(0));
    assert_eq!(reader.position(&TopicPartition::new(topic.as_str(), 7)), None, "not assigned");
}

/// Whoever asks for a topic that isn't there is told so, by name.
pub fn an_unknown_topic_is_an_error(fixture: &dyn LogFixture) {
    let scene = Scene::new(fixture, "unknown");
    let missing = scene.name("missing");
    assert_eq!(scene.admin.describe(&[&missing]).unwrap(), [None]);
    let at = [TopicPartition::new(missing.as_str(), 0)];
    let refused =
        scene.admin.end_offsets(&at, Isolation::ReadCommitted).expect_err("no such topic");
    assert!(refused.to_string().contains(&missing), "{refused}");
    let refused = append(&scene, &missing, Some(0), record("k", "v")).expect_err("no such topic");
    assert!(refused.to_string().contains(&missing), "{refused}");
}

/// From the middle, from the start, and anew after a second `assign`.
pub fn reading_starts_anywhere(fixture: &dyn LogFixture) {
    let scene = Scene::new(fixture, "anywhere");
    let topic = scene.topic("out", 1);
    let at = TopicPartition::new(topic.as_str(), 0);
    let offsets = scene.append(&topic, 0, &["a", "b", "c", "d"]);
    let mut reader =
        scene.log.reader("reader", Isolation::ReadCommitted, Visibility::Written).unwrap();
    for (from, due) in [
        (offsets[2], vec!["c", "d"]),
        (offsets[0], vec!["a", "b", "c", "d"]),
        (offsets[3] + 1, vec![]),
    ] {
        reader.assign(&[(at.clone(), from)]).unwrap();
        assert!(due.is_empty() || !reader.reached(&at, offsets[3] + 1));
        let mut records = Vec::new();
        scene.until("the end", || {
            reader
                .poll(Duration::from_millis(20), 1, &mut |found| records.push(Owned::of(found)))
                .unwrap();
            reader.reached(&at, offsets[3] + 1)
        });
        assert_eq!(texts(&records), due);
        assert_eq!(reader.position(&at), Some(offsets[3] + 1));
    }
}

/// In the middle of reading: of fewer partitions, then of others, from elsewhere.
pub fn an_assignment_replaces_what_was_fetched_for_the_one_before(fixture: &dyn LogFixture) {
    const RECORDS: i64 = 400;
    let scene = Scene::new(fixture, "assigned-anew");
    let topic = scene.topic("out", 3);
    let all = scene.partitions(&topic, 3);
    let values: Vec<String> = (0..RECORDS).map(|number| number.to_string()).collect();
    let values: Vec<&str> = values.iter().map(String::as_str).collect();
    let first: Vec<i64> = (0..3).map(|at| scene.append(&topic, at, &values)[0]).collect();
    let mut reader =
        scene.log.reader("reader", Isolation::ReadCommitted, Visibility::Written).unwrap();
    for (partitions, skip) in [(0..3, 0), (1..2, 100), (0..3, 50), (2..3, 10)] {
        let begin: Vec<_> = partitions.map(|at| (all[at].clone(), first[at] + skip)).collect();
        reader.assign(&begin).unwrap();
        let mut next = begin.clone();
        let mut read = 0;
        // One at a time: the most of what comes is still there when others are assigned.
        scene.until("a part of it is read", || {
            let visited = reader.poll(Duration::from_millis(20), 1, &mut |found| {
                let of = |(at, _): &&mut (TopicPartition, i64)| {
                    *at.topic == *found.topic && at.partition == found.partition
                };
                let (at, due) = next.iter_mut().find(of).expect("a record unasked");
                assert_eq!(found.offset, *due, "{at}");
                *due += 1;
            });
            read += visited.unwrap();
            read >= 30 * begin.len()
        });
    }
}

/// What was acknowledged, a durable reader shows.
pub fn a_durable_reader_sees_what_was_acknowledged(fixture: &dyn LogFixture) {
    let scene = Scene::new(fixture, "durable");
    let topic = scene.topic("out", 1);
    let at = TopicPartition::new(topic.as_str(), 0);
    let mut reader =
        scene.log.reader("reader", Isolation::ReadCommitted, Visibility::Durable).unwrap();
    reader.assign(&[(at, 0)]).unwrap();
    scene.append(&topic, 0, &["a"]);
    let mut producer = scene.producer("txn");
    producer.begin().unwrap();
    producer.send(&topic, 0, record("k", "b")).unwrap();
    producer.commit().unwrap();
    scene.log.sync().unwrap();
    let mut records = Vec::new();
    scene.until("both records", || {
        reader
            .poll(Duration::from_millis(20), 10, &mut |found| records.push(Owned::of(found)))
            .unwrap();
        records.len() == 2
    });
    assert_eq!(texts(&records), ["a", "b"]);
}

/// With nothing open, the last stable offset is the end.
pub fn ends_agree_when_nothing_is_open(fixture: &dyn LogFixture) {
    let scene = Scene::new(fixture, "ends");
    let topic = scene.topic("out", 1);
    let at = scene.partitions(&topic, 1);
    let offsets = scene.append(&topic, 0, &["a", "b"]);
    assert_eq!(offsets, [0, 1]);
    assert_eq!(scene.admin.end_offsets(&at, Isolation::ReadUncommitted).unwrap(), [2]);
    scene
        .until("stable", || scene.admin.end_offsets(&at, Isolation::ReadCommitted).unwrap() == [2]);
    assert_eq!(scene.admin.start_offsets(&at).unwrap(), [0]);
}

/// A read that waits is ended from another thread, or before it began.
pub fn a_waker_ends_a_read(fixture: &dyn LogFixture) {
    let scene = Scene::new(fixture, "waker");
    let topic = scene.topic("out", 1);
    let mut reader =
        scene.log.reader("reader", Isolation::ReadCommitted, Visibility::Written).unwrap();
    reader.assign(&[(TopicPartition::new(topic.as_str(), 0), 0)]).unwrap();
    let waker = reader.waker();
    let started = Instant::now();
    let thread = std::thread::spawn({
        let waker = waker.clone();
        move || waker()
    });
    assert_eq!(reader.poll(Duration::from_secs(600), 10, &mut |_| {}).unwrap(), 0);
    thread.join().unwrap();
    waker();
    assert_eq!(reader.poll(Duration::from_secs(600), 10, &mut |_| {}).unwrap(), 0);
    assert!(started.elapsed() < Duration::from_secs(60));
}

/// Making a topic again changes nothing; another partition count is an error
/// that names both.
pub fn topics_are_made_once(fixture: &dyn LogFixture) {
    let scene = Scene::new(fixture, "ensure");
    let topic = scene.topic("out", 3);
    scene.append(&topic, 2, &["kept"]);
    let before = scene.admin.describe(&[&topic]).unwrap();
    assert_eq!(scene.topic("out", 3), topic);
    assert_eq!(scene.admin.describe(&[&topic]).unwrap(), before);
    assert_eq!(before[0].as_ref().unwrap().partitions, 3);
    assert_eq!(texts(&scene.read(&topic, 3)), ["kept"]);
    let other =
        TopicSpec { name: topic.clone(), partitions: 17, replication: 1, cleanup: Cleanup::Keep };
    let refused =
        scene.admin.ensure_topics(&[other]).expect_err("another partition count").to_string();
    assert!(
        refused.contains(&topic) && refused.contains('3') && refused.contains("17"),
        "{refused}"
    );
    assert_eq!(scene.admin.log_id().unwrap(), scene.log.admin().unwrap().log_id().unwrap());
}

/// A group that never committed has no offsets.
pub fn committed_offsets_are_none_at_first(fixture: &dyn LogFixture) {
    let scene = Scene::new(fixture, "uncommitted");
    let topic = scene.topic("out", 2);
    let committed =
        scene.admin.committed_offsets(&scene.name("group"), &scene.partitions(&topic, 2)).unwrap();
    assert_eq!(committed, [None, None]);
}
