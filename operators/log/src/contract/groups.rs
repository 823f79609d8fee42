//! Groups and transactions together: what keeps a record from being processed
//! twice when partitions change hands.

use super::LogFixture;
use super::scene::{Member, Scene, record, texts};
use crate::{GroupMetadata, LogError, Polled, TopicPartition, TxnProducer};

/// Two members of `group` with a partition each, and what the first was given before the second came.
pub(super) fn outdated(scene: &Scene, input: &str) -> (Member, Member, GroupMetadata) {
    scene.append(input, 0, &["a"]);
    let mut old = scene.member("group", "00-old", &[input]);
    scene.settle(&mut old);
    let stale = old.membership().clone();
    let mut new = scene.member("group", "01-new", &[input]);
    scene.until("both own a partition", || {
        old.turn(scene);
        new.turn(scene);
        old.owned.len() == 1 && new.owned.len() == 1
    });
    (old, new, stale)
}

/// An offset with stale metadata is refused, at once or by the commit.
pub(super) fn refuses(producer: &mut dyn TxnProducer, at: &TopicPartition, stale: &GroupMetadata) {
    let refused = match producer.send_offsets(&[(at.clone(), 1)], stale) {
        Err(refused) => refused,
        Ok(()) => producer.commit().expect_err("a stale generation must not commit"),
    };
    assert!(matches!(refused, LogError::Abort(_) | LogError::Fenced(_)), "{refused:?}");
}

/// Offsets with the metadata of a former generation are refused.
pub fn a_stale_generation_is_refused(fixture: &dyn LogFixture) {
    let scene = Scene::new(fixture, "stale");
    let (input, output) = (scene.topic("in", 2), scene.topic("out", 1));
    let (old, new, stale) = outdated(&scene, &input);
    let epochs = [&stale, old.membership(), new.membership()].map(|held| held.epoch.unwrap());
    assert!(epochs[0] < epochs[1] && epochs[0] < epochs[2], "{epochs:?}: later ones are higher");
    let at = TopicPartition::new(input.as_str(), 0);
    let mut producer = scene.producer("txn");
    producer.begin().unwrap();
    producer.send(&output, 0, record("k", "stale")).unwrap();
    refuses(&mut *producer, &at, &stale);
    producer.abort().unwrap();
    assert!(scene.read(&output, 1).is_empty());
    assert_eq!(old.committed(&scene, &at), None);
    producer.begin().unwrap();
    producer.send_offsets(&[(at.clone(), 1)], old.membership()).unwrap();
    producer.commit().unwrap();
    assert_eq!(old.committed(&scene, &at), Some(1), "the present generation is accepted");
    leave_all(&scene, vec![old, new]);
}

/// Metadata of nobody is refused before anything is sent.
pub fn no_membership_is_refused_locally(fixture: &dyn LogFixture) {
    let scene = Scene::new(fixture, "nobody");
    let input = scene.topic("in", 1);
    let at = TopicPartition::new(input.as_str(), 0);
    let mut producer = scene.producer("txn");
    producer.begin().unwrap();
    for (generation, member) in [(-1, "somebody"), (1, "")] {
        let nobody = GroupMetadata {
            group: scene.name("group"),
            generation,
            epoch: Some(generation),
            member: member.to_owned(),
            native: None,
        };
        assert!(
            producer.send_offsets(&[(at.clone(), 1)], &nobody).is_err(),
            "generation {generation}, `{member}`"
        );
    }
    producer.abort().unwrap();
    assert_eq!(scene.admin.committed_offsets(&scene.name("group"), &[at]).unwrap(), [None]);
}

/// Who comes after reads what isn't committed yet, and only that.
pub fn a_successor_resumes_at_the_committed_offset(fixture: &dyn LogFixture) {
    let scene = Scene::new(fixture, "resume");
    let input = scene.topic("in", 1);
    let at = TopicPartition::new(input.as_str(), 0);
    scene.append(&input, 0, &["a", "b", "c"]);
    let mut first = scene.member("group", "00-first", &[&input]);
    scene.until("all three are read", || {
        first.turn(&scene);
        first.records.len() == 3
    });
    let mut producer = scene.producer("txn");
    producer.begin().unwrap();
    producer.send_offsets(&[(at, first.records[1].offset)], first.membership()).unwrap();
    producer.commit().unwrap();
    first.leave(&scene);
    let mut second = scene.member("group", "00-second", &[&input]);
    scene.until("the rest is read", || {
        second.turn(&scene);
        second.records.len() == 2
    });
    assert_eq!(texts(&second.records), ["b", "c"]);
    second.leave(&scene);
}

/// A member with an open transaction commits before it gives its partitions
/// up; the other one goes on behind it. Every record comes out once.
pub fn a_rebalance_waits_for_the_open_transaction(fixture: &dyn LogFixture) {
    let scene = Scene::new(fixture, "rebalance");
    let (input, output) = (scene.topic("in", 2), scene.topic("out", 2));
    scene.append(&input, 0, &["0a", "0b"]);
    scene.append(&input, 1, &["1a", "1b"]);
    let mut old = scene.member("group", "00-old", &[&input]);
    scene.until("everything is read", || {
        old.turn(&scene);
        old.records.len() == 4
    });
    let mut producer = scene.producer("old");
    stage(producer.as_mut(), &output, &old);
    let mut new = scene.member("group", "01-new", &[&input]);
    let mut revoked = Vec::new();
    scene.until("the old member is asked to give up", || {
        new.turn(&scene);
        assert!(new.owned.is_empty(), "nothing is assigned while the old member hasn't answered");
        match old.poll() {
            Polled::Revoke { lost, partitions } => {
                assert!(!lost);
                revoked = partitions;
                true
            }
            _ => false,
        }
    });
    producer.commit().unwrap();
    old.give_up(&revoked);
    old.records.clear();
    scene.until("both own a partition", || {
        old.turn(&scene);
        new.turn(&scene);
        old.owned.len() == 1 && new.owned.len() == 1
    });
    assert_ne!(old.owned, new.owned);
    scene.append(&input, 0, &["0c"]);
    scene.append(&input, 1, &["1c"]);
    scene.until("each reads its own", || {
        old.turn(&scene);
        new.turn(&scene);
        old.records.len() == 1 && new.records.len() == 1
    });
    for (id, member) in [("old", &old), ("new", &new)] {
        let mut producer = scene.producer(id);
        stage(producer.as_mut(), &output, member);
        producer.commit().unwrap();
    }
    assert_eq!(texts(&scene.read(&output, 2)), ["0a", "0b", "0c", "1a", "1b", "1c"]);
    leave_all(&scene, vec![old, new]);
}

/// Copies what the member read to `output` in an open transaction.
fn stage(producer: &mut dyn TxnProducer, output: &str, member: &Member) {
    producer.begin().unwrap();
    for found in &member.records {
        producer.send(output, found.partition, record("k", &found.text())).unwrap();
        let next = (TopicPartition::new(found.topic.as_str(), found.partition), found.offset + 1);
        producer.send_offsets(&[next], member.membership()).unwrap();
    }
    producer.flush().unwrap();
}

/// Leaves one after the other, the others answering meanwhile.
fn leave_all(scene: &Scene, members: Vec<Member>) {
    for member in members {
        member.leave(scene);
    }
}
