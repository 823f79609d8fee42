//! Who owns what, and what a member may expect between two events.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use super::LogFixture;
use super::scene::{Scene, record, texts};
use crate::{ConsumedRecord, Isolation, Polled, TopicPartition};

/// `range`: the same partition numbers of all topics, contiguous, in the order
/// of the client ids.
pub fn range_keeps_copartitioned_topics_together(fixture: &dyn LogFixture) {
    let scene = Scene::new(fixture, "range");
    let (left, right) = (scene.topic("left", 5), scene.topic("right", 5));
    let mut last = scene.member("group", "01-last", &[&left, &right]);
    scene.settle(&mut last);
    assert_eq!(last.owned.len(), 10, "alone it owns everything");
    let mut first = scene.member("group", "00-first", &[&left, &right]);
    scene.until("both have their share", || {
        first.turn(&scene);
        last.turn(&scene);
        first.owned.len() == 6 && last.owned.len() == 4
    });
    for (member, share) in [(&first, 0..3u32), (&last, 3..5)] {
        let owned: BTreeSet<_> = member.owned.iter().cloned().collect();
        let due: BTreeSet<_> = [&left, &right]
            .iter()
            .flat_map(|topic| {
                share.clone().map(|partition| TopicPartition::new(topic.as_str(), partition))
            })
            .collect();
        assert_eq!(owned, due);
    }
    assert_ne!(first.membership().member, last.membership().member);
    first.leave(&scene);
    last.leave(&scene);
}

/// Between an event and its answer no record arrives.
pub fn nothing_arrives_before_the_answer(fixture: &dyn LogFixture) {
    let scene = Scene::new(fixture, "deferred");
    let topic = scene.topic("in", 1);
    scene.append(&topic, 0, &["a"]);
    let mut member = scene.member("group", "00-client", &[&topic]);
    let mut assigned = Vec::new();
    scene.until("an assignment", || match member.poll() {
        Polled::Assign(partitions) => {
            assigned = partitions;
            true
        }
        _ => false,
    });
    for _ in 0..5 {
        assert_eq!(member.poll(), Polled::Records(0));
    }
    assert!(member.records.is_empty());
    member.take(&scene, assigned);
    scene.until("the record", || {
        member.turn(&scene);
        !member.records.is_empty()
    });
    member.leave(&scene);
}

/// A paused partition is silent while others go on; seek moves both ways.
pub fn pause_resume_and_seek(fixture: &dyn LogFixture) {
    let scene = Scene::new(fixture, "pause");
    let topic = scene.topic("in", 2);
    let (quiet, loud) =
        (TopicPartition::new(topic.as_str(), 0), TopicPartition::new(topic.as_str(), 1));
    let mut member = scene.member("group", "00-client", &[&topic]);
    scene.settle(&mut member);
    member.consumer.pause(std::slice::from_ref(&quiet)).unwrap();
    scene.append(&topic, 0, &["quiet"]);
    scene.append(&topic, 1, &["loud 0", "loud 1"]);
    scene.until("the other partition is read", || {
        member.turn(&scene);
        member.records.len() == 2
    });
    assert_eq!(texts(&member.records), ["loud 0", "loud 1"]);
    member.consumer.resume(&[quiet]).unwrap();
    scene.until("the paused one is read", || {
        member.turn(&scene);
        member.records.len() == 3
    });
    assert_eq!(member.records[2].text(), "quiet");
    member.consumer.seek(&[(loud.clone(), 1)]).unwrap();
    scene.until("the end is read again", || {
        member.turn(&scene);
        member.records.len() == 4
    });
    assert_eq!(member.records[3].text(), "loud 1");
    for _ in 0..2 {
        // The second time, what follows has been fetched and must be forgotten.
        member.consumer.seek(&[(loud.clone(), 0)]).unwrap();
        let mut first = None;
        scene.until("the first one is read again", || {
            let visit = &mut |found: ConsumedRecord<'_>| first = Some(found.offset);
            member.consumer.poll(Duration::from_millis(20), 1, visit).unwrap();
            first.is_some()
        });
        assert_eq!(first, Some(0));
    }
    member.leave(&scene);
}

