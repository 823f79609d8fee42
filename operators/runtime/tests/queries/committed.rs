//! What a query may see: committed rows, up to the positions it asks for, of an owner.

use std::sync::atomic::{AtomicBool, Ordering};

use operators_runtime::{CommitStage, StoreQuery};

use crate::NOON;
use crate::counts;
use crate::ring::{Ring, of_key, partition_of};

fn after(word: &str, offset: i64, wait_ms: u64) -> StoreQuery {
    let after = Some(format!("words[{}]@{offset}", partition_of(word)));
    StoreQuery { after, wait_ms: Some(wait_ms), ..of_key(word) }
}

#[test]
fn nothing_uncommitted_is_shown_whatever_phase_the_commit_is_in() {
    let mut ring = Ring::of(&["one"]);
    ring.append(NOON, &["a"]);
    ring.settle();
    assert_eq!(ring.count(0, "a").unwrap(), Some(1));
    ring.append(NOON, &["a", "a"]);
    let mut seen = Vec::new();
    while ring.count(0, "a").unwrap() == Some(1) {
        seen.extend(ring.workers[0].commit_stage());
        // The rows may be in the log already; here they aren't committed before they are applied.
        let early = ring.queries[0].ask("counts", &after("a", 1, 0)).unwrap_err();
        assert_eq!(early.code(), "not_caught_up", "{early}");
        ring.step();
    }
    assert_eq!(seen.last(), Some(&CommitStage::Apply));
    assert!(seen.contains(&CommitStage::Stage) && seen.contains(&CommitStage::End), "{seen:?}");
    ring.settle();
    assert_eq!(ring.count(0, "a").unwrap(), Some(3));
}

#[test]
fn a_query_waits_for_what_its_caller_wrote() {
    let mut ring = Ring::of(&["one"]);
    ring.append(NOON, &["a"]);
    let (queries, answered) = (ring.queries[0].clone(), AtomicBool::new(false));
    std::thread::scope(|scope| {
        let asking = scope.spawn(|| {
            let answer = queries.ask("counts", &after("a", 0, 10_000));
            answered.store(true, Ordering::Release);
            answer
        });
        // The query itself gives up after its wait.
        while !answered.load(Ordering::Acquire) {
            ring.workers[0].step(ring.log.now()).unwrap();
            ring.log.pass(1);
            ring.log.log.tick().unwrap();
        }
        let answer = asking.join().unwrap().unwrap();
        assert_eq!(answer.rows[0].value, 1);
        let positions = &answer.from[0].positions;
        assert_eq!(positions[&format!("words[{}]", partition_of("a"))], 1);
    });
}

#[test]
fn a_wait_has_an_end_and_says_where_the_store_stands() {
    let mut ring = Ring::of(&["one"]);
    ring.append(NOON, &["a", "a"]);
    ring.settle();
    let late = ring.queries[0].ask("counts", &after("a", 2, 20)).unwrap_err();
    assert_eq!((late.code(), late.status()), ("not_caught_up", 504));
    let at = format!("words[{}]", partition_of("a"));
    let said = format!(
        "not caught up: the store's position in {at} is 2 after 20 ms, the query asks for a state with offset 2"
    );
    assert_eq!(late.to_string(), said);
    for (text, reason) in [
        ("other[0]@1".to_owned(), "store `counts` doesn't come from other: its task reads words"),
        (format!("words[{}]@1", partition_of("a") ^ 1), "which are asked"),
        ("words@1".to_owned(), "can't be read: expected topic[partition]@offset"),
        ("words[0]@-1".to_owned(), "can't be read"),
    ] {
        let query = StoreQuery { after: Some(text), ..of_key("a") };
        let refused = ring.queries[0].ask("counts", &query).unwrap_err();
        assert_eq!(refused.code(), "query_invalid");
        assert!(refused.to_string().contains(reason), "{refused}");
    }
}

#[test]
fn who_owns_nothing_any_more_answers_nothing() {
    let mut ring = Ring::of(&["one"]);
    ring.append(NOON, &["a"]);
    ring.settle();
    let queries = ring.queries[0].clone();
    let mut typed = queries.typed(&counts()).unwrap();
    assert_eq!(typed.get("a").unwrap(), Some(1));
    let worker = ring.workers.pop().unwrap();
    drop(worker);
    assert_eq!(ring.count(0, "a").unwrap_err().code(), "no_owner");
    assert_eq!(typed.get("a").unwrap_err().code(), "no_owner");
}

#[test]
fn a_state_that_is_being_restored_is_not_shown() {
    let mut ring = Ring::of(&["one"]);
    ring.append(NOON, &["a", "b", "c", "d", "e", "f"]);
    ring.settle();
    drop(ring.workers.pop());
    ring.wires.cut("one:9100");
    ring.join_unsettled("two");
    let (mut phases, mut answered) = (Vec::new(), false);
    while !answered {
        let phase = ring.workers[0].status().phase;
        phases.push(phase.clone());
        answered = ["a", "b", "c", "d", "e", "f"].iter().all(|word| match ring.count(1, word) {
            Ok(count) => {
                assert_eq!(count, Some(1), "{word} while {phase}");
                true
            }
            Err(error) => {
                assert!(
                    ["starting", "no_owner", "owner_unreachable"].contains(&error.code()),
                    "{error}"
                );
                false
            }
        });
        ring.step();
    }
    assert!(phases.iter().any(|phase| phase == "restoring"), "{phases:?}");
}
