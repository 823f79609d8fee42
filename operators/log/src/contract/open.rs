//! Transactions that lie open in the log: for every implementation whose records have offsets before they are committed
//! ([`open_transaction_tests!`](crate::open_transaction_tests)). The embedded log of a default run has none.

use std::sync::mpsc;
use std::time::Duration;

use super::LogFixture;
use super::scene::{Owned, Scene, record, texts};
use crate::{Isolation, LogError, TopicPartition, Visibility};

/// How long an answer is listened for that must not come; short of a transaction's timeout.
const WHILE_OPEN: Duration = Duration::from_millis(500);

/// What is committed behind an open transaction waits for its end, whatever that is.
pub fn an_open_transaction_holds_back_what_lies_behind_it(fixture: &dyn LogFixture) {
    for commit in [true, false] {
        let scene = Scene::new(fixture, "held-back");
        let topic = scene.topic("out", 1);
        let at = scene.partitions(&topic, 1);
        let ends = |isolation| scene.admin.end_offsets(&at, isolation).unwrap()[0];
        scene.append(&topic, 0, &["before"]);
        let mut producer = scene.producer("txn");
        producer.begin().unwrap();
        producer.send(&topic, 0, record("k", "open")).unwrap();
        producer.flush().unwrap();
        assert_eq!(scene.append(&topic, 0, &["behind"]), [2], "the open record has an offset");
        assert_eq!(ends(Isolation::ReadCommitted), 1);
        assert_eq!(ends(Isolation::ReadUncommitted), 3);
        assert_eq!(texts(&scene.read_now(&topic, 1)), ["before"]);
        if commit {
            producer.commit().unwrap()
        } else {
            producer.abort().unwrap()
        }
        let read = scene.read(&topic, 1);
        let expected: &[&str] =
            if commit { &["before", "open", "behind"] } else { &["before", "behind"] };
        assert_eq!(texts(&read), expected);
        assert_eq!(read.last().unwrap().offset, 2);
        assert_eq!(ends(Isolation::ReadCommitted), 4, "a marker lies behind it");
    }
}

/// Without isolation, a reader sees what is open.
pub fn a_reader_without_isolation_sees_what_is_open(fixture: &dyn LogFixture) {
    let scene = Scene::new(fixture, "uncommitted");
    let topic = scene.topic("out", 1);
    let mut producer = scene.producer("txn");
    producer.begin().unwrap();
    producer.send(&topic, 0, record("k", "open")).unwrap();
    producer.flush().unwrap();
    let mut reader =
        scene.log.reader("reader", Isolation::ReadUncommitted, Visibility::Written).unwrap();
    reader.assign(&[(TopicPartition::new(topic.as_str(), 0), 0)]).unwrap();
    let mut records = Vec::new();
    scene.until("the open record", || {
        let visit = &mut |found: crate::ConsumedRecord<'_>| records.push(Owned::of(found));
        reader.poll(Duration::from_millis(20), 10, visit).unwrap();
        !records.is_empty()
    });
    assert_eq!(texts(&records), ["open"]);
    producer.abort().unwrap();
    assert!(scene.read(&topic, 1).is_empty());
}

/// Nobody is told offsets that an open transaction may replace: who asks waits for its end, or is told to ask again.
pub fn offsets_of_an_open_transaction_are_not_told(fixture: &dyn LogFixture) {
    let scene = Scene::new(fixture, "unstable");
    let input = scene.topic("in", 1);
    scene.append(&input, 0, &["a", "b", "c"]);
    let mut member = scene.member("group", "00-client", &[&input]);
    scene.settle(&mut member);
    let at = [TopicPartition::new(input.as_str(), 0)];
    let group = scene.name("group");
    let mut producer = scene.producer("txn");
    for (next, commit, then) in [(2, true, 2), (3, false, 2)] {
        producer.begin().unwrap();
        producer.send_offsets(&[(at[0].clone(), next)], member.membership()).unwrap();
        std::thread::scope(|threads| {
            let (sender, told) = mpsc::channel();
            let (admin, group, at) = (&scene.admin, &group, &at);
            threads.spawn(move || sender.send(admin.committed_offsets(group, at)));
            let early = told.recv_timeout(WHILE_OPEN).ok();
            assert!(matches!(early, None | Some(Err(LogError::Retriable(_)))), "{early:?}");
            if commit {
                producer.commit().unwrap()
            } else {
                producer.abort().unwrap()
            }
            if early.is_none() {
                assert_eq!(told.recv().unwrap().unwrap(), [Some(then)]);
            }
        });
        assert_eq!(member.committed(&scene, &at[0]), Some(then));
    }
    member.leave(&scene);
}

/// Two producers' transactions lie side by side; each ends for itself.
pub fn open_transactions_lie_side_by_side(fixture: &dyn LogFixture) {
    let scene = Scene::new(fixture, "side-by-side");
    let topic = scene.topic("out", 1);
    let at = scene.partitions(&topic, 1);
    let (mut first, mut second) = (scene.producer("first"), scene.producer("second"));
    for (producer, value) in [(&mut first, "first"), (&mut second, "second")] {
        producer.begin().unwrap();
        producer.send(&topic, 0, record("k", value)).unwrap();
        producer.flush().unwrap();
    }
    second.commit().unwrap();
    assert_eq!(scene.admin.end_offsets(&at, Isolation::ReadCommitted).unwrap(), [0]);
    assert!(scene.read_now(&topic, 1).is_empty(), "the second is committed behind the first");
    first.abort().unwrap();
    assert_eq!(texts(&scene.read(&topic, 1)), ["second"]);
}
