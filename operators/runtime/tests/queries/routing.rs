//! Who answers: the owner, wherever the query came in.

use std::sync::Arc;

use log::NewRecord;
use operators_runtime::{StoreQuery, members};

use crate::NOON;
use crate::ring::{Ring, of_key, partition_of};

const WORDS: [&str; 8] = ["a", "b", "c", "d", "e", "f", "g", "h"];

fn two() -> Ring {
    let mut ring = Ring::of(&["one", "two"]);
    ring.append(NOON, &WORDS);
    ring.settle();
    let owners = WORDS.map(|word| ring.owner_of(word));
    assert!(owners.contains(&0) && owners.contains(&1), "{owners:?}");
    ring
}

fn with_owner(ring: &Ring, owner: usize) -> &'static str {
    WORDS.into_iter().find(|word| ring.owner_of(word) == owner).unwrap()
}

#[test]
fn any_member_answers_for_any_key_with_one_hop_at_most() {
    let ring = two();
    for word in WORDS {
        for member in [0, 1] {
            ring.wires.passed_on.lock().unwrap().clear();
            let answer = ring.queries[member].ask("counts", &of_key(word)).unwrap();
            assert_eq!((answer.rows.len(), answer.rows[0].value.as_i64()), (1, Some(1)));
            assert_eq!(answer.rows[0].partition, partition_of(word));
            assert_eq!(answer.rows[0].place, None, "between members only");
            let owner = ring.owner_of(word);
            assert_eq!(answer.from[0].instance, ["one", "two"][owner]);
            let hops = usize::from(owner != member);
            assert_eq!(ring.wires.passed_on.lock().unwrap().len(), hops, "{word} at {member}");
        }
    }
}

#[test]
fn a_query_that_was_passed_on_is_not_passed_on_again() {
    let ring = two();
    let word = with_owner(&ring, 0);
    let query = StoreQuery { instance: Some("two".to_owned()), ..of_key(word) };
    let refused = ring.queries[1].ask("counts", &query).unwrap_err();
    assert_eq!((refused.code(), refused.status()), ("not_the_owner", 503));
    assert!(ring.wires.passed_on.lock().unwrap().is_empty());
}

#[test]
fn a_range_is_asked_of_all_owners_and_comes_in_order() {
    let ring = two();
    for member in [0, 1] {
        let query = StoreQuery { limit: Some(5), from: Some("b".into()), ..StoreQuery::default() };
        let answer = ring.queries[member].ask("counts", &query).unwrap();
        let keys: Vec<_> = answer.rows.iter().map(|row| row.key.as_str().unwrap()).collect();
        assert_eq!(keys, ["b", "c", "d", "e", "f"]);
        assert!(answer.more);
        let asked: usize = answer.from.iter().map(|from| from.partitions.len()).sum();
        assert_eq!(asked, 4, "every partition answered");
    }
}

#[test]
fn offsets_go_with_the_query_to_whom_they_concern() {
    let ring = two();
    let of = |owner| partition_of(with_owner(&ring, owner));
    let after = format!("words[{}]@0, words[{}]@0", of(0), of(1));
    let query = StoreQuery { after: Some(after), ..StoreQuery::default() };
    assert_eq!(ring.queries[0].ask("counts", &query).unwrap().rows.len(), 8);
    assert_eq!(ring.wires.passed_on.lock().unwrap()[0].after, Some(format!("words[{}]@0", of(1))));
    let after = format!("words[{}]@0,words[0{}]@+99", of(0), of(1));
    let query = StoreQuery { after: Some(after), wait_ms: Some(0), ..StoreQuery::default() };
    let late = ring.queries[0].ask("counts", &query).unwrap_err();
    assert_eq!(late.code(), "not_caught_up", "one partition without an answer: no answer");
}

#[test]
fn the_reason_is_told() {
    let mut ring = two();
    let (here, there) = (with_owner(&ring, 0), with_owner(&ring, 1));
    let unknown = ring.queries[0].ask("count", &of_key("a")).unwrap_err();
    assert_eq!(
        unknown.to_string(),
        "words has no store `count`; its stores are counts, kept, minutes, sessions"
    );

    ring.wires.cut("two:9100");
    assert_eq!(ring.count(0, here).unwrap(), Some(1));
    let silent = ring.count(0, there).unwrap_err();
    assert_eq!((silent.code(), silent.status()), ("owner_unreachable", 503));
    let said = silent.to_string();
    assert!(said.starts_with("instance two at two:9100 owns partition"), "{said}");
    assert!(said.contains("connection refused"), "{said}");

    // The other one leaves and says so; nobody has taken up what it had.
    let mut leaving = ring.workers.pop().unwrap();
    ring.log.close(&mut leaving);
    drop(leaving);
    assert_eq!(ring.count(0, there).unwrap_err().code(), "no_owner");
    let known = members(&(ring.log.log.clone() as Arc<dyn log::Log>), "words").unwrap();
    assert_eq!(known.iter().map(|member| &*member.instance).collect::<Vec<_>>(), ["one"]);

    ring.settle();
    assert_eq!(ring.count(0, there).unwrap(), Some(1));
}

