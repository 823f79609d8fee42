//! Who is gone, and who only seems to be.

use std::collections::BTreeSet;

use log::{Log, NewRecord};

use crate::flock::{CHANGELOG, Flock, words};

#[test]
fn a_copy_stays_until_somebody_claims_what_its_owner_has_left() {
    let mut flock = Flock::of(&["a", "b"], 1);
    flock.say(words(60));
    flock.settle();
    let kept = flock.bird("b").keeps();
    assert_eq!(kept, BTreeSet::from([0, 1, 2]));
    // A static member's goodbye, say, whom the group misses only later.
    let (key, timestamp) = (Some(&b"a/0"[..]), flock.log.now());
    let goodbye = NewRecord { key, value: None, timestamp, headers: &[] };
    flock.log.append("words-members", Some(0), goodbye);
    flock.rest();
    assert_eq!(flock.bird("b").keeps(), kept);
}

#[test]
fn who_did_not_listen_for_long_thinks_nobody_gone() {
    let mut flock = Flock::of(&["a", "b", "c"], 1);
    flock.say(words(100));
    flock.settle();
    let (mine, theirs) = (flock.bird("b").keeps(), flock.bird("c").owns());
    let kept: BTreeSet<u32> = mine.intersection(&theirs).copied().collect();
    assert!(!kept.is_empty(), "{mine:?}, {theirs:?}");

    // b is to take over what a has, and can't before a transaction has ended in its changelog.
    let partition = *flock.bird("a").owns().first().unwrap();
    let mut zombie = flock.log.log.txn_producer("zombie", "zombie").unwrap();
    zombie.init().unwrap();
    zombie.begin().unwrap();
    let (key, value) = (Some(&b"zombie"[..]), Some(&b"12345678"[..]));
    let row = NewRecord { key, value, timestamp: 0, headers: &[] };
    zombie.send(CHANGELOG, partition, row).unwrap();
    zombie.flush().unwrap();
    flock.kill("a");
    let mut since = None;
    // Longer than anybody may be silent who is there.
    while since.is_none_or(|since| flock.log.now() - since < 5_000) {
        flock.log.pass(20);
        flock.round();
        if flock.bird("b").worker.status().phase == "restoring" {
            since.get_or_insert(flock.log.now());
        }
    }
    assert_eq!(flock.bird("b").worker.status().phase, "restoring");
    zombie.abort().unwrap();
    for _ in 0..1_000 {
        flock.round();
        let keeps = flock.bird("b").keeps();
        assert!(keeps.is_superset(&kept), "{keeps:?}, not {kept:?}");
    }
    flock.settle();
    assert_eq!(flock.bird("b").keeps(), flock.bird("c").owns());
    flock.check_counts();
}
