//! A member that comes to others joins when it has what it is to take over.

use crate::flock::{Flock, words};

const WORDS: usize = 600;

/// Two members with state, and a third that comes.
fn third(warmup_max_ms: i64) -> Flock {
    let mut flock = Flock::of(&["a", "b"], 1);
    flock.say(words(WORDS));
    flock.settle();
    flock.warmup_max_ms = warmup_max_ms;
    flock.join("c");
    flock
}

fn phase(flock: &mut Flock, name: &str) -> String {
    flock.bird(name).worker.status().phase.into_owned()
}

#[test]
fn it_takes_over_without_a_restore_and_the_others_work_on_until_then() {
    let mut flock = third(60_000);
    let mut rounds = 0;
    while ["starting", "warming up"].contains(&phase(&mut flock, "c").as_str()) {
        assert_eq!(flock.bird("a").owns().len() + flock.bird("b").owns().len(), 6);
        let ready = |name: &str, flock: &mut Flock| flock.bird(name).worker.status().ready;
        assert!(ready("a", &mut flock) && ready("b", &mut flock), "nobody rebalances");
        flock.round();
        rounds += 1;
        assert!(rounds < 5_000, "it never joins: {:?}", flock.bird("c").worker.status());
    }
    assert!(rounds > 50, "it was outside for {rounds} rounds");
    flock.settle();
    let there = flock.bird("c").worker.status();
    assert_eq!((there.tasks.len(), there.takeovers, there.restored_rows), (2, 2, 0));
    flock.say(words(WORDS));
    flock.settle();
    flock.check_counts();
}

#[test]
fn without_a_warm_up_it_restores_everything() {
    let mut flock = third(0);
    flock.settle();
    let there = flock.bird("c").worker.status();
    assert_eq!((there.tasks.len(), there.takeovers), (2, 0));
    assert!(there.restored_rows > WORDS as u64 / 6, "{} rows", there.restored_rows);
}

#[test]
fn it_waits_no_longer_than_it_may() {
    let mut flock = third(10);
    let since = flock.log.now();
    while ["starting", "warming up"].contains(&phase(&mut flock, "c").as_str()) {
        flock.round();
    }
    assert!((10..20).contains(&(flock.log.now() - since)));
    flock.settle();
    assert_eq!(flock.bird("c").owns().len(), 2);
}

#[test]
fn nobody_is_waited_for_who_is_not_there() {
    let mut flock = Flock::of(&[], 1);
    let since = flock.log.now();
    flock.join("a");
    while !flock.bird("a").worker.status().ready {
        flock.round();
    }
    assert!(flock.log.now() - since < 100, "the first one joins at once");
    flock.join("b");
    flock.settle();
    flock.say(words(WORDS));
    flock.settle();

    // Both are killed; a new one knows their claims, and that they were there until now.
    flock.kill("a");
    flock.kill("b");
    flock.join("c");
    flock.log.pass(20_000);
    flock.log.log.tick().unwrap();
    flock.settle();
    assert_eq!(flock.bird("c").owns().len(), 6);
    flock.say(words(WORDS));
    flock.settle();
    flock.check_counts();
}

#[test]
fn two_that_come_together_are_both_warm() {
    let mut flock = third(60_000);
    flock.join("d");
    flock.settle();
    for name in ["c", "d"] {
        let there = flock.bird(name).worker.status();
        assert!(!there.tasks.is_empty(), "{name}");
        assert!(there.restored_rows < WORDS as u64 / 20, "{name}: {} rows", there.restored_rows);
    }
    flock.say(words(WORDS));
    flock.settle();
    flock.check_counts();
}
