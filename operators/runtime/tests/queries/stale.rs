//! Standbys answer where the query allows it, and say how old that is.

use std::ops::ControlFlow;

use log::{Log, NewRecord};
use operators_runtime::{Answer, CommitStage, QueryError, Stale, StoreQuery};
use state_stores::{Direction, Keys, RowTime, Select};

use crate::ring::{PARTITIONS, Ring, of_key, partition_of};
use crate::{NOON, counts};

const WORDS: [&str; 8] = ["a", "b", "c", "d", "e", "f", "g", "h"];

fn two() -> Ring {
    let mut ring = Ring::with_standbys(&["one", "two"], 1);
    ring.append(NOON, &WORDS);
    ring.settle();
    ring
}

fn with_owner(ring: &Ring, owner: usize) -> &'static str {
    WORDS.into_iter().find(|word| ring.owner_of(word) == owner).unwrap()
}

fn ask(ring: &Ring, member: usize, word: &str, stale: Stale) -> Result<Answer, QueryError> {
    ring.queries[member].ask("counts", &StoreQuery { stale: Some(stale), ..of_key(word) })
}

/// The count that is shown, who shows it, and how many offsets it is behind if it is a standby.
fn told(answer: &Answer) -> (i64, &str, Option<u64>) {
    let from = &answer.from[0];
    let lag = from.standby.as_ref().map(|lag| lag.offset_lag);
    (answer.rows[0].value.as_i64().unwrap(), &from.instance, lag)
}

fn append_and_step(ring: &mut Ring, word: &str, member: usize) {
    ring.append(NOON, &[word]);
    for _ in 0..300 {
        ring.step_one(member);
    }
}

#[test]
fn a_standby_answers_only_where_that_is_allowed_and_the_owner_cannot() {
    let ring = two();
    let there = with_owner(&ring, 1);
    let allowed = ask(&ring, 0, there, Stale::Allow).unwrap();
    assert_eq!(told(&allowed), (1, "two", None), "the owner is there");
    assert_eq!(ring.wires.passed_on.lock().unwrap().pop().unwrap().stale, None, "as its owner");

    ring.wires.cut("two:9100");
    let allowed = ask(&ring, 0, there, Stale::Allow).unwrap();
    assert_eq!(told(&allowed), (1, "one", Some(0)));
    let lag = allowed.from[0].standby.as_ref().unwrap();
    assert_eq!(lag.current_offset, lag.end_offset);
    assert!((NOON..=ring.log.now()).contains(&lag.as_of_ms), "{lag:?}");
    for never in [ask(&ring, 0, there, Stale::Never), ring.queries[0].ask("counts", &of_key(there))]
    {
        assert_eq!(never.unwrap_err().code(), "owner_unreachable");
    }
    let all = StoreQuery { stale: Some(Stale::Allow), ..StoreQuery::default() };
    let all = ring.queries[0].ask("counts", &all).unwrap();
    assert_eq!((all.rows.len(), all.from.len()), (8, 4), "a range of both, as owner and standby");
    assert!(all.from.iter().any(|from| from.standby.is_none()));
    assert!(all.from.iter().any(|from| from.standby.is_some()));
}

#[test]
fn who_prefers_a_standby_is_told_how_far_it_is_behind() {
    let mut ring = two();
    let there = with_owner(&ring, 1);
    let at = ring.log.now();
    append_and_step(&mut ring, there, 1);
    let behind = ask(&ring, 0, there, Stale::Prefer).unwrap();
    let (count, from, lag) = told(&behind);
    assert_eq!((count, from), (1, "one"), "it has read nothing since");
    assert_eq!(lag, Some(0), "nor looked");
    let lag = behind.from[0].standby.clone().unwrap();
    assert!(lag.as_of_ms <= at, "{lag:?}");
    assert!(ring.wires.passed_on.lock().unwrap().is_empty());
    assert_eq!(told(&ask(&ring, 0, there, Stale::Allow).unwrap()), (2, "two", None));

    let listed = ring.queries[0].listings();
    let counts = listed.iter().find(|listing| listing.store == "counts").unwrap();
    assert!(counts.standbys.contains_key(&partition_of(there)), "{counts:?}");
    assert!(!counts.here.contains_key(&partition_of(there)), "{counts:?}");

    ring.settle();
    assert_eq!(told(&ask(&ring, 0, there, Stale::Prefer).unwrap()), (2, "one", Some(0)));
}

