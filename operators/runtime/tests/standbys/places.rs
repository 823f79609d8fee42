//! Standbys sit where `range` puts the task next, and move as members come and go.

use std::collections::BTreeSet;

use crate::flock::{Flock, PARTITIONS, words};

/// Each task has one owner and so many standbys, all on different members.
fn check(flock: &Flock, replicas: usize) {
    for partition in 0..PARTITIONS {
        let named = |has: fn(&crate::flock::Bird) -> BTreeSet<u32>| {
            let birds = flock.birds.iter().filter(move |bird| has(bird).contains(&partition));
            birds.map(|bird| bird.name).collect::<Vec<_>>()
        };
        let (owners, keepers) = (named(crate::flock::Bird::owns), named(crate::flock::Bird::keeps));
        assert_eq!((owners.len(), keepers.len()), (1, replicas), "partition {partition}");
        assert!(!keepers.contains(&owners[0]), "partition {partition}: {owners:?}, {keepers:?}");
    }
}

#[test]
fn they_are_on_other_members_and_move_when_members_come_and_go() {
    let mut flock = Flock::of(&["a", "b"], 1);
    flock.say(words(100));
    flock.settle();
    check(&flock, 1);
    assert_eq!(flock.bird("a").keeps(), BTreeSet::from([3, 4, 5]));

    flock.join("c");
    flock.settle();
    check(&flock, 1);
    // Without a, b has 0 to 2 and c the rest; without b, a has 0 to 2; without c, b has 3 to 5.
    assert_eq!(flock.bird("a").keeps(), BTreeSet::from([2]));
    assert_eq!(flock.bird("b").keeps(), BTreeSet::from([0, 1, 4, 5]));
    assert_eq!(flock.bird("c").keeps(), BTreeSet::from([3]));

    flock.close("b");
    flock.settle();
    check(&flock, 1);

    flock.kill("c");
    flock.log.pass(20_000);
    flock.log.log.tick().unwrap();
    flock.settle();
    check(&flock, 0);
    assert_eq!(flock.bird("a").owns().len(), 6);
}
