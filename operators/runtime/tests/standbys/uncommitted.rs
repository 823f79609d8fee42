//! What a transaction wrote that was aborted, or is still open, is in no copy.

use log::{Log, NewRecord, TopicPartition};

use crate::flock::{CHANGELOG, Flock, words};

fn row<'r>(key: &'r [u8], value: &'r [u8]) -> NewRecord<'r> {
    NewRecord { key: Some(key), value: Some(value), timestamp: 0, headers: &[] }
}

#[test]
fn no_uncommitted_row_is_ever_in_a_copy() {
    let mut flock = Flock::of(&["a", "b"], 1);
    flock.say(words(60));
    flock.settle();
    let partition = *flock.bird("a").keeps().first().unwrap();
    let known = flock.bird("a").rows(partition);

    // A zombie of the owner, say.
    let mut zombie = flock.log.log.txn_producer("zombie", "zombie").unwrap();
    zombie.init().unwrap();
    zombie.begin().unwrap();
    zombie.send(CHANGELOG, partition, row(b"zombie", b"12345678")).unwrap();
    zombie.flush().unwrap();
    flock.rest();
    assert_eq!(flock.bird("a").rows(partition), known, "open");

    zombie.abort().unwrap();
    flock.settle();
    assert_eq!(flock.bird("a").rows(partition), known, "aborted");

    zombie.begin().unwrap();
    zombie.send(CHANGELOG, partition, row(b"committed", b"12345678")).unwrap();
    zombie.flush().unwrap();
    zombie.commit().unwrap();
    let end = zombie.acknowledged(&TopicPartition::new(CHANGELOG, partition)).unwrap();
    flock.settle();
    let rows = flock.bird("a").rows(partition);
    assert_eq!(rows.len(), known.len() + 1, "what is behind the aborted row, at {end}, is read");
    assert!(rows.contains_key(&b"committed"[..]));
}