#[test]
fn a_position_is_covered_or_the_standby_does_not_answer() {
    let mut ring = two();
    let there = with_owner(&ring, 1);
    let position = ring.workers[1].status().tasks.iter().find_map(|task| {
        let input = format!("words[{}]", partition_of(there));
        task.inputs.iter().find(|(at, _)| *at == input).map(|(_, next)| *next)
    });
    let position = position.unwrap();
    let query = |offset: i64, stale| StoreQuery {
        after: Some(format!("words[{}]@{offset}", partition_of(there))),
        wait_ms: Some(0),
        stale: Some(stale),
        ..of_key(there)
    };
    ring.wires.cut("two:9100");
    let covered = ring.queries[0].ask("counts", &query(position - 1, Stale::Allow)).unwrap();
    assert_eq!(told(&covered), (1, "one", Some(0)));
    let input = format!("words[{}]", partition_of(there));
    assert_eq!(covered.from[0].positions.get(&input), Some(&position));
    let not_yet = ring.queries[0].ask("counts", &query(position, Stale::Allow)).unwrap_err();
    assert_eq!(not_yet.code(), "not_caught_up", "nobody has committed it");

    append_and_step(&mut ring, there, 1);
    let not_yet = ring.queries[0].ask("counts", &query(position, Stale::Allow)).unwrap_err();
    assert_eq!(not_yet.code(), "not_caught_up");
    assert!(not_yet.to_string().contains("words-counts-changelog["), "{not_yet}");
    ring.wires.lead("two:9100", &ring.queries[1].clone());
    let owner = ring.queries[0].ask("counts", &query(position, Stale::Prefer)).unwrap();
    assert_eq!(told(&owner), (2, "two", None), "who prefers a standby gets the owner's");

    ring.wires.cut("two:9100");
    ring.settle();
    let covered = ring.queries[0].ask("counts", &query(position, Stale::Allow)).unwrap();
    assert_eq!(told(&covered), (2, "one", Some(0)));
}

#[test]
fn the_standby_of_another_member_is_found() {
    let mut ring = Ring::with_standbys(&["one", "two", "three"], 1);
    ring.append(NOON, &WORDS);
    ring.settle();
    let keeps = |member: usize, word: &str| {
        let id = format!("0_{}", partition_of(word));
        ring.workers[member].status().standbys.iter().any(|standby| standby.id == id)
    };
    let mut found = 0;
    for word in WORDS {
        let owner = ring.owner_of(word);
        let keeper = (0..3).find(|member| keeps(*member, word)).unwrap();
        let asked = (0..3).find(|member| ![owner, keeper].contains(member)).unwrap();
        let names = ["one", "two", "three"];
        ring.wires.cut(&format!("{}:9100", names[owner]));
        let answer = ask(&ring, asked, word, Stale::Allow).unwrap();
        assert_eq!(told(&answer), (1, names[keeper], Some(0)), "{word} at {}", names[asked]);
        ring.wires.cut(&format!("{}:9100", names[keeper]));
        let nobody = ask(&ring, asked, word, Stale::Allow).unwrap_err();
        assert_eq!(nobody.code(), "owner_unreachable", "the owner's reason");
        for member in [owner, keeper] {
            ring.wires.lead(&format!("{}:9100", names[member]), &ring.queries[member]);
        }
        found += 1;
    }
    assert_eq!(found, WORDS.len());
}

#[test]
fn nothing_uncommitted_is_shown_by_a_standby() {
    let mut ring = two();
    let there = with_owner(&ring, 1);
    let log = ring.log.log.clone();
    let mut zombie = log.txn_producer("zombie", "zombie").unwrap();
    zombie.init().unwrap();
    zombie.begin().unwrap();
    let value = [0xff; 16];
    let (key, value) = (Some(there.as_bytes()), Some(&value[..]));
    let record = NewRecord { key, value, timestamp: NOON, headers: &[] };
    zombie.send("words-counts-changelog", partition_of(there), record).unwrap();
    zombie.flush().unwrap();
    for _ in 0..300 {
        ring.step();
    }
    assert_eq!(told(&ask(&ring, 0, there, Stale::Prefer).unwrap()).0, 1, "it is open");
    zombie.abort().unwrap();
    ring.settle();
    assert_eq!(told(&ask(&ring, 0, there, Stale::Prefer).unwrap()).0, 1, "it is aborted");
}

#[test]
fn who_is_taking_over_answers_as_a_standby_until_it_owns() {
    let mut ring = two();
    let there = with_owner(&ring, 1);
    // kill -9, and the time until the group knows.
    drop(ring.workers.pop());
    ring.wires.cut("two:9100");
    assert_eq!(told(&ask(&ring, 0, there, Stale::Allow).unwrap()), (1, "one", Some(0)));
    ring.log.pass(20_000);
    ring.log.log.tick().unwrap();
    let mut was_restored = false;
    for _ in 0..2_000 {
        ring.step();
        was_restored |= ring.workers[0].status().phase == "restoring";
        let answer = ask(&ring, 0, there, Stale::Allow).unwrap();
        let (count, from, lag) = told(&answer);
        assert_eq!((count, from), (1, "one"));
        if lag.is_none() {
            assert!(was_restored, "it owns what it has restored");
            let prefers = ask(&ring, 0, there, Stale::Prefer).unwrap();
            assert_eq!(told(&prefers), (1, "one", None), "there is no standby any more");
            return;
        }
    }
    panic!("never taken over: {:?}", ring.workers[0].status());
}

