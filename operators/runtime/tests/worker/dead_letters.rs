//! What becomes of records that were put aside.

use std::collections::BTreeSet;

use log::{Log, LogError};
use operators::{I64Be, Materialized, StreamsBuilder, Topic, Topology, Utf8};
use operators_runtime::{
    DeadLetter, DeadLetterError, LetterId, Settle, dead_letters, settle_dead_letters,
};

use crate::Scene;

/// Sums what it can read.
fn topology() -> Topology {
    let builder = StreamsBuilder::new("sums");
    builder
        .stream::<str, i64>(&Topic::new("in", Utf8, I64Be))
        .group_by_key()
        .reduce(&Materialized::as_("sum", Utf8, I64Be), |one, two| one + two)
        .to_stream()
        .to(&Topic::new("out", Utf8, I64Be));
    builder.build().unwrap()
}

fn letters(scene: &Scene) -> Vec<DeadLetter> {
    dead_letters(scene.0.log.as_ref()).unwrap()
}

fn settle(
    scene: &Scene,
    ids: impl IntoIterator<Item = LetterId>,
    how: Settle,
) -> Result<(), DeadLetterError> {
    settle_dead_letters(scene.0.log.as_ref(), &ids.into_iter().collect(), how, 2_000)
}

/// Two records that are no numbers, and one that is.
fn buried() -> Scene {
    let scene = Scene::new(&[("in", 2), ("out", 2)]);
    let bad = ["bad", "worse"].map(str::to_owned);
    scene.append(("in", 1), 1_000, bad.into_iter().chain(["12345678".to_owned()]));
    let counted = |scene: &Scene| (0..2).any(|number| !scene.values("out", number).is_empty());
    scene.run(topology(), counted);
    scene
}

#[test]
fn a_letter_tells_where_its_record_was_and_why_it_failed() {
    let scene = buried();
    let found = letters(&scene);
    let [first, second] = found.as_slice() else { panic!("{found:?}") };
    assert_eq!((first.application.as_str(), first.topic.as_str()), ("sums", "in"));
    assert_eq!((first.partition, first.offset, first.timestamp), (Some(1), Some(0), Some(1_000)));
    assert_eq!(
        (first.key.as_deref(), first.value.as_deref()),
        (Some(&b"bad"[..]), Some(&b"bad"[..]))
    );
    assert!(!first.message.is_empty() && !first.node.is_empty(), "{first:?}");
    assert_eq!(second.offset, Some(1));
}

#[test]
fn a_replayed_record_is_processed_again_and_a_discarded_one_is_not() {
    let scene = buried();
    let ids: Vec<LetterId> = letters(&scene).iter().map(|letter| letter.id).collect();
    settle(&scene, [ids[0]], Settle::Replay).unwrap();
    settle(&scene, [ids[1]], Settle::Discard).unwrap();
    assert_eq!(letters(&scene), []);
    assert_eq!(scene.values("in", 1), ["bad", "worse", "12345678", "bad"]);
    // It is as bad as before, and says whose replay it is.
    let worker = scene.run(topology(), |scene| !letters(scene).is_empty());
    let again = letters(&scene);
    assert_eq!((again.len(), again[0].offset, again[0].timestamp), (1, Some(3), Some(1_000)));
    let replayed = ("orders.dead-letter.replayed".to_owned(), ids[0].to_string().into_bytes());
    assert!(again[0].headers.contains(&replayed), "{again:?}");
    scene.close(worker);
    settle(&scene, [again[0].id], Settle::Discard).unwrap();
    assert_eq!(letters(&scene), []);
}

#[test]
fn a_letter_is_settled_once_and_only_as_a_whole() {
    let scene = buried();
    let ids: Vec<LetterId> = letters(&scene).iter().map(|letter| letter.id).collect();
    let missing = LetterId { partition: 0, offset: 99 };
    let refused = settle(&scene, [ids[0], missing], Settle::Replay).unwrap_err();
    assert!(matches!(refused, DeadLetterError::Unknown(id) if id == missing), "{refused}");
    assert_eq!((letters(&scene).len(), scene.values("in", 1).len()), (2, 3), "nothing was done");

    settle(&scene, ids.clone(), Settle::Replay).unwrap();
    let refused = settle(&scene, ids.clone(), Settle::Replay).unwrap_err();
    assert!(matches!(refused, DeadLetterError::Unknown(id) if id == ids[0]), "{refused}");
    assert_eq!(scene.values("in", 1).len(), 5);
}

#[test]
fn who_settles_at_the_same_time_is_fenced() {
    let scene = buried();
    let log = scene.0.log.as_ref();
    let id = letters(&scene)[0].id;
    let mut other = log.txn_producer("dead-letters", "dead-letters").unwrap();
    other.init().unwrap();
    settle(&scene, [id], Settle::Discard).unwrap();
    let refused = other.begin();
    assert!(matches!(refused, Err(LogError::Fenced(_))), "{refused:?}");
    assert_eq!(letters(&scene).len(), 1);
}

#[test]
fn what_has_nowhere_to_go_back_to_is_not_replayed() {
    let scene = Scene::new(&[("in", 2)]);
    let letter = |topic: &'static str, partition: Option<&'static str>| {
        let mut headers = vec![("__streams.errors.topic", topic.as_bytes())];
        let place = ["__streams.errors.partition", "__streams.errors.offset"];
        headers.extend(partition.iter().flat_map(|number| place.map(|it| (it, number.as_bytes()))));
        let record =
            log::NewRecord { key: None, value: Some(b"v"), timestamp: 1, headers: &headers };
        scene.0.append("dead_letters", Some(0), record);
    };
    letter("in", None);
    letter("gone", Some("0"));
    letter("in", Some("2"));
    for (letter, named) in letters(&scene).iter().zip(["`in`", "gone[0]", "in[2]"]) {
        let refused = settle(&scene, [letter.id], Settle::Replay).unwrap_err();
        assert!(matches!(refused, DeadLetterError::NotReplayable { id, .. } if id == letter.id));
        assert!(refused.to_string().contains(named), "{refused}");
    }
    let all: BTreeSet<LetterId> = letters(&scene).iter().map(|letter| letter.id).collect();
    assert_eq!(all.len(), 3);
    settle(&scene, all, Settle::Discard).unwrap();
    assert_eq!(letters(&scene), []);
}
