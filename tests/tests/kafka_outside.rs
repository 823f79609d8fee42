//! What others do to a Kafka cluster that we use: records of producers that are
//! not ours, topics made by hand.

#[path = "kafka/foreign.rs"]
mod foreign;
mod kafka;

use std::time::Duration;

use log::contract::Scene;
use log::{Cleanup, LogError, TopicSpec};

use kafka::Kafka;

/// One strange record must not stop a reader, nor be lost.
#[test]
fn headers_that_are_not_utf8_or_have_no_value_arrive() -> Result<(), LogError> {
    let Some(kafka) = Kafka::from_environment() else { return Ok(()) };
    let scene = Scene::new(&kafka, "foreign-headers");
    let topic = scene.topic("in", 1);
    let headers: [foreign::RawHeader<'_>; 3] =
        [(b"caf\xe9", Some(b"\xff")), (b"", None), (b"trace", Some(b"1"))];
    let broker = kafka.options.bootstrap_servers.split(',').next().unwrap_or_default();
    foreign::produce(broker, &topic, b"k", b"strange", &headers);
    scene.append(&topic, 0, &["after"]);
    let found = scene.read(&topic, 1);
    assert_eq!(found.iter().map(|found| found.text()).collect::<Vec<_>>(), ["strange", "after"]);
    let expected: [(&str, &[u8]); 3] = [("caf\u{fffd}", b"\xff"), ("", b""), ("trace", b"1")];
    let read: Vec<_> =
        found[0].headers.iter().map(|(name, value)| (name.as_str(), value.as_slice())).collect();
    assert_eq!(read, expected);
    Ok(())
}

/// A topic whose cleanup would delete what it is for is refused, with the way
/// out; other retention is somebody's choice.
#[test]
fn a_topic_with_the_wrong_cleanup_is_refused() -> Result<(), LogError> {
    let Some(kafka) = Kafka::from_environment() else { return Ok(()) };
    let scene = Scene::new(&kafka, "cleanup");
    let hour = Duration::from_secs(3600);
    let (events, state) = (
        scene.topic_with("events", 1, Cleanup::Keep),
        scene.topic_with("state", 1, Cleanup::Compact),
    );
    let ensure = |name: &str, cleanup: Cleanup| {
        scene.admin.ensure_topics(&[TopicSpec {
            name: name.to_owned(),
            partitions: 1,
            replication: 1,
            cleanup,
        }])
    };
    for (name, cleanup, is, should) in [
        (&events, Cleanup::Compact, "delete", "compact"),
        (&events, Cleanup::CompactDelete(hour), "delete", "compact,delete"),
        (&state, Cleanup::Delete(hour), "compact", "delete"),
    ] {
        let refused = ensure(name, cleanup).expect_err("the wrong cleanup");
        assert!(matches!(refused, LogError::Fatal(_)), "{refused:?}");
        let text = refused.to_string();
        let said = [name.as_str(), &format!("cleanup.policy={is}, not {should}"), "kafka-configs"];
        assert!(said.iter().all(|part| text.contains(part)), "{text}");
    }
    ensure(&events, Cleanup::Delete(hour))?;
    ensure(&state, Cleanup::CompactDelete(hour))?;
    Ok(())
}

/// Of a topic that holds an application's state, or what it hasn't read, retention isn't anybody's choice.
#[test]
fn an_internal_topic_that_can_lose_something_is_refused() -> Result<(), LogError> {
    let Some(kafka) = Kafka::from_environment() else { return Ok(()) };
    let scene = Scene::new(&kafka, "internal");
    let (hour, day) = (Duration::from_secs(3600), Duration::from_secs(86_400));
    let ensure = |name: &str, cleanup: Cleanup, tombstones: Duration| {
        let spec = TopicSpec { name: name.to_owned(), partitions: 1, replication: 1, cleanup };
        scene.admin.ensure_internal(&[spec], tombstones)
    };
    let made = |base: &str, cleanup: Cleanup| scene.topic_with(base, 1, cleanup);
    let (events, state) = (made("events", Cleanup::Delete(day)), made("state", Cleanup::Compact));
    let windows = made("windows", Cleanup::CompactDelete(hour));
    for (name, cleanup, tombstones, change) in [
        (&events, Cleanup::Keep, day, "retention.ms=-1"),
        (&windows, Cleanup::CompactDelete(day), day, "retention.ms=86400000"),
        (&windows, Cleanup::Compact, day, "cleanup.policy=[compact]"),
        (&state, Cleanup::Compact, 2 * day, "delete.retention.ms=172800000"),
    ] {
        let refused = ensure(name, cleanup, tombstones).expect_err("it can lose something");
        assert!(matches!(refused, LogError::Fatal(_)), "{refused:?}");
        let text = refused.to_string();
        let command = format!("--entity-name {name} --add-config '{change}'");
        assert!(text.contains(&command), "{text}");
    }
    for (name, cleanup) in [
        (&state, Cleanup::Compact),
        (&windows, Cleanup::CompactDelete(hour)),
        (&events, Cleanup::Delete(hour)),
        (&scene.name("repartition"), Cleanup::Keep),
        (&scene.name("changelog"), Cleanup::CompactDelete(day)),
    ] {
        // The second time as a topic that exists.
        ensure(name, cleanup.clone(), day)?;
        ensure(name, cleanup, day)?;
    }
    Ok(())
}

/// A topic's id is its own, so that one made anew isn't taken for the old one.
#[test]
fn topics_have_ids() -> Result<(), LogError> {
    let Some(kafka) = Kafka::from_environment() else { return Ok(()) };
    let scene = Scene::new(&kafka, "ids");
    let (one, two) = (scene.topic("one", 1), scene.topic("two", 2));
    let missing = scene.name("missing");
    let found = scene.admin.describe(&[&two, &missing, &one, &two])?;
    let ids: Vec<_> =
        found.iter().map(|found| found.as_ref().map(|topic| topic.id.as_str())).collect();
    assert_eq!(ids[1], None);
    assert_eq!(ids[0], ids[3]);
    assert_ne!(ids[0], ids[2]);
    assert!([ids[0], ids[2]].iter().flatten().all(|id| id.len() == 22), "{ids:?}");
    assert_eq!(scene.log.admin()?.describe(&[&one])?[0], found[2]);
    Ok(())
}