/// Whoever starts again from the log starts with nothing paused.
pub fn a_seek_or_an_assignment_ends_a_pause(fixture: &dyn LogFixture) {
    let scene = Scene::new(fixture, "unpaused");
    let topic = scene.topic("in", 2);
    let all = scene.partitions(&topic, 2);
    scene.append(&topic, 0, &["a"]);
    let mut staying = scene.member("group", "00-staying", &[&topic]);
    scene.settle(&mut staying);
    staying.consumer.pause(&all).unwrap();
    staying.consumer.seek(&[(all[0].clone(), 0)]).unwrap();
    scene.until("what was sought is read", || {
        staying.turn(&scene);
        !staying.records.is_empty()
    });
    assert_eq!(texts(&staying.records), ["a"]);
    let mut leaving = scene.member("group", "01-leaving", &[&topic]);
    scene.until("both own a partition", || {
        staying.turn(&scene);
        leaving.turn(&scene);
        staying.owned.len() == 1 && leaving.owned.len() == 1
    });
    staying.consumer.pause(&staying.owned).unwrap();
    leaving.leave(&scene);
    scene.until("one owns all again", || {
        staying.turn(&scene);
        staying.owned.len() == 2
    });
    staying.records.clear();
    for partition in 0..2 {
        scene.append(&topic, partition, &["after"]);
    }
    scene.until("both are read", || {
        staying.turn(&scene);
        staying.records.iter().filter(|found| found.text() == "after").count() == 2
    });
    staying.leave(&scene);
}

/// `reached` of a member is true at an end that only markers lead to.
pub fn a_group_reader_passes_markers(fixture: &dyn LogFixture) {
    let scene = Scene::new(fixture, "group-holes");
    let topic = scene.topic("in", 1);
    let mut producer = scene.producer("txn");
    producer.begin().unwrap();
    producer.send(&topic, 0, record("k", "a")).unwrap();
    producer.commit().unwrap();
    assert_eq!(scene.read(&topic, 1).len(), 1);
    let at = TopicPartition::new(topic.as_str(), 0);
    let end =
        scene.admin.end_offsets(std::slice::from_ref(&at), Isolation::ReadCommitted).unwrap()[0];
    let mut member = scene.member("group", "00-client", &[&topic]);
    assert!(!member.consumer.reached(&at, end));
    scene.until("level with the end", || {
        member.turn(&scene);
        member.consumer.reached(&at, end)
    });
    assert_eq!(texts(&member.records), ["a"]);
    assert!(!member.consumer.reached(&at, end + 1));
    member.leave(&scene);
}

/// A poll that waits is ended from another thread.
pub fn a_waker_ends_a_group_poll(fixture: &dyn LogFixture) {
    let scene = Scene::new(fixture, "group-waker");
    let topic = scene.topic("in", 1);
    let mut member = scene.member("group", "00-client", &[&topic]);
    scene.settle(&mut member);
    let waker = member.consumer.waker();
    let started = Instant::now();
    let thread = std::thread::spawn(move || waker());
    let polled = member.consumer.poll(Duration::from_secs(600), 10, &mut |_| {}).unwrap();
    assert_eq!(polled, Polled::Records(0));
    assert!(started.elapsed() < Duration::from_secs(60));
    thread.join().unwrap();
    member.leave(&scene);
}

/// Joining with a topic that doesn't exist names it.
pub fn an_unknown_topic_cannot_be_subscribed(fixture: &dyn LogFixture) {
    let scene = Scene::new(fixture, "unknown-subscription");
    let missing = scene.name("missing");
    let refused = scene
        .consumer("group", "00-client")
        .subscribe(&[&missing])
        .expect_err("the topic doesn't exist");
    assert!(refused.to_string().contains(&missing), "{refused}");
}