#[test]
fn two_instances_that_tell_one_address_are_named() {
    let ring = two();
    // As two machines do that each tell 127.0.0.1: what is for the other one comes back.
    ring.wires.lead("two:9100", &ring.queries[0]);
    let crossed = ring.count(0, with_owner(&ring, 1)).unwrap_err();
    assert_eq!((crossed.code(), crossed.status()), ("another_instance", 421));
    assert!(
        crossed.to_string().contains("instance one of words was asked in place of instance two")
    );
}

#[test]
fn the_members_of_one_address_are_asked_one_by_one() {
    let mut ring = two();
    ring.join_at("three", "two:9100".to_owned());
    ring.settle();
    ring.wires.passed_on.lock().unwrap().clear();
    ring.wires.lead("two:9100", &ring.queries[1].clone());
    let crossed = ring.queries[0].ask("counts", &StoreQuery::default()).unwrap_err();
    assert_eq!(crossed.code(), "another_instance", "not a part of three's answer as two's");
}

#[test]
fn an_owner_without_an_address_is_named() {
    let mut ring = Ring::of(&["one"]);
    ring.join_at("two", String::new());
    ring.settle();
    let there = with_owner(&ring, 1);
    let unreachable = ring.count(0, there).unwrap_err();
    assert_eq!((unreachable.code(), unreachable.status()), ("owner_unreachable", 503));
    let said = unreachable.to_string();
    assert!(
        said.starts_with("instance two owns") && said.contains("ADMIN_ADVERTISED_ADDR"),
        "{said}"
    );
    let known = members(&(ring.log.log.clone() as Arc<dyn log::Log>), "words").unwrap();
    assert_eq!(known.len(), 2);
}

#[test]
fn what_is_passed_on_has_less_time_and_the_wait_that_is_left() {
    let ring = two();
    let query = StoreQuery { wait_ms: Some(500), ..of_key(with_owner(&ring, 1)) };
    ring.queries[0].ask("counts", &query).unwrap();
    let passed_on = ring.wires.passed_on.lock().unwrap().pop().unwrap();
    assert!(passed_on.within() < query.within(), "{passed_on:?}");
    assert!(passed_on.wait_ms.is_some_and(|wait_ms| wait_ms <= 500), "{passed_on:?}");
    assert_eq!(passed_on.instance.as_deref(), Some("two"));
    let hasty = StoreQuery { within_ms: Some(1), ..query };
    let late = ring.queries[0].ask("counts", &hasty).unwrap_err();
    assert_eq!(late.code(), "timed_out", "no time for the way there and back");
}

#[test]
fn members_are_known_however_often_they_have_told() {
    let ring = two();
    // Of one that came and went a thousand times: more than any fixed number of polls takes.
    let text = br#"{"application":"words","instance":"gone","address":"gone:9100","tasks":[]}"#;
    for _ in 0..5_000 {
        let (key, value) = (Some(&b"gone/0"[..]), Some(&text[..]));
        ring.log.append(
            "words-members",
            Some(0),
            NewRecord { key, value, timestamp: NOON, headers: &[] },
        );
    }
    let there = with_owner(&ring, 1);
    assert_eq!(ring.count(0, there).unwrap(), Some(1));
    let known = members(&(ring.log.log.clone() as Arc<dyn log::Log>), "words").unwrap();
    assert_eq!(known.len(), 3, "{known:?}");
}

#[test]
fn a_claim_that_comes_late_is_not_believed() {
    let mut ring = Ring::of(&["one"]);
    ring.append(NOON, &WORDS);
    ring.settle();
    let log: Arc<dyn log::Log> = ring.log.log.clone();
    let before = members(&log, "words").unwrap().remove(0);
    ring.join("two");
    ring.join("three");
    // Its first words were lost on the way, and are written again now that others own most of it.
    let text = serde_json::to_vec(&before).unwrap();
    let (key, value) = (Some(&b"one/0"[..]), Some(&*text));
    let record = NewRecord { key, value, timestamp: ring.log.now(), headers: &[] };
    ring.log.append("words-members", Some(0), record);
    for word in WORDS {
        let owner = ["one", "two", "three"][ring.owner_of(word)];
        if owner != "one" {
            for member in 0..3 {
                let answer = ring.queries[member].ask("counts", &of_key(word)).unwrap();
                assert_eq!(answer.from[0].instance, owner, "{word} at {member}");
            }
        }
    }
}

#[test]
fn a_partition_that_moved_is_found_at_its_new_owner() {
    let mut ring = Ring::of(&["one", "two"]);
    ring.append(NOON, &WORDS);
    ring.settle();
    ring.join("three");
    for word in WORDS {
        let owner = ["one", "two", "three"][ring.owner_of(word)];
        for member in 0..3 {
            let answer = ring.queries[member].ask("counts", &of_key(word)).unwrap();
            assert_eq!(answer.from[0].instance, owner);
            assert_eq!(answer.rows[0].value, 1);
        }
    }
}