#[test]
fn who_is_taking_over_is_found_by_others() {
    let mut ring = Ring::with_standbys(&["one", "two", "three"], 1);
    ring.append(NOON, &WORDS);
    ring.settle();
    let word = with_owner(&ring, 0);
    let id = format!("0_{}", partition_of(word));
    let keeps = |ring: &Ring, member: usize| {
        ring.workers[member].status().standbys.iter().any(|standby| standby.id == id)
    };
    let asked = [1, 2].into_iter().find(|member| !keeps(&ring, *member)).unwrap();
    drop(ring.workers.remove(0));
    ring.wires.cut("one:9100");
    let mut was_restored = false;
    for _ in 0..10_000 {
        ring.step_one(0);
        ring.step_one(1);
        was_restored |= ring.workers[2 - asked].status().phase == "restoring";
        let answer = ask(&ring, asked, word, Stale::Allow).unwrap();
        let (count, from, lag) = told(&answer);
        assert_eq!((count, from), (1, ["one", "two", "three"][3 - asked]));
        if lag.is_none() {
            assert!(was_restored);
            return;
        }
    }
    panic!("never taken over: {:?}", ring.workers[2 - asked].status());
}

#[test]
fn a_task_whose_owner_has_said_goodbye_is_answered_for_by_its_standby() {
    let mut ring = two();
    let there = with_owner(&ring, 1);
    // A static member is missed by the group only later.
    let (key, timestamp) = (Some(&b"two/0"[..]), ring.log.now());
    ring.log.append(
        "words-members",
        Some(0),
        NewRecord { key, value: None, timestamp, headers: &[] },
    );
    drop(ring.workers.pop());
    ring.wires.cut("two:9100");
    for _ in 0..100 {
        ring.step();
    }
    assert_eq!(told(&ask(&ring, 0, there, Stale::Allow).unwrap()), (1, "one", Some(0)));
}

#[test]
fn who_prefers_a_standby_is_sent_to_the_owner_while_positions_are_unstable() {
    let mut ring = two();
    let there = with_owner(&ring, 1);
    let after = Some(format!("words[{}]@0", partition_of(there)));
    let query = StoreQuery { after, wait_ms: Some(0), stale: Some(Stale::Prefer), ..of_key(there) };
    assert_eq!(told(&ring.queries[0].ask("counts", &query).unwrap()), (1, "one", Some(0)));
    ring.append(NOON, &[there]);
    while ring.workers[1].commit_stage() != Some(CommitStage::End) {
        ring.step_one(1);
    }
    assert_eq!(told(&ring.queries[0].ask("counts", &query).unwrap()), (1, "two", None));
}

#[test]
fn typed_queries_ask_the_standbys_of_their_own_member_where_they_may() {
    let mut ring = two();
    let (here, there) = (with_owner(&ring, 0), with_owner(&ring, 1));
    let queries = ring.queries[0].clone();
    let typed = |stale| queries.typed(&counts()).unwrap().stale(stale);
    assert_eq!(typed(Stale::Never).get(there).unwrap_err().code(), "no_owner");
    for stale in [Stale::Allow, Stale::Prefer] {
        let mut typed = typed(stale);
        assert_eq!(typed.get(there).unwrap(), Some(1));
        assert_eq!(typed.standby().unwrap().offset_lag, 0);
        assert_eq!(typed.get(here).unwrap(), Some(1));
        assert_eq!(typed.standby(), None, "its own");
        let select = Select {
            keys: Keys::Range(None, None),
            times: i64::MIN..=i64::MAX,
            direction: Direction::Forward,
        };
        let mut seen = 0;
        for partition in 0..PARTITIONS {
            let visit = |_: &str, _: Option<RowTime>, count: &i64| {
                seen += count;
                ControlFlow::Continue(())
            };
            typed.visit(partition, &select, visit).unwrap();
        }
        assert_eq!(seen, 8, "each row once");
    }
    append_and_step(&mut ring, there, 1);
    assert_eq!(typed(Stale::Allow).get(there).unwrap(), Some(1), "it has read nothing since");
    ring.settle();
    assert_eq!(typed(Stale::Allow).get(there).unwrap(), Some(2));
}
