//! What is written is what is read.

use std::sync::mpsc;
use std::time::Duration;

use super::LogFixture;
use super::scene::{Scene, record, texts};
use crate::{Appended, Cleanup, LogError, NewRecord};

/// Keys, tombstones, empty values, repeated headers and times come back as
/// they were, from appends and from transactions.
pub fn keys_values_headers_and_times_survive(fixture: &dyn LogFixture) {
    let scene = Scene::new(fixture, "round-trip");
    let topic = scene.topic("out", 1);
    let headers: [(&str, &[u8]); 4] = [("a", b"1"), ("b", b""), ("a", b"2"), ("\u{e4}", &[0, 255])];
    let base = NewRecord {
        key: Some(b"k"),
        value: Some(b"v"),
        timestamp: 1_700_000_000_123,
        headers: &headers,
    };
    let shapes = [
        base,
        NewRecord { value: None, headers: &[], ..base },
        NewRecord { key: None, timestamp: 1, ..base },
        NewRecord { key: Some(b""), value: Some(b""), headers: &[], ..base },
    ];
    let mut producer = scene.producer("txn");
    producer.begin().unwrap();
    for shape in shapes {
        producer.send(&topic, 0, shape).unwrap();
    }
    producer.commit().unwrap();
    for shape in shapes {
        append(&scene, &topic, Some(0), shape).unwrap();
    }
    let records = scene.read(&topic, 1);
    assert_eq!(records.len(), 8);
    for (found, shape) in records.iter().zip(shapes.iter().chain(&shapes)) {
        assert_eq!(found.key.as_deref(), shape.key);
        assert_eq!(found.value.as_deref(), shape.value);
        assert_eq!(found.timestamp, shape.timestamp);
        let found: Vec<_> =
            found.headers.iter().map(|(name, value)| (name.as_str(), value.as_slice())).collect();
        assert_eq!(found, shape.headers);
    }
}

/// Each partition keeps the order of one sender.
pub fn order_holds_within_a_partition(fixture: &dyn LogFixture) {
    let scene = Scene::new(fixture, "order");
    let topic = scene.topic("out", 3);
    let mut producer = scene.producer("txn");
    for round in 0..3 {
        producer.begin().unwrap();
        for index in 0..300u32 {
            let value = format!("{:06}", round * 300 + index);
            producer.send(&topic, index % 3, record("k", &value)).unwrap();
        }
        producer.commit().unwrap();
    }
    let records = scene.read(&topic, 3);
    assert_eq!(records.len(), 900);
    for pair in records.windows(2).filter(|pair| pair[0].partition == pair[1].partition) {
        assert!(pair[0].offset < pair[1].offset);
        assert!(pair[0].text() < pair[1].text());
    }
}

/// murmur2 with the vectors of Kafka's own test (`UtilsTest`).
pub fn keys_choose_partitions_as_java_does(fixture: &dyn LogFixture) {
    let scene = Scene::new(fixture, "murmur");
    let topic = scene.topic("out", 5);
    for (key, hash) in [("21", -973_932_308_i32), ("foobar", -790_332_482), ("abc", 479_470_107)] {
        let due = (hash & i32::MAX) as u32 % 5;
        assert_eq!(append(&scene, &topic, None, record(key, "v")).unwrap().0, due, "key {key}");
    }
}

/// 900 kB pass through both producers.
pub fn large_records_pass(fixture: &dyn LogFixture) {
    let scene = Scene::new(fixture, "large");
    let topic = scene.topic("out", 1);
    let large: String =
        (0..900_000u32).map(|index| char::from(b'a' + (index % 23) as u8)).collect();
    let mut producer = scene.producer("txn");
    producer.begin().unwrap();
    for _ in 0..3 {
        producer.send(&topic, 0, record("k", &large)).unwrap();
    }
    producer.commit().unwrap();
    append(&scene, &topic, Some(0), record("k", &large)).unwrap();
    assert!(texts(&scene.read(&topic, 1)).iter().all(|found| *found == large));
    assert_eq!(scene.read(&topic, 1).len(), 4);
}

/// 3 MB are refused when sent, and the transaction goes on.
pub fn oversize_records_are_refused(fixture: &dyn LogFixture) {
    let scene = Scene::new(fixture, "oversize");
    let topic = scene.topic("out", 1);
    let oversize = "x".repeat(3_000_000);
    let mut producer = scene.producer("txn");
    producer.begin().unwrap();
    producer.send(&topic, 0, record("k", "before")).unwrap();
    let refused = producer.send(&topic, 0, record("k", &oversize)).expect_err("too large");
    assert!(matches!(refused, LogError::Refused(_)), "{refused:?}");
    assert!(refused.to_string().contains(&topic), "names the topic: {refused}");
    producer.send(&topic, 0, record("k", "after")).unwrap();
    producer.commit().unwrap();
    append(&scene, &topic, Some(0), record("k", &oversize)).expect_err("too large");
    assert_eq!(texts(&scene.read(&topic, 1)), ["before", "after"]);
}

/// A compacted topic takes no record without a key. Whether the log notices at
/// `send` or when it writes, the caller learns that repeating can't help, and
/// which topic it was; after an abort it goes on.
pub fn a_record_that_its_topic_never_takes_is_refused(fixture: &dyn LogFixture) {
    let scene = Scene::new(fixture, "never");
    let topic = scene.topic_with("state", 1, Cleanup::Compact);
    let keyless = NewRecord { key: None, ..record("", "keyless") };
    let mut producer = scene.producer("txn");
    for flush_first in [true, false] {
        producer.begin().unwrap();
        producer.send(&topic, 0, record("k", "aborted")).unwrap();
        let refused = match producer.send(&topic, 0, keyless) {
            Err(refused) => refused,
            Ok(()) if flush_first => producer.flush().expect_err("no key"),
            Ok(()) => producer.commit().expect_err("no key"),
        };
        assert!(matches!(refused, LogError::Refused(_)), "{refused:?}");
        assert!(refused.to_string().contains(&topic), "names the topic: {refused}");
        producer.abort().unwrap();
    }
    producer.begin().unwrap();
    producer.send(&topic, 0, record("k", "kept")).unwrap();
    producer.commit().unwrap();
    assert_eq!(texts(&scene.read(&topic, 1)), ["kept"]);
    let refused = append(&scene, &topic, Some(0), keyless).expect_err("no key");
    assert!(matches!(refused, LogError::Refused(_)), "{refused:?}");
}

/// Appends one record and waits for the answer.
pub fn append(
    scene: &Scene,
    topic: &str,
    partition: Option<u32>,
    record: NewRecord<'_>,
) -> Appended {
    let (sender, receiver) = mpsc::channel();
    let appender = scene.log.appender("contract-appender").unwrap();
    appender.append(
        topic,
        partition,
        record,
        Box::new(move |appended| sender.send(appended).unwrap_or(())),
    );
    receiver.recv_timeout(Duration::from_secs(30)).expect("answered within the delivery timeout")
}
