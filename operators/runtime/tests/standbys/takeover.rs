//! The owner is killed: whoever has the standby takes over, restores the tail, and goes on counting.

use crate::flock::{Flock, words};

const WORDS: usize = 600;

/// Two members; what the survivor restored after the other was killed with a tail that its standby hadn't seen.
fn killed_owner(replicas: u32, tail: usize) -> (u64, u64, usize) {
    let mut flock = Flock::of(&["a", "b"], replicas);
    flock.say(words(WORDS));
    flock.settle();
    let before = flock.bird("b").worker.status();
    let owned: Vec<u32> = flock.bird("a").owns().into_iter().collect();
    let rows: usize = owned.iter().map(|partition| flock.bird("a").rows(*partition).len()).sum();
    assert!(rows > WORDS / 4, "the owner has its share of {WORDS} words: {rows}");

    // Only the owner runs on.
    flock.say(words(tail));
    for _ in 0..2_000 {
        let now = flock.log.now();
        flock.bird("a").worker.step(now).unwrap();
        flock.log.log.tick().unwrap();
    }
    flock.kill("a");
    flock.log.pass(10_000);
    flock.log.log.tick().unwrap();
    flock.settle();
    flock.say(words(WORDS));
    flock.settle();
    flock.check_counts();
    let after = flock.bird("b").worker.status();
    assert_eq!(after.tasks.len(), 6);
    (after.restored_rows - before.restored_rows, after.takeovers, rows)
}

#[test]
fn with_a_standby_the_tail_is_restored_and_nothing_else() {
    let (restored, takeovers, rows) = killed_owner(1, 0);
    assert_eq!((restored, takeovers), (0, 3), "of {rows} rows");
    let (restored, takeovers, rows) = killed_owner(1, 100);
    assert_eq!(takeovers, 3);
    assert!((20..=100).contains(&restored), "{restored} of {rows} rows: the owner's part of 100");
}

#[test]
fn without_one_it_is_everything() {
    let (restored, takeovers, rows) = killed_owner(0, 0);
    assert_eq!((restored, takeovers), (rows as u64, 0));
}

#[test]
fn a_standby_holds_what_the_owner_holds_and_writes_nothing_anywhere() {
    let mut flock = Flock::of(&["a", "b", "c"], 2);
    for _ in 0..3 {
        flock.say(words(WORDS));
        flock.settle();
    }
    let mut copies = 0;
    for owner in &flock.birds {
        for partition in owner.owns() {
            let rows = owner.rows(partition);
            assert!(!rows.is_empty());
            for bird in flock.birds.iter().filter(|bird| bird.keeps().contains(&partition)) {
                assert_eq!(bird.rows(partition), rows, "{} of {partition}", bird.name);
                copies += 1;
            }
        }
    }
    assert_eq!(copies, 12, "two of each of six tasks");
    flock.check_counts();
}

#[test]
fn what_comes_back_to_its_former_owner_is_there_already() {
    let mut flock = Flock::of(&["a", "b"], 1);
    flock.say(words(WORDS));
    flock.settle();
    // Some go to the new member, which has to restore them; who had them keeps them as standbys.
    flock.join("c");
    flock.settle();
    flock.say(words(WORDS));
    flock.settle();
    let before = flock.bird("b").worker.status().restored_rows;
    flock.close("c");
    flock.settle();
    flock.say(words(WORDS));
    flock.settle();
    flock.check_counts();
    let after = flock.bird("b").worker.status().restored_rows;
    assert!(after - before < WORDS as u64 / 10, "{} rows were restored", after - before);
}
